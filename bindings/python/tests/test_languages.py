"""One ring and three languages: producers in C, Rust (the command) and Python, a consumer in Rust and an asyncio consumer in
Python, both with durable cursors, and an observer in Python. Each is killed at any moment and started anew, and every account
is exact. The producer in C is left out, and the test says so, where no C compiler or no library for C is found."""

from __future__ import annotations

import json
import mmap
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from typing import Any, Callable

import pytest
import slipring
from conftest import PATIENCE, ROOT, command, with_parent
from peers import content

PEERS = pathlib.Path(__file__).with_name("peers.py")
SOURCES = ROOT / "bindings" / "c" / "tests" / "c"


@pytest.fixture(scope="module")
def c_peer(tmp_path_factory: pytest.TempPathFactory) -> str | None:
    """The program of the tests of the library for C, or nothing where it cannot be made."""
    prefix = pathlib.Path(os.environ.get("SLIPRING_C_PREFIX", ROOT / "target" / "c" / "prefix"))
    compiler = shutil.which("cc")
    if compiler is None or not (prefix / "include" / "slipring.h").exists():
        missing = "no C compiler (cc)" if compiler is None else f"no library for C in {prefix} (bindings/c/install {prefix})"
        warnings.warn(f"SKIPPED: the producer in C: there is {missing}", stacklevel=1)
        return None
    program = tmp_path_factory.mktemp("c") / "peer"
    words = ["-std=c11", "-O1", "-g", "-D_GNU_SOURCE", "-pthread", f"-I{prefix}/include", str(SOURCES / "peer.c")]
    libraries = [f"-L{prefix}/lib", "-lslipring", f"-Wl,-rpath,{prefix}/lib"]
    subprocess.run([compiler, *words, "-o", str(program), *libraries], check=True)
    return str(program)


def frame(payload: int) -> int:
    """How many bytes of the ring a message takes."""
    return 8 + (payload + 7 & ~7)


class Account:
    """What a consumer with a durable cursor got or was told lost, over all its lives. Each life begins where the cursor stands,
    and its lines follow each other without a hole."""

    def __init__(self, name: str, may_lose: bool) -> None:
        self.name = name
        self.may_lose = may_lose
        self.next = 0
        self.received = self.lost = 0
        self.wrong: list[str] = []
        self._stands: int | None = 0
        self._first = True
        self._last_began = 0

    def begin(self, stands: int | None) -> None:
        """A life begins where the cursor stands, if that can be told."""
        assert stands is not None or self.may_lose
        self._stands, self._first = stands, True

    def _begins_at(self, sequence: int) -> None:
        """The first line of a life says where it begins: not behind what came out before, nor before the last life."""
        if not self._first:
            return
        self._first = False
        if self._stands not in (None, sequence) or not self._last_began <= sequence <= self.next:
            self.wrong.append(f"{self.name} begins at {sequence}; the cursor is at {self._stands}, and {self.next} was next")
        self.next = self._last_began = sequence

    def got(self, sequence: int) -> None:
        self._begins_at(sequence)
        if sequence != self.next:
            self.wrong.append(f"{self.name} got {sequence}, and {self.next} was next")
        self.next = sequence + 1
        self.received += 1

    def told_lost(self, lost: int, resumed_at: int) -> None:
        self._begins_at(resumed_at - lost)
        if not self.may_lose or lost == 0 or self.next + lost != resumed_at:
            self.wrong.append(f"{self.name} lost {lost}, going on at {resumed_at}, and {self.next} was next")
        self.next = resumed_at
        self.lost += lost

    def json_line(self, line: bytes) -> None:
        told = json.loads(line)
        if "evicted" in told:
            self.told_lost(told["evicted"]["missed"], told["evicted"]["resumed_at"])
            return
        data = bytes.fromhex(told["hex"]) if "hex" in told else told["text"].encode()
        if data != content(told["sequence"]):
            self.wrong.append(f"{self.name}: message {told['sequence']} holds something else")
        self.got(told["sequence"])

    def plain_line(self, line: bytes) -> None:
        what, *numbers = line.split()
        if what == b"got":
            self.got(int(numbers[0]))
        else:
            self.told_lost(int(numbers[0]), int(numbers[1]))


