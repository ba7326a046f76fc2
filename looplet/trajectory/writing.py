"""Part files in the making. Knows Parquet and rows; knows no trajectory.

A part becomes visible whole, under a name that tells its time and its footer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from looplet.core.records import new_id
from looplet.trajectory.arrow import pa, pq
from looplet.trajectory.damage import reading
from looplet.trajectory.folders import Folder
from looplet.trajectory.gathering import Gathered
from looplet.trajectory.parts import (
    Replaced,
    digest_of_footer,
    newest_stamp,
    part_name,
    replaced_text,
)
from looplet.trajectory.schema import (
    REPLACES_KEY,
    float_columns,
    schema_of,
    various_columns,
)

ROW_GROUP_BYTES = 16 * 2**20
"""About how much unpacked text one row group holds, in bytes."""
ZSTD_LEVEL = 3
PAGE_BYTES = 4 * 2**20
"""Large pages are smaller together; a column is read whole anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What one call of ``append`` added; usable as a path.

    ``rows`` is how many rows, ``path`` the part file that holds them: a ``Path``, or in an object
    store its address as text.
    """

    path: Any
    rows: int

    @property
    def name(self) -> str:
        """The part's name in its folder."""
        return str(self.path).replace(os.sep, "/").rpartition("/")[2]

    def __fspath__(self) -> str:
        return str(self.path)


class PartWriter:
    """One part file in the making; it becomes visible by ``commit``.

    Rows or tables, not both, are gathered and written a row group at a time. Used in a ``with``:
    leaving it without a commit removes what was written. ``replaces`` are the parts whose rows it
    will hold.
    """

    def __init__(
        self,
        folder: Folder,
        dataset: str,
        *,
        row_group_bytes: int = ROW_GROUP_BYTES,
        replaces: Sequence[Replaced] = (),
    ) -> None:
        self._folder, self._dataset = folder, dataset
        self._row_group_bytes = row_group_bytes
        self._replaces = replaces
        self._gathered = Gathered(dataset)
        self._tables: list[pa.Table] = []
        self._bytes = 0
        self._rows = 0
        self._written: Path | None = None
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._written is not None:
            self._folder.discard(self._written)

    def add(self, row: Mapping[str, Any]) -> None:
        """Add one row of plain values."""
        self._gathered.add(row)
        if self._gathered.bytes >= self._row_group_bytes:
            self._flush()

    def add_table(self, table: pa.Table) -> None:
        """Add rows as another part held them."""
        self._tables.append(table)
        self._bytes += table.nbytes
        if self._bytes >= self._row_group_bytes:
            self._flush()

    def commit(self) -> Commit:
        """Write what is left, and let the file appear in its place as the newest."""
        stamp = max(time.time_ns() // 1000, newest_stamp(self._folder) + 1)
        return self.commit_at(f"{stamp:016d}-{new_id()}")

    def commit_at(self, place: str) -> Commit:
        """The same at the place in order that another part had."""
        if self._gathered.rows or self._tables or self._writer is None:
            self._flush()
        self._writer.close()
        written, self._writer = self._written, None
        assert written is not None
        if self._replaces:
            _read_back(written)
        with written.open("rb") as file:
            footer = digest_of_footer(file)
        name = part_name(place, footer, joined=bool(self._replaces))
        self._folder.publish(written, name)
        self._written = None
        return Commit(path=self._folder.address(name), rows=self._rows)

    def _flush(self) -> None:
        if self._tables:
            table = pa.concat_tables(self._tables).combine_chunks()
        else:
            table = self._gathered.table()
        if self._writer is None:
            self._written = self._folder.new_file()
            self._writer = _open_writer(self._written, self._dataset, self._replaces)
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._rows += table.num_rows
        self._gathered, self._tables, self._bytes = Gathered(self._dataset), [], 0


def _read_back(path: Path) -> None:
    """Raise ``StoreDamaged`` unless what was written can be read, with every check."""
    with reading(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            file.read_row_group(group).validate(full=True)


def _open_writer(path: Path, dataset: str, replaces: Sequence[Replaced]) -> Any:
    """A Parquet writer with the encodings that were found to be small and quick."""
    schema, various = schema_of(dataset), various_columns(dataset)
    plain: Any = [leaf for leaf in _leaf_paths(schema) if leaf not in various]
    # Statistics of numbers leave NaN out: by them, a row group would seem to hold none.
    ranged: Any = [leaf for leaf in plain if leaf not in float_columns(dataset)]
    if replaces:
        metadata: Any = {**(schema.metadata or {}), REPLACES_KEY: replaced_text(replaces)}
        schema = schema.with_metadata(metadata)
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        use_dictionary=plain,
        write_statistics=ranged,
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
