"""Waits: two threads, Ctrl-C, forks, other processes that are killed, event loops."""

from __future__ import annotations

import asyncio
import gc
import itertools
import multiprocessing
import os
import pathlib
import random
import select
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Callable

import pytest

import slipring
from conftest import PATIENCE, command, kill, sleeping
from slipring import Ring


def test_the_interpreter_runs_while_a_call_waits(in_thread: Any) -> None:
    ring = Ring.heap(capacity_bytes=4096)
    producer, consumer = ring.producer(), ring.consumer()
    waiter = in_thread(lambda: consumer.receive(timeout=PATIENCE))
    producer.publish(b"go")
    assert waiter.result() == b"go"
    with pytest.raises(slipring.Timeout):
        while True:
            producer.publish(bytes(300), timeout=0)
    waiter = in_thread(lambda: producer.publish(b"room", timeout=PATIENCE))
    while consumer.receive(timeout=PATIENCE) != b"room":
        pass
    waiter.result()


def test_threads_take_turns_with_one_handle(in_thread: Any) -> None:
    ring = Ring.heap(capacity_bytes=4096)
    producer, consumer = ring.producer(), ring.consumer()
    many = 2000
    got: list[list[int]] = [[], []]

    def take(mine: list[int]) -> None:
        for message in consumer:
            mine.append(message.sequence)

    def put(number: int) -> None:
        for _ in range(many):
            producer.publish(bytes([number]), timeout=PATIENCE)

    takers = [in_thread(lambda mine=mine: take(mine)) for mine in got]
    putters = [in_thread(lambda number=number: put(number)) for number in range(2)]
    for putter in putters:
        putter.result()
    # Each waiting thread is told of the end, as each of them asks again.
    producer.close()
    takers[0].join(0)
    deadline = time.monotonic() + PATIENCE
    while sum(map(len, got)) < 2 * many and time.monotonic() < deadline:
        time.sleep(0.01)
    consumer.close()
    for taker in takers:
        try:
            taker.result()
        except ValueError:
            pass  # closed under it
    assert sorted(got[0] + got[1]) == list(range(2 * many))
    assert all(mine == sorted(mine) for mine in got)


def test_close_ends_a_wait_in_another_thread(in_thread: Any) -> None:
    ring = Ring.heap()
    consumer = ring.consumer()
    started = threading.Event()

    def wait() -> None:
        started.set()
        consumer.receive()

    waiter = in_thread(wait)
    started.wait()
    consumer.close()
    with pytest.raises(ValueError):
        waiter.result()


def test_a_deadline_holds_while_another_thread_waits(in_thread: Any) -> None:
    ring = Ring.heap()
    producer, consumer = ring.producer(), ring.consumer()
    waiter = in_thread(lambda: consumer.receive(timeout=PATIENCE))
    for timeout in (0, 0.01, 0.2):
        with pytest.raises(slipring.Timeout):
            consumer.receive(timeout=timeout)
    producer.publish(b"one")
    assert waiter.result() == b"one"


def test_a_finalizer_that_runs_as_an_error_is_made_may_use_the_handle(monkeypatch: Any, in_thread: Any) -> None:
    """Python code makes exceptions, so garbage may be collected there, of which finalizers are a part."""
    ring = Ring.heap(capacity_bytes=4096, first_sequence=5)
    producer, consumer = ring.producer(), ring.consumer()
    finalized: list[Any] = []

    class Ends:
        def __init__(self) -> None:
            self.itself = self  # waits for the collector

        def __del__(self) -> None:
            finalized.append((producer.next_sequence, consumer.lag_bytes))

    class_of = slipring._errors.class_of

    def collects(code: int) -> Any:
        gc.collect()
        return class_of(code)

    monkeypatch.setattr(slipring._errors, "class_of", collects)
    gc.disable()
    try:
        for call, code in (
            (lambda: producer.publish(bytes(10**6)), 500),
            (lambda: producer.try_publish(bytes(10**6)), 500),
            (lambda: producer.publish_batch([bytes(10**6)]), 500),
            (lambda: producer.skip_to(3, "lost"), 505),
            (lambda: consumer.try_receive(), 600),
            (lambda: consumer.receive(timeout=0), 603),
            (lambda: consumer.receive(timeout=0.01), 603),
        ):
            Ends()

            def fails() -> None:
                with pytest.raises(slipring.Error) as error:
                    call()
                assert error.value.code == code

            in_thread(fails).result()
    finally:
        gc.enable()
    assert finalized == [(5, 0)] * 7


