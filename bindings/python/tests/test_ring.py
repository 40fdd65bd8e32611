"""Rings: producers, consumers, observers, batches, claims, peeks, losses, ends, wrong arguments."""

from __future__ import annotations

import gc
import random
import time
from typing import Any

import pytest

import slipring
from slipring import Ring

numpy = pytest.importorskip("numpy")
PATIENCE = 60.0


def test_what_is_published_arrives_once_and_in_order() -> None:
    for seed in range(20):
        draw = random.Random(seed)
        ring = Ring.heap(capacity_bytes=1 << draw.randint(12, 16))
        producer, consumer = ring.producer(), ring.consumer("oldest")
        sent: list[bytes] = []
        got: list[tuple[int, bytes]] = []
        for _ in range(400):
            how = draw.randrange(6)
            size = draw.choice([0, 1, 7, 8, 9, draw.randint(0, 200), ring.max_message_bytes])
            data = draw.randbytes(size)
            try:
                if how < 2:
                    kind = draw.choice([bytes, bytearray, memoryview])
                    assert producer.publish(kind(data), timeout=0) == len(sent)
                elif how == 2:
                    with producer.claim(size, timeout=0) as claim:
                        claim[:] = data
                    assert claim.sequence == len(sent)
                elif how == 3:
                    some = [draw.randbytes(draw.randint(0, 50)) for _ in range(draw.randint(0, 4))]
                    try:
                        assert producer.publish_batch(some, timeout=0) == len(some)
                        sent += some
                    except slipring.Timeout as error:
                        sent += some[: error.published]  # type: ignore[attr-defined]
                    continue
                else:
                    raise slipring.Timeout
                sent.append(data)
            except slipring.Timeout:
                # Full, or a time to read.
                try:
                    match draw.randrange(4):
                        case 0:
                            message = consumer.receive(timeout=0)
                            got.append((message.sequence, bytes(message)))
                        case 1:
                            for message in consumer.receive_batch(draw.randint(1, 9), timeout=0):
                                got.append((message.sequence, message.data))
                        case 2:
                            with consumer.peek(timeout=0) as view:
                                got.append((view.sequence, bytes(view)))
                        case 3:
                            message = consumer.try_receive()
                            got.append((message.sequence, message.data))
                except (slipring.Timeout, slipring.Empty):
                    assert len(got) == len(sent)
        producer.close()
        got += [(message.sequence, message.data) for message in consumer]
        assert got == list(enumerate(sent))


def test_a_message_is_bytes() -> None:
    ring = Ring.heap()
    producer, consumer = ring.producer(), ring.consumer()
    producer.publish(b"hello")
    message = consumer.receive()
    assert message == b"hello" and b"hello" == message and message != b"hullo" and message < b"hfllo"
    assert message == bytearray(b"hello") and hash(message) == hash(b"hello")
    assert (len(message), message[0], message[1:3], bytes(message), message.decode()) == (5, 104, b"el", b"hello", "hello")
    assert list(message) == [104, 101, 108, 108, 111] and 104 in message and b"ell" in message
    view = memoryview(message)
    assert view.readonly and view.tobytes() == b"hello"
    del message
    gc.collect()
    assert view.tobytes() == b"hello"
    assert numpy.frombuffer(view, dtype="u1").tolist() == list(b"hello")


def test_sizes_at_the_edges() -> None:
    ring = Ring.heap(capacity_bytes=4096)
    producer, consumer = ring.producer(), ring.consumer()
    largest = ring.max_message_bytes
    for size in (0, 1, largest - 1, largest):
        producer.publish(bytes(size))
        assert len(consumer.receive()) == size
        with producer.claim(size) as claim:
            assert len(claim) == size
        with consumer.peek() as view:
            assert len(view) == size
    for call in (producer.publish, producer.try_publish):
        with pytest.raises(slipring.PublishError) as caught:
            call(bytes(largest + 1))
        assert (caught.value.code, caught.value.len, caught.value.max) == (500, largest + 1, largest)
    with pytest.raises(slipring.PublishError) as caught:
        producer.claim(1 << 63)
    assert caught.value.code == 500
    with pytest.raises(OverflowError):
        producer.claim(-1)


