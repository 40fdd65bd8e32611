"""Newest and shared values by their schema, with Rust at the other end."""

from __future__ import annotations

import random
import struct
import subprocess
import time
from collections.abc import Callable
from typing import Any

import numpy
import pytest

import slipring
from conftest import PATIENCE, kill, rust_values

EVERY = "Every{g:u64,h:i64,j:f64,m:f64[2],e:u32,f:i32,i:f32,c:u16,d:i16,l:i16[3],a:u8,b:i8,k:u8[5]}"
FORMAT = "<Qqd2dIifHh3hBb5s"
QUOTE = "Quote{time_ns:u64(time),bid:f64,side:u8(0=buy;1=sell),venue:u8[7](text)}"


def some(rng: random.Random) -> dict[str, Any]:
    """A value of every kind of field, the edges of each included."""

    def whole(bits: int, signed: bool) -> int:
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        return rng.choice([low, high, rng.randint(low, high)])

    value: dict[str, Any] = {"g": whole(64, False), "h": whole(64, True)}
    value["j"] = rng.choice([0.0, -1.5, 1e300, float("inf"), rng.random()])
    value["m"] = [rng.random(), -0.5]
    value |= {"e": whole(32, False), "f": whole(32, True)}
    value["i"] = struct.unpack("<f", struct.pack("<f", rng.uniform(-1e30, 1e30)))[0]
    value |= {"c": whole(16, False), "d": whole(16, True), "l": [whole(16, True) for _ in range(3)]}
    value |= {"a": whole(8, False), "b": whole(8, True), "k": rng.randbytes(5)}
    return value


def packed(value: dict[str, Any]) -> bytes:
    """Its bytes, as the interpreter packs them."""
    flat: list[Any] = []
    for field in value.values():
        flat += field if isinstance(field, list) else [field]
    return struct.pack(FORMAT, *flat)


def test_values_of_every_kind_of_field_in_every_form(home: Any) -> None:
    table, shared = slipring.Latest.create("every", schema=EVERY), slipring.Shared.create("turns", schema=EVERY)
    writer, reader = table.writer(), slipring.Latest.open("every").reader()
    seen = slipring.Shared.open("turns")
    assert table.schema == shared.schema == EVERY and table.dtype == shared.dtype
    assert reader.get() is None and reader.get_bytes() is None and reader.get_numpy() is None
    assert seen.get_bytes() == (bytes(struct.calcsize(FORMAT)), 0)
    rng = random.Random(7)
    for number in range(1, 200):
        value = some(rng)
        data = packed(value)
        row = numpy.frombuffer(data, dtype=table.dtype)[0]
        other = {name: value[name] for name in reversed(value)}
        given = rng.choice([value, other, tuple(value.values()), list(value.values()), data, bytearray(data), memoryview(data), row, numpy.array(row)])
        assert writer.set(given) == number
        assert reader.get() == (value, number) and list(reader.get()[0]) == list(value)  # type: ignore[index]
        assert reader.get_bytes() == (data, number)
        scalar, version = reader.get_numpy()  # type: ignore[misc]
        assert version == number and scalar == row and scalar.dtype == table.dtype
        assert {name: scalar[name].tolist() for name in value} == {**value, "k": list(value["k"])}
        scalar["a"] = 1  # a copy
        with shared.lock() as guard:
            guard.value = given
            assert guard.value == value and guard.bytes == data and guard.numpy == row
        assert seen.get() == (value, number) and seen.get_bytes() == (data, number) and seen.get_numpy()[0] == row


def test_one_field_is_changed_in_place(home: Any) -> None:
    account = slipring.Shared.create("account", schema="Account{balance:i64,last:f32[2],owner:u8[4]}")
    with account.lock() as guard:
        guard["owner"] = b"anna"
        guard["balance"] -= 5
        guard["last"] = (1, 2.5)
        assert guard["balance"] == -5 and guard["last"] == [1.0, 2.5] and guard["owner"] == b"anna"
        for name in ("nothing", ""):
            with pytest.raises(KeyError, match="there is no field"):
                guard[name]
            with pytest.raises(KeyError, match="there is no field"):
                guard[name] = 1
        with pytest.raises(ValueError, match="the field balance:i64"):
            guard["balance"] = 1 << 63
    assert account.get() == ({"balance": -5, "last": [1.0, 2.5], "owner": b"anna"}, 1)
    with pytest.raises(ValueError):
        guard["balance"]
    with pytest.raises(ValueError):
        guard["balance"] = 1
    assert account.get()[1] == 1


