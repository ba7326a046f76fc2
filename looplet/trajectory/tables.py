"""Arrow tables as rows of plain values. Knows columns; knows no trajectory and no file.

Arrow's own conversion of nested structs builds a dict for each level; here each leaf column is
converted at once, and the rows are put together from the leaves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from looplet.trajectory.arrow import load_compute, pa
from looplet.trajectory.schema import FLAT, NESTED, SCORES, TRAJECTORIES, Column, Kind
from looplet.trajectory.text import SUBSTITUTE, from_json_text, unescape_text

Row = dict[str, Any]
_SUBSTITUTE = re.compile(SUBSTITUTE.encode())
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


def _columns_of(table: pa.Table) -> tuple[Column, ...]:
    dataset = SCORES if "eval_name" in table.column_names else TRAJECTORIES
    return FLAT[dataset]


def _nested_values(column: pa.ChunkedArray[Any], columns: Sequence[Column]) -> list[list[Row]]:
    kinds = {each.name: each.kind for each in columns}
    rows: list[list[Row]] = []
    pc = load_compute()
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
    if kind is Kind.TEXTS and _has_escapes(chunk):
        return [None if value is None else list(map(unescape_text, value)) for value in values]
    return values


def _has_escapes(chunk: pa.Array[Any]) -> bool:
    """Whether an escape may be in texts, or in lists of them."""
    column: Any = chunk
    texts = column.flatten() if pa.types.is_list(column.type) else column
    if pa.types.is_string(texts.type):  # as the store writes them; their bytes are one buffer
        data = texts.buffers()[-1]
        return data is not None and _SUBSTITUTE.search(data) is not None
    pc = load_compute()
    return bool(pc.any(pc.match_substring(texts, SUBSTITUTE)).as_py())


def _chunk_values(chunk: pa.Array[Any], kind: Kind) -> list[Any]:
    values = plain_values(chunk, kind)
    if kind is not Kind.JSON:
        return values
    return [None if value is None else from_json_text(value) for value in values]


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