class Alarm(Exception):
    """Raised by the handler of a signal."""


@pytest.fixture()
def alarm() -> Any:
    """Raises `Alarm` in the main thread after so many seconds."""

    def ring(number: int, frame: Any) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_signals_are_handled_while_a_long_batch_finds_room(alarm: Any) -> None:
    # Without a reader there is always room.
    ring = Ring.heap(capacity_bytes=1 << 16)
    producer = ring.producer()
    many = 1_000_000
    messages = [b"x"] * many
    # The signal may come before the call begins, and is seen to be handled in it at one of the attempts.
    for attempt in range(100):
        before = producer.next_sequence
        try:
            alarm(0.002 * (attempt + 1))
            producer.publish_batch(messages)
        except Alarm as error:
            if 0 < getattr(error, "published", 0) < many:
                assert producer.next_sequence - before == error.published  # type: ignore[attr-defined]
                return
    raise AssertionError("no signal was handled in a call")


def test_a_client_comes_back_from_a_request_that_a_signal_ended(home: Any, alarm: Any) -> None:
    office = slipring.Mailbox.create("office")
    desk, client = office.receiver(), office.client("me")

    def is_ended(timeout: float) -> bool:
        ended = False
        try:
            try:
                alarm(0.05)
                client.request(b"?", timeout=timeout)
            finally:
                alarm(0)
        except Alarm:
            ended = True
        except slipring.Timeout:
            pass
        client.send(b"afterwards", timeout=PATIENCE)
        got = []
        while got[-1:] != [b"afterwards"]:
            with desk.receive(timeout=PATIENCE) as letter:
                got.append(letter.data)
        assert got in ([b"?", b"afterwards"], [b"afterwards"])
        return ended and len(got) == 2

    # Without a processor for so long, the signal comes before the request or behind its end.
    for timeout in (0.3, 0.6):
        assert any(is_ended(timeout) for _ in range(20))


PARENT = """
import sys, time
sys.path.insert(0, sys.argv[1])
import conftest
child = conftest.start_program("import time; print('up', flush=True); time.sleep(600)", pass_fds=[int(sys.argv[2])])
assert child.stdout.readline() == b"up\\n"
print("up", flush=True)
time.sleep(600)
"""


def test_a_program_of_a_test_ends_with_it(children: Callable[..., Any]) -> None:
    """Even if the test is killed."""
    held, end = os.pipe()
    parent = children(PARENT, str(pathlib.Path(__file__).parent), str(end), pass_fds=[end])
    os.close(end)
    assert parent.stdout.readline() == b"up\n"
    kill(parent)
    # The end of the pipe is closed once nobody has it.
    assert select.select([held], [], [], PATIENCE)[0] and os.read(held, 1) == b""
    os.close(held)