def test_wrong_values_say_what_is_right_and_change_nothing(home: Any) -> None:
    table = slipring.Latest.create("quote", schema="Quote{bid:f32,size:u16,levels:i8[2],venue:u8[3]}")
    writer, reader = table.writer(), table.reader()
    right = {"bid": 2.0, "size": 1, "levels": [3, -4], "venue": b"abc"}
    writer.set(right)
    for wrong, error, says in (
        ({**right, "size": 65536}, ValueError, "size:u16"),
        ({**right, "size": -1}, ValueError, "size:u16"),
        ({**right, "size": 1.5}, TypeError, "size:u16"),
        ({**right, "size": "1"}, TypeError, "size:u16"),
        ({**right, "bid": 1e39}, ValueError, "bid:f32"),
        ({**right, "bid": b"1"}, TypeError, "bid:f32"),
        ({**right, "levels": [1]}, ValueError, "levels:i8"),
        ({**right, "levels": [1, 2, 3]}, ValueError, "levels:i8"),
        ({**right, "levels": [1, 128]}, ValueError, "levels:i8"),
        ({**right, "levels": 1}, TypeError, "levels:i8"),
        ({**right, "venue": b"abcd"}, ValueError, "venue:u8"),
        ({**right, "venue": b"ab"}, ValueError, "venue:u8"),
        ({**right, "venue": [1, 2, 256]}, ValueError, "venue:u8"),
        ({**right, "ask": 1}, ValueError, "there is no field ask"),
        ({**right, 7: 1}, ValueError, "there is no field 7"),
        ({"size": 1}, ValueError, "bid of .* is missing"),
        ((2.0, 1), ValueError, "has 4 fields, and 2 are given"),
        (bytes(10), ValueError, "10 bytes are given where 11 belong"),
        (bytes(12), ValueError, "12 bytes are given where 11 belong"),
        ("text of 11", TypeError, "a value of Quote"),
        (7, TypeError, "a value of Quote"),
        (None, TypeError, "a value of Quote"),
        (numpy.zeros(11, "u1"), TypeError, "takes one value"),
        (numpy.zeros(1, table.dtype), TypeError, "takes one value"),
        (numpy.zeros((), "f4,u2,2i1,3u1"), TypeError, "takes one value"),
        (numpy.float64(1), TypeError, "takes one value"),
    ):
        with pytest.raises(error, match=says):
            writer.set(wrong)
    writer.set({**right, "venue": [97, 98, 99]})
    assert reader.get() == (right, 2)
    for schema in ("", "Quote{", "Quote{bid:f16}", "Quote{bid:f64[0]}"):
        for form in (slipring.Latest, slipring.Shared):
            with pytest.raises(ValueError, match="schema"):
                form.create("other", schema=schema)
    with pytest.raises(slipring.OpenError, match="field 1 is bid:f32"):
        slipring.Latest.create_or_open("quote", schema="Quote{size:u16}")
    # Texts are those of the commands.
    text = slipring.Latest.create("text")
    assert text.schema == "Text{len:u64,bytes:u8[256]}"
    text.writer().set(b"debug")
    assert text.reader().get_bytes() == ((5).to_bytes(8, "little") + b"debug" + bytes(251), 1)
    with pytest.raises(TypeError):
        text.writer().set("debug")


def test_the_command_reads_what_was_set(home: Any, slipring_command: Callable[..., str]) -> None:
    slipring.Latest.create("quotes", schema=QUOTE)
    slipring.Shared.create("position", schema="Position{long:i64}")
    assert QUOTE in slipring_command("stat", "quotes")
    assert "Position{long:i64}" in slipring_command("stat", "position")
    # A hint changes neither the bytes nor who may read them.
    text = slipring.Latest.create("text", schema="Text{len:u64,bytes:u8[256](text)}")
    text.writer().set(b"short")
    assert slipring_command("latest", "get", "text").strip() == "short"
    assert text.reader().get() == (b"short", 1)


def test_rust_is_at_the_other_end(home: Any) -> None:
    subprocess.run([rust_values(), "make"], check=True, timeout=PATIENCE)
    quotes = slipring.Latest.open("quotes")
    assert quotes.cells == 2 and quotes.schema == "Quote{time_ns:u64,bid:f64,sizes:i32[2],venue:u8[8]}"
    quote = {"time_ns": (1 << 64) - 1, "bid": 99.5, "sizes": [-(1 << 31), 7], "venue": b"XETRA\0\0\0"}
    assert quotes.reader().get(cell=1) == (quote, 1) and quotes.reader().get() is None
    assert slipring.Shared.open("position").get() == ({"long": -7}, 1)
    # A text that says that it is longer than its room.
    assert slipring.Latest.open("text").reader().get() == (b"x" * 256, 1)
    slipring.Latest.create("ours", schema=quotes.schema).writer().set({**quote, "bid": -0.25})
    with slipring.Shared.create("turns", schema="Position{long:i64}").lock() as guard:
        guard["long"] = 1 << 62
    read = subprocess.run([rust_values(), "read"], check=True, timeout=PATIENCE, capture_output=True).stdout.decode()
    assert read == f"{(1 << 64) - 1} -0.25 [{-(1 << 31)}, 7] {list(quote['venue'])} 1\n{1 << 62} 1\n"  # type: ignore[call-overload]


def test_a_value_is_waited_for(home: Any, in_thread: Any) -> None:
    for form in (slipring.Latest, slipring.Shared):
        opened = in_thread(lambda form=form: form.open(form.__name__, timeout=PATIENCE))
        time.sleep(0.1)  # it does wait; a test that is early would still hold
        form.create(form.__name__, schema="Position{long:i64}")
        assert opened.result().schema == "Position{long:i64}"


def test_an_other_process_reads_what_is_written(home: Any, children: Callable[..., Any]) -> None:
    child = children(
        """
import slipring
table = slipring.Latest.create("quotes", schema="Quote{bid:f64,size:u32}")
writer = table.writer()
writer.set({"bid": 99.5, "size": 3})
with slipring.Shared.create("position", schema="Position{long:i64}").lock() as guard:
    guard["long"] = -7
print("up", flush=True)
import time; time.sleep(600)
"""
    )
    assert child.stdout.readline() == b"up\n"
    reader, position = slipring.Latest.open("quotes").reader(), slipring.Shared.open("position")
    assert reader.get() == ({"bid": 99.5, "size": 3}, 1)
    assert position.get() == ({"long": -7}, 1)
    kill(child)
    with position.lock(timeout=PATIENCE) as guard:
        guard["long"] += 1
    assert position.get()[0] == {"long": -6}