class Life:
    """A process from its start to its end. Its lines are read by a thread."""

    def __init__(self, words: list[str], line: Callable[[bytes], None], errors: pathlib.Path, fed: bool = False) -> None:
        self.up = threading.Event()
        self.errors = errors
        with errors.open("wb") as file:
            self.child = subprocess.Popen(
                words,
                stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=file,
                preexec_fn=with_parent,
            )
        self._thread = threading.Thread(target=self._read, args=(line,), daemon=True)
        self._thread.start()

    def _read(self, line: Callable[[bytes], None]) -> None:
        assert self.child.stdout is not None
        for text in self.child.stdout:
            self.up.set()
            # A kill may have cut the last one.
            if text.endswith(b"\n"):
                line(text)

    def check(self) -> None:
        assert self.child.poll() is None, f"{self.child.args!r} ended by itself:\n{self.errors.read_text()}"

    def kill(self) -> None:
        self.check()
        self.child.kill()
        assert self.ended() == -signal.SIGKILL, self.errors.read_text()

    def ended(self) -> int:
        """Waits for its end and for all that it said."""
        code = self.child.wait(PATIENCE)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return code


def feed(child: "subprocess.Popen[bytes]", first: int) -> None:
    """Gives the command messages to publish as long as it lives."""
    assert child.stdin is not None
    try:
        while True:
            some = [content(sequence) for sequence in range(first, first + 50)]
            child.stdin.write(b"".join(len(one).to_bytes(4, "little") + one for one in some))
            child.stdin.flush()
            first += len(some)
    except (BrokenPipeError, ValueError):
        pass