WAITS = {
    "receive": "r.consumer().receive()",
    "iteration": "list(r.consumer())",
    "batch": "r.consumer().receive_batch(9)",
    "peek": "r.consumer().peek()",
    "durable": "r.durable_consumer('d').receive()",
    "observer": "r.observer().receive()",
    "spinning": "r.consumer(strategy='spin').receive()",
    "publish": "p, c = r.producer(), r.consumer()\nwhile True: p.publish(bytes(500))",
    "claim": "p, c = r.producer(), r.consumer()\nwhile True: p.claim(500).commit()",
    "publish_batch": "p, c = r.producer(), r.consumer()\np.publish_batch([bytes(500)] * 100)",
    "wait_for_producer": "r.wait_for_producer()",
    "wait_for_readers": "r.wait_for_readers(1)",
    "open": "slipring.Ring.open('nothing', timeout=None)",
    "queue": "slipring.Queue.create('q').receiver().receive()",
    "send": "q = slipring.Queue.create('q', depth=2); s = q.sender(); g = q.receiver()\nwhile True: s.send(b'x')",
    "mailbox": "slipring.Mailbox.create('m').receiver().receive()",
    "request": "slipring.Mailbox.create('m').client('me').request(b'?')",
    "link": "slipring.Link.connect('a', 'b')",
    "reconnect": (
        "import threading; t = threading.Thread(target=lambda: slipring.Link.connect('b', 'a').close()); t.start()\n"
        "l = slipring.Link.connect('a', 'b'); t.join()\n"
        "l.reconnect()"
    ),
    "connecting": "slipring.Link.begin_connect('a', 'b').finish()",
    "connecting, asyncio": "import asyncio; asyncio.run(slipring.Link.begin_connect('a', 'b').finish_async())",
    "pipe": "a, b = slipring.pipe(); a.read()",
    "write": "a, b = slipring.pipe()\nwhile True: b.write(bytes(10000))",
    "fifo": "slipring.Fifo.create('f').reader()",
    "semaphore": "s = slipring.Semaphore.create('s', permits=1); p = s.acquire(); s.acquire()",
    "shared": "a = slipring.Shared.create('v'); b = slipring.Shared.open('v'); g = a.lock(); b.lock()",
    "shared wait": "a = slipring.Shared.create('v'); a.wait(a.get()[1])",
    "latest": "slipring.Latest.create('l').reader().wait()",
    "signals": "slipring.Signals.create('s').listener('me').wait()",
    "wait set": "slipring.WaitSet().wait([r.consumer(), r.observer()])",
    "asyncio": "import asyncio; asyncio.run(r.consumer().receive_async())",
}


@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_ends_each_kind_of_wait(home: Any, children: Callable[..., Any], wait: str) -> None:
    # Ctrl-C comes when only the last line is left: a thread of an earlier one may need this one to end.
    *prepares, waits = WAITS[wait].splitlines()
    code = (
        # A shell that starts the tests in the background has Ctrl-C ignored, and children inherit that.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import slipring\nr = slipring.Ring.create('r', capacity_bytes=4096)\n"
        + "".join(f"{line}\n" for line in prepares)
        + "try:\n    print('up', flush=True)\n"
        + f"    {waits}\n"
        + "except KeyboardInterrupt:\n    print('interrupted', flush=True)\n"
    )
    child = children(code)
    assert child.stdout.readline() == b"up\n"
    # Wherever it is by then, the signal ends it.
    deadline = time.monotonic() + (0.3 if wait == "spinning" else PATIENCE)
    while time.monotonic() < deadline and not sleeping(child.pid):
        time.sleep(0.005)
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == b"interrupted\n"
    assert child.wait(PATIENCE) == 0


def test_a_fork_refuses_what_it_inherits(home: Any) -> None:
    ring = Ring.create("r")
    producer, consumer, observer = ring.producer(), ring.consumer(), ring.observer()
    queue = slipring.Queue.create("q")
    sender, receiver = queue.sender(), queue.receiver()
    producer.publish(b"parent")
    peeked = ring.consumer("oldest").peek()
    claim = producer.claim(4)
    # A thread that waits holds the handle's lock at the moment of the fork.
    other = ring.consumer("latest")
    waiter = threading.Thread(target=lambda: other.receive(), daemon=True)
    waiter.start()
    time.sleep(0.02)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for call in (
                lambda: consumer.receive(timeout=1),
                lambda: observer.receive(timeout=1),
                lambda: producer.publish(b"child"),
                lambda: other.receive(timeout=1),
                lambda: sender.send(b"child"),
                lambda: receiver.receive(timeout=1),
                lambda: consumer.fileno(),
                lambda: ring.status(),
                # The parent would publish what the child writes, and gives back what it reads.
                lambda: memoryview(claim),
                lambda: claim.__setitem__(0, 1),
                lambda: bytes(peeked),
            ):
                try:
                    call()
                    os.write(write, b"no error ")
                except slipring.Forked as error:
                    if error.code not in (408, 705, 713):
                        os.write(write, b"code ")
            # What is opened anew works, and dropping what was inherited harms nobody.
            with slipring.Ring.open("r") as again:
                if again.status().producer_alive is not True:
                    os.write(write, b"producer ")
            del claim
            del peeked
            consumer.close()
            producer.close()
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(read, 1000) == b""
    os.close(read)
    claim[:] = b"hold"
    claim.commit()
    waiter.join(PATIENCE)
    assert not waiter.is_alive()
    assert consumer.receive(timeout=PATIENCE) in (b"parent", b"hold")
    assert bytes(peeked) == b"parent"


