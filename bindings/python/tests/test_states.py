"""Each number of each state: of rings and their readers, and of the other forms."""

from __future__ import annotations

import os
from typing import Any, Callable

import pytest

import slipring
from conftest import PATIENCE, kill
from slipring import Ring

CHILD_READER = """
import slipring
consumer = slipring.Ring.open("r").consumer("latest")
print(consumer.row, flush=True)
import time; time.sleep(600)
"""


def test_the_state_of_a_ring_and_its_producers(home: Any) -> None:
    ring = Ring.create("r", capacity_bytes=4096)
    status = ring.status()
    assert (status.next_sequence, status.oldest_sequence, status.epoch, status.evictions) == (0, 0, 0, 0)
    assert (status.closed, status.producer_alive, status.producer_pid, status.readers) == (False, False, 0, [])
    for epoch in (1, 2):
        with ring.producer() as producer:
            for _ in range(10):
                producer.publish(b"message")
            status = ring.status()
            assert (status.next_sequence, status.oldest_sequence, status.epoch) == (10 * epoch, 0, epoch)
            assert (status.closed, status.producer_alive, status.producer_pid) == (False, True, os.getpid())
        status = ring.status()
        assert (status.closed, status.producer_alive, status.epoch) == (True, False, epoch)


def test_the_state_of_readers(home: Any, children: Callable[..., Any]) -> None:
    ring = Ring.create("r", capacity_bytes=4096, evict_after=0.001)
    producer, durable, slow = ring.producer(), ring.durable_consumer("risk", "oldest"), ring.consumer("oldest", on_loss="value")
    assert durable.row != slow.row

    def reader(row: int) -> slipring.ReaderStatus:
        (found,) = [reader for reader in ring.status().readers if reader.row == row]
        return found

    for _ in range(3):
        producer.publish(b"message")
        slow.receive(timeout=0)
    state = reader(slow.row)
    assert (state.cursor, state.gating, state.evicted, state.next_sequence) == (None, True, False, 3)
    assert (state.messages_lost, state.alive, state.pid) == (0, True, os.getpid())
    state = reader(durable.row)
    assert (state.cursor, state.next_sequence, len(ring.status().readers)) == ("risk", 0, 2)
    # The producer goes on without both.
    for _ in range(300):
        producer.publish(b"some more bytes of a message", timeout=PATIENCE)
    state = reader(slow.row)
    assert (state.gating, state.evicted, state.alive, ring.status().evictions) == (False, True, True, 2)
    assert ring.status().oldest_sequence > 3  # type: ignore[operator]
    lost = slow.receive(timeout=0)
    assert isinstance(lost, slipring.Missed)
    while slow.next_sequence < 303:
        slow.receive(timeout=0)
    state = reader(slow.row)
    assert (state.gating, state.evicted, state.next_sequence, state.messages_lost) == (True, False, 303, lost.lost)
    # In another process, until that dies.
    child = children(CHILD_READER)
    row = int(child.stdout.readline())
    state = reader(row)
    assert (state.pid, state.alive, state.next_sequence) == (child.pid, True, 303)
    kill(child)
    assert not any(reader.alive for reader in ring.status().readers if reader.row == row)


def test_the_states_of_forms_that_carry_messages(home: Any, in_thread: Any) -> None:
    queue = slipring.Queue.create("q", depth=4, max_message_bytes=100, lease=3600)
    senders, receivers = [queue.sender() for _ in range(2)], [queue.receiver() for _ in range(2)]
    for sender in senders:
        for _ in range(3):
            sender.send(b"job")
    job = receivers[1].receive(timeout=0)
    lanes = queue.status()["lanes"]
    assert queue.status() == {
        "depth": 4,
        "max_message_bytes": 100,
        "waiting": 5,
        "held": 1,
        "senders": 2,
        "lanes": lanes,
        "receivers": 2,
        "lease": 3600.0,
    }
    assert lanes >= 2
    job.ack()

    office = slipring.Mailbox.create("m", max_message_bytes=300)
    desk, client = office.receiver(), office.client("me")
    for _ in range(3):
        client.send(b"letter")
    letter = desk.receive(timeout=0)
    assert office.status() == {
        "waiting": 2,
        "held": 1,
        "receivers": 1,
        "max_message_bytes": 300,
        "one_way": False,
        "clients": ["me"],
        "late": 0,
    }
    letter.ack()
    assert slipring.Mailbox.create("w", one_way=True).status()["one_way"] is True

    there = in_thread(lambda: slipring.Link.connect("b", "a", timeout=PATIENCE, capacity_bytes=8192))
    link = slipring.Link.connect("a", "b", timeout=PATIENCE, capacity_bytes=8192)
    assert link.status() == {"sides": [os.getpid()] * 2, "capacity_bytes": 8192, "max_message_bytes": link.max_message_bytes}
    there.result().close()


def test_the_states_of_values_permits_and_signals(home: Any) -> None:
    table = slipring.Latest.create("l", cells=3)
    nobody = {"cells": 3, "changes": 0, "writer_alive": False, "writer_pid": 0, "writers": 0, "readers": 0}
    assert table.status() == nobody
    writer, reader = table.writer(), table.reader()
    writer.set(b"a", cell=1)
    reader.wait(timeout=0)
    with pytest.raises(slipring.Timeout):
        reader.wait(timeout=0.01)
    set_once = {"cells": 3, "changes": 1, "writer_alive": True, "writer_pid": os.getpid(), "writers": 1, "readers": 1}
    assert table.status() == set_once
    reader.close()
    assert table.status() == {**set_once, "readers": 0}

    account, other = slipring.Shared.create("v", schema="Level{value:u64}"), slipring.Shared.open("v")
    assert other.status() == {"version": 0, "holder": None, "handles": 2}
    with account.lock() as guard:
        guard["value"] = 1
        assert other.status() == {"version": 0, "holder": os.getpid(), "handles": 2}
    assert other.status()["version"] == 1

    printers = slipring.Semaphore.create("s", permits=5, max_permits=7)
    held = printers.acquire(2)
    printers.acquire().forget()
    state = printers.status()
    assert state == {"free": 2, "held": 2, "retired": 3, "max": 7, "handles": 1, "holders": [os.getpid()] * 2}
    held.release()
    assert printers.status()["holders"] == []

    control = slipring.Signals.create("c", max_listeners=5)
    engine = control.listener("engine")
    assert control.status() == {"listeners": ["engine"], "max_listeners": 5}
    engine.close()
    assert control.status()["listeners"] == []
