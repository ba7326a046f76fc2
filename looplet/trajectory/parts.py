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
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from looplet.core.records import new_id
from looplet.errors import StoreDamaged, StoreError
from looplet.trajectory.arrow import pa, pq
from looplet.trajectory.schema import check_version, schema_of
from looplet.trajectory.tables import Row, table_of, weight

SUFFIX = ".parquet"
ROW_GROUP_BYTES = 16 * 2**20
"""About how much unpacked text one row group holds, in bytes."""
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
        return pq.ParquetWriter(
            self._temporary,
            schema_of(self._dataset),
            compression="zstd",
            write_page_checksum=True,
        )


class Part:
    """One part file, opened for reading.

    Raises ``StoreDamaged`` if its bytes are not what was written, ``UnknownSchema`` if another
    looplet wrote it; both name the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(path):
            _check_footer(path)
            self._file = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)
        check_version(self._file.schema_arrow.metadata, where=str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def rows(self) -> int:
        """How many rows it holds, from the footer."""
        return int(self._file.metadata.num_rows)

    def row_groups(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Its row groups in order, with the named columns, or with all.

        A column inside a list is named as ``steps.tool``.
        """
        leaves = None if columns is None else self._leaves(columns)
        for index in range(self._file.num_row_groups):
            with reading(self.path):
                table = self._file.read_row_group(index, columns=leaves)
                table.validate(full=True)
            yield table

    def _leaves(self, columns: Sequence[str]) -> list[str]:
        known = {_plain_name(leaf.path) for leaf in _leaves_of(self._file.schema)}
        known |= set(self._file.schema_arrow.names)
        for column in columns:
            if column not in known:
                raise StoreError(f"{self.path} has no column {column!r}")
        return [column.replace(".", ".list.element.", 1) for column in columns]


def _leaves_of(schema: Any) -> list[Any]:
    return [schema.column(place) for place in range(len(schema.names))]


def _plain_name(path: str) -> str:
    """A leaf's path as callers name it: ``steps.list.element.tool`` is ``steps.tool``."""
    head, *inner = path.split(".list.element")
    return head + (inner[0] if inner else "")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong inside into ``StoreDamaged`` that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise StoreError(f"{path} went away while the dataset was read; read it again") from error
    except (pa.ArrowException, LookupError, ValueError, TypeError, OSError) as error:
        if isinstance(error, StoreError) or getattr(error, "errno", None):
            raise
        raise StoreDamaged(
            f"{path} is damaged and was left as it is: {error}. "
            "Restore the file from a copy, or move it out of the dataset to go on without its rows."
        ) from error


def _checked_table(rows: Sequence[Row], dataset: str) -> pa.Table:
    try:
        return table_of(rows, dataset)
    except (pa.ArrowException, OverflowError) as error:
        raise StoreError(f"{_culprit(rows, dataset)} does not fit the schema: {error}") from error


def _culprit(rows: Sequence[Row], dataset: str) -> str:
    for row in rows:
        try:
            table_of([row], dataset)
        except (pa.ArrowException, OverflowError):
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
