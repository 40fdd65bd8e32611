"""Receiving and publishing in an event loop of asyncio, by the descriptor of a handle."""

from __future__ import annotations

import asyncio
from typing import Any, Callable
from weakref import WeakKeyDictionary

from . import _errors

_locks: "WeakKeyDictionary[Any, tuple[Any, asyncio.Lock]]" = WeakKeyDictionary()


def _turn(handle: Any) -> asyncio.Lock:
    """Tasks that use one handle take turns: a descriptor wakes one of them."""
    loop = asyncio.get_running_loop()
    found = _locks.get(handle)
    if found is None or found[0] is not loop:
        found = (loop, asyncio.Lock())
        _locks[handle] = found
    return found[1]


async def readable(handle: Any) -> None:
    """Waits until the descriptor of a handle is readable."""
    loop = asyncio.get_running_loop()
    came = loop.create_future()

    def wake() -> None:
        if not came.done():
            came.set_result(None)

    descriptor = handle.fileno()
    loop.add_reader(descriptor, wake)
    try:
        await came
    finally:
        loop.remove_reader(descriptor)


async def _until(handle: Any, attempt: Callable[[], Any], timeout: float | None) -> Any:
    """Attempts until it gives something else than `None`, in this task's turn."""
    # The event loop would take one that is no number, and lose the order of its timers.
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"timeout is {timeout}: a number of seconds, 0 or more")

    async def turn() -> Any:
        async with _turn(handle):
            while True:
                made = attempt()
                if made is not None:
                    return made
                await readable(handle)

    if timeout is None:
        return await turn()
    limit = asyncio.timeout(timeout)
    try:
        async with limit:
            return await turn()
    except _errors.Timeout:
        raise
    except TimeoutError:
        if not limit.expired():
            raise
        raise _errors.make(603, "timed out waiting", {}) from None


_END = object()


async def receive(handle: Any, timeout: float | None) -> Any:
    """The next thing that a reader receives; `None` at the end."""

    def attempt() -> Any:
        while True:
            try:
                return handle.try_receive()
            except _errors.Closed:
                return _END
            except _errors.Empty:
                if not handle.arm():
                    return None

    received = await _until(handle, attempt, timeout)
    return None if received is _END else received


async def next_message(handle: Any) -> Any:
    """One turn of `async for`."""
    received = await receive(handle, None)
    if received is None:
        raise StopAsyncIteration
    return received


async def publish(producer: Any, message: Any, timeout: float | None) -> int:
    """Publishes once there is room."""
    sequence: int = await _until(producer, lambda: producer.arm_publish(message), timeout)
    return sequence


async def signal(listener: Any, signals: Any, timeout: float | None) -> Any:
    """The next signal."""

    def attempt() -> Any:
        while True:
            noticed = listener.try_wait(signals)
            if noticed is not None or not listener.arm():
                return noticed

    return await _until(listener, attempt, timeout)


async def read(reader: Any, size: int, timeout: float | None) -> bytes:
    """The next bytes of a pipe; none at its end."""

    def attempt() -> Any:
        while True:
            try:
                return reader.read(size, timeout=0)
            except _errors.Timeout:
                if not reader.arm():
                    return None

    read: bytes = await _until(reader, attempt, timeout)
    return read


async def finish(waits: Any, timeout: float | None) -> Any:
    """The handle, once both sides have met."""

    def attempt() -> Any:
        while not waits.try_meet():
            if not waits.arm():
                return None
        return waits.finish(timeout=0)

    return await _until(waits, attempt, timeout)
