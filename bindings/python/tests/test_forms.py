"""The forms: queues, mailboxes, links, pipes, newest and shared values, semaphores, signals."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import struct
import subprocess
import sys
import time
from typing import Any, Callable

import pytest

import slipring
from conftest import PATIENCE, command, kill, sleeping, with_parent


def test_a_queue_gives_each_message_to_one_receiver(home: Any) -> None:
    queue = slipring.Queue.create("jobs", depth=4, max_message_bytes=100)
    sender, receiver, other = queue.sender(), queue.receiver(), queue.receiver()
    assert sender.send(b"sweep") == 0
    sender.send(b"fire", priority=7)
    with receiver.receive() as job:
        assert (job.data, bytes(job), len(job), job.priority, job.redelivered, job.tries) == (b"fire", b"fire", 4, 7, False, 1)
        assert memoryview(job).tobytes() == b"fire"
    job = receiver.receive()
    with pytest.raises(slipring.Empty):
        other.try_receive()
    job.release()
    job.release()
    with pytest.raises(ValueError):
        job.ack()
    # Asking for the descriptor again gives nothing back.
    descriptor = receiver.fileno()
    job = receiver.receive(timeout=PATIENCE)
    assert receiver.fileno() == descriptor and queue.status()["held"] == 1
    job.release()
    with pytest.raises(RuntimeError):
        with other.receive(timeout=PATIENCE) as job:
            assert job.redelivered and job.tries == 3
            raise RuntimeError
    # One that is dropped goes back, and one that is left out when the next is asked for.
    job = other.receive(timeout=PATIENCE)
    del job
    gc.collect()
    job = other.receive(timeout=PATIENCE)
    again = other.receive(timeout=PATIENCE)
    assert again.data == job.data == b"sweep"
    with pytest.raises(ValueError):
        job.ack()
    again.ack()
    assert queue.status()["waiting"] == queue.status()["held"] == 0
    for _ in range(4):
        sender.send(b"x")
    with pytest.raises(slipring.Full) as full:
        sender.try_send(b"x")
    assert full.value.code == 700
    with pytest.raises(slipring.Timeout) as late:
        sender.send(b"x", timeout=0.02)
    assert late.value.code == 701
    with pytest.raises(slipring.QueueError) as large:
        sender.send(bytes(101))
    assert (large.value.code, large.value.len, large.value.max) == (702, 101, 100)
    with pytest.raises(slipring.QueueError) as priority:
        sender.send(b"x", priority=8)
    assert priority.value.code == 703
    held = receiver.receive()
    assert held.data == b"x"
    receiver.close()
    with pytest.raises(ValueError):
        held.ack()
    queue.close()


WORKER = """
import slipring, sys
receiver = slipring.Queue.open("jobs").receiver()
for job in receiver:
    print(job.data.decode(), flush=True)
    sys.stdin.readline()
    job.ack()
    print("done", flush=True)
