"""One ring, four kinds of process, each killed again and again: a producer and a consumer in Rust (the command), an observer and
an asyncio consumer in Python. Message n says n, so every account can be checked exactly."""

from __future__ import annotations

import os
import pathlib
import random
import subprocess
import sys
import time
from typing import Any

import slipring
from conftest import PATIENCE, command, kill, with_parent

OBSERVER = """
import slipring, sys
observer = slipring.Ring.open("r").observer("oldest", on_loss="value")
first = observer.next_sequence
print("up", flush=True)
received = lost = 0
while True:
    try:
        got = observer.receive()
    except slipring.ProducerGone:
        observer.wait_for_producer()
        continue
    if got is None:
        break
    if isinstance(got, slipring.Lapped):
        lost += got.lost
        assert first + received + lost == got.resumed_at
        continue
    assert got.sequence == first + received + lost == int(got.decode())
    received += 1
assert observer.counts() == (received, lost, 0)
print("end", first + received + lost, flush=True)
"""

CONSUMER = """
import asyncio, slipring, sys
async def main():
    consumer = slipring.Ring.open("r").durable_consumer("python", "oldest")
    while True:
        try:
            async for message in consumer:
                assert message.sequence == int(message.decode())
                sys.stdout.write(f"{message.sequence}\\n")
                sys.stdout.flush()
            return
        except slipring.ProducerGone:
            await asyncio.sleep(0.001)
asyncio.run(main())
"""


def lines(path: pathlib.Path) -> list[int]:
    """The finished lines of an output that a kill may have cut."""
    return [int(line) for line in path.read_bytes().split(b"\n")[:-1]]


def test_four_processes_are_killed_and_every_account_is_exact(home: Any, tmp_path: pathlib.Path) -> None:
    kills = int(os.environ.get("SLIPRING_PYTHON_KILLS", "24"))
    seed = random.randrange(1 << 32)
    print("seed", seed)
    draw = random.Random(seed)
    ring = slipring.Ring.create("r", capacity_bytes=8192)
    outputs: dict[str, list[pathlib.Path]] = {"rust": [], "python": []}
    started = 0

    def start(role: str) -> "subprocess.Popen[bytes]":
        nonlocal started
        started += 1
        out = tmp_path / f"{role}-{started}"
        if role in outputs:
            outputs[role].append(out)
        program = {
            "producer": [command(), "pub", "r"],
            "rust": [command(), "sub", "r", "--cursor", "rust", "--from", "oldest", "--follow"],
            "observer": [sys.executable, "-c", OBSERVER],
            "python": [sys.executable, "-c", CONSUMER],
        }[role]
        stdin = subprocess.PIPE if role == "producer" else subprocess.DEVNULL
        with out.open("wb") as file:
            return subprocess.Popen(program, stdin=stdin, stdout=file, preexec_fn=with_parent)

    def attached(many: int) -> None:
        ring.wait_for_readers(many, timeout=PATIENCE)

    running = {role: start(role) for role in ("rust", "python", "observer")}
    # A durable place gates only while its owner lives, so both are there before anything can be overwritten.
    attached(3)
    running["producer"] = start("producer")
    ring.wait_for_producer(timeout=PATIENCE)

    def feed(many: int) -> None:
        """Has the producer publish so many more, from the one that the ring says comes next."""
        first = ring.status().next_sequence
        text = "".join(f"{number}\n" for number in range(first, first + many)).encode()
        producer = running["producer"]
        producer.stdin.write(text)
        producer.stdin.flush()

    def settle() -> None:
        """Until the producer has published what it was given and both consumers have it."""
        probe = ring.consumer("latest")
        target = fed
        while ring.status().next_sequence < target:
            assert running["producer"].poll() is None
            try:
                probe.receive(timeout=0.01)
            except slipring.Timeout:
                pass
        probe.close()

    fed = 0
    for _ in range(kills):
        some = draw.randrange(1, 400)
        feed(some)
        fed = fed + some
        role = draw.choice(["producer", "rust", "python", "observer"])
        if role == "producer":
            kill(running[role])
            running[role].stdin.close()
            # Exactly the committed ones are there, and the next producer goes on behind them.
            fed = ring.status().next_sequence
            running[role] = start(role)
            ring.wait_for_producer(timeout=PATIENCE)
            continue
        settle()
        kill(running[role])
        running[role] = start(role)
        # What is fed before a durable consumer is back could pass it by.
        attached(3)
    settle()
    running["producer"].stdin.close()
    assert running["producer"].wait(PATIENCE) == 0
    for role in ("python", "observer"):
        assert running[role].wait(PATIENCE) == 0, role
    total = ring.status().next_sequence
    assert total == fed
    # The command follows for ever.
    end = time.monotonic() + PATIENCE
    while not any(lines(path)[-1:] == [total - 1] for path in outputs["rust"]):
        assert time.monotonic() < end, "the consumer in Rust does not come to the end"
        time.sleep(0.02)
    kill(running["rust"])
    for role, paths in outputs.items():
        seen: set[int] = set()
        for path in paths:
            got = lines(path)
            assert got == list(range(got[0], got[0] + len(got))) if got else True, role
            seen |= set(got)
        # A line that a kill cut, or that was printed by nobody as its process died, comes again.
        assert seen == set(range(total)), (role, sorted(set(range(total)) - seen)[:5])
