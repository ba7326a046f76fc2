"""Rows of plain values as Arrow tables. Knows columns; knows no trajectory and no file.

Arrow's own conversion of nested structs looks at each level of each row; here the values of a
leaf are gathered in one list, which becomes one array.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import accumulate, chain
from numbers import Integral, Real
from typing import Any, cast

from looplet.errors import StoreError
from looplet.trajectory.arrow import pa
from looplet.trajectory.building import build, list_array, nothing, struct_array
from looplet.trajectory.schema import FLAT, NESTED, TRAJECTORIES, Column, Kind, schema_of
from looplet.trajectory.text import SUBSTITUTE, JsonTexts, escape_text, to_json_text

_LISTED = frozenset({Kind.TEXTS, Kind.INDICES})
_VALUE_BYTES = 8
"""About what a value takes beside its text."""


class Gathered:
    """Rows of plain values, gathered by column until there are enough for a table.

    What is added is taken as it is at that time: JSON is encoded and lists are copied, so that
    later changes of the objects are not seen.
    """

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset
        self._columns = _Columns(FLAT[dataset])
        nested = NESTED if dataset == TRAJECTORIES else {}
        self._nested = {name: _Columns(columns) for name, columns in nested.items()}
        self._lengths: dict[str, list[int]] = {name: [] for name in nested}
        self.rows = 0
        self.bytes = 0
        """About how many bytes the rows take: their long texts, and a little for all else."""

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row, whose nested lists are given by columns; one that is left out is empty.

        Raises ``ValueError`` on what JSON cannot hold, with the column's name.
        """
        self.bytes += self._columns.add(row)
        for name, columns in self._nested.items():
            items = row.get(name)
            length = columns.length
            if items is not None:
                self.bytes += columns.extend(items)
            self._lengths[name].append(columns.length - length)
        self.rows += 1

    def table(self) -> pa.Table:
        """The rows as a table.

        Raises ``TypeError`` on a value of another type than its column's, ``ValueError`` on a time
        without zone and ``StoreError`` on a number out of range. Each names the column and the row
        by its trajectory.
        """
        schema = schema_of(self._dataset)
        arrays = self._columns.arrays(lambda place: place, self._name)
        for name, columns in self._nested.items():
            lengths, kind = self._lengths[name], cast("Any", schema.field(name).type)
            ends = list(accumulate(lengths))
            leaves = columns.arrays(partial(bisect_right, ends), self._name)
            structs = struct_array(leaves, kind.value_type, ends[-1] if ends else 0)
            arrays.append(list_array(lengths, structs, kind))
        return pa.Table.from_arrays(arrays, schema=schema)

    def _name(self, row: int) -> str:
        return f"the row of trajectory {self._columns.value('trajectory_id', row)!r}"


def table_of(rows: Iterable[Mapping[str, Any]], dataset: str) -> pa.Table:
    """Rows of plain values as one table. Raises as ``Gathered`` does."""
    gathered = Gathered(dataset)
    for row in rows:
        gathered.add(row)
    return gathered.table()