"""


def test_what_a_killed_receiver_held_comes_again(home: Any, children: Callable[..., Any]) -> None:
    many = 100
    queue = slipring.Queue.create("jobs", depth=128)
    sender = queue.sender()
    for number in range(many):
        sender.send(str(number).encode(), timeout=PATIENCE)
    done: list[int] = []
    for _ in range(4):
        child = children(WORKER, stdin=subprocess.PIPE)
        for _ in range(random.randrange(1, 20)):
            begun = int(child.stdout.readline())
            child.stdin.write(b"\n")
            child.stdin.flush()
            assert child.stdout.readline() == b"done\n"
            done.append(begun)
        held = int(child.stdout.readline())
        assert queue.status()["held"] == 1
        kill(child)
        with queue.receiver() as receiver:
            with receiver.receive(timeout=PATIENCE) as job:
                assert (int(job.data), job.redelivered, job.tries) == (held, True, 2)
                done.append(held)
    with queue.receiver() as receiver:
        while len(done) < many:
            with receiver.receive(timeout=PATIENCE) as job:
                done.append(int(job.data))
    assert sorted(done) == list(range(many)) and queue.status()["waiting"] == 0


def test_a_lease_that_is_over_fails_the_acknowledgement(home: Any) -> None:
    queue = slipring.Queue.create("jobs", lease=0.02)
    sender, slow, quick = queue.sender(), queue.receiver(), queue.receiver()
    sender.send(b"job")
    job = slow.receive()
    again = quick.receive(timeout=PATIENCE)
    assert again.redelivered
    with pytest.raises(slipring.QueueError) as late:
        job.ack()
    assert (late.value.code, late.value.sequence) == (717, 0)
    again.ack()


def test_a_mailbox_answers(home: Any, in_thread: Any, children: Callable[..., Any]) -> None:
    office = slipring.Mailbox.create("office")
    desk, alice = office.receiver(), office.client("alice")
    with pytest.raises(slipring.AttachError) as taken:
        office.client("alice")
    assert taken.value.code == 410
    alice.send(b"the roof leaks")
    with desk.receive(timeout=PATIENCE) as letter:
        assert (letter.data, letter.sender, letter.wants_reply) == (b"the roof leaks", "alice", False)
        with pytest.raises(slipring.Error) as unasked:
            letter.reply(b"what?")
        assert unasked.value.code == 785
    # It went back, as a letter that nothing was decided about.
    with desk.receive(timeout=PATIENCE) as letter:
        assert letter.redelivered

    def is_answered(timeout: float | None) -> bool:
        asked = in_thread(lambda: alice.request(b"how much?", timeout=timeout))
        letter = desk.receive(timeout=PATIENCE)
        assert letter.wants_reply
        heard = letter.reply(b"100")
        try:
            assert asked.result() == b"100" and heard
        except slipring.Timeout:
            return False
        return True

    # A thread that gets no processor for so long answers too late.
    assert any(is_answered(0.09) for _ in range(100))
    assert is_answered(PATIENCE) and is_answered(None)
    asked = in_thread(lambda: alice.request(b"?", timeout=PATIENCE))
    desk.receive(timeout=PATIENCE).ack()
    with pytest.raises(slipring.PeerGone) as gone:
        asked.result()
    assert gone.value.code == 781
    for timeout in (0.0, 0.02, 0.15):
        with pytest.raises(slipring.Timeout):
            alice.request(b"?", timeout=timeout)
    answers = []
    while True:
        try:
            answers.append(desk.receive(timeout=0).reply(b"late"))
        except slipring.Timeout:
            break
    assert answers and not any(answers)
    assert office.status()["clients"] == ["alice"] and office.status()["late"] >= 1
    # Closing ends a request that another thread waits for; the client leaves when the time of the request is over.
    bob = office.client("bob")
    asked = in_thread(lambda: bob.request(b"?", timeout=None))
    letter = desk.receive(timeout=PATIENCE)
    bob.close()
    with pytest.raises(ValueError):
        asked.result()
    letter.reply(b"to nobody")
    one_way = slipring.Mailbox.create("box", one_way=True)
    with pytest.raises(slipring.MailboxError) as no:
        one_way.client("a").request(b"?", timeout=0.01)
    assert no.value.code == 782


def test_a_link_tells_when_the_other_side_is_gone(home: Any, in_thread: Any, children: Callable[..., Any]) -> None:
    here = in_thread(lambda: slipring.Link.connect("a", "b", timeout=PATIENCE))
    there = slipring.Link.connect("b", "a", timeout=PATIENCE, capacity_bytes=4096)
    link = here.result()
    assert link.send(b"buy") == 0 and there.receive(timeout=PATIENCE) == b"buy"
    with pytest.raises(slipring.Empty):
        there.try_receive()
    with pytest.raises(slipring.LinkError) as taken:
        slipring.Link.connect("a", "b", timeout=0.01)
    assert (taken.value.code, taken.value.pid) == (761, os.getpid())
    there.send(b"last")
    there.close()
    assert link.receive(timeout=PATIENCE) == b"last"
    with pytest.raises(slipring.PeerGone) as gone:
        link.receive(timeout=PATIENCE)
    assert gone.value.code == 762
    child = children("import slipring\nl = slipring.Link.connect('b', 'a')\nl.send(b'hi')\nprint('up', flush=True)\nl.receive()")
    link.reconnect(timeout=PATIENCE)
    assert link.receive(timeout=PATIENCE) == b"hi" and link.peer_pid == child.pid
    kill(child)
    with pytest.raises(slipring.PeerGone):
        link.receive(timeout=PATIENCE)
    with pytest.raises(slipring.Timeout):
        link.reconnect(timeout=0.02)
    # One thread reconnects: the calls of others say so, and go on when it has.
    waiter = in_thread(lambda: link.reconnect(timeout=PATIENCE))
    busy = False
    while not busy:
        try:
            link.try_receive()
        except slipring.PeerGone:
            pass
        except ValueError as error:
            assert "reconnect of this link is not over" in str(error)
            busy = True
    for call in (lambda: link.receive(), lambda: link.send(b"x"), lambda: link.reconnect(), lambda: link.status(), lambda: link.arm()):
        with pytest.raises(ValueError, match="is not over"):
            call()
    child = children("import slipring\nl = slipring.Link.connect('b', 'a')\nl.send(b'again')\nprint('up', flush=True)\nl.receive()")
    waiter.result()
    assert link.receive(timeout=PATIENCE) == b"again"
    kill(child)

    # Closing ends it; the link leaves when its time is over.
    def is_ended(link: slipring.Link) -> bool:
        waiter = in_thread(lambda: link.reconnect(timeout=0.5))
        while waiter.is_alive():
            try:
                link.status()
            except ValueError:
                break
        link.close()
        try:
            waiter.result()
        except ValueError as error:
            assert "closed" in str(error)
            return True
        except slipring.Timeout:
            return False
        raise AssertionError("nobody is there")

    # A thread that gets no processor for so long closes it too late.
    while not is_ended(link):
        here = in_thread(lambda: slipring.Link.connect("a", "b", timeout=PATIENCE))
        slipring.Link.connect("b", "a", timeout=PATIENCE).close()
        link = here.result()
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            slipring.Link.remove("a", "b")
            break
        except slipring.RemoveError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_side_of_a_link_waits_for_the_other_in_one_session(home: Any, in_thread: Any) -> None:
    """A side that gave up and came again may do so when the other has just met it, which then has met nobody."""
    here = in_thread(lambda: slipring.Link.connect("a", "b", timeout=PATIENCE))
    slipring.Link.connect("b", "a", timeout=PATIENCE).close()
    link = here.result()

    def token() -> int:
        # Of the first side, which grows by one for each of its sessions: the board lies behind the first page and the one row.
        (word,) = struct.unpack_from("=Q", (home / "a..b" / "control").read_bytes(), 4096 + 128)
        return int(word) >> 32

    for timeout in (0, 0.001, 0.3):
        before = token()
        with pytest.raises(slipring.Timeout):
            link.reconnect(timeout=timeout)
        assert token() == before + 1
    link.close()
    for timeout in (0, 0.001, 0.3):
        before = token()
        with pytest.raises(slipring.Timeout):
            slipring.Link.connect("a", "b", timeout=timeout)
        # One session, and the end of it.
        assert token() == before + 2


def test_a_file_that_an_error_stops_goes_on_where_it_was(in_thread: Any) -> None:
    reader, writer = slipring.pipe(4096)
    file = writer.file()
    data = bytes(range(250)) * 32
    file.write(data)  # as much as its buffer takes
    with pytest.raises(KeyboardInterrupt):
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            file.flush()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    rest = in_thread(file.close)
    got = b""
    while piece := reader.read(timeout=PATIENCE):
        got += piece
    rest.result()
    assert got == data


CHILD = """
import slipring
jobs, answers = slipring.PipeReader.inherited("jobs"), slipring.PipeWriter.inherited("answers")
with jobs.file() as lines, answers.file() as out:
    for line in lines:
        out.write(line.upper())
