"""Part files: written whole under a name that tells their time, read with every check there is.

Knows Parquet and the file system; knows no trajectory. A part's name is
``<microseconds>-<random>-<footer>.parquet``: Unix time of the commit, six random bytes, and the
first half of the SHA-256 of the file's footer. Names in order are parts in order of appending.
The footer holds the places and sizes of all pages and its hash is in the name; each page carries
its own checksum.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from looplet.core.records import new_id
from looplet.errors import StoreDamaged, StoreError
from looplet.trajectory.arrow import pa, pq
from looplet.trajectory.damage import reading
from looplet.trajectory.schema import check_version, schema_of, various_columns
from looplet.trajectory.tables import Row, table_of, weight

SUFFIX = ".parquet"
ROW_GROUP_BYTES = 16 * 2**20
"""About how much unpacked text one row group holds, in bytes."""
ZSTD_LEVEL = 3
PAGE_BYTES = 4 * 2**20
"""Large pages are smaller together; a column is read whole anyway."""
FEW_COLUMNS = 8
"""Threads cost more than they save where so few columns are read."""
OPEN_FILES = 64
"""How many parts stay open for runs that are read later."""
_NAME = re.compile(r"(\d{16,})-([0-9a-f]{12})-([0-9a-f]{32})\.parquet")
_TAIL_BYTES = 8
"""The footer's length, in four bytes, and the format's magic word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What one call of ``append`` added; usable as a path.

    ``rows`` is how many rows, ``path`` the part file that holds them.
    """

    path: Path
    rows: int

    def __fspath__(self) -> str:
        return str(self.path)


def list_parts(folder: Path) -> list[Path]:
    """The part files of a dataset, in the order of appending; none if there is no such folder.

    Files whose names begin with a dot or do not end in ``.parquet`` are being written, or are not
    ours.
    """
    if not folder.is_dir():
        return []
    parts = (path for path in folder.iterdir() if path.name.endswith(SUFFIX))
    return sorted(path for path in parts if not path.name.startswith("."))


class PartWriter:
    """One part file in the making; it becomes visible when ``commit`` renames it.

    Rows are gathered and written a row group at a time. Used in a ``with``: leaving it without a
    commit removes what was written.
    """

    def __init__(self, folder: Path, dataset: str, *, row_group_bytes: int) -> None:
        self._folder, self._dataset = folder, dataset
        self._row_group_bytes = row_group_bytes
        self._temporary = folder / f".{new_id()}.tmp"
        self._gathered: list[Row] = []
        self._bytes = 0
        self._rows = 0
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
            self._temporary.unlink(missing_ok=True)

    def add(self, packed: Row) -> None:
        """Add one packed row."""
        self._gathered.append(packed)
        self._rows += 1
        self._bytes += weight(packed)
        if self._bytes >= self._row_group_bytes:
            self._flush()

    def commit(self) -> Commit:
        """Write what is left, flush it to the disk, and rename the file into its place."""
        if self._gathered or self._writer is None:
            self._flush()
        self._writer.close()
        self._writer = None
        _sync(self._temporary)
        stamp = max(time.time_ns() // 1000, _newest_stamp(self._folder) + 1)
        footer = _footer_digest(self._temporary)
        path = self._folder / f"{stamp:016d}-{new_id()}-{footer}{SUFFIX}"
        self._temporary.rename(path)
        _sync(self._folder)
        return Commit(path=path, rows=self._rows)

    def _flush(self) -> None:
        table = _checked_table(self._gathered, self._dataset)
        if self._writer is None:
            self._writer = self._open()
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._gathered, self._bytes = [], 0

    def _open(self) -> Any:
        self._folder.mkdir(parents=True, exist_ok=True)
        return open_writer(self._temporary, self._dataset)


def open_writer(path: Path, dataset: str) -> Any:
    """A Parquet writer with the encodings that were found to be small and quick."""
    schema, various = schema_of(dataset), various_columns(dataset)
    plain: Any = [path for path in _leaf_paths(schema) if path not in various]
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        use_dictionary=plain,
        write_statistics=plain,
        data_page_size=PAGE_BYTES,
        write_page_checksum=True,
    )


def _leaf_paths(schema: pa.Schema) -> list[str]:
    """Every leaf as Parquet names it."""
    paths = []
    for field in schema:
        kind: Any = field.type
        if not pa.types.is_list(kind):
            paths.append(field.name)
        elif pa.types.is_struct(kind.value_type):
            for leaf in kind.value_type:
                end = ".list.element" if pa.types.is_list(leaf.type) else ""
                paths.append(f"{field.name}.list.element.{leaf.name}{end}")
        else:
            paths.append(f"{field.name}.list.element")
    return paths


class Part:
    """One part file, opened for reading; opened again if it was closed meanwhile.

    Raises ``StoreDamaged`` if its bytes are not what was written, ``UnknownSchema`` if another
    looplet wrote it; both name the file. Threads may share it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file: Any = None
        self._footer: Any = None
        self._names: set[str] | None = None
        with reading(path):
            _check_footer(path)
            file = self._open()
        check_version(file.schema_arrow.metadata, where=str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back until something is read again."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    @property
    def rows(self) -> int:
        """How many rows it holds, from the footer."""
        return int(self._footer.num_rows)

    @property
    def groups(self) -> int:
        """How many row groups it has."""
        return int(self._footer.num_row_groups)

    def group_rows(self, index: int) -> int:
        """How many rows a row group holds."""
        return int(self._footer.row_group(index).num_rows)

    def read(self, index: int, columns: Sequence[str] | None = None) -> pa.Table:
        """A row group with the named columns, or with all; every page of them is checked.

        A column inside a list is named as ``steps.tool``.
        """
        with self._lock, reading(self.path):
            file = self._file or self._open()
            leaves = None if columns is None else self._leaves(columns)
            threads = leaves is None or len(leaves) > FEW_COLUMNS
            table: pa.Table = file.read_row_group(index, columns=leaves, use_threads=threads)
            table.validate(full=True)
        return table

    def row_groups(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Its row groups in order, with the named columns, or with all."""
        return (self.read(index, columns) for index in range(self.groups))

    def _open(self) -> Any:
        self._file = pq.ParquetFile(
            self.path,
            metadata=self._footer,
            page_checksum_verification=True,
            pre_buffer=False,
        )
        self._footer = self._file.metadata
        return self._file

    def _leaves(self, columns: Sequence[str]) -> list[str]:
        if self._names is None:
            self._names = {_plain_name(leaf.path) for leaf in _leaves_of(self._file.schema)}
            self._names |= set(self._file.schema_arrow.names)
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


def _leaves_of(schema: Any) -> list[Any]:
    return [schema.column(place) for place in range(len(schema.names))]


def _plain_name(path: str) -> str:
    """A leaf's path as callers name it: ``steps.list.element.tool`` is ``steps.tool``."""
    head, *inner = path.split(".list.element")
    return head + (inner[0] if inner else "")


def _checked_table(rows: Sequence[Row], dataset: str) -> pa.Table:
    try:
        return table_of(rows, dataset)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        name = _culprit(rows, dataset)
        if isinstance(error, pa.ArrowException | OverflowError):
            raise StoreError(f"{name} does not fit the schema: {error}") from error
        error.add_note(f"in {name}; nothing was appended")
        raise


def _culprit(rows: Sequence[Row], dataset: str) -> str:
    for row in rows:
        try:
            table_of([row], dataset)
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            return f"the row of trajectory {row['trajectory_id']!r}"
    return f"a row group of {len(rows)} rows"


def _newest_stamp(folder: Path) -> int:
    """Time of the newest part, so that a clock that went back does not change the order."""
    names = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return max((int(found[1]) for found in names if found), default=0)


def _check_footer(path: Path) -> None:
    named = _NAME.fullmatch(path.name)
    if named and _footer_digest(path) != named[3]:
        raise StoreDamaged(
            f"{path} is damaged and was left as it is: its footer is not the one that its name "
            "tells. Restore the file from a copy, or move it out of the dataset."
        )


def _footer_digest(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        length = int.from_bytes(file.read(_TAIL_BYTES)[:4], "little")
        file.seek(max(0, size - _TAIL_BYTES - length))
        return hashlib.sha256(file.read()).hexdigest()[:32]


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
