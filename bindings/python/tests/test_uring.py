"""Descriptors that the kernel makes readable itself, by io_uring; and by the thread, where it refuses."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import platform
import random
import select
import struct
import threading
import time
from typing import Any, Callable

import pytest

import slipring
from conftest import PATIENCE
from slipring import Ring


@pytest.fixture()
def io_uring() -> None:
    """The kernel may refuse it to this process."""
    try:
        Ring.heap().consumer().use_io_uring()
    except OSError as error:
        pytest.skip(f"SKIPPED: io_uring: {error}")


def readable(handle: Any, timeout: float = PATIENCE) -> bool:
    return select.select([handle], [], [], timeout)[0] == [handle]


# For each kind of handle: one with nothing to report, what makes it report something, and what is kept alive for that.
Made = tuple[Any, Callable[[], Any], Any]


def consumer() -> Made:
    ring = Ring.heap()
    producer, made = ring.producer(), ring.consumer()
    return made, lambda: producer.publish(b"x"), producer


def durable() -> Made:
    ring = Ring.create("r")
    producer, made = ring.producer(), ring.durable_consumer("d")
    return made, lambda: producer.publish(b"x"), producer


def observer() -> Made:
    ring = Ring.heap()
    producer, made = ring.producer(), ring.observer()
    return made, lambda: producer.publish(b"x"), producer


def receiver() -> Made:
    queue = slipring.Queue.create("q")
    sender = queue.sender()
    return queue.receiver(), lambda: sender.send(b"x"), sender


def desk() -> Made:
    office = slipring.Mailbox.create("m")
    client = office.client("me")
    return office.receiver(), lambda: client.send(b"x"), client


def link() -> Made:
    ends: list[Any] = []
    other = threading.Thread(target=lambda: ends.append(slipring.Link.connect("b", "a", timeout=PATIENCE)))
    other.start()
    made = slipring.Link.connect("a", "b", timeout=PATIENCE)
    other.join()
    return made, lambda: ends[0].send(b"x"), ends


def pipe() -> Made:
    made, writer = slipring.pipe()
    return made, lambda: writer.write(b"x"), writer


def latest() -> Made:
    table = slipring.Latest.create("l")
    writer = table.writer()
    return table.reader(), lambda: writer.set(b"x"), writer


def listener() -> Made:
    signals = slipring.Signals.create("s")
    made = signals.listener("me")
    target = signals.target("me")
    return made, lambda: target.send(1), target


def connecting() -> Made:
    kept: list[Any] = []
    made = slipring.Link.begin_connect("a", "b")
    return made, lambda: kept.append(slipring.Link.begin_connect("b", "a")), kept


KINDS = [consumer, durable, observer, receiver, desk, link, pipe, latest, listener, connecting]


@pytest.mark.parametrize("kernel", [False, True], ids=["thread", "kernel"])
@pytest.mark.parametrize("make", KINDS)
def test_each_handle_is_watched_by_who_was_asked(home: Any, make: Callable[[], Made], kernel: bool, request: Any) -> None:
    if kernel:
        request.getfixturevalue("io_uring")
    handle, act, _kept = make()
    descriptor = handle.fileno()
    if kernel:
        assert handle.use_io_uring() is None
    assert not handle.uses_io_uring
    assert not handle.arm()
    assert handle.uses_io_uring is kernel
    act()
    assert readable(handle) and handle.arm()
    assert handle.fileno() == descriptor
    handle.close()
    for closed in (handle.use_io_uring, lambda: handle.uses_io_uring):
        with pytest.raises(ValueError):
            closed()


def test_a_producer_that_waits_for_room(io_uring: None) -> None:
    ring = Ring.heap(capacity_bytes=4096)
    producer, consumer = ring.producer(), ring.consumer()
    producer.use_io_uring()
    many = 0
    while producer.arm_publish(bytes(300)) is not None:
        many += 1
    assert many > 5 and producer.uses_io_uring
    while True:
        try:
            consumer.try_receive()
        except slipring.Empty:
            break
    assert readable(producer) and producer.arm_publish(bytes(300)) == many


def test_what_is_out_hides_nothing(home: Any, io_uring: None) -> None:
    """While a message is lent, who was watching is still known."""
    queue = slipring.Queue.create("q")
    sender, receiver = queue.sender(), queue.receiver()
    receiver.use_io_uring()
    assert not receiver.arm() and receiver.uses_io_uring
    sender.send(b"x")
    delivery = receiver.receive(timeout=PATIENCE)
    assert receiver.uses_io_uring and queue.status()["held"] == 1
    receiver.use_io_uring()  # gives it back
    assert queue.status()["held"] == 0 and not receiver.uses_io_uring
    assert receiver.receive(timeout=PATIENCE).data == delivery.data == b"x"
    ring = Ring.heap()
    producer, consumer = ring.producer(), ring.consumer()
    consumer.use_io_uring()
    assert not consumer.arm()
    producer.publish(b"x")
    with consumer.peek(timeout=PATIENCE):
        assert consumer.uses_io_uring
        with pytest.raises(BufferError):
            consumer.use_io_uring()
    consumer.use_io_uring()


@pytest.mark.parametrize("asked", [False, True])
def test_asyncio(home: Any, asked: bool, request: Any) -> None:
    """Only if it is asked for, and no edge is missed."""
    if asked:
        request.getfixturevalue("io_uring")

    async def main(seed: int) -> None:
        draw = random.Random(seed)
        ring = Ring.heap(capacity_bytes=4096)
        producer, consumer = ring.producer(), ring.consumer()
        queue = slipring.Queue.create_or_open("q", depth=4)
        sender, receiver = queue.sender(), queue.receiver()
        if asked:
            for handle in (producer, consumer, receiver):
                handle.use_io_uring()
        many = 200
        slept = []

        def feed() -> None:
            for number in range(many):
                pause = draw.choice([0, 0, 0, 1e-6, 1e-5, 1e-4, 1e-3])
                if pause:
                    time.sleep(pause)
                sender.send(number.to_bytes(4, "little"), timeout=PATIENCE)

        async def pass_on() -> None:
            for number in range(many):
                with await receiver.receive_async() as delivery:
                    assert delivery.data == number.to_bytes(4, "little")
                slept.append(receiver.uses_io_uring)
                await producer.publish_async(delivery.data * 50)
            producer.close()

        async def consume() -> list[int]:
            return [int.from_bytes(bytes(message)[:4], "little") async for message in consumer]

        thread = threading.Thread(target=feed)
        async with asyncio.timeout(PATIENCE):
            reading = asyncio.create_task(consume())
            await asyncio.sleep(0)  # it is armed
            assert consumer.uses_io_uring is asked
            thread.start()
            await pass_on()
            assert await reading == list(range(many))
        thread.join()
        assert slept[-1] is asked or not any(slept)

    for seed in range(5):
        asyncio.run(main(seed))


def test_a_task_that_waits_already_loses_nothing(io_uring: None) -> None:
    async def main() -> None:
        ring = Ring.heap()
        producer, consumer = ring.producer(), ring.consumer()
        for asked in range(20):
            reading = asyncio.create_task(consumer.receive_async())
            for _ in range(asked % 4):
                await asyncio.sleep(0)
                consumer.use_io_uring()
            producer.publish(b"x")
            async with asyncio.timeout(PATIENCE):
                assert await reading == b"x"

    asyncio.run(main())


def test_a_loop_in_another_thread_goes_by_the_thread(io_uring: None, in_thread: Any) -> None:
    ring = Ring.heap()
    producer, consumer = ring.producer(), ring.consumer()
    consumer.use_io_uring()

    async def one(kernel: bool) -> None:
        reading = asyncio.create_task(consumer.receive_async())
        await asyncio.sleep(0)
        assert consumer.uses_io_uring is kernel
        producer.publish(b"x")
        async with asyncio.timeout(PATIENCE):
            assert await reading == b"x"

    for _ in range(20):
        asyncio.run(one(True))
        in_thread(lambda: asyncio.run(one(False))).result()


def test_a_fork(home: Any, request: Any) -> None:
    try:
        request.getfixturevalue("io_uring")
        kernel = True
    except pytest.skip.Exception:
        kernel = False
    ring = Ring.create("r")
    producer, consumer = ring.producer(), ring.consumer()
    if kernel:
        consumer.use_io_uring()
    for _ in range(10):
        assert not consumer.arm() and consumer.uses_io_uring is kernel
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for call in (consumer.arm, consumer.use_io_uring, lambda: consumer.uses_io_uring):
                    try:
                        call()
                    except slipring.Forked:
                        status += 1
                consumer.close()
            finally:
                os._exit(status - 4)
        assert os.waitpid(child, 0)[1] == 0
        producer.publish(b"x")
        assert readable(consumer) and consumer.try_receive() == b"x"


SECCOMP = {"x86_64": 425, "aarch64": 425}


def refuse_io_uring(number: int) -> None:
    """Has the kernel refuse an io_uring to this thread, with that error, as the filters of containers do."""
    if platform.machine() not in SECCOMP:
        pytest.skip(f"SKIPPED: no number of the system call on {platform.machine()}")
    code = b"".join(
        struct.pack("HBBI", *one)
        for one in (
            (0x20, 0, 0, 0),  # the number of the call
            (0x15, 0, 1, SECCOMP[platform.machine()]),
            (0x06, 0, 0, 0x00050000 | number),  # refused
            (0x06, 0, 0, 0x7FFF0000),  # any other is allowed
        )
    )
    held = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    for what, refused in (
        ("no new privileges", lambda: libc.prctl(38, ctypes.c_ulong(1), zero, zero, zero)),
        ("a filter of system calls", lambda: libc.prctl(22, ctypes.c_ulong(2), program)),
    ):
        if refused() != 0:
            pytest.skip(f"SKIPPED: {what}: {os.strerror(ctypes.get_errno())}")


@pytest.mark.parametrize("number, kind", [(errno.EPERM, PermissionError), (errno.ENOSYS, OSError), (errno.EMFILE, OSError)])
def test_what_the_kernel_refuses_is_watched_by_the_thread(in_thread: Any, number: int, kind: type[OSError]) -> None:
    def program() -> None:
        refuse_io_uring(number)
        ring = Ring.heap()
        producer, consumer = ring.producer(), ring.consumer()
        descriptor = consumer.fileno()
        assert not consumer.arm()
        with pytest.raises(kind) as refused:
            consumer.use_io_uring()
        producer.publish(b"x")  # as it was armed before
        assert readable(consumer) and consumer.try_receive() == b"x"
        assert refused.value.errno == number and len(refused.value.strerror) > 15

        async def goes_on() -> None:
            for _ in range(20):
                reading = asyncio.create_task(consumer.receive_async())
                await asyncio.sleep(0)
                assert not consumer.uses_io_uring and consumer.fileno() == descriptor
                producer.publish(b"x")
                async with asyncio.timeout(PATIENCE):
                    assert await reading == b"x"

        asyncio.run(goes_on())

    in_thread(program).result()