def test_a_full_ring_names_who_holds_it_back() -> None:
    ring = Ring.heap(capacity_bytes=4096)
    producer, consumer = ring.producer(), ring.consumer()
    published = 0
    with pytest.raises(slipring.Full) as full:
        while True:
            producer.try_publish(bytes(100))
            published += 1
    assert (full.value.code, full.value.row) == (501, consumer.row)
    for timeout in (0, 0.02):
        with pytest.raises(slipring.Timeout) as late:
            producer.publish(bytes(100), timeout=timeout)
        assert (late.value.code, late.value.row) == (503, consumer.row)
        assert isinstance(late.value, TimeoutError)
        with pytest.raises(slipring.Timeout):
            producer.claim(100, timeout=timeout)
    with pytest.raises(slipring.Timeout) as part:
        producer.publish_batch([bytes(100)] * 3, timeout=0.02)
    assert part.value.published == 0  # type: ignore[attr-defined]
    assert len(consumer.receive_batch(published)) == published
    with pytest.raises(slipring.Timeout) as part:
        producer.publish_batch([bytes(100)] * 200, timeout=0.02)
    assert 0 < part.value.published < 200  # type: ignore[attr-defined]
    got = consumer.receive_batch(1000)
    assert len(got) == part.value.published  # type: ignore[attr-defined]


def test_a_batch_larger_than_the_ring_flows_through(in_thread: Any) -> None:
    ring = Ring.heap(capacity_bytes=4096)
    producer, consumer = ring.producer(), ring.consumer()
    messages = [number.to_bytes(4, "little") * (number % 9) for number in range(5000)]
    sender = in_thread(lambda: producer.publish_batch(messages, timeout=PATIENCE))
    got: list[bytes] = []
    while len(got) < len(messages):
        got += [message.data for message in consumer.receive_batch(100, timeout=PATIENCE)]
    assert sender.result() == len(messages) and got == messages


def test_a_claim_is_published_whole_in_part_or_not_at_all() -> None:
    ring = Ring.heap()
    producer, consumer = ring.producer(), ring.consumer()
    with pytest.raises(RuntimeError):
        with producer.claim(8) as claim:
            claim[:] = b"12345678"
            raise RuntimeError
    claim = producer.claim(8)
    claim[:] = b"abcdefgh"
    with pytest.raises(ValueError):
        claim.commit(9)
    assert claim.commit(3) == 0 and claim.sequence == 0
    with pytest.raises(ValueError):
        claim.commit()
    with pytest.raises(ValueError):
        memoryview(claim)
    claim = producer.claim(4)
    claim.abort()
    claim.abort()
    claim = producer.claim(4)
    with pytest.raises(BufferError):
        producer.publish(b"while it is lent")
    del claim
    producer.publish(b"next")
    assert [message.data for message in consumer.receive_batch(9)] == [b"abc", b"next"]


