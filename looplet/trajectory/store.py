"""The dataset: append trajectories and scores, read them back. Knows parts, rows and views.

A store is a folder. ``trajectories/`` and ``scores/`` in it hold part files, each written whole
and never changed; plain Parquet readers take them as they are.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

from looplet.errors import MissingExtra, StoreError
from looplet.trajectory import rows as trajectory_rows
from looplet.trajectory import tables, views
from looplet.trajectory.arrow import fs, pa
from looplet.trajectory.checking import Check, StoreInfo, check_folders, folder_info
from looplet.trajectory.columns import Kept, RowGroup
from looplet.trajectory.damage import reading
from looplet.trajectory.filtering import Filter
from looplet.trajectory.folders import open_folder
from looplet.trajectory.joining import PART_BYTES, Compaction, compact_folder
from looplet.trajectory.model import Trajectory
from looplet.trajectory.parts import OpenParts, Part, list_parts
from looplet.trajectory.schema import SCORE_COLUMNS, SCORES, TRAJECTORIES
from looplet.trajectory.sql import run_query
from looplet.trajectory.stored import stored_run
from looplet.trajectory.writing import ROW_GROUP_BYTES, Commit, PartWriter

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.compute as pc

_REQUIRED_OF_SCORES = ("trajectory_id", "eval_name")


class TrajectoryStore:
    """A folder of trajectories, and of the scores that they were given.

    ``append`` creates the folder. Reading a folder without any part finds nothing; reading where
    there is no folder raises ``StoreError``. Several processes may append at once.

    >>> import tempfile
    >>> store = TrajectoryStore(tempfile.mkdtemp())
    >>> commit = store.append(Trajectory(trajectory_id="t1", run_id="r1", task={"goal": "x"}))
    >>> len(store), next(iter(store)).task
    (1, {'goal': 'x'})
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        row_group_bytes: int = ROW_GROUP_BYTES,
        filesystem: fs.FileSystem | None = None,
    ) -> None:
        self._folder = open_folder(path, filesystem)
        self._folders = {name: self._folder.child(name) for name in (TRAJECTORIES, SCORES)}
        self.path = Path(self._folder.path)
        self._row_group_bytes = row_group_bytes
        self._kept, self._open_parts = Kept(), OpenParts()

    def __repr__(self) -> str:
        return f"TrajectoryStore({self._folder.shown!r})"

    def append(self, trajectories: Trajectory | Iterable[Trajectory]) -> Commit:
        """Add one trajectory or many, as one part file that appears whole or not at all.

        Raises ``TypeError`` on anything that is not a ``Trajectory``, ``ValueError`` on a value
        that cannot be stored, ``StoreError`` on a number out of range; then nothing is added.
        """
        if isinstance(trajectories, Trajectory):
            trajectories = [trajectories]
        return self._write(map(_trajectory_row, trajectories), TRAJECTORIES)

    def append_scores(self, scores: Iterable[Mapping[str, Any]]) -> Commit:
        """Add scores, each a mapping from columns of the scores dataset to values.

        ``trajectory_id`` and ``eval_name`` are required; a column that is left out is null.
        Raises ``ValueError`` on a column that there is not.
        """
        return self._write(map(_score_row, scores), SCORES)

    def __len__(self) -> int:
        return sum(part.rows for part in self._parts(TRAJECTORIES))

    def __bool__(self) -> bool:
        """A store is true, with rows or without, so that ``if store`` reads no file."""
        return True

    def __iter__(self) -> Iterator[Trajectory]:
        """The trajectories in order of appending, as ``scan`` gives them."""
        return self.scan()

    def scan(self, where: pc.Expression | None = None) -> Iterator[Trajectory]:
        """The trajectories in order of appending, each field read when it is first asked for.

        They are ``Trajectory`` objects, equal to those that were appended. A column is read for
        one row group at once, and only if somebody looks at it; one row group at a time is held,
        with what the caller keeps. A damaged file raises ``StoreDamaged`` where what is damaged is
        read: at once if it is the footer.

        ``where`` is an expression of ``pyarrow.compute`` over columns that are no lists, such as
        ``(pc.field("model") == "m") & (pc.field("reward") < 1)``. Rows for which it is false or
        null are left out; row groups in whose statistics nothing can match are not read. Raises
        ``StoreError`` if it cannot be evaluated.
        """
        check = None if where is None else Filter(where, TRAJECTORIES)
        self._check_exists()
        return self._scan(check)

    def iter_rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The trajectories' rows with the named columns only, JSON decoded; the rest is not read.

        A column inside a list is named as ``steps.tool``, and comes as
        ``{"steps": [{"tool": ...}]}``.
        """
        return self._rows(TRAJECTORIES, columns)

    def scan_tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The trajectories in order of appending as Arrow tables, one a row group, as stored.

        Only the named columns are read, all without names; a column inside a list is named as
        ``steps.tool``. Steps, messages and calls are lists of structs, and JSON is text.
        """
        return (table for part in self._parts(TRAJECTORIES) for table in part.tables(columns))

    def scores(self) -> Iterator[dict[str, Any]]:
        """The scores in order of appending, each with every column of the scores dataset."""
        return self._rows(SCORES, None)

    def to_arrow(self, view: str = TRAJECTORIES) -> pa.Table:
        """One flat table: ``trajectories``, ``steps``, ``calls``, ``messages`` or ``scores``.

        Raises ``ValueError`` if there is no such view.
        """
        return pa.concat_tables([views.empty_table(view), *self._view_tables(view)])

    def sql(
        self, query: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> pa.Table:
        """The answer to a SELECT in DuckDB's dialect over the views as tables.

        Only the columns that the query asks for are read, with every check. ``parameters`` fill
        ``?`` in order, or ``$name`` by name. Nothing can be written, and no other file be read.
        Raises ``MissingExtra`` without DuckDB, ``StoreError`` on a query that is refused.
        """
        self._check_exists()
        schemas = {view: views.empty_table(view).schema for view in views.VIEWS}
        return run_query(query, parameters, schemas=schemas, read=self._view_tables)

    def _view_tables(self, view: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        read = views.sources(view, columns)
        for part in self._parts(views.dataset_of(view)):
            for table in part.tables(read):
                with reading(part.path):
                    flat = views.flatten(table, view, columns)
                yield flat

    def to_pandas(self, view: str = TRAJECTORIES) -> pd.DataFrame:
        """The same as a data frame of Arrow types, so that integers stay integers beside nulls.

        Raises ``MissingExtra`` without pandas.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtra("pandas", needed_for="to_pandas", extra="analysis") from error
        frame: pd.DataFrame = self.to_arrow(view).to_pandas(types_mapper=pd.ArrowDtype)
        return frame

    def compact(
        self, *, part_bytes: int = PART_BYTES, on_part: Callable[[str, int], object] | None = None
    ) -> Compaction:
        """Join small parts that follow each other into parts of about ``part_bytes``.

        Readers and other writers may go on meanwhile: no row is missed or met twice, wherever the
        process is killed. What a killed one left is removed. Raises ``StoreError`` if another
        process is compacting, or in an object store; ``StoreDamaged`` on a part that is not what
        was written, before anything is removed. ``on_part`` is told each part before it is read,
        and how many of its dataset there are to be joined.
        """
        self._check_exists()
        done = [
            compact_folder(
                self._folders[dataset],
                dataset,
                part_bytes=part_bytes,
                row_group_bytes=self._row_group_bytes,
                on_part=on_part,
            )
            for dataset in (TRAJECTORIES, SCORES)
        ]
        return Compaction(*map(sum, zip(*map(astuple, done), strict=True)))

    def check(self, *, on_part: Callable[[str, int], object] | None = None) -> Check:
        """Read everything and verify it: every footer, page and value, every row's digest.

        Nothing is raised for what is damaged; it is told in the result, by the part's name.
        ``on_part`` is told each part before it is read, and how many there are in all.
        """
        self._check_exists()
        return check_folders(self._folders, on_part=on_part)

    def info(self) -> StoreInfo:
        """How much there is, from names and footers."""
        self._check_exists()
        return StoreInfo(
            path=self._folder.shown,
            trajectories=folder_info(self._folders[TRAJECTORIES]),
            scores=folder_info(self._folders[SCORES]),
        )

    def _write(self, rows: Iterable[dict[str, Any]], dataset: str) -> Commit:
        folder = self._folders[dataset]
        with PartWriter(folder, dataset, row_group_bytes=self._row_group_bytes) as writer:
            for row in rows:
                with _naming(row["trajectory_id"]):
                    writer.add(row)
            return writer.commit()

    def _scan(self, check: Filter | None) -> Iterator[Trajectory]:
        folder = self._folders[TRAJECTORIES]
        for name in list_parts(folder):
            part = self._open_parts.add(Part(folder, name))
            for span in part.spans if check is None else check.spans(part):
                group = RowGroup(part, span, self._kept)
                for row in group if check is None else check.rows(part, span):
                    yield stored_run(group, row)

    def _check_exists(self) -> None:
        if not self._folder.exists():
            raise StoreError(
                f"there is no trajectory store at {self._folder.shown}; "
                "TrajectoryStore.append makes one"
            )

    def _parts(self, dataset: str) -> Iterator[Part]:
        self._check_exists()
        folder = self._folders[dataset]
        for name in list_parts(folder):
            with Part(folder, name) as part:
                yield part

    def _rows(self, dataset: str, columns: Sequence[str] | None) -> Iterator[dict[str, Any]]:
        for part in self._parts(dataset):
            for table in part.tables(columns):
                with reading(part.path):
                    rows = list(tables.unpack(table))
                yield from rows


def _trajectory_row(value: object) -> dict[str, Any]:
    if not isinstance(value, Trajectory):
        raise TypeError(f"a store holds trajectories, not {type(value).__name__}: {value!r:.80}")
    with _naming(value.trajectory_id):
        return trajectory_rows.to_row(value)


@contextmanager
def _naming(trajectory_id: object) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        error.add_note(f"in the row of trajectory {trajectory_id!r}; nothing was appended")
        raise


_SCORE_NAMES = tuple(column.name for column in SCORE_COLUMNS)


def _score_row(score: Mapping[str, Any]) -> dict[str, Any]:
    for name in score:
        if name not in _SCORE_NAMES:
            near = difflib.get_close_matches(name, _SCORE_NAMES, 1)
            hint = f"did you mean {near[0]!r}?" if near else "put it under 'metadata'"
            raise ValueError(f"scores have no column {name!r}; {hint}")
    for name in _REQUIRED_OF_SCORES:
        if score.get(name) is None:
            raise ValueError(f"a score needs {name}: {dict(score)!r:.200}")
    return {name: score.get(name) for name in _SCORE_NAMES}
