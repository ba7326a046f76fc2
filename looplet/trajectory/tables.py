"""Rows of plain values as Arrow tables, and back. Knows columns; knows no trajectory and no file.

Arrow's own conversion of nested structs builds a dict for each level; here each leaf column is
converted at once, and the rows are put together from the leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from numbers import Integral, Real
from operator import itemgetter
from typing import Any

from looplet.trajectory.arrow import pa, pc
from looplet.trajectory.building import build, list_array, struct_array
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
    READY,
    SUBSTITUTE,
    escape_text,
    from_json_text,
    to_json_text,
    unescape_text,
)

Row = dict[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LISTED = frozenset({Kind.TEXTS, Kind.INDICES})
_FLAT: Mapping[str, tuple[Column, ...]] = {
    TRAJECTORIES: TRAJECTORY_COLUMNS,
    SCORES: SCORE_COLUMNS,
}


def pack(row: Mapping[str, Any], dataset: str) -> Row:
    """A row of plain values that later changes of its objects do not reach: JSON encoded.

    Raises ``ValueError`` on what JSON cannot hold, with the column's name. Other values are
    looked at by ``table_of``.
    """
    packed = _pack(row, _FLAT[dataset])
    if dataset == TRAJECTORIES:
        for name, columns in NESTED.items():
            packed[name] = [_pack(item, columns) for item in row[name]]
    return packed


def weight(packed: Mapping[str, Any]) -> int:
    """About how many bytes a packed row takes: its JSON, and a little for everything else."""
    total = _weight(packed)
    for name in NESTED:
        items = packed.get(name, ())
        total += sum(map(_weight, items))
    return total


def table_of(packed: Sequence[Row], dataset: str) -> pa.Table:
    """Packed rows as one table.

    Raises ``TypeError`` on a value of another type than its column's and ``ValueError`` on a time
    without zone, both with the column's name; ``OverflowError`` on a number out of range.
    """
    schema = schema_of(dataset)
    arrays = [_array(packed, column) for column in _FLAT[dataset]]
    if dataset == TRAJECTORIES:
        for name, columns in NESTED.items():
            lists = [row[name] for row in packed]
            items = [item for each in lists for item in each]
            leaves = [_array(items, column) for column in columns]
            kind: Any = schema.field(name).type
            structs = struct_array(leaves, kind.value_type, len(items))
            arrays.append(list_array(map(len, lists), structs, kind))
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


_JSON_OF: Mapping[int, tuple[str, ...]] = {
    id(columns): tuple(column.name for column in columns if column.kind is Kind.JSON)
    for columns in (*_FLAT.values(), *NESTED.values())
}
_LISTS_OF: Mapping[int, tuple[str, ...]] = {
    id(columns): tuple(column.name for column in columns if column.kind in _LISTED)
    for columns in (*_FLAT.values(), *NESTED.values())
}


def _pack(row: Mapping[str, Any], columns: Sequence[Column]) -> Row:
    packed = dict(row)
    ready = packed.pop(READY, None) or {}
    for name in _JSON_OF[id(columns)]:
        value = packed[name]
        if value is not None:
            packed[name] = ready.get(name) or _json_text(value, name)
    for name in _LISTS_OF[id(columns)]:
        if isinstance(packed[name], list):
            packed[name] = packed[name].copy()
    return packed


def _json_text(value: object, name: str) -> str:
    try:
        return to_json_text(value)
    except ValueError as error:
        error.add_note(f"in the column {name}")
        raise


def _weight(packed: Mapping[str, Any]) -> int:
    return sum([len(value) for value in packed.values() if type(value) is str]) + 8 * len(packed)


def _array(rows: Sequence[Row], column: Column) -> pa.Array[Any]:
    """One column; its values are looked at one by one only if any is of another type."""
    values = list(map(itemgetter(column.name), rows))
    kind = column.kind
    kinds = set(map(type, values)) - _NOTHING
    if not kinds <= _EXACT.get(kind, _NOTHING):
        packer, name = _PACKERS[kind], column.name
        values = [None if value is None else packer(value, name) for value in values]
    elif kind is Kind.TEXT and kinds:
        values = _storable(values)
    return build(values, column.field().type)


def _storable(values: list[Any]) -> list[Any]:
    joined = "".join(values if None not in values else filter(None, values))
    if joined.isascii() and SUBSTITUTE not in joined:
        return values
    return [None if value is None else escape_text(value) for value in values]


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


_NOTHING: frozenset[type] = frozenset({type(None)})
_EXACT: Mapping[Kind, frozenset[type]] = {
    Kind.TEXT: frozenset({str}),
    Kind.JSON: frozenset({str}),
    Kind.INT32: frozenset({int}),
    Kind.INT64: frozenset({int}),
    Kind.FLOAT: frozenset({int, float}),
    Kind.FLAG: frozenset({bool}),
}
"""Types whose values go into a column as they are."""
_PACKERS: Mapping[Kind, Callable[[Any, str], Any]] = {
    Kind.TEXT: _pack_text,
    Kind.JSON: lambda value, _: value,
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