def _work(name: str, many: int) -> None:
    ring = slipring.Ring.open(name, timeout=PATIENCE)
    with ring.producer() as producer:
        producer.wait_for_readers(1, timeout=PATIENCE)
        for number in range(many):
            producer.publish(number.to_bytes(4, "little"))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(home: Any, method: str) -> None:
    ring = Ring.create("r", capacity_bytes=4096)
    process = multiprocessing.get_context(method).Process(target=_work, args=("r", 1000))
    process.start()
    consumer = ring.consumer("oldest")
    got = []
    while True:
        message = consumer.receive(timeout=PATIENCE)
        if message is None:
            break
        got.append(int.from_bytes(message, "little"))
    process.join(PATIENCE)
    assert process.exitcode == 0 and got == list(range(1000))


def test_the_command_is_the_other_end(home: Any, slipring_command: Callable[..., str]) -> None:
    ring = Ring.create("lines")
    consumer = ring.consumer("oldest")
    slipring_command("pub", "lines", input=b"one\ntwo\n")
    assert [message.decode() for message in consumer] == ["one", "two"]
    with ring.producer() as producer:
        producer.publish_batch([b"three", b"four"])
    assert slipring_command("sub", "lines", "--from", "oldest").split() == ["one", "two", "three", "four"]
    assert "lines" in slipring_command("stat", "lines") or slipring_command("stat", "lines")


CHILD_PRODUCER = """
import slipring, sys
ring = slipring.Ring.open("r", timeout=60)
p = ring.producer()
print("up", flush=True)
number = p.next_sequence
while True:
    p.publish(number.to_bytes(8, "little"))
    number += 1
"""


def test_a_killed_producer_leaves_an_exact_account(home: Any, children: Callable[..., Any]) -> None:
    ring = Ring.create("r", capacity_bytes=8192)
    consumer, observer = ring.consumer("oldest"), ring.observer("oldest")
    expected = 0
    for _ in range(5):
        child = children(CHILD_PRODUCER)
        assert child.stdout.readline() == b"up\n"
        for _ in range(random.randrange(1, 3000)):
            assert int.from_bytes(consumer.receive(timeout=PATIENCE), "little") == expected
            expected += 1
        kill(child)
        with pytest.raises(slipring.ProducerGone) as gone:
            while True:
                assert int.from_bytes(consumer.receive(timeout=PATIENCE), "little") == expected
                expected += 1
        assert (gone.value.code, gone.value.next) == (602, expected)
        lost = received = 0
        with pytest.raises(slipring.ProducerGone):
            while True:
                try:
                    observer.receive(timeout=PATIENCE)
                except slipring.LappedError:
                    pass
        received, lost, _ = observer.counts()
        assert received + lost == expected
    assert ring.status().epoch == 5


CHILD_CONSUMER = """
import slipring, sys
c = slipring.Ring.open("r").durable_consumer("worker", "oldest")
for message in c:
    sys.stdout.write(f"{int.from_bytes(message, 'little')}\\n")
    sys.stdout.flush()
"""


def test_a_killed_durable_consumer_misses_nothing(home: Any, children: Callable[..., Any]) -> None:
    ring = Ring.create("r")
    producer = ring.producer()
    for number in range(2000):
        producer.publish(number.to_bytes(8, "little"))
    producer.close()
    done: list[int] = []
    for _ in range(8):
        child = children(CHILD_CONSUMER)
        # It may have ended by itself, at the end of the ring.
        lines = iter(child.stdout.readline, b"")
        some = [int(line) for line in itertools.islice(lines, random.randrange(1, 120))]
        kill(child)
        # What it printed in the meantime, up to a line that it did not finish.
        rest = child.stdout.read().split(b"\n")[:-1]
        some += [int(line) for line in rest]
        # It begins where the last one died: at the message at work, or behind it.
        assert not done or some[0] in (done[-1], done[-1] + 1), (some[0], done[-1])
        assert some == list(range(some[0], some[0] + len(some)))
        done += some
        if done[-1] == 1999:
            break
    assert set(range(done[-1])) <= set(done)


