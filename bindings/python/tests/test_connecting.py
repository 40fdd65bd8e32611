"""Links and named pipes whose sides wait for each other in event loops, in wait sets and in calls."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import signal
import threading
import time
from typing import Any, Callable

import pytest

import slipring
from conftest import PATIENCE, sleeping, with_parent
from slipring import Connecting, Fifo, Link, WaitSet

KINDS = ["link", "one way", "both ways"]
SIDES = pytest.mark.parametrize("side", [0, 1])
NAMES = ["ann", "bob"]


class Place:
    """Where two sides meet. Side 0 of a pipe of one way writes."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        if kind != "link":
            self.fifo = Fifo.create_or_open("orders", both_ways=kind == "both ways", capacity_bytes=4096)

    def begin(self, side: int) -> Connecting[Any]:
        if self.kind == "link":
            return Link.begin_connect(NAMES[side], NAMES[1 - side], capacity_bytes=4096)
        if self.kind == "both ways":
            return self.fifo.begin_connect()
        return [self.fifo.begin_writer, self.fifo.begin_reader][side]()

    def call(self, side: int) -> Any:
        """As a process that waits in a call."""
        if self.kind == "link":
            return Link.connect(NAMES[side], NAMES[1 - side], capacity_bytes=4096, timeout=PATIENCE)
        if self.kind == "both ways":
            return self.fifo.connect(timeout=PATIENCE)
        return [self.fifo.writer, self.fifo.reader][side](timeout=PATIENCE)

    def taken(self) -> Any:
        return pytest.raises(slipring.LinkError if self.kind == "link" else OSError)


@pytest.fixture(params=KINDS)
def place(home: Any, request: Any) -> Place:
    return Place(request.param)


def say(handle: Any, text: bytes) -> None:
    if isinstance(handle, Link):
        handle.send(text, timeout=PATIENCE)
    else:
        (handle[1] if isinstance(handle, tuple) else handle).write(text, timeout=PATIENCE)


def hear(handle: Any) -> bytes:
    if isinstance(handle, Link):
        return bytes(handle.receive(timeout=PATIENCE))
    return bytes((handle[0] if isinstance(handle, tuple) else handle).read(timeout=PATIENCE))


def talk(ours: Any, side: int, theirs: Any) -> None:
    sides = [ours, theirs] if side == 0 else [theirs, ours]
    say(sides[0], b"there")
    assert hear(sides[1]) == b"there"
    if not isinstance(sides[1], slipring.PipeReader):
        say(sides[1], b"back")
        assert hear(sides[0]) == b"back"


def leave(*handles: Any) -> None:
    for handle in handles:
        for end in handle if isinstance(handle, tuple) else (handle,):
            end.close()


def both_meet(*waits: Connecting[Any]) -> None:
    while not all([one.try_meet() for one in waits]):
        pass


def by_call(waits: Connecting[Any]) -> Any:
    return waits.finish(timeout=PATIENCE)


def by_descriptor(waits: Connecting[Any]) -> Any:
    while not waits.try_meet():
        if not waits.arm():
            assert select.select([waits], [], [], PATIENCE)[0] == [waits]
    return waits.finish(timeout=0)


def by_set(waits: Connecting[Any]) -> Any:
    beside = slipring.Ring.heap().consumer()
    while not waits.try_meet():
        assert WaitSet().wait([beside, waits], timeout=PATIENCE) is waits
    return waits.finish(timeout=0)


def by_asyncio(waits: Connecting[Any]) -> Any:
    return asyncio.run(waits.finish_async(timeout=PATIENCE))


WAYS = pytest.mark.parametrize("way", [by_call, by_descriptor, by_set, by_asyncio])


@SIDES
@WAYS
def test_a_late_side_is_met_in_any_way(place: Place, side: int, way: Callable[[Any], Any], in_thread: Any) -> None:
    waits = place.begin(side)
    assert waits.try_meet() is False
    assert waits.arm() is False
    theirs = in_thread(lambda: place.call(1 - side))
    ours, other = way(waits), theirs.result()
    with pytest.raises(ValueError, match="closed"):
        waits.try_meet()
    with pytest.raises(ValueError, match="closed"):
        waits.finish(timeout=0)
    talk(ours, side, other)
    leave(ours, other)