def test_views_that_are_held_keep_what_is_lent() -> None:
    ring = Ring.heap(capacity_bytes=4096)
    producer, consumer = ring.producer(), ring.consumer()
    with pytest.raises(BufferError):
        with producer.claim(8) as claim:
            array = numpy.frombuffer(claim, dtype="u8")
    array[0] = 7
    with pytest.raises(BufferError):
        producer.publish(b"no")
    with pytest.raises(BufferError):
        producer.close()
    with pytest.raises(BufferError):
        claim.commit()
    del array
    assert claim.commit() == 0

    with pytest.raises(BufferError):
        with consumer.peek() as view:
            array = numpy.frombuffer(view, dtype="u8")
            with pytest.raises((TypeError, ValueError)):
                view[0] = 1  # type: ignore[index]
    assert array[0] == 7 and not array.flags.writeable
    for call in (consumer.receive, consumer.peek, lambda: consumer.receive_batch(2), consumer.try_receive, consumer.close):
        with pytest.raises(BufferError):
            call()
    # The producer waits for it meanwhile.
    with pytest.raises(slipring.Timeout):
        while True:
            producer.publish(bytes(500), timeout=0)
    assert array[0] == 7
    del array
    view.release()
    view.release()
    assert len(consumer.receive()) == 500

    # In any order of collection.
    for order in range(6):
        producer.publish(b"12345678", timeout=PATIENCE)
        consumer.receive_batch(100)
        producer.publish(b"12345678")
        view = consumer.peek()
        array = numpy.frombuffer(view, dtype="u8")
        things: list[Any] = [view, array, consumer]
        del view, array
        if order % 2:
            del consumer
        while things:
            things.pop(order % len(things))
            gc.collect()
        if order % 2:
            consumer = ring.consumer("latest")
        with pytest.raises(slipring.Timeout):
            consumer.receive(timeout=0)


def test_gaps_are_told_between_the_messages_they_lie_between() -> None:
    for how in ("receive", "batch", "peek", "observer", "observer batch", "durable", "durable batch"):
        for values in (False, True):
            ring = Ring.heap()
            producer = ring.producer()
            options = {"on_loss": "value" if values else "raise"}
            reader: Any
            if how.startswith("observer"):
                reader = ring.observer("oldest", **options)
            elif how.startswith("durable"):
                reader = ring.durable_consumer("one", "oldest", **options)
            else:
                reader = ring.consumer("oldest", **options)
            producer.publish(b"a")
            producer.publish(b"b")
            assert producer.skip_to(10, "restored") == 8
            producer.publish(b"c")
            assert producer.skip_to(10_000, 77) == 9989
            producer.publish(b"d")
            producer.close()
            seen: list[Any] = []
            while True:
                try:
                    if how.endswith("batch"):
                        got = reader.receive_batch(100)
                    elif how == "peek":
                        got = reader.peek()
                        if isinstance(got, slipring.Peek):
                            with got:
                                got = (bytes(got), got.sequence)
                    else:
                        got = reader.receive()
                except slipring.SkippedError as error:
                    assert not values and error.code == 3
                    seen.append((error.skipped, error.resumed_at, error.why))
                    continue
                if got is None:
                    break
                if isinstance(got, slipring.Skipped):
                    assert values
                    seen.append((got.skipped, got.resumed_at, got.why))
                elif isinstance(got, list):
                    seen += [(message.data, message.sequence) for message in got]
                elif isinstance(got, tuple):
                    seen.append(got)
                else:
                    seen.append((got.data, got.sequence))
            wanted = [(b"a", 0), (b"b", 1), (8, 10, "restored"), (b"c", 10), (9989, 10_000, "77"), (b"d", 10_000)]
            assert seen == wanted, how
    with pytest.raises(slipring.PublishError) as behind:
        ring = Ring.heap(first_sequence=5)
        ring.producer().skip_to(3, "lost")
    assert (behind.value.code, behind.value.next) == (505, 5)


def test_an_observer_accounts_for_every_message() -> None:
    lost_in_all = 0
    for seed in range(10):
        draw = random.Random(seed)
        ring = Ring.heap(capacity_bytes=4096)
        producer = ring.producer()
        observer = ring.observer("oldest", on_loss="value")
        raising = ring.observer("oldest", resume="oldest")
        counts = {id(observer): [0, 0], id(raising): [0, 0]}
        published = 0
        for _ in range(200):
            for _ in range(draw.randint(0, 80)):
                producer.publish(published.to_bytes(8, "little"))
                published += 1
            for reader in (observer, raising):
                count = counts[id(reader)]
                for _ in range(draw.randint(0, 60)):
                    try:
                        got: Any = reader.receive_batch(3, timeout=0) if draw.random() < 0.3 else reader.receive(timeout=0)
                    except slipring.Timeout:
                        break
                    except slipring.LappedError as lapped:
                        count[1] += lapped.lost
                        assert sum(count) == lapped.resumed_at == reader.next_sequence
                        continue
                    if isinstance(got, slipring.Lapped):
                        count[1] += got.lost
                        assert sum(count) == got.resumed_at
                        continue
                    for message in got if isinstance(got, list) else [got]:
                        assert message.sequence == sum(count) == int.from_bytes(message, "little")
                        count[0] += 1
        for reader in (observer, raising):
            received, lost = counts[id(reader)]
            assert reader.counts() == (received, lost, 0)
            lost_in_all += lost
    assert lost_in_all > 0


