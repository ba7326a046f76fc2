"""Arrow arrays from lists of Python values, built from their bytes. Knows types; knows no column.

``pyarrow.array`` looks whether it was given a pandas object, and imports pandas to find out, which
costs every process that writes a third of a second. Here a leaf is written down as Arrow lays it
out: a bitmap of what is not null, offsets where lengths differ, and the values.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, chain
from typing import Any

from looplet.trajectory.arrow import pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def build(values: Sequence[Any], kind: pa.DataType, *, nulls: bool = True) -> pa.Array[Any]:
    """An array of that type; ``None`` is null. ``nulls`` is false if it is known that none is.

    Takes the types that the schema has: strings, int32, int64, float64, bool, timestamps in
    microseconds, and lists. Raises ``TypeError`` on a value of another
    type, ``OverflowError`` on a number out of range.

    >>> build(["a", None], pa.string()).to_pylist()
    ['a', None]
    """
    if not nulls:
        return _filled(values, kind, [None], 0)
    there = [value is not None for value in values]
    missing = there.count(False)
    if missing == len(values):
        return nothing(len(values), kind)
    return _filled(values, kind, [_bits(there) if missing else None], missing)


def nothing(length: int, kind: Any) -> pa.Array[Any]:
    """So many nulls."""
    nulls: pa.Array[Any] = pa.nulls(length, kind)
    return nulls


def _filled(
    values: Sequence[Any], kind: pa.DataType, validity: list[Any], missing: int
) -> pa.Array[Any]:
    """An array with some value in it; ``validity`` is its first buffer."""
    if pa.types.is_timestamp(kind):
        values = [None if each is None else (each - _EPOCH) // _MICROSECOND for each in values]
    if missing:
        blank = _BLANKS.get(kind, 0)
        values = [blank if value is None else value for value in values]
    children = None
    if pa.types.is_list(kind):
        items, buffers = list(chain.from_iterable(values)), [_buffer(_offsets(map(len, values)))]
        children = [build(items, kind.value_type)]
    elif pa.types.is_string(kind):
        buffers = _strings(values)
    elif pa.types.is_boolean(kind):
        buffers = [_flags(values)]
    else:
        buffers = [_buffer(array(_CODES[kind], values))]
    return pa.Array.from_buffers(
        kind, len(values), validity + buffers, null_count=missing, children=children
    )


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


_CODES: Mapping[pa.DataType, str] = {
    pa.int32(): "i",
    pa.int64(): "q",
    pa.float64(): "d",
    pa.timestamp("us", tz="UTC"): "q",
}
"""Type codes of the standard library's arrays; their sizes are those of C."""
_BLANKS: Mapping[pa.DataType, Any] = {
    pa.string(): "",
    pa.bool_(): False,
    pa.list_(pa.string()): (),
    pa.list_(pa.int32()): (),
}
"""What stands where a null is, if it is not 0."""


def _flags(values: Sequence[Any]) -> Any:
    wrong = set(map(type, values)) - {bool}
    if wrong:
        raise TypeError(f"a flag is True or False, not {wrong.pop().__name__}")
    return _bits(values)


def _strings(texts: Sequence[str]) -> list[Any]:
    joined = "".join(texts)
    if joined.isascii():
        return [_buffer(_offsets(map(len, texts))), pa.py_buffer(joined.encode())]
    parts = [text.encode() for text in texts]
    return [_buffer(_offsets(map(len, parts))), pa.py_buffer(b"".join(parts))]


def _bits(values: Sequence[bool]) -> Any:
    """One bit a value, the lowest first, as Arrow wants it."""
    digits = bytes(values)[::-1].translate(_DIGITS)
    number = int(digits or b"0", 2)
    return pa.py_buffer(number.to_bytes((len(values) + 7) // 8, "little"))


_DIGITS = bytes.maketrans(b"\x00\x01", b"01")


def _offsets(lengths: Iterable[int]) -> array[int]:
    return array("i", accumulate(lengths, initial=0))


def _buffer(data: array[Any]) -> Any:
    return pa.py_buffer(data)