class Pipeline:
    """The ring and its processes. A *guard* is a consumer of the test that stays behind both cursors, so the producer waits for
    them although their owners are dead, and they lose nothing. It stays an eighth of the ring behind: so far ahead the producer may
    announce that it writes while it looks at the rows, and a consumer that attaches then takes that for lost."""

    def __init__(self, scratch: pathlib.Path, draw: random.Random, c_peer: str | None, guarded: bool) -> None:
        self.scratch, self.draw, self.c_peer = scratch, draw, c_peer
        capacity = 1 << draw.randrange(13, 17)
        self.ring = slipring.Ring.create("r", capacity_bytes=capacity)
        self.guard = self.ring.consumer("oldest") if guarded else None
        self.distance = capacity // 8 + 2 * frame(600)
        self.accounts = {name: Account(name, not guarded) for name in ("rust", "python")}
        self.told = {"observer": b"", "producer": b""}
        self.progress = scratch / "progress"
        self.lives: dict[str, Life] = {}
        self.language = ""
        self.kills: dict[str, int] = {}
        self._started = 0

    def status(self) -> slipring.RingStatus:
        """The state of the ring, at a moment when the producer does not overtake whoever looks."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            status = self.ring.status()
            if status.next_sequence is not None:
                return status
        raise AssertionError(f"the state cannot be told: {status}")

    def next_sequence(self) -> int:
        return self.status().next_sequence  # type: ignore[return-value]

    def cursors(self) -> dict[str, int | None]:
        """Where each cursor stands, as far as it can be told: of a place that was overwritten only its next owner learns it."""
        return {reader.cursor: reader.next_sequence for reader in self.status().readers if reader.cursor}

    def start(self, role: str) -> None:
        self._started += 1
        errors = self.scratch / f"{role}-{self._started}.err"
        if role in self.accounts:
            self.accounts[role].begin(self.cursors().get(role, 0))

        def keep(line: bytes) -> None:
            self.told[role] = line

        match role:
            case "rust":
                words = [command(), "sub", "r", "--cursor", "rust", "--from", "oldest", "--follow", "--format", "json"]
                life = Life(words, self.accounts[role].json_line, errors)
            case "python":
                life = Life([sys.executable, str(PEERS), "consumer", "r"], self.accounts[role].plain_line, errors)
            case "observer":
                life = Life([sys.executable, str(PEERS), "observer", "r"], keep, errors)
            case _:
                life = self._producer(keep, errors)
        self.lives[role] = life

    def _producer(self, keep: Callable[[bytes], None], errors: pathlib.Path) -> Life:
        first = self.next_sequence()
        self.progress.write_bytes(bytes(8))
        languages = ["rust", "python"] if self.c_peer is None else ["c", "c", "rust", "python"]
        self.language = self.draw.choice(languages)
        match self.language:
            case "c":
                return Life([str(self.c_peer), "produce", "r", str(self.progress)], keep, errors)
            case "python":
                return Life([sys.executable, str(PEERS), "producer", "r"], keep, errors)
            case _:
                life = Life([command(), "pub", "r", "--length-prefixed", "--keep-open"], keep, errors, fed=True)
                threading.Thread(target=feed, args=(life.child, first), daemon=True).start()
                return life

    def kill(self, role: str) -> None:
        self.lives[role].kill()
        key = f"{self.language} producer" if role == "producer" else role
        self.kills[key] = self.kills.get(key, 0) + 1
        if role != "producer":
            return
        status = self.status()
        assert not status.closed
        with self.progress.open("rb") as file, mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ) as words:
            returned = int.from_bytes(words[:8], "little")
        if self.language == "c" and self.lives[role].up.is_set() and returned > 0:
            # What a call returned for is there, and at most the one message more that was committed before the call returned.
            assert status.next_sequence is not None and status.next_sequence - returned in (0, 1)

    def check(self) -> None:
        for account in self.accounts.values():
            assert not account.wrong, account.wrong[:3]
        for life in self.lives.values():
            life.check()

    def advance(self) -> None:
        """Lets the guard come as far as the cursors."""
        cursors = self.cursors()
        if self.guard is None or len(cursors) < len(self.accounts):
            return
        # A guarded place cannot be overwritten.
        stand = min(at for at in cursors.values() if at is not None)
        distance = 0
        while distance < self.distance and stand > self.guard.next_sequence:
            stand -= 1
            distance += frame(len(content(stand)))
        while (many := stand - self.guard.next_sequence) > 0:
            for message in self.guard.receive_messages(many, timeout=0):
                assert message == content(message.sequence)

    def until(self, done: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not done():
            self.check()
            self.advance()
            assert time.monotonic() < end, f"{what}: {self.ring.status()}, {self.accounts}"
            time.sleep(0.001)

    def finish(self) -> int:
        """The last producer is this process, which closes the ring. Returns how many messages there were."""
        with self.ring.producer() as producer:
            first = self.next_sequence()
            for sequence in range(first, first + self.draw.randrange(100)):

                def published(sequence: int = sequence) -> bool:
                    try:
                        return producer.publish(content(sequence), timeout=0) == sequence
                    except slipring.Timeout:
                        return False

                self.until(published, "the last producer is held back")
        total = self.next_sequence()
        for role, life in [(role, self.lives.pop(role)) for role in ("python", "observer")]:
            self.until(lambda life=life: life.child.poll() is not None, f"{role} does not end")  # type: ignore[misc]
            assert life.ended() == 0, life.errors.read_text()
        # The command follows for ever.
        self.until(lambda: self.accounts["rust"].next == total, "the consumer in Rust does not come to the end")
        self.kill("rust")
        return total


@pytest.mark.parametrize("guarded", [True, False], ids=["nothing-is-lost", "losses-are-told"])
def test_every_account_is_exact_in_three_languages(
    home: Any, tmp_path: pathlib.Path, c_peer: str | None, guarded: bool
) -> None:
    kills = int(os.environ.get("SLIPRING_PYTHON_KILLS", "16"))
    seed = random.randrange(1 << 32)
    print("seed", seed)
    draw = random.Random(seed)
    line = Pipeline(tmp_path, draw, c_peer, guarded)
    roles = ["rust", "python", "observer", "producer"]
    try:
        for role in roles[:3]:
            line.start(role)
        line.ring.wait_for_readers(4 if guarded else 3, timeout=PATIENCE)
        line.start("producer")
        for _ in range(kills):
            goal = line.next_sequence() + draw.choice([1, 30, 3000])
            goal = draw.randrange(goal, goal + 3000)
            line.until(lambda: line.next_sequence() >= goal, "the producer does not go on")
            killed = draw.sample(roles, draw.choice([1, 1, 1, 2, 4]))
            for role in killed:
                line.kill(role)
            for role in draw.sample(killed, len(killed)):
                line.start(role)
        line.until(line.lives["producer"].up.is_set if line.language != "rust" else lambda: True, "no producer")
        line.kill("producer")
        del line.lives["producer"]
        total = line.finish()
    finally:
        for life in line.lives.values():
            life.child.kill()
            life.ended()
    print("messages", total, "kills", line.kills, {name: (a.received, a.lost) for name, a in line.accounts.items()})
    for account in line.accounts.values():
        assert not account.wrong, account.wrong[:3]
        assert account.next == total, account.name
        assert not guarded or account.lost == 0
    assert line.told["observer"] == b"end %d\n" % total
