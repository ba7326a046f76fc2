"""Arrow arrays from lists of Python values, built from their bytes. Knows types; knows no column.

``pyarrow.array`` looks whether it was given a pandas object, and imports pandas to find out, which
costs every process that writes a third of a second. Here a leaf is written down as Arrow lays it
out: a bitmap of what is not null, offsets where lengths differ, and the values.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

from looplet.trajectory.arrow import pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def build(values: Sequence[Any], kind: pa.DataType) -> pa.Array[Any]:
    """An array of that type; ``None`` is null.

    Takes the types that the schema has: strings, int32, int64, float64, bool, timestamps in
    microseconds, and lists. Raises ``TypeError`` on a value of another
    type, ``OverflowError`` on a number out of range.

    >>> build(["a", None], pa.string()).to_pylist()
    ['a', None]
    """
    if values.count(None) == len(values):
        return _nothing(len(values), kind)
    if pa.types.is_list(kind):
        return _lists(values, kind)
    if pa.types.is_string(kind):
        return _strings(values)
    if pa.types.is_boolean(kind):
        return _flags(values)
    if pa.types.is_timestamp(kind):
        micros = [None if each is None else (each - _EPOCH) // _MICROSECOND for each in values]
        return _numbers(micros, pa.int64()).view(kind)
    return _numbers(values, kind)


def _nothing(length: int, kind: Any) -> pa.Array[Any]:
    nulls: pa.Array[Any] = pa.nulls(length, kind)
    return nulls


def list_array(lengths: Iterable[int], items: pa.Array[Any], kind: pa.DataType) -> pa.Array[Any]:
    """Lists of those lengths, whose items stand one after another in ``items``."""
    offsets = _offsets(lengths)
    return pa.Array.from_buffers(
        kind, len(offsets) - 1, [None, _buffer(offsets)], null_count=0, children=[items]
    )


def struct_array(
    children: Sequence[pa.Array[Any]], kind: pa.DataType, length: int
) -> pa.Array[Any]:
    """Structs, none of them null, of their fields' arrays."""
    return pa.Array.from_buffers(kind, length, [None], null_count=0, children=list(children))


def _numbers(values: Sequence[Any], kind: pa.DataType) -> pa.Array[Any]:
    if None in values:
        data = array(_CODES[kind], [0 if value is None else value for value in values])
    else:
        data = array(_CODES[kind], values)
    return _array(kind, values, [_buffer(data)])


_CODES: Mapping[pa.DataType, str] = {
    pa.int32(): "i",
    pa.int64(): "q",
    pa.float64(): "d",
}
"""Type codes of the standard library's arrays; their sizes are those of C."""


def _flags(values: Sequence[bool | None]) -> pa.Array[Any]:
    wrong = next((value for value in values if not (value is None or value in (True, False))), None)
    if wrong is not None:
        raise TypeError(f"a flag is True or False, not {wrong!r}")
    return _array(pa.bool_(), values, [_bits(values)])


def _strings(values: Sequence[str | None]) -> pa.Array[Any]:
    texts = ["" if value is None else value for value in values] if None in values else values
    joined = "".join(texts)  # type: ignore[arg-type] # no text is None here
    if joined.isascii():
        offsets, data = _offsets(map(len, texts)), joined.encode()  # type: ignore[arg-type]
    else:
        parts = [text.encode() for text in texts]  # type: ignore[union-attr]
        offsets, data = _offsets(map(len, parts)), b"".join(parts)
    return _array(pa.string(), values, [_buffer(offsets), pa.py_buffer(data)])


def _lists(values: Sequence[Sequence[Any] | None], kind: Any) -> pa.Array[Any]:
    items = [item for value in values if value is not None for item in value]
    offsets = _offsets(0 if value is None else len(value) for value in values)
    return _array(kind, values, [_buffer(offsets)], [build(items, kind.value_type)])


def _array(
    kind: pa.DataType,
    values: Sequence[Any],
    buffers: list[Any],
    children: list[pa.Array[Any]] | None = None,
) -> pa.Array[Any]:
    nulls = values.count(None)
    validity = _bits([value is not None for value in values]) if nulls else None
    return pa.Array.from_buffers(
        kind, len(values), [validity, *buffers], null_count=nulls, children=children
    )


def _bits(values: Sequence[Any]) -> Any:
    """One bit a value, the lowest first, as Arrow wants it."""
    number = int("".join("1" if value else "0" for value in reversed(values)) or "0", 2)
    return pa.py_buffer(number.to_bytes((len(values) + 7) // 8, "little"))


def _offsets(lengths: Iterable[int]) -> array[int]:
    return array("i", accumulate(lengths, initial=0))


def _buffer(data: array[Any]) -> Any:
    return pa.py_buffer(data.tobytes())
