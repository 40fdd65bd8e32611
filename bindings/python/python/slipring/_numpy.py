"""Messages and values with a schema in numpy. The only part that needs numpy, which is imported when it is first used."""

from __future__ import annotations

import functools
import re
from typing import Any

_FIELD = re.compile(r"\s*(\w+)\s*:\s*([uif])(8|16|32|64)\s*(?:\[\s*(\d+)\s*\])?\s*(?:\([^)]*\))?\s*(?:,|$)")


def _import() -> Any:
    try:
        import numpy
    except ImportError as error:
        raise ImportError(
            "arrays of messages need numpy: install it, or use receive_messages and publish_batch"
        ) from error
    return numpy


@functools.lru_cache(maxsize=256)
def dtype(schema: str) -> Any:
    """The structured type of a schema, whose hints do not matter."""
    numpy = _import()
    fields = schema[schema.index("{") + 1 : schema.rindex("}")] if "{" in schema else schema
    described: list[tuple[Any, ...]] = []
    at = 0
    while at < len(fields):
        found = _FIELD.match(fields, at)
        if found is None:
            raise ValueError(f"this is no schema: {schema!r}")
        name, kind, bits, count = found.groups()
        scalar = f"<{kind}{int(bits) // 8}"
        described.append((name, scalar) if count is None else (name, scalar, (int(count),)))
        at = found.end()
    return numpy.dtype(described)


def array(block: Any, of: Any) -> Any:
    """An array over messages that were copied already."""
    return _import().frombuffer(block, dtype=of)


def rows(given: Any, schema: str | None) -> tuple[Any, int]:
    """The bytes of an array, and the size of a row, which is a message."""
    numpy = _import()
    if not isinstance(given, numpy.ndarray):
        if schema is None:
            raise TypeError(f"publish_array takes a numpy array, and this is a {type(given).__name__}")
        given = numpy.array(given, dtype=dtype(schema))
    if given.ndim == 0:
        given = given.reshape(1)
    if given.dtype.hasobject:
        raise TypeError(f"an array of objects has no bytes to publish: {given.dtype}")
    if schema is not None:
        wanted = dtype(schema)
        if given.dtype != wanted or given.ndim != 1:
            raise TypeError(
                f"the ring takes a one-dimensional array of {wanted}, and this has {given.ndim} dimensions of {given.dtype}"
            )
    size = given.dtype.itemsize
    for length in given.shape[1:]:
        size *= length
    return given.tobytes(), size


def scalar(data: bytes, schema: str) -> Any:
    """A value of a schema, of its own: whoever gets it may change it."""
    return _import().frombuffer(data, dtype=dtype(schema))[0].copy()


def row(given: Any, schema: str) -> bytes:
    """The bytes of one value in numpy, which has the type of the schema."""
    wanted = dtype(schema)
    if given.dtype != wanted or getattr(given, "ndim", 1) != 0:
        raise TypeError(f"{schema} takes one value of {wanted}, and this is {given!r} of {given.dtype}")
    data: bytes = given.tobytes()
    return data
