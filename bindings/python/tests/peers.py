"""The processes in Python of `test_languages.py`: `python peers.py ROLE RING`. Each checks what it gets, and ends with an
error if that is wrong. What a message holds follows from its sequence, as in `bindings/c/tests/c/check.h`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import slipring

_MOST = 600
_MASK = (1 << 64) - 1
# The bytes of a message follow each other in steps of 7, from where its sequence says.
_CONTENT = [bytes((first + at * 7) & 0xFF for at in range(_MOST)) for first in range(256)]


def content(sequence: int) -> bytes:
    """What the message with this sequence holds: often as short or as long as can be."""
    state = (sequence + 1) * 0x9E3779B97F4A7C15 & _MASK
    state ^= state >> 32
    drawn = state >> 8
    match state % 8:
        case 0:
            length = 0
        case 1:
            length = _MOST
        case 2:
            length = _MOST - drawn % 9
        case _:
            length = drawn % (_MOST + 1)
    return _CONTENT[(sequence * 31 + 1) & 0xFF][:length]


def say(line: str) -> None:
    """A line that is out when this returns."""
    os.write(1, line.encode() + b"\n")


def produce(ring: slipring.Ring) -> None:
    producer = ring.producer()
    sequence = ring.status().next_sequence
    assert sequence is not None
    say("up")
    while True:
        many = sequence % 5
        if many < 2:
            assert producer.publish(content(sequence)) == sequence
            sequence += 1
        else:
            producer.publish_batch([content(sequence + at) for at in range(many)])
            sequence += many


async def consume(ring: slipring.Ring) -> None:
    """Says each message and each loss, before the next call gives the message back."""
    consumer = ring.durable_consumer("python", "oldest", on_loss="value")
    while True:
        try:
            got = await consumer.receive_async()
        except slipring.ProducerGone:
            await asyncio.to_thread(consumer.wait_for_producer)
            continue
        if got is None:
            return
        if isinstance(got, slipring.Missed):
            say(f"lost {got.lost} {got.resumed_at}")
            continue
        assert got == content(got.sequence), f"message {got.sequence} holds something else"
        say(f"got {got.sequence}")


def observe(ring: slipring.Ring) -> None:
    """Says at the end how many messages there were since it began, and how many of them it lost."""
    observer = ring.observer("oldest", on_loss="value")
    first = observer.next_sequence
    received = lost = 0

    def check(got: Any) -> None:
        nonlocal received, lost
        if isinstance(got, slipring.Lapped):
            lost += got.lost
            assert got.lost > 0 and first + received + lost == got.resumed_at
            return
        assert got.sequence == first + received + lost, "a message was passed over, or came twice"
        assert got == content(got.sequence), f"message {got.sequence} holds something else"
        received += 1

    say("up")
    while True:
        try:
            # Alone and many at once in turn.
            got = observer.receive() if received % 3 else observer.receive_batch(50)
        except slipring.ProducerGone:
            observer.wait_for_producer()
            continue
        if got is None:
            break
        for one in got if isinstance(got, list) else [got]:
            check(one)
    assert observer.counts() == (received, lost, 0)
    say(f"end {first + received + lost}")


if __name__ == "__main__":
    role, place = sys.argv[1:]
    opened = slipring.Ring.open(place)
    if role == "producer":
        produce(opened)
    elif role == "consumer":
        asyncio.run(consume(opened))
    else:
        observe(opened)