@pytest.mark.parametrize("by", ["one", "several", "values"])
def test_losses_and_gaps_together_account_for_every_sequence(by: str) -> None:
    """A consumer that is evicted, in a ring with gaps."""
    ring = Ring.heap(capacity_bytes=4096, evict_after=0.001)
    on_loss: Any = "raise" if by == "one" else "value"
    producer, consumer = ring.producer(), ring.consumer(on_loss=on_loss)
    rng = random.Random(5)
    expected, together = consumer.next_sequence, 0
    expelled: list[slipring.ReceiveError] = []

    def receive() -> Any:
        """What comes next: a message, several, or a loss of which nothing is told yet; `None` if nothing is there."""
        try:
            return consumer.receive_messages(rng.choice([1, 2, 50]), timeout=0) if by == "several" else consumer.receive(timeout=0)
        except slipring.Timeout:
            return None
        except (slipring.MissedError, slipring.SkippedError) as error:
            return error
        except slipring.ReceiveError as error:
            assert error.code == 605
            expelled.append(error)
            return None

    for _ in range(300):
        # Up to three rings of messages, with gaps at any place.
        for _ in range(rng.randint(0, 90)):
            # A message tells the gap right before it, so there is one behind each.
            if rng.randint(0, 9) == 0:
                producer.skip_to(producer.next_sequence + rng.randint(1, 5), "lost")
            producer.publish(producer.next_sequence.to_bytes(8, "little") * rng.choice([1, 1, 12]), timeout=PATIENCE)
        before = None
        while (got := receive()) is not None:
            if isinstance(got, (slipring.Missed, slipring.MissedError)):
                expected += got.lost
                assert got.resumed_at == expected
            elif isinstance(got, (slipring.Skipped, slipring.SkippedError)):
                expected += got.skipped
                assert (got.resumed_at, got.why) == (expected, "lost")
                together += isinstance(before, (slipring.Missed, slipring.MissedError))
            else:
                for message in got if isinstance(got, list) else [got]:
                    assert message.sequence == expected == int.from_bytes(message[:8], "little")
                    expected += 1
            before = got
        if expelled:
            # It lost its place again and again.
            expelled.clear()
            consumer = ring.consumer(on_loss=on_loss)
            expected = consumer.next_sequence
        assert expected == producer.next_sequence
    assert together > 0


def test_an_evicted_consumer_is_told_exactly() -> None:
    ring = Ring.heap(capacity_bytes=4096, evict_after=0.001)
    producer = ring.producer()
    for options in ({"on_loss": "raise"}, {"on_loss": "value"}):
        consumer = ring.consumer("latest", **options)
        first = consumer.next_sequence
        received = lost = 0
        for _ in range(3):
            for _ in range(100):
                producer.publish(bytes(100))
            while True:
                try:
                    got = consumer.receive(timeout=0)
                except slipring.Timeout:
                    break
                except slipring.MissedError as error:
                    assert options["on_loss"] == "raise"
                    lost += error.lost
                    assert first + received + lost == error.resumed_at
                    continue
                if isinstance(got, slipring.Missed):
                    lost += got.lost
                    continue
                assert got.sequence == first + received + lost
                received += 1
        assert lost > 0 and first + received + lost == producer.next_sequence
        assert consumer.losses() == (lost, 0)