"""


def test_pipes_carry_bytes(home: Any, in_thread: Any) -> None:
    reader, writer = slipring.pipe(4096)
    data = bytes(range(256)) * 400
    sent = in_thread(lambda: (writer.write(data), writer.close()))
    got = b""
    while piece := reader.read(1000, timeout=PATIENCE):
        got += piece
    assert got == data and sent.result()[0] == len(data)
    assert reader.read(0) == b""
    reader, writer = slipring.pipe(4096)
    with pytest.raises(slipring.Timeout):
        reader.read(timeout=0.01)
    with pytest.raises(slipring.Timeout) as part:
        writer.write(bytes(100_000), timeout=0.01)
    assert 0 < part.value.written < 100_000  # type: ignore[attr-defined]
    reader.close()
    with pytest.raises(BrokenPipeError):
        while True:
            writer.write(bytes(1000), timeout=PATIENCE)
    (one_reads, one_writes), (other_reads, other_writes) = slipring.duplex()
    one_writes.write(b"ping")
    assert other_reads.read() == b"ping"
    other_writes.write(b"pong")
    assert one_reads.read() == b"pong"


def test_a_child_inherits_ends_of_pipes(home: Any) -> None:
    jobs, to_child = slipring.pipe()
    from_child, answers = slipring.pipe()
    pid = slipring.spawn([sys.executable, "-c", CHILD], jobs=jobs, answers=answers)
    with to_child.file() as out:
        out.write(b"one\ntwo\n")
    with from_child.file() as lines:
        assert lines.read() == b"ONE\nTWO\n"
    assert os.waitpid(pid, 0)[1] == 0
    with pytest.raises(ValueError):
        jobs.read()
    # What is given beside a wrong argument is not lost.
    reader, writer = slipring.pipe()
    for others, error in (({"other": 7}, TypeError), ({"other": jobs}, ValueError)):
        with pytest.raises(error):
            slipring.spawn(["true"], reader=reader, **others)  # type: ignore[arg-type]
    writer.write(b"still here")
    assert reader.read() == b"still here"
    with pytest.raises(FileNotFoundError):
        slipring.PipeReader.inherited("nothing")


def test_sides_that_meet_at_the_same_moment_have_both_met(home: Any, in_thread: Any) -> None:
    """Neither gives up an attempt of its own while the other one meets it."""
    fifo = slipring.Fifo.create("chat", both_ways=True)
    ways = [
        (lambda: fifo.connect(timeout=PATIENCE), lambda: slipring.Fifo.open("chat").connect(timeout=PATIENCE)),
        (
            lambda: slipring.Link.connect("ann", "bob", timeout=PATIENCE),
            lambda: slipring.Link.connect("bob", "ann", timeout=PATIENCE),
        ),
    ]
    for here, there in ways:
        for _ in range(60):
            other = in_thread(there)
            time.sleep(random.random() / 2000)
            mine = here()
            theirs = other.result()
            for end in [*mine, *theirs] if isinstance(mine, tuple) else [mine, theirs]:
                end.close()


def test_a_named_pipe_joins_strangers(home: Any, in_thread: Any) -> None:
    fifo = slipring.Fifo.create("orders")
    with pytest.raises(slipring.Timeout):
        fifo.writer(timeout=0.01)
    opened = in_thread(lambda: slipring.Fifo.open("orders").reader(timeout=PATIENCE))
    with fifo.writer(timeout=PATIENCE) as writer:
        writer.write(b"buy 100")
    reader = opened.result()
    assert reader.read(timeout=PATIENCE) + reader.read(timeout=PATIENCE) == b"buy 100"
    both = slipring.Fifo.create("chat", both_ways=True)
    assert both.both_ways
    side = in_thread(lambda: slipring.Fifo.open("chat").connect(timeout=PATIENCE))
    reads, writes = both.connect(timeout=PATIENCE)
    writes.write(b"hello")
    assert side.result()[0].read(timeout=PATIENCE) == b"hello"


def test_newest_values(home: Any, in_thread: Any, slipring_command: Callable[..., str]) -> None:
    table = slipring.Latest.create("config", cells=3)
    writer, reader = table.writer(), slipring.Latest.open("config").reader()
    assert reader.get() is None and table.cells == 3
    assert writer.set(b"a") == 1 and writer.set(b"b", cell=2) == 1 and writer.set("c".encode()) == 2
    assert reader.get() == (b"c", 2) and reader.get(cell=2) == (b"b", 1)
    reader.wait(timeout=0)
    with pytest.raises(slipring.Timeout):
        reader.wait(timeout=0.01)
    waiter = in_thread(lambda: reader.wait_at(2, timeout=PATIENCE))
    writer.set(b"d")
    waiter.result()
    with pytest.raises(slipring.LatestError) as cell:
        reader.get(cell=3)
    assert (cell.value.code, cell.value.cells) == (730, 3)
    writer.set(bytes(256))
    with pytest.raises(ValueError):
        writer.set(bytes(257))
    with pytest.raises(slipring.AttachError):
        table.writer()
    writer.close()
    slipring.Latest.create("level")
    slipring_command("latest", "set", "level", "debug")
    assert slipring.Latest.open("level").reader().get() == (b"debug", 1)


HOLDER = """
import slipring, time
guard = slipring.Shared.open("counter").lock()
guard.value = b"half"
print("up", flush=True)
time.sleep(600)
"""


def test_shared_values(home: Any, children: Callable[..., Any], slipring_command: Callable[..., str]) -> None:
    counter, other = slipring.Shared.create("counter"), slipring.Shared.open("counter")
    assert counter.get() == (b"", 0)
    with counter.lock() as guard:
        assert guard.value == b"" and not guard.abandoned
        guard.value = b"1"
        with pytest.raises(slipring.Timeout) as held:
            other.lock(timeout=0.02)
        assert held.value.code == 751
        with pytest.raises(ValueError):
            counter.get()
    assert other.get() == (b"1", 1)
    with pytest.raises(RuntimeError):
        with counter.lock() as guard:
            guard.value = b"2"
            raise RuntimeError
    guard = counter.lock()
    guard.value = b"3"
    guard.discard()
    guard = counter.lock()
    guard.value = b"4"
    del guard
    gc.collect()
    assert other.get() == (b"1", 1)
    child = children(HOLDER)
    assert child.stdout.readline() == b"up\n"
    kill(child)
    with other.lock(timeout=PATIENCE) as guard:
        assert guard.abandoned and guard.value == b"1"
        guard.value = b"5"
        assert guard.commit() == 2
    counter.wait(1, timeout=PATIENCE)
    assert slipring_command("shared", "get", "counter").strip() == "5"


def test_a_caller_that_waits_for_a_value_keeps_its_place(home: Any, in_thread: Any) -> None:
    """The command, which came later and waits in one piece, has its turn behind it."""
    counter, first = slipring.Shared.create("counter"), slipring.Shared.open("counter")

    def until(holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def both_handles_and(pid: int) -> bool:
        # The handle that has lent its value says nothing.
        with slipring.Shared.open("counter") as looks:
            return bool(looks.status()["handles"] == 4) and sleeping(pid)

    def is_kept() -> bool:
        held = counter.lock()
        held.value = b"before"
        waiter = in_thread(lambda: first.lock(timeout=PATIENCE))
        until(lambda: sleeping(waiter.native_id))
        time.sleep(0.1)  # whoever sleeps draws its ticket when it next looks, every 20 ms
        second = subprocess.Popen([command(), "shared", "set", "counter", "second"], preexec_fn=with_parent)
        until(lambda: both_handles_and(second.pid))
        time.sleep(0.3)  # several slices of the first
        held.commit()
        with waiter.result() as guard:
            found = guard.value
        assert second.wait(PATIENCE) == 0
        return bool(found == b"before")

    # A thread that gets no processor for long enough is passed over once, as the page of semaphores says.
    kept = 0
    for _ in range(20):
        kept += is_kept()
        if kept == 3:
            break
    assert kept == 3


def test_semaphores(home: Any, in_thread: Any, children: Callable[..., Any]) -> None:
    printers = slipring.Semaphore.create("printers", permits=2, max_permits=3)
    with printers.acquire() as permit:
        assert permit.count == 1 and printers.status()["holders"] == [os.getpid()]
        second = printers.try_acquire()
        with pytest.raises(slipring.SemaphoreError) as taken:
            printers.try_acquire()
        assert taken.value.code == 720
        with pytest.raises(slipring.Timeout):
            printers.acquire(timeout=0.02)
        waiting = slipring.Semaphore.open("printers")
        waiter = in_thread(lambda: waiting.acquire(timeout=PATIENCE))
        second.release()
        waiter.result().release()
    assert printers.acquire(2).count == 2
    printers.acquire().forget()
    assert printers.status()["retired"] == 2
    printers.add()
    with pytest.raises(slipring.SemaphoreError) as many:
        printers.acquire(4)
    assert (many.value.code, many.value.wanted, many.value.max) == (722, 4, 3)
    child = children("import slipring, time\np = slipring.Semaphore.open('printers').acquire(2)\nprint('up', flush=True)\ntime.sleep(600)")
    assert child.stdout.readline() == b"up\n"
    assert printers.status()["held"] == 2
    kill(child)
    assert printers.acquire(2, timeout=PATIENCE).count == 2


def test_a_caller_that_waits_keeps_its_place(home: Any, in_thread: Any) -> None:
    """The first waits for both permits, of which one is free: until it has them nobody else gets that one."""
    printers = slipring.Semaphore.create("printers", permits=2)
    first, second, third = (slipring.Semaphore.open("printers") for _ in range(3))

    def is_kept() -> bool:
        held = printers.acquire()
        waiter = in_thread(lambda: first.acquire(2, timeout=PATIENCE))
        waits = False
        while not waits:
            try:
                third.try_acquire().release()
            except slipring.SemaphoreError:
                waits = True
        try:
            second.acquire(timeout=0.3).release()  # several slices long
            kept = False
        except slipring.Timeout:
            kept = True
        held.release()
        waiter.result().release()
        return kept

    # A thread that gets no processor for long enough is passed over once, as the page of semaphores says.
    assert any(is_kept() for _ in range(20))
    assert printers.status()["free"] == 2


def test_signals(home: Any, in_thread: Any) -> None:
    control = slipring.Signals.create("control")
    with pytest.raises(slipring.SignalError) as nobody:
        control.target("engine")
    assert (nobody.value.code, nobody.value.name) == (740, "engine")
    engine = control.listener("engine")
    target = control.target("engine")
    assert engine.try_wait() is None and target.name == "engine"
    target.send(9)
    target.send(9)
    control.broadcast(1)
    assert engine.wait([9]) == (9, 2)
    assert engine.wait() == (1, 1)
    for bad in (lambda: target.send(64), lambda: engine.wait([64])):
        with pytest.raises(slipring.SignalError) as number:
            bad()
        assert number.value.code == 741
    with pytest.raises(slipring.Timeout):
        engine.wait(timeout=0.01)
    waiter = in_thread(lambda: engine.wait(timeout=PATIENCE))
    target.send(3)
    assert waiter.result() == (3, 1)
    assert control.status()["listeners"] == ["engine"]


def test_forms_in_an_event_loop(home: Any) -> None:
    async def main() -> None:
        queue = slipring.Queue.create("q")
        sender, receiver = queue.sender(), queue.receiver()
        office = slipring.Mailbox.create("m")
        desk, client = office.receiver(), office.client("me")
        control = slipring.Signals.create("s")
        listener = control.listener("l")
        reader, writer = slipring.pipe()

        async def jobs() -> list[bytes]:
            got = []
            async for job in receiver:
                job.ack()
                got.append(job.data)
                if len(got) == 3:
                    return got
            raise AssertionError

        async def letter() -> bytes:
            letter = await desk.receive_async(timeout=PATIENCE)
            letter.ack()
            return bytes(letter)

        tasks = [
            asyncio.create_task(call)
            for call in (jobs(), letter(), listener.wait_async(timeout=PATIENCE), reader.read_async(timeout=PATIENCE))
        ]
        await asyncio.sleep(0.02)
        for _ in range(3):
            sender.send(b"job")
            await asyncio.sleep(0.003)
        client.send(b"letter")
        control.broadcast(5)
        writer.write(b"bytes")
        async with asyncio.timeout(PATIENCE):
            assert await asyncio.gather(*tasks) == [[b"job"] * 3, b"letter", (5, 1), b"bytes"]
        for call in (receiver.receive_async, listener.wait_async, reader.read_async):
            with pytest.raises(slipring.Timeout):
                await call(timeout=0.01)

    asyncio.run(main())