def test_two_sides_in_one_event_loop(place: Place) -> None:
    async def main() -> None:
        for side in (0, 1):
            waits = place.begin(side)
            task = asyncio.create_task(waits.finish_async())
            await asyncio.sleep(0.005)  # it sleeps by then, most often
            other = place.begin(1 - side)
            async with asyncio.timeout(PATIENCE):
                ours, theirs = await asyncio.gather(task, other.finish_async())
            talk(ours, side, theirs)
            leave(ours, theirs)

    asyncio.run(main())


def test_what_is_cancelled_or_late_waits_on(place: Place) -> None:
    waits = place.begin(0)

    async def main() -> None:
        task = asyncio.create_task(waits.finish_async())
        await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(slipring.Timeout):
            await waits.finish_async(timeout=0.005)
        with pytest.raises(ValueError):
            await waits.finish_async(timeout=-1)

    asyncio.run(main())
    for timeout in (0, 0.001, 0.12):
        begun = time.monotonic()
        with pytest.raises(slipring.Timeout) as late:
            waits.finish(timeout=timeout)
        assert late.value.code == (763 if place.kind == "link" else 603)
        assert time.monotonic() - begun >= timeout
    assert waits.try_meet() is False
    if place.kind != "both ways":
        with place.taken():
            place.begin(0)
    other = place.begin(1)
    both_meet(waits, other)
    ours, theirs = waits.finish(timeout=0), other.finish(timeout=0)
    talk(ours, 0, theirs)
    leave(ours, theirs)


@SIDES
def test_a_side_is_left_when_it_is_closed_or_dropped(place: Place, side: int) -> None:
    for end in ("close", "block", "drop"):
        waits = place.begin(side)
        third = place.begin(1 - side) if place.kind == "both ways" else None
        with place.taken():
            place.begin(side)
        if third is not None:
            third.close()
        if end == "close":
            waits.close()
            waits.close()
            with pytest.raises(ValueError, match="closed"):
                waits.arm()
            with pytest.raises(ValueError, match="closed"):
                WaitSet().wait([waits], timeout=0)
        elif end == "block":
            with waits as inside:
                assert inside is waits
        else:
            del waits
            gc.collect()
    # The other side goes on to wait for the next one.
    ours, first = place.begin(side), place.begin(1 - side)
    ours.try_meet()
    first.close()
    next_one = place.begin(1 - side)
    # It may have met the one that left, and says so then.
    both: list[bool] = []
    for _ in range(6):
        both = [ours.try_meet(), next_one.try_meet()]
    assert both == [True, True]
    made = ours.finish(timeout=0), next_one.finish(timeout=0)
    talk(made[0], side, made[1])
    leave(*made)


def test_ctrl_c_leaves_it_waiting(home: Any, children: Callable[..., Any]) -> None:
    child = children(
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import slipring\nwaits = slipring.Link.begin_connect('bob', 'ann')\n"
        "try:\n    print('up', flush=True)\n    waits.finish()\nexcept KeyboardInterrupt: print('interrupted', flush=True)\n"
        "waits.finish().send(b'after all')"
    )
    assert child.stdout.readline() == b"up\n"
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not sleeping(child.pid):
        time.sleep(0.005)
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == b"interrupted\n"
    with Link.connect("ann", "bob", timeout=PATIENCE) as link:
        assert bytes(link.receive(timeout=PATIENCE)) == b"after all"
    assert child.wait(PATIENCE) == 0


def test_a_close_in_another_thread_ends_the_wait(place: Place, in_thread: Any) -> None:
    waits = place.begin(0)
    finishing = in_thread(lambda: waits.finish())
    time.sleep(0.01)
    waits.close()
    with pytest.raises(ValueError, match="closed"):
        finishing.result()
    leave(place.begin(0))


def test_what_the_other_side_left_behind_is_received(place: Place) -> None:
    ours, theirs = place.begin(1), place.begin(0)
    both_meet(ours, theirs)
    other = theirs.finish()
    say(other, b"last words")
    leave(other)
    made = ours.finish(timeout=0)
    assert hear(made) == b"last words"
    if isinstance(made, Link):
        with pytest.raises(slipring.PeerGone):
            made.receive(timeout=PATIENCE)
    else:
        assert hear(made) == b""
    leave(made)