def test_a_durable_consumer_gets_again_what_it_did_not_acknowledge() -> None:
    ring = Ring.heap()
    producer = ring.producer()
    for number in range(20):
        producer.publish(bytes([number]))
    risk = ring.durable_consumer("risk", "oldest")
    with pytest.raises(slipring.AttachError) as used:
        ring.durable_consumer("risk")
    assert used.value.code == 410
    assert [risk.receive()[0] for _ in range(3)] == [0, 1, 2]
    del risk  # at work on 2
    risk = ring.durable_consumer("risk")
    assert risk.receive()[0] == 2
    assert risk.row >= 0 and risk.next_sequence == 3
    with pytest.raises(BufferError):
        risk.lag_bytes
    risk.acknowledge()
    assert risk.lag_bytes > 0
    del risk
    with ring.durable_consumer("risk") as risk:
        assert risk.receive()[0] == 3
    with pytest.raises(RuntimeError):
        with ring.durable_consumer("risk") as risk:
            assert [message[0] for message in risk.receive_batch(2)] == [4, 5]
            assert [message[0] for message in risk.receive_batch(2)] == [6, 7]
            raise RuntimeError
    with ring.durable_consumer("risk") as risk:
        assert [message[0] for message in risk.receive_batch(3)] == [6, 7, 8]
        with risk.peek() as view:
            assert view[0] == 9
    risk = ring.durable_consumer("risk")
    view = risk.peek()
    assert view[0] == 10
    risk.close()
    with pytest.raises(ValueError):
        view[0]
    risk = ring.durable_consumer("risk")
    assert risk.receive()[0] == 11
    risk.close()
    assert ring.forget_cursor("risk") and not ring.forget_cursor("risk")


def with_gap(ring: Ring) -> Any:
    """The producer of two messages, a gap, and a third message."""
    producer = ring.producer()
    producer.publish(b"a")
    producer.publish(b"b")
    producer.skip_to(10, "lost")
    producer.publish(b"c")
    return producer


def test_what_lies_behind_a_loss_is_not_acknowledged_before_it_is_handed_out() -> None:
    for leave in ("drop", "acknowledge", "close"):
        for losses in (0, 1):
            ring = Ring.heap()
            risk = ring.durable_consumer("risk", "oldest", on_loss="value")
            producer = with_gap(ring)
            # All of them were taken together.
            assert [message.data for message in risk.receive_messages(9)] == [b"a", b"b"]
            for _ in range(losses):
                assert isinstance(risk.receive(), slipring.Skipped)
            if leave == "acknowledge":
                risk.acknowledge()
            if leave == "close":
                risk.close()
            del risk
            with ring.durable_consumer("risk", on_loss="value") as again:
                got: list[bytes] = []
                while not got or got[-1] != b"c":
                    one = again.receive(timeout=0)
                    got += [] if isinstance(one, slipring.Skipped) else [one.data]
            assert got == [b"a", b"b", b"c"], (leave, losses)
            producer.close()


def test_what_is_still_to_be_handed_out_is_there_for_waits() -> None:
    ring = Ring.heap()
    consumer, observer, peeking = ring.consumer(on_loss="value"), ring.observer(on_loss="value"), ring.consumer(on_loss="value")
    producer = with_gap(ring)
    waits = slipring.WaitSet()
    for reader in (consumer, observer, peeking):
        assert len(reader.receive_messages(2)) == 2
    # The message behind the loss was taken with it; an observer takes the loss with the messages before it.
    assert isinstance(consumer.receive(), slipring.Skipped)
    assert isinstance(peeking.peek(), slipring.Skipped)
    # The message that is to be lent is a copy, so its space was given back.
    assert peeking.lag_bytes == consumer.lag_bytes
    for reader in (consumer, peeking):
        assert waits.wait([reader], timeout=0) is reader and reader.arm()
        assert reader.receive(timeout=0) == b"c"
        assert waits.wait([reader], timeout=0) is None and not reader.arm()
    producer.publish(b"d")
    producer.skip_to(20, "lost")
    assert isinstance(observer.receive(), slipring.Skipped)
    assert [message.data for message in observer.receive_messages(9)] == [b"c", b"d"]
    # Nothing else is there.
    assert waits.wait([observer], timeout=0) is observer and observer.arm()
    assert isinstance(observer.receive(timeout=0), slipring.Skipped)
    assert waits.wait([observer], timeout=0) is None
    producer.publish(b"e")
    assert observer.receive(timeout=0) == b"e"


