"""Costs of the package, beside other ways between two Python processes, in one run.

`python benches/compare.py [--seconds 1] [--rounds 3]` prints, for each, the smallest and largest of the rounds. What is
not installed (pyzmq, iceoryx2) is said and left out. Messages have 64 bytes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pathlib
import tempfile
import time
from typing import Any, Callable

import numpy as np

import slipring

SIZE = 64
SCHEMA = "Message{words:u64[8]}"
CONTEXT = multiprocessing.get_context("spawn")


def alone(kind: str, many: int) -> float:
    """Nanoseconds a call, both ends in one thread."""
    ring = slipring.Ring.heap(capacity_bytes=1 << 20, schema=SCHEMA if "array" in kind else None)
    producer, consumer = ring.producer(strategy="spin"), ring.consumer(strategy="spin")
    message, turn = bytes(SIZE), 2000
    rows = np.zeros(turn, dtype=ring.dtype) if "array" in kind else None
    spent = 0.0
    for _ in range(max(1, many // turn)):
        if kind == "publish":
            started = time.perf_counter()
            for _ in range(turn):
                producer.publish(message)
            spent += time.perf_counter() - started
            consumer.receive_messages(turn)
        elif kind == "receive":
            producer.publish_batch([message] * turn)
            started = time.perf_counter()
            for _ in range(turn):
                consumer.receive()
            spent += time.perf_counter() - started
        elif kind == "publish_array":
            started = time.perf_counter()
            producer.publish_array(rows)
            spent += time.perf_counter() - started
            consumer.receive_batch(turn)
        else:
            producer.publish_array(rows)
            started = time.perf_counter()
            got = consumer.receive_batch(turn)
            spent += time.perf_counter() - started
            assert len(got) == turn
    return spent / (max(1, many // turn) * turn) * 1e9


def iceoryx(many: int) -> tuple[float, float]:
    """Nanoseconds a message that is sent and that is received with iceoryx2, both ends in one thread."""
    import ctypes

    import iceoryx2

    class Message(ctypes.Structure):
        _fields_ = [("words", ctypes.c_uint64 * (SIZE // 8))]

    turn = 50
    node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
    name = iceoryx2.ServiceName.new(f"bench-{os.getpid()}")
    service = node.service_builder(name).publish_subscribe(Message).subscriber_max_buffer_size(turn).open_or_create()
    publisher = service.publisher_builder().create()
    subscriber = service.subscriber_builder().buffer_size(turn).create()
    message, sending, receiving = Message(), 0.0, 0.0
    for _ in range(max(1, many // turn)):
        started = time.perf_counter()
        for _ in range(turn):
            publisher.send_copy(message)
        sent = time.perf_counter()
        for _ in range(turn):
            assert subscriber.receive() is not None
        receiving += time.perf_counter() - sent
        sending += sent - started
    all_of_them = max(1, many // turn) * turn
    return sending / all_of_them * 1e9, receiving / all_of_them * 1e9


def feed_arrays(name: str, seconds: float) -> None:
    with slipring.Ring.open(name, timeout=60) as ring, ring.producer() as producer:
        rows = np.zeros(4096, dtype=ring.dtype)
        producer.wait_for_readers(1, timeout=60)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            producer.publish_array(rows)


def feed_ring(name: str, seconds: float) -> None:
    with slipring.Ring.open(name, timeout=60) as ring, ring.producer() as producer:
        message = bytes(SIZE)
        producer.wait_for_readers(1, timeout=60)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for _ in range(100):
                producer.publish(message)


def stream(feed: Callable[..., None], schema: str | None, seconds: float) -> float:
    name = f"bench-{os.getpid()}"
    ring = slipring.Ring.create(name, capacity_bytes=4 << 20, schema=schema)
    consumer = ring.consumer("oldest")
    process = CONTEXT.Process(target=feed, args=(name, seconds))
    process.start()
    count, started = 0, 0.0
    if schema is None:
        for _ in consumer:
            if not started:
                started = time.perf_counter()
            count += 1
    else:
        while (got := consumer.receive_batch(4096)) is not None:
            if not started:
                started = time.perf_counter()
            count += len(got)
    took = time.perf_counter() - started
    process.join()
    consumer.close()
    slipring.Ring.remove(name)
    return count / took


def feed_queue(queue: Any, seconds: float) -> None:
    message = bytes(SIZE)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for _ in range(100):
            queue.put(message)
    queue.put(None)


def stream_queue(seconds: float) -> float:
    queue = CONTEXT.Queue(1 << 15)
    process = CONTEXT.Process(target=feed_queue, args=(queue, seconds))
    process.start()
    queue.get()
    count, started = 0, time.perf_counter()
    while queue.get() is not None:
        count += 1
    took = time.perf_counter() - started
    process.join()
    return count / took


def feed_blocks(name: str, free: Any, full: Any, seconds: float) -> None:
    from multiprocessing.shared_memory import SharedMemory

    memory = SharedMemory(name)
    blocks = np.ndarray((16, 4096, SIZE), dtype="u1", buffer=memory.buf)
    rows = np.zeros((4096, SIZE), dtype="u1")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        at = free.get()
        blocks[at] = rows
        full.put(at)
    full.put(None)
    del blocks
    memory.close()


def stream_blocks(seconds: float) -> float:
    """Blocks of 4096 messages in shared memory, and their numbers in two queues: what one writes without a library."""
    from multiprocessing.shared_memory import SharedMemory

    memory = SharedMemory(create=True, size=16 * 4096 * SIZE)
    free, full = CONTEXT.Queue(), CONTEXT.Queue()
    for at in range(16):
        free.put(at)
    process = CONTEXT.Process(target=feed_blocks, args=(memory.name, free, full, seconds))
    process.start()
    blocks = np.ndarray((16, 4096, SIZE), dtype="u1", buffer=memory.buf)
    free.put(full.get())
    count, started = 0, time.perf_counter()
    while (at := full.get()) is not None:
        count += len(blocks[at].copy())
        free.put(at)
    took = time.perf_counter() - started
    process.join()
    del blocks
    memory.close()
    memory.unlink()
    return count / took


def feed_zmq(address: str, seconds: float) -> None:
    import zmq

    socket = zmq.Context().socket(zmq.PUSH)
    socket.connect(address)
    message = bytes(SIZE)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for _ in range(100):
            socket.send(message)
    socket.send(b"")
    socket.close()


def stream_zmq(seconds: float) -> float:
    import zmq

    folder = tempfile.mkdtemp()
    socket = zmq.Context.instance().socket(zmq.PULL)
    address = f"ipc://{folder}/socket"
    socket.bind(address)
    process = CONTEXT.Process(target=feed_zmq, args=(address, seconds))
    process.start()
    socket.recv()
    count, started = 0, time.perf_counter()
    while socket.recv():
        count += 1
    took = time.perf_counter() - started
    process.join()
    socket.close()
    pathlib.Path(folder, "socket").unlink(missing_ok=True)
    os.rmdir(folder)
    return count / took


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    many = int(200_000 * given.seconds)
    rows: dict[str, list[float]] = {}

    def measure(name: str, unit: str, call: Callable[[], float]) -> None:
        try:
            rows.setdefault(f"{name} [{unit}]", []).append(call())
        except ImportError as error:
            print(f"left out: {name}: {error}")

    for _ in range(given.rounds):
        for kind in ("publish", "receive", "publish_array", "receive_batch of an array"):
            measure(f"{kind}, one thread", "ns a message", lambda: alone(kind, many))
        for at, call in enumerate(("send_copy", "receive")):
            measure(f"iceoryx2 {call}, one thread", "ns a message", lambda: iceoryx(many // 10)[at])
        million = lambda rate: rate / 1e6  # noqa: E731
        measure("slipring, arrays", "million a second", lambda: million(stream(feed_arrays, SCHEMA, given.seconds)))
        measure("slipring, single messages", "million a second", lambda: million(stream(feed_ring, None, given.seconds)))
        measure("shared_memory and queues, arrays", "million a second", lambda: million(stream_blocks(given.seconds)))
        measure("multiprocessing.Queue, single messages", "million a second", lambda: million(stream_queue(given.seconds)))
        measure("pyzmq over ipc, single messages", "million a second", lambda: million(stream_zmq(given.seconds)))
    for name, found in rows.items():
        print(f"{name}: {min(found):.3g} to {max(found):.3g}")


if __name__ == "__main__":
    main()
