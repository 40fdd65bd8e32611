"""The vectors that all languages share, `docs/vectors/languages.list`: every entry is read, and is as the package has it."""

from __future__ import annotations

import os
import pathlib
from typing import Any, Callable, Iterator

import numpy
import pytest
import slipring
from conftest import ROOT
from slipring import _errors

LIST = ROOT / "docs" / "vectors" / "languages.list"

Entry = list[tuple[str, str]]


def entries() -> Iterator[Entry]:
    """The entries of the list, which are apart by empty lines."""
    _, _, text = LIST.read_text().partition("\n\n")
    for block in text.split("\n\n"):
        yield [(word, rest) for word, _, rest in (line.partition(" ") for line in block.splitlines())]


def of_kind(kind: str) -> list[Entry]:
    found = [entry for entry in entries() if entry[0][0] == kind]
    assert found, kind
    return found


def test_the_list_has_as_many_entries_as_it_says() -> None:
    kinds = [entry[0][0] for entry in entries()]
    many = {kind: kinds.count(kind) for kind in ("schema", "refused", "error", "failure")}
    assert sum(many.values()) == len(kinds)
    counts = "counts " + " ".join(f"{kind} {count}" for kind, count in many.items())
    assert counts in LIST.read_text().splitlines()


@pytest.mark.parametrize("entry", of_kind("schema"), ids=lambda entry: entry[0][1][:8])
def test_schemas_and_messages(entry: Entry) -> None:
    lines = iter(entry[1:])

    def line(word: str) -> str:
        found, rest = next(lines)
        assert found == word
        return rest

    ring = slipring.Ring.heap(schema=line("written"))
    dtype = ring.dtype
    assert ring.schema == line("text")
    # Which programs may read it: hints do not count, and the hash is that of the text without them.
    bare = line("bare")
    other = slipring.Ring.heap(schema=bare)
    assert other.schema == bare and other.dtype == dtype
    value = 0xCBF29CE484222325
    for byte in bare.encode():
        value = (value ^ byte) * 0x100000001B3 % (1 << 64)
    assert line("hash") == f"{value:016x}"
    assert line("bytes") == str(dtype.itemsize)
    producer, consumer = ring.producer(), ring.consumer()
    fields = []
    for word, rest in lines:
        if word == "field":
            name, kind, many, offset = rest.split(" ")
            scalar = dtype.fields[name][0]
            assert dtype.fields[name][1] == int(offset)
            assert scalar.base == numpy.dtype(f"<{kind[0]}{int(kind[1:]) // 8}")
            assert scalar.shape == (() if many == "1" else (int(many),))
            fields.append(name)
            continue
        assert word == "message"
        assert fields == list(dtype.names)
        row = numpy.zeros(1, dtype=dtype)
        for name in fields:
            given, *values = line("value").split(" ")
            assert given == name
            base = dtype.fields[name][0].base
            parse: Callable[[str], Any] = float if base.kind == "f" else int
            with numpy.errstate(all="raise"):
                elements = numpy.array([parse(value) for value in values], dtype="f8" if base.kind == "f" else base)
            assert elements.size == row[name].size
            row[name] = elements.astype(base).reshape(row[name].shape)
        assert row.tobytes().hex() == rest
        # By an array, and alone.
        assert producer.publish_array(row) == 1
        producer.publish(bytes.fromhex(rest))
        got = consumer.receive_batch(2)
        assert len(got) == 2 and got.dtype == dtype and got.tobytes().hex() == rest * 2
        for name in fields:
            assert got[name][0].tobytes() == row[name][0].tobytes()


@pytest.mark.parametrize("entry", of_kind("refused"), ids=lambda entry: entry[0][1])
def test_texts_that_are_no_schema(entry: Entry) -> None:
    (_, text), (word, says) = entry
    assert word == "says"
    with pytest.raises(ValueError) as raised:
        slipring.Ring.heap(schema=text)
    assert str(raised.value) == f"schema: {says}"


# What a variant of any error type is in Python.
SPECIAL = {
    "TimedOut": slipring.Timeout,
    "Empty": slipring.Empty,
    "Full": slipring.Full,
    "Forked": slipring.Forked,
    "Removed": slipring.Removed,
    "Closed": slipring.Closed,
    "ProducerGone": slipring.ProducerGone,
    "NotFound": slipring.NotFound,
    "PeerGone": slipring.PeerGone,
}
# The class of a type, where no variant of it has another.
GROUPS = {
    "CreateError": slipring.CreateError,
    "RemoveError": slipring.RemoveError,
    "SemaphoreError": slipring.SemaphoreError,
    "LatestError": slipring.LatestError,
    "SharedError": slipring.SharedError,
    "LinkError": slipring.LinkError,
}