def test_a_link_begins_to_reconnect(home: Any, in_thread: Any) -> None:
    first = in_thread(lambda: Link.connect("bob", "ann", timeout=PATIENCE))
    link = Link.connect("ann", "bob", timeout=PATIENCE)
    other = first.result()
    other.send(b"old")
    waits = link.begin_reconnect()
    for call in (link.try_receive, link.begin_reconnect, lambda: link.reconnect(timeout=0)):
        with pytest.raises(ValueError, match="closed"):
            call()
    with pytest.raises(slipring.LinkError) as taken:
        Link.begin_connect("ann", "bob")
    assert taken.value.pid == os.getpid() and taken.value.name == "ann"
    with pytest.raises(slipring.PeerGone):
        other.send(b"nobody")
    again = in_thread(lambda: other.reconnect(timeout=PATIENCE))
    link = waits.finish(timeout=PATIENCE)
    again.result()
    other.send(b"new")
    assert bytes(link.receive(timeout=PATIENCE)) == b"new"
    # One that is away in a call of another thread is not there to begin.
    leave(other)
    away = in_thread(lambda: link.reconnect(timeout=PATIENCE))
    told = False
    while not told and away.is_alive():
        try:
            link.peer_pid
        except ValueError:
            told = True
    assert told
    with pytest.raises(ValueError, match="reconnect"):
        link.begin_reconnect()
    leave(Link.connect("bob", "ann", timeout=PATIENCE))
    away.result()
    with pytest.raises(slipring.Timeout):
        link.reconnect(timeout=0.01)
    with link.begin_reconnect() as gives_up:
        assert gives_up.try_meet() is False
    Link.remove("ann", "bob")


def test_a_fork_is_told(place: Place) -> None:
    waits = place.begin(0)
    waits.fileno()
    link = None
    if place.kind == "link":
        one, other = Link.begin_connect("eve", "dan"), Link.begin_connect("dan", "eve")
        both_meet(one, other)
        link = one.finish(), other.finish()
    for met in (False, True):
        if met:
            theirs = place.begin(1)
            both_meet(waits, theirs)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with_parent()
                calls: list[Callable[[], Any]] = [waits.try_meet, waits.arm, waits.finish, waits.fileno]
                calls.append(lambda: WaitSet().wait([waits], timeout=0))
                calls.append(lambda: asyncio.run(waits.finish_async()))
                if link is not None:
                    calls.append(link[0].begin_reconnect)
                for call in calls:
                    try:
                        call()
                        os._exit(2)
                    except slipring.Forked:
                        pass
                waits.close()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
    made = waits.finish(timeout=0), theirs.finish(timeout=0)
    talk(made[0], 0, made[1])
    leave(*made)


def test_removal_and_wrong_arguments(home: Any) -> None:
    with pytest.raises(slipring.LinkError) as wrong:
        Link.begin_connect("ann", "ann")
    assert wrong.value.code == 760
    with pytest.raises((TypeError, ValueError)):
        Link.begin_connect("ann", "bob", strategy="none")  # type: ignore[arg-type]
    one_way, both = Fifo.create("one"), Fifo.create("both", both_ways=True)
    for call in (one_way.begin_connect, both.begin_reader, both.begin_writer):
        with pytest.raises(OSError):
            call()
    elsewhere = home / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    sides = [
        Link.begin_connect("ann", "bob", directory=elsewhere, capacity_bytes=4096, strategy="park"),
        Link.begin_connect("bob", "ann", directory=str(elsewhere)),
    ]
    here = Link.begin_connect("ann", "bob")
    both_meet(*sides)
    assert here.try_meet() is False
    links = [side.finish(timeout=0) for side in sides]
    assert links[0].status()["capacity_bytes"] == 4096
    leave(*links)
    os.system(f"rm -r {home}/ann..bob")
    for call in (here.try_meet, lambda: here.finish(timeout=PATIENCE)):
        with pytest.raises(slipring.Removed):
            call()
    here.close()
    waits = one_way.begin_reader()
    os.system(f"rm -r {home}/one")
    for call in (waits.try_meet, lambda: waits.finish(timeout=PATIENCE)):
        with pytest.raises(FileNotFoundError):
            call()
    waits.close()
    assert Connecting[Link].__origin__ is Connecting  # type: ignore[attr-defined]


def test_threads_that_finish_one_get_it_once(home: Any, in_thread: Any) -> None:
    for _ in range(20):
        waits, other = Link.begin_connect("ann", "bob"), Link.begin_connect("bob", "ann")
        start = threading.Barrier(3)

        def finish() -> Any:
            start.wait(PATIENCE)
            return waits.finish(timeout=PATIENCE)

        threads = [in_thread(finish) for _ in range(3)]
        theirs = other.finish(timeout=PATIENCE)
        made = []
        for thread in threads:
            try:
                made.append(thread.result())
            except ValueError as error:
                assert "closed" in str(error)
        assert len(made) == 1
        talk(made[0], 0, theirs)
        leave(made[0], theirs)