class _Columns:
    """Values of columns that belong together, one list a column."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._values: list[tuple[Column, list[Any]]] = [(column, []) for column in columns]
        self._ways = [(column.name, values, _taker(column)) for column, values in self._values]
        """Each column's name, where its values go, and what is done to them."""

    @property
    def length(self) -> int:
        """How many values each column has."""
        return len(self._values[0][1])

    def value(self, name: str, place: int) -> Any:
        """One value."""
        return next(values[place] for column, values in self._values if column.name == name)

    def add(self, row: Mapping[str, Any]) -> int:
        """Add a value to each column; how many bytes they take, about."""
        size = _VALUE_BYTES * len(self._ways)
        for name, values, take in self._ways:
            value = row[name]
            if take is not None and value is not None:
                (value,), more = take([value])
                size += more
            values.append(value)
        return size

    def extend(self, columns: Mapping[str, Sequence[Any]]) -> int:
        """Add values to each column, as many to one as to another; their bytes, about."""
        before, size = self.length, 0
        for name, values, take in self._ways:
            some = columns[name]
            if take is not None and some.count(None) < len(some):
                some, more = take(some)
                size += more
            values.extend(some)
        return size + _VALUE_BYTES * len(self._ways) * (self.length - before)

    def arrays(
        self, row_of: Callable[[int], int], name_of: Callable[[int], str]
    ) -> list[pa.Array[Any]]:
        """Each column as an array; ``row_of`` tells whose value stands at a place."""
        made = []
        for column, values in self._values:
            try:
                made.append(_array(values, column))
            except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
                place = _culprit(values, column)
                name = name_of(row_of(place))
                if isinstance(error, pa.ArrowException | OverflowError):
                    raise StoreError(
                        f"{column.name} of {name} does not fit the schema: {error}"
                    ) from error
                error.add_note(f"in {name}; nothing was appended")
                raise
        return made


def _culprit(values: Sequence[Any], column: Column) -> int:
    """The place of the first value that does not fit; 0 if each does alone."""
    for place, value in enumerate(values):
        try:
            _array([value], column)
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            return place
    return 0


def _taker(column: Column) -> Callable[[Sequence[Any]], tuple[Sequence[Any], int]] | None:
    """What is done to values of a column when they come: as they are to be kept, and their bytes.

    ``None`` where nothing is to be done, since they do not change and are short.
    """
    if column.kind is Kind.JSON:
        return partial(_take_json, column.name)
    if column.kind in _LISTED:
        return _take_lists
    return _take_texts if column.kind is Kind.TEXT and column.various else None


def _take_json(name: str, values: Sequence[Any]) -> tuple[Sequence[Any], int]:
    if type(values) is not JsonTexts:
        try:
            values = [None if value is None else to_json_text(value) for value in values]
        except ValueError as error:
            error.add_note(f"in the column {name}")
            raise
    return values, sum(map(len, filter(None, values)))


def _take_texts(values: Sequence[Any]) -> tuple[Sequence[Any], int]:
    return values, sum([len(value) for value in values if isinstance(value, str)])


def _take_lists(values: Sequence[Any]) -> tuple[Sequence[Any], int]:
    return [value.copy() if type(value) is list else value for value in values], 0


def _array(values: list[Any], column: Column) -> pa.Array[Any]:
    """One column; its values are looked at one by one only if any is of another type."""
    kind = column.kind
    types = set(map(type, values))
    kinds = types - _NOTHING
    if not kinds:
        return nothing(len(values), column.field().type)
    if kind in _LISTED and kinds <= _LIST:
        kinds = set(map(type, chain.from_iterable(filter(None, values))))
    if not kinds <= _EXACT.get(kind, frozenset()):
        packer, name = _PACKERS[kind], column.name
        values = [None if value is None else packer(value, name) for value in values]
    elif kind is Kind.TEXT and not _storable(values, types):
        values = [None if value is None else escape_text(value) for value in values]
    return build(values, column.field().type, nulls=type(None) in types)


def _storable(values: list[Any], types: set[type]) -> bool:
    joined = "".join(values if types == _TEXTS else filter(None, values))
    return joined.isascii() and SUBSTITUTE not in joined


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
_LIST: frozenset[type] = frozenset({list})
_TEXTS: frozenset[type] = frozenset({str})
_EXACT: Mapping[Kind, frozenset[type]] = {
    Kind.TEXT: frozenset({str}),
    Kind.JSON: frozenset({str}),
    Kind.INT32: frozenset({int}),
    Kind.INT64: frozenset({int}),
    Kind.FLOAT: frozenset({int, float}),
    Kind.FLAG: frozenset({bool}),
    Kind.INDICES: frozenset({int}),
}
"""Types whose values go into a column as they are; of lists, the types of their items."""
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