def test_the_end_is_told_once_for_each_producer(in_thread: Any) -> None:
    for kind in (Ring.consumer, Ring.observer):
        ring = Ring.heap()
        reader = kind(ring, "oldest")
        for round in range(3):
            producer = ring.producer()
            if round != 1:
                producer.publish(b"one")
            if round == 1:
                with pytest.raises(slipring.Empty):
                    reader.try_receive()
            else:
                assert reader.try_receive() == b"one"
            producer.close()
            assert reader.receive(timeout=PATIENCE) is None
            with pytest.raises(slipring.Closed):
                reader.try_receive()
            # Called again, it waits for the next producer until its deadline.
            begun = time.monotonic()
            assert reader.receive(timeout=0.12) is None and time.monotonic() - begun >= 0.12
            assert reader.receive(timeout=0) is None
            # It does wait: the end is not told again.
            waiter = in_thread(lambda: reader.receive(timeout=PATIENCE))
            time.sleep(0.01)
            with ring.producer() as producer:
                producer.publish(b"next")
            assert waiter.result() == b"next"
            assert reader.receive(timeout=PATIENCE) is None


def test_wrong_arguments_say_what_is_right(tmp_path: Any) -> None:
    ring = Ring.heap()
    producer, consumer = ring.producer(), ring.consumer()
    for call in (
        lambda: producer.publish("text"),
        lambda: producer.publish(7),
        lambda: producer.publish_batch([b"ok", "text"]),
        lambda: producer.publish_batch(7),
        lambda: consumer.receive(timeout="soon"),
        lambda: Ring.heap(colour="red"),
        lambda: Ring.heap(capacity_bytes="big"),
        lambda: Ring.open(7),
        lambda: producer.publish_array([1, 2]),
    ):
        with pytest.raises(TypeError):
            call()
    for call in (
        lambda: consumer.receive(timeout=-1),
        lambda: consumer.receive(timeout=float("nan")),
        lambda: consumer.receive_batch(0),
        lambda: ring.consumer("newest"),
        lambda: ring.consumer(-1),
        lambda: ring.consumer(1.5),
        lambda: ring.consumer(on_loss="ignore"),
        lambda: ring.observer(resume="middle"),
        lambda: ring.consumer(strategy="lazy"),
        lambda: Ring.heap(schema="Quote{bid:real}"),
        lambda: producer.skip_to(5, "because"),
    ):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(slipring.CreateError) as odd:
        Ring.heap(capacity_bytes=5000)
    assert odd.value.code == 101
    with pytest.raises(slipring.NotFound) as missing:
        Ring.open(tmp_path / "none")
    assert missing.value.code == 200 and isinstance(missing.value, FileNotFoundError)
    for group in (slipring.OpenError, slipring.CreateError):
        with pytest.raises(group) as name:
            Ring.open("../up")
        assert name.value.code == 100
    with pytest.raises(slipring.AttachError) as owned:
        ring.producer()
    assert owned.value.code == 400 and owned.value.pid > 0
    with pytest.raises(slipring.AttachError) as ahead:
        ring.consumer(10**6)
    assert (ahead.value.code, ahead.value.requested, ahead.value.next) == (405, 10**6, 0)
    for closed in (producer, consumer):
        closed.close()
        closed.close()
        assert closed.closed
    with pytest.raises(ValueError):
        producer.publish(b"x")
    with pytest.raises(ValueError):
        consumer.receive()


