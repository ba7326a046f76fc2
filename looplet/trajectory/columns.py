"""Row groups read a column at a time, when a value of it is first asked for. Knows no run.

A column of one row group is read and checked once, for all rows of the group. What was read is
kept up to a limit, over all groups together; a column that had to go is read again.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from looplet.trajectory.arrow import load_compute, pa
from looplet.trajectory.damage import damaged
from looplet.trajectory.schema import NESTED, TRAJECTORY_COLUMNS, Column, Kind
from looplet.trajectory.tables import plain_values
from looplet.trajectory.text import from_json_text

if TYPE_CHECKING:
    from looplet.trajectory.parts import Part, Span

KEPT_BYTES = 96 * 2**20
"""About how much of what was read is kept, in bytes; the newest row group is always kept."""
_COLUMNS: dict[str, Column] = {
    **{column.name: column for column in TRAJECTORY_COLUMNS},
    **{f"{head}.{column.name}": column for head, columns in NESTED.items() for column in columns},
}
_FIRST_LEAF = {head: f"{head}.{columns[0].name}" for head, columns in NESTED.items()}
_OBJECT_BYTES = 40
"""About what a Python object takes beside its text."""


_OWN = frozenset({Kind.JSON, Kind.TEXTS, Kind.INDICES})
"""Kinds whose values can be changed, so that everybody gets his own."""


def is_scalar(name: str) -> bool:
    """Whether a column's values can be shared, and stand in ``RowGroup.values`` as they are."""
    return _COLUMNS[name].kind not in _OWN


class Kept:
    """What has been read, in the order of reading; the oldest goes when it gets too much."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self._limit = limit
        self._entries: deque[tuple[weakref.ref[RowGroup], str, int]] = deque()
        self._total = 0
        self._lock = threading.Lock()

    def add(self, group: RowGroup, name: str, size: int) -> None:
        """Note that a column was read; forget the oldest ones of other groups."""
        with self._lock:
            self._entries.append((weakref.ref(group), name, size))
            self._total += size
            for _ in range(len(self._entries)):
                if self._total <= self._limit:
                    return
                self._let_go(group)

    def _let_go(self, group: RowGroup) -> None:
        """Forget the oldest column, or count it as the newest if it is that group's own."""
        entry = self._entries.popleft()
        reference, oldest, size = entry
        other = reference()
        if other is group:
            self._entries.append(entry)
            return
        self._total -= size
        if other is not None:
            other.forget(oldest)


class RowGroup:
    """One row group of a part; its columns are read when they are asked for.

    Every column is checked as it is read. Raises ``StoreDamaged`` where a page is not what was
    written, or a value not what its column holds.
    """

    __slots__ = ("__weakref__", "_bounds", "_columns", "_kept", "_part", "_span", "rows")

    def __init__(self, part: Part, span: Span, kept: Kept) -> None:
        self._part, self._span, self._kept = part, span, kept
        self._columns: dict[str, list[Any]] = {}
        self._bounds: dict[str, list[int]] = {}
        self.rows = span.rows

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rows))

    def __deepcopy__(self, memo: object) -> RowGroup:
        """The same: nothing that it holds is changed."""
        return self

    def values(self, name: str) -> list[Any]:
        """A column's values, or those of all lists of a leaf as ``steps.tool``; JSON as text."""
        try:
            return self._columns[name]
        except KeyError:
            return self._read(name)

    def value(self, name: str, place: int) -> Any:
        """One value of a column or leaf, the caller's own: JSON decoded, lists copied."""
        found = self.values(name)[place]
        if found is None:
            return None
        kind = _COLUMNS[name].kind
        if kind is Kind.JSON:
            try:
                return from_json_text(found)
            except (ValueError, LookupError, TypeError) as error:
                raise self.damage(error) from error
        return list(found) if type(found) is list else found

    def bounds(self, head: str, row: int) -> tuple[int, int]:
        """Where a row's list begins and ends in the values of the leaves of ``head``."""
        if head not in self._bounds:
            self.values(_FIRST_LEAF[head])
        bounds = self._bounds[head]
        return bounds[row], bounds[row + 1]

    def forget(self, name: str) -> None:
        """Let go of a column that was read."""
        self._columns.pop(name, None)

    def damage(self, error: Exception) -> Exception:
        """The error that names the part file of this group."""
        return damaged(self._part.path, error)

    def _read(self, name: str) -> list[Any]:
        table = self._part.read(self._span, [name])
        column: Any = table.column(0).combine_chunks()
        head, _, leaf = name.partition(".")
        if leaf:
            self._bounds[head], structs = _unlisted(column)
            column = structs.flatten()[structs.type.get_field_index(leaf)]
        try:
            values = plain_values(column, _COLUMNS[name].kind)
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise self.damage(error) from error
        self._columns[name] = values
        self._kept.add(self, name, 2 * table.nbytes + _OBJECT_BYTES * len(values))
        return values


def _unlisted(column: Any) -> tuple[list[int], Any]:
    """Where each row's list begins and ends in all items, and these; null is an empty list."""
    if column.null_count:
        lengths = load_compute().list_value_length(column).to_pylist()
        return [0, *accumulate(length or 0 for length in lengths)], column.flatten()
    offsets: list[int] = column.offsets.to_pylist() or [0]  # as the store writes them
    first, end = offsets[0], offsets[-1]
    return [offset - first for offset in offsets], column.values.slice(first, end - first)
