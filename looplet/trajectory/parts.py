"""Part files, read with every check there is. Knows Parquet; knows no trajectory.

A part's name is ``<microseconds>-<random>-<footer>.parquet``: Unix time of the commit, six random
bytes, and the first half of the SHA-256 of the file's footer. Names in order are parts in order of
appending. The footer holds the places and sizes of all pages and its hash is in the name; each
page carries its own checksum.

A part made of others has ``-joined`` in its name, stands at the place of the first of them, and
tells in its footer whose rows it holds. Where it is, the others do not count: they are about to
be removed, or whoever would have removed them was killed. Who listed the others before finds
their rows in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple, Self

from looplet.errors import StoreDamaged, StoreError
from looplet.trajectory.arrow import pa, pq
from looplet.trajectory.damage import reading
from looplet.trajectory.folders import SUFFIX, Folder
from looplet.trajectory.schema import REPLACES_KEY, check_version

FEW_COLUMNS = 8
"""Threads cost more than they save where so few columns are read."""
OPEN_FILES = 64
"""How many parts stay open for runs that are read later."""
_JOINED = "-joined"
_NAME = re.compile(rf"(\d{{16,}})-([0-9a-f]{{12}})-([0-9a-f]{{32}})({_JOINED})?\.parquet")
_TAIL_BYTES = 8
"""The footer's length, in four bytes, and the format's magic word."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """A part whose rows stand in another now: ``rows`` of them from ``first`` on."""

    name: str
    first: int
    rows: int
    at: int
    """Unix time of the joining, in seconds."""


def part_name(place: str, footer: str, *, joined: bool) -> str:
    """The name of a part; ``place`` is its time and its random digits."""
    return f"{place}-{footer}{_JOINED if joined else ''}{SUFFIX}"


def place_of(name: str) -> str | None:
    """A part's place in the order of appending; ``None`` if the name is not one of ours."""
    found = _NAME.fullmatch(name)
    return f"{found[1]}-{found[2]}" if found else None


def newest_stamp(folder: Folder) -> int:
    """Time of the newest part, so that a clock that went back does not change the order."""
    found = map(_NAME.fullmatch, folder.names())
    return max((int(each[1]) for each in found if each), default=0)


def replaced_text(replaced: Iterable[Replaced]) -> bytes:
    """Replaced parts as a footer holds them."""
    return json.dumps([astuple(each) for each in replaced], separators=(",", ":")).encode()


def list_parts(folder: Folder) -> list[str]:
    """Names of a dataset's parts in the order of appending; none if there is no such folder.

    Names that begin with a dot or do not end in ``.parquet`` are being written, or are not ours.
    """
    return survey(folder)[0]


def survey(folder: Folder) -> tuple[list[str], list[str]]:
    """Names of the parts in order, and of those that are there and do not count any more."""
    while True:
        names = folder.names()
        # What was joined and removed while the names were listed may be missing from the list,
        # and what it was joined to as well; but not from a list that was begun after that.
        if not _joined(folder.names()) <= _joined(names):
            continue
        try:
            gone = {each.name for name in _joined(names) for each in replaced_by(folder, name)}
        except FileNotFoundError:
            continue  # joined anew
        for name in folder.remembered.keys() - names:
            folder.remembered.pop(name, None)
        return sorted(names - gone), sorted(names & gone)


def _joined(names: Iterable[str]) -> set[str]:
    found = map(_NAME.fullmatch, names)
    return {each[0] for each in found if each and each[4]}


def replaced_by(folder: Folder, name: str) -> list[Replaced]:
    """Whose rows a part holds. Raises ``FileNotFoundError`` if it is not there any more."""
    if not _joined([name]):
        return []
    found: list[Replaced] | None = folder.remembered.get(name)
    if found is None:
        file = _open_checked(folder, name)
        with reading(folder.address(name)):
            text = file.schema_arrow.metadata[REPLACES_KEY]
            found = folder.remembered[name] = [Replaced(*each) for each in json.loads(text)]
    return found


def _where_joined(folder: Folder, name: str) -> tuple[str, Replaced] | None:
    for joined in _joined(folder.names()):
        for each in replaced_by(folder, joined):
            if each.name == name:
                return joined, each
    return None


