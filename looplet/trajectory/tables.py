"""Rows of plain values as Arrow tables, and back. Knows columns; knows no trajectory and no file.

Arrow's own conversion of nested structs builds a dict for each level; here each leaf column is
converted at once, and the rows are put together from the leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from numbers import Integral, Real
from typing import Any

from looplet.trajectory.arrow import pa, pc
from looplet.trajectory.building import build
from looplet.trajectory.schema import (
    NESTED,
    SCORE_COLUMNS,
    SCORES,
    TRAJECTORIES,
    TRAJECTORY_COLUMNS,
    Column,
    Kind,
    schema_of,
)
from looplet.trajectory.text import (
    SUBSTITUTE,
    escape_text,
    from_json_text,
    to_json_text,
    unescape_text,
)

Row = dict[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FLAT: Mapping[str, tuple[Column, ...]] = {
    TRAJECTORIES: TRAJECTORY_COLUMNS,
    SCORES: SCORE_COLUMNS,
}


def pack(row: Mapping[str, Any], dataset: str) -> Row:
    """A row of plain values as Arrow takes them: JSON encoded, text escaped.

    Raises ``TypeError`` on a value of another type than its column's, ``ValueError`` on a time
    without zone and on what JSON cannot hold; both name the column.
    """
    packed = _pack(row, _FLAT[dataset])
    if dataset == TRAJECTORIES:
        for name, columns in NESTED.items():
            packed[name] = [_pack(item, columns) for item in row[name]]
    return packed


def weight(packed: Mapping[str, Any]) -> int:
    """About how many bytes a packed row takes: its texts, and a little for every number."""
    total = 0
    for value in packed.values():
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, list):
            total += sum(weight(item) if isinstance(item, dict) else 8 for item in value)
        else:
            total += 8
    return total


def table_of(packed: Sequence[Row], dataset: str) -> pa.Table:
    """Packed rows as one table. Raises ``OverflowError`` on a number out of range."""
    schema = schema_of(dataset)
    arrays = [build([row[field.name] for row in packed], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def unpack(table: pa.Table) -> Iterator[Row]:
    """The rows of a table, with the columns that it has. Unknown columns are left out."""
    kinds = {column.name: column for column in _columns_of(table)}
    names: list[str] = []
    values: list[list[Any]] = []
    for name in table.column_names:
        if name in NESTED and pa.types.is_list(table.schema.field(name).type):
            values.append(_nested_values(table.column(name), NESTED[name]))
        elif name in kinds:
            values.append(_values(table.column(name), kinds[name].kind))
        else:
            continue
        names.append(name)
    for cells in zip(*values, strict=True):
        yield dict(zip(names, cells, strict=True))


def _pack(row: Mapping[str, Any], columns: Sequence[Column]) -> Row:
    packed = {}
    for column in columns:
        value = row[column.name]
        if value is not None:
            value = _PACKERS[column.kind](value, column.name)
        packed[column.name] = value
    return packed


def _pack_text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is text, not {type(value).__name__}: {value!r}")
    return escape_text(value)


def _pack_integer(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} is an integer, not {type(value).__name__}: {value!r}")
    return int(value)


def _pack_float(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is a number, not {type(value).__name__}: {value!r}")
    return float(value)


def _pack_flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} is True or False, not {type(value).__name__}: {value!r}")
    return value


def _pack_time(value: Any, name: str) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"{name} is a datetime, not {type(value).__name__}: {value!r}")
    if value.tzinfo is None:
        raise ValueError(f"{name} has no time zone: {value!r}; use datetime.now(timezone.utc)")
    return value


def _listed(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name} is a list, not {type(value).__name__}: {value!r}")
    return list(value)


_PACKERS: Mapping[Kind, Callable[[Any, str], Any]] = {
    Kind.TEXT: _pack_text,
    Kind.JSON: lambda value, _: to_json_text(value),
    Kind.INT32: _pack_integer,
    Kind.INT64: _pack_integer,
    Kind.FLOAT: _pack_float,
    Kind.FLAG: _pack_flag,
    Kind.TIME: _pack_time,
    Kind.TEXTS: lambda value, name: [_pack_text(item, name) for item in _listed(value, name)],
    Kind.INDICES: lambda value, name: [_pack_integer(item, name) for item in _listed(value, name)],
}


def _columns_of(table: pa.Table) -> tuple[Column, ...]:
    dataset = SCORES if "eval_name" in table.column_names else TRAJECTORIES
    return _FLAT[dataset]


def _nested_values(column: pa.ChunkedArray[Any], columns: Sequence[Column]) -> list[list[Row]]:
    kinds = {each.name: each.kind for each in columns}
    rows: list[list[Row]] = []
    chunk: Any
    for chunk in column.chunks:
        lengths = pc.list_value_length(chunk).to_pylist()
        structs = chunk.flatten()
        names = [field.name for field in structs.type if field.name in kinds]
        leaves = [_chunk_values(pc.struct_field(structs, name), kinds[name]) for name in names]
        items = [dict(zip(names, cells, strict=True)) for cells in zip(*leaves, strict=True)]
        start = 0
        for length in lengths:
            rows.append(items[start : start + (length or 0)])
            start += length or 0
    return rows


def _values(column: pa.ChunkedArray[Any], kind: Kind) -> list[Any]:
    return [value for chunk in column.chunks for value in _chunk_values(chunk, kind)]


def plain_values(chunk: pa.Array[Any], kind: Kind) -> list[Any]:
    """The values of a column; JSON stays text."""
    if kind is Kind.TIME:
        return [_time(value) for value in chunk.cast(pa.int64()).to_pylist()]
    values: list[Any] = chunk.to_pylist()
    if kind is Kind.TEXT and _has_escapes(chunk):
        return [None if value is None else unescape_text(value) for value in values]
    if kind is Kind.TEXTS and _has_escapes(pc.list_flatten(chunk)):
        return [None if value is None else list(map(unescape_text, value)) for value in values]
    return values


def _has_escapes(chunk: pa.Array[Any]) -> bool:
    return bool(pc.any(pc.match_substring(chunk, SUBSTITUTE)).as_py())


def _chunk_values(chunk: pa.Array[Any], kind: Kind) -> list[Any]:
    values = plain_values(chunk, kind)
    if kind is not Kind.JSON:
        return values
    return [None if value is None else from_json_text(value) for value in values]


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