def test_asyncio_misses_no_edge(home: Any) -> None:
    async def main(seed: int) -> None:
        draw = random.Random(seed)
        ring = Ring.heap(capacity_bytes=4096)
        producer, consumer, observer = ring.producer(), ring.consumer(), ring.observer(on_loss="value")
        many = 300

        def feed() -> None:
            for number in range(many):
                # Between no pause and one in which the loop goes to sleep, around the moments at which it arms.
                pause = draw.choice([0, 0, 0, 1e-6, 1e-5, 1e-4, 1e-3])
                if pause:
                    time.sleep(pause)
                producer.publish(number.to_bytes(4, "little"))
            producer.close()

        thread = threading.Thread(target=feed)
        thread.start()

        async def consume() -> list[int]:
            return [int.from_bytes(message, "little") async for message in consumer]

        async def observe() -> int:
            count = 0
            async for got in observer:
                count += got.lost if isinstance(got, slipring.Lapped) else 1
            return count

        async with asyncio.timeout(PATIENCE):
            got, count = await asyncio.gather(consume(), observe())
        thread.join()
        assert got == list(range(many)) and count == many

    for seed in range(10):
        asyncio.run(main(seed))


def test_asyncio_deadlines_tasks_and_room() -> None:
    async def main() -> None:
        ring = Ring.heap(capacity_bytes=4096)
        producer, consumer = ring.producer(), ring.consumer()
        for wrong in (-1, float("nan")):
            with pytest.raises(ValueError):
                await consumer.receive_async(timeout=wrong)
        with pytest.raises(slipring.Timeout):
            await consumer.receive_async(timeout=0.02)
        task = asyncio.create_task(consumer.receive_async())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Tasks of one handle take turns, and none is left behind.
        tasks = [asyncio.create_task(consumer.receive_async()) for _ in range(3)]
        await asyncio.sleep(0)
        for number in range(3):
            producer.publish(bytes([number]))
        async with asyncio.timeout(PATIENCE):
            assert sorted(message.sequence for message in await asyncio.gather(*tasks)) == [0, 1, 2]

        async def put() -> None:
            for number in range(500):
                await producer.publish_async(number.to_bytes(2, "little") * 40)
            producer.close()

        async def take() -> int:
            return sum([1 async for _ in consumer])

        async with asyncio.timeout(PATIENCE):
            assert (await asyncio.gather(put(), take()))[1] == 500
        assert await consumer.receive_async(timeout=0.02) is None

    asyncio.run(main())


def test_a_wait_set_is_fair_and_tells_of_ends(in_thread: Any) -> None:
    rings = [Ring.heap() for _ in range(3)]
    producers = [ring.producer() for ring in rings]
    readers = [rings[0].consumer(), rings[1].observer(), rings[2].consumer()]
    waits = slipring.WaitSet()
    assert waits.wait(readers, timeout=0) is None
    assert waits.wait(readers, timeout=0.02) is None
    assert waits.wait([], timeout=0.01) is None
    waiter = in_thread(lambda: waits.wait(readers, timeout=PATIENCE))
    producers[1].publish(b"x")
    assert waiter.result() is readers[1]
    for producer in producers:
        producer.publish(b"y")
    found = [waits.wait(readers, timeout=0) for _ in range(3)]
    assert sorted(map(id, found)) == sorted(map(id, readers))
    for reader in readers:
        while True:
            try:
                reader.try_receive()
            except slipring.Empty:
                break
    producers[2].close()
    assert waits.wait(readers, timeout=PATIENCE) is readers[2]
    with pytest.raises(slipring.Closed):
        readers[2].try_receive()
    with pytest.raises(ValueError):
        waits.wait([readers[0], readers[0]])
    with pytest.raises(TypeError):
        waits.wait([producers[0]])