def digest_of_footer(file: Any) -> str:
    """The first half of the SHA-256 of a Parquet file's footer, in hex."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(max(0, size - _TAIL_BYTES))
    length = int.from_bytes(file.read(_TAIL_BYTES)[:4], "little")
    file.seek(max(0, size - _TAIL_BYTES - length))
    return hashlib.sha256(file.read()).hexdigest()[:32]


class Span(NamedTuple):
    """Rows of a part that are read together: ``rows`` of them from ``first`` on."""

    first: int
    rows: int


class Part:
    """One part, opened for reading; opened again if it was closed meanwhile.

    Its rows are read in ``spans``, which are its row groups. If the part was joined to others, its
    rows are read from there. Raises ``StoreDamaged`` if its bytes are not what was written,
    ``UnknownSchema`` if another looplet wrote it; both name the file. Threads may share it.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self.folder, self.name = folder, name
        self._lock = threading.Lock()
        self._offset = 0
        self._moved_rows: int | None = None
        self._file: Any = None
        self._footer: Any = None
        self._starts: list[int] = []
        self._names: set[str] | None = None
        with reading(self.path):
            self._open()
        end = self._offset + self.rows
        self.spans = [
            Span(max(start, self._offset) - self._offset, min(stop, end) - max(start, self._offset))
            for start, stop in self._groups_between(self._offset, end)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back until something is read again."""
        with self._lock:
            if self._file is not None:
                self._file.close(force=True)
                self._file = None

    @property
    def path(self) -> Any:
        """Where the file is that its rows are read from."""
        return self.folder.address(self.name)

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        if self._moved_rows is not None:
            return self._moved_rows
        return int(self._footer.num_rows)

    def read(self, span: Span, columns: Sequence[str] | None = None) -> pa.Table:
        """A span's rows with the named columns, or with all; every page of them is checked.

        A column inside a list is named as ``steps.tool``.
        """
        with self._lock, reading(self.path):
            file = self._file or self._open()
            leaves = None if columns is None else self._leaves(columns)
            threads = leaves is None or len(leaves) > FEW_COLUMNS
            first = self._offset + span.first
            tables = []
            for start, stop in self._groups_between(first, first + span.rows):
                index = self._starts.index(start)
                table = file.read_row_group(index, columns=leaves, use_threads=threads)
                table.validate(full=True)
                if start < first or stop > first + span.rows:
                    begin = max(first - start, 0)
                    table = table.slice(begin, min(stop, first + span.rows) - start - begin)
                tables.append(table)
            return tables[0] if len(tables) == 1 else pa.concat_tables(tables)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Its spans in order, with the named columns, or with all."""
        return (self.read(span, columns) for span in self.spans)

    def spans_in(self, groups: Iterable[int]) -> list[Span]:
        """The spans that have a row in one of the file's row groups of those numbers."""
        kept = {self._starts[group] for group in groups}
        return [
            span for span in self.spans if any(start in kept for start, _ in self._groups_of(span))
        ]

    def _groups_of(self, span: Span) -> list[tuple[int, int]]:
        first = self._offset + span.first
        return self._groups_between(first, first + span.rows)

    def _groups_between(self, first: int, end: int) -> list[tuple[int, int]]:
        """First and last row of the file's row groups that have rows in a range."""
        bounds = zip(self._starts, self._starts[1:], strict=False)
        return [(start, stop) for start, stop in bounds if start < end and stop > first]

    def _open(self) -> Any:
        while True:
            try:
                self._file = _open_checked(self.folder, self.name, self._footer)
            except FileNotFoundError:
                if not self._move():
                    raise
                continue
            self._footer = self._file.metadata
            counts = (
                self._footer.row_group(each).num_rows for each in range(self._footer.num_row_groups)
            )
            self._starts = [0]
            for count in counts:
                self._starts.append(self._starts[-1] + count)
            return self._file

    def _move(self) -> bool:
        """Read from the part that this one was joined to, if there is one."""
        while True:
            try:
                found = _where_joined(self.folder, self.name)
            except FileNotFoundError:
                continue  # joined anew
            if found is None:
                return False
            self.name, replaced = found
            self._offset += replaced.first
            if self._moved_rows is None:
                self._moved_rows = replaced.rows
            self._footer, self._names = None, None
            return True

    def _leaves(self, columns: Sequence[str]) -> list[str]:
        if self._names is None:
            schema = self._file.schema
            leaves = [schema.column(place).path for place in range(len(schema.names))]
            self._names = {*map(_plain_name, leaves), *self._file.schema_arrow.names}
        for column in columns:
            if column not in self._names:
                raise StoreError(f"{self.path} has no column {column!r}")
        return [column.replace(".", ".list.element.", 1) for column in columns]


class OpenParts:
    """Parts whose files stay open for what is read of them later; the oldest is closed first."""

    def __init__(self, limit: int = OPEN_FILES) -> None:
        self._limit = limit
        self._parts: deque[weakref.ref[Part]] = deque()

    def add(self, part: Part) -> Part:
        """Keep a part open, and close the oldest if there are too many."""
        self._parts.append(weakref.ref(part))
        if len(self._parts) > self._limit:
            oldest = self._parts.popleft()()
            if oldest is not None:
                oldest.close()
        return part


def _open_checked(folder: Folder, name: str, footer: Any = None) -> Any:
    """A part as Parquet; its footer is checked, unless it was before and is given."""
    file = folder.open(name)
    path = folder.address(name)
    with reading(path):
        named = _NAME.fullmatch(name) if footer is None else None
        if named and digest_of_footer(file) != named[3]:
            raise StoreDamaged(
                f"{path} is damaged and was left as it is: its footer is not the one that its name "
                "tells. Restore the file from a copy, or move it out of the dataset."
            )
        opened = pq.ParquetFile(
            file,
            metadata=footer,
            page_checksum_verification=True,
            pre_buffer=not folder.near,  # else each column would be a request of its own
        )
        check_version(opened.schema_arrow.metadata, where=str(path))
    return opened


def _plain_name(path: str) -> str:
    """A leaf's path as callers name it: ``steps.list.element.tool`` is ``steps.tool``."""
    head, *inner = path.split(".list.element")
    return head + (inner[0] if inner else "")