def test_typed_rings_are_arrays() -> None:
    schema = "Tick{time_ns:u64(time),price:i64(exponent=-4;unit=USD),qty:f32[2],flags:u8[8](text)}"
    ring = Ring.heap(schema=schema)
    assert ring.schema == schema
    dtype = ring.dtype
    assert dtype.itemsize == 32 and dtype.names == ("time_ns", "price", "qty", "flags")
    producer, consumer, observer = ring.producer(), ring.consumer(), ring.observer()
    ticks = numpy.zeros(1000, dtype=dtype)
    ticks["time_ns"] = numpy.arange(1000)
    ticks["qty"][:, 1] = 0.5
    assert producer.publish_array(ticks) == 1000
    got = consumer.receive_batch(600)
    rest = consumer.receive_batch(600)
    assert (len(got), len(rest)) == (600, 400)
    assert (numpy.concatenate([got, rest]) == ticks).all()
    assert (observer.receive_batch(5000) == ticks).all()
    # Every second row is not contiguous, and is published in its order.
    assert producer.publish_array(ticks[::-2]) == 500
    assert (consumer.receive_batch(1000) == ticks[::-2]).all()
    for wrong in (numpy.zeros(3), numpy.zeros((2, 2), dtype=dtype), numpy.array([object()])):
        with pytest.raises(TypeError):
            producer.publish_array(wrong)
    with pytest.raises(slipring.PublishError) as size:
        producer.publish(bytes(31))
    assert (size.value.code, size.value.len, size.value.expected) == (504, 31, 32)
    producer.publish(ticks[7])
    assert consumer.receive() == ticks[7].tobytes()
    producer.skip_to(10_000, "lost")
    producer.publish_array(ticks[:2])
    with pytest.raises(slipring.SkippedError):
        consumer.receive_batch(10)
    assert (consumer.receive_batch(10) == ticks[:2]).all()
    producer.close()
    assert consumer.receive_batch(10) is None


def test_rows_of_any_array_are_messages() -> None:
    ring = Ring.heap()
    producer, consumer = ring.producer(), ring.consumer()
    array = numpy.arange(12, dtype="<u2").reshape(3, 4)
    assert producer.publish_array(array) == 3
    assert [message.data for message in consumer.receive_batch(9)] == [row.tobytes() for row in array]
    with pytest.raises(ValueError):
        producer.publish_array(numpy.zeros((3, 0)))


def test_places_are_names_or_paths(home: Any, tmp_path: Any) -> None:
    with Ring.create("ticks", capacity_bytes=4096, mode=0o640) as ring:
        assert ring.path == home / "ticks"
        with pytest.raises(slipring.CreateError) as exists:
            Ring.create("ticks")
        assert exists.value.code == 102
        again = Ring.create_or_open("ticks", capacity_bytes=8192, mode=0o640)
        assert again.differences() == ["capacity: 4096, not 8192"] and again.id == ring.id
        consumer = ring.consumer()
        with pytest.raises(slipring.RemoveError) as used:
            Ring.remove("ticks")
        assert used.value.code == 300
        consumer.close()
        Ring.remove("ticks")
        assert ring.is_removed
    Ring.create(tmp_path / "other").close()
    Ring.remove(tmp_path / "other")
    with pytest.raises(ValueError):
        ring.status()


def test_status_says_who_is_there() -> None:
    ring = Ring.heap()
    assert ring.status().producer_alive is False
    producer, consumer = ring.producer(), ring.consumer()
    producer.publish(b"x")
    status = ring.status()
    assert (status.next_sequence, status.producer_alive, len(status.readers)) == (1, True, 1)
    assert status.readers[0].next_sequence == 0 and status.readers[0].row == consumer.row
    assert producer.wait_for_readers(1, timeout=0) == 1
    with pytest.raises(slipring.Timeout) as few:
        ring.wait_for_readers(2, timeout=0.02)
    assert (few.value.code, few.value.readers, few.value.wanted) == (414, 1, 2)
    consumer.wait_for_producer(timeout=0)
    producer.detach()
    with pytest.raises(slipring.Timeout):
        ring.wait_for_producer(timeout=0.02)