def test_every_number_is_of_the_class_of_its_name() -> None:
    seen = set()
    for entry in of_kind("error"):
        ((_, said),) = entry
        number, *names = said.split(" ")
        code = int(number)
        assert code not in seen and names
        seen.add(code)
        made = _errors.make(code, "", {})
        assert made.code == code and isinstance(made, slipring.Error)
        for name in names:
            kind, _, variant = name.partition("::")
            where = f"{code} {name}: {type(made).__mro__}"
            if code < 800:
                # 800 and above are of what Python does not have: isolated rings.
                assert type(made) is not slipring.Error, where
                for special, of in SPECIAL.items():
                    if variant == special:
                        assert isinstance(made, of), where
                    elif special == "TimedOut":
                        assert not isinstance(made, of), where
            if kind in GROUPS and variant not in SPECIAL and code != 100:
                assert isinstance(made, GROUPS[kind]), where
    # Each number that the package treats alone is one of the list.
    assert {code for code in _errors._SPECIAL if code >= 100} <= seen


def _small(**more: Any) -> slipring.Ring:
    return slipring.Ring.create("ring", capacity_bytes=4096, max_readers=1, **more)


def _fill() -> None:
    ring = _small()
    with ring.consumer("oldest"), ring.producer() as producer:
        while True:
            producer.publish(bytes(100), timeout=0.001)


def _in_turn(*calls: Callable[[slipring.Ring], Any], make: Callable[[], slipring.Ring] = _small) -> Callable[[], None]:
    """Makes a ring and then handles, the last of which is refused."""

    def run() -> None:
        ring = make()
        kept = [call(ring) for call in calls]
        del kept

    return run


def _closed(ring: slipring.Ring) -> None:
    ring.producer().close()


FAILURES: dict[str, Callable[[], Any]] = {
    "open-missing": lambda: slipring.Ring.open("ring"),
    "open-another-form": lambda: [slipring.Queue.create("ring"), slipring.Ring.open("ring")],
    "create-existing": lambda: [_small(), slipring.Ring.create("ring")],
    "create-capacity-5000": lambda: slipring.Ring.create("ring", capacity_bytes=5000),
    "create-nowhere": lambda: slipring.Ring.create(pathlib.Path(os.environ["SLIPRING_DIR"]) / "nowhere" / "ring"),
    "remove-in-use": _in_turn(lambda ring: ring.producer(), lambda ring: slipring.Ring.remove("ring")),
    "second-producer": _in_turn(lambda ring: ring.producer(), lambda ring: ring.producer()),
    "no-row-of-1": _in_turn(lambda ring: ring.consumer("oldest"), lambda ring: ring.consumer("oldest")),
    "consumer-gone-7": _in_turn(
        lambda ring: ring.consumer(7), make=lambda: slipring.Ring.create("ring", capacity_bytes=4096, first_sequence=10)
    ),
    "consumer-ahead-7": _in_turn(lambda ring: ring.consumer(7)),
    "cursor-in-use": _in_turn(
        lambda ring: ring.durable_consumer("mine", "oldest"),
        lambda ring: ring.durable_consumer("mine", "oldest"),
        make=lambda: slipring.Ring.create("ring", capacity_bytes=4096),
    ),
    "cursor-name-with-a-slash": _in_turn(lambda ring: ring.durable_consumer("a/b", "oldest")),
    "publish-too-large-5000": _in_turn(lambda ring: ring.producer().publish(bytes(5000))),
    "publish-wrong-size-3": _in_turn(lambda ring: ring.producer().publish(bytes(3)), make=lambda: slipring.Ring.create("ring", schema="P{a:u64}")),
    "publish-timed-out": _fill,
    "receive-nothing": _in_turn(lambda ring: ring.producer(), lambda ring: ring.consumer("oldest").try_receive()),
    "receive-timed-out": _in_turn(lambda ring: ring.producer(), lambda ring: ring.consumer("oldest").receive(timeout=0.001)),
    "receive-closed": _in_turn(_closed, lambda ring: ring.consumer("oldest").try_receive()),
}


@pytest.mark.parametrize("entry", of_kind("failure"), ids=lambda entry: entry[0][1])
def test_a_failure_has_the_number_and_says_the_sentence(home: Any, entry: Entry) -> None:
    (_, said), (word, says) = entry
    assert word == "says"
    code, _, name = said.partition(" ")
    with pytest.raises(slipring.Error) as raised:
        FAILURES[name]()
    sentence = str(raised.value).replace(str(home), "{dir}").replace(str(os.getpid()), "{pid}")
    assert (raised.value.code, sentence) == (int(code), says)


def test_every_failure_is_in_the_list() -> None:
    assert sorted(entry[0][1].partition(" ")[2] for entry in of_kind("failure")) == sorted(FAILURES)
