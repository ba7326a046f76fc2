"""The trajectories to be scored: gone through, or loaded with the labels that ids show.

Knows the store; knows no eval. The one module of the plugin that loads Arrow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING

from looplet.errors import MissingExtra, StoreError
from looplet.evals.identity import KEY_COLUMNS, RunKey

if TYPE_CHECKING:
    from looplet.trajectory.arrow import pa
    from looplet.trajectory.model import Trajectory
    from looplet.trajectory.store import TrajectoryStore

LABEL_CHARS = 80
_UNSAFE = re.compile(r"[^\w.+-]+", re.ASCII)


class StoredRuns:
    """The runs of a store, read anew, field by field, whenever they are gone through.

    They are those that there were when it was opened: none is added while evals run, and where
    some are gone it is a ``StoreError``.
    """

    def __init__(self, store: TrajectoryStore) -> None:
        self._store = store
        self._count = len(store)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Trajectory]:
        left = self._count
        for run in islice(self._store.scan(), self._count):
            yield run
            left -= 1
        self._check(self._count - left)

    @cached_property
    def keys(self) -> list[RunKey]:
        """What each run is: read once, and kept, as the verdicts of all evals name them."""
        rows = islice(self._store.iter_rows(KEY_COLUMNS), self._count)
        keys = [RunKey.of_row(row) for row in rows]
        self._check(len(keys))
        return keys

    def table(self, columns: Sequence[str]) -> pa.Table:
        """The named columns of all runs; one inside a list is named as ``steps.tool``."""
        from looplet.trajectory.arrow import pa

        heads = list(dict.fromkeys(column.partition(".")[0] for column in columns))
        found = [each.select(heads) for each in self._store.scan_tables(columns)]
        self._check(sum(each.num_rows for each in found))
        return pa.concat_tables(found).slice(0, self._count)

    def _check(self, found: int) -> None:
        if found < self._count:
            raise StoreError(
                f"{self._store.path} had {self._count} trajectories when it was opened, and has "
                f"{found} now; score a store whose files nobody removes meanwhile"
            )


def open_runs(path: str) -> StoredRuns:
    """The runs of a store, in order of appending.

    Raises ``StoreError`` if the store cannot be read, ``MissingExtra`` without its packages.
    """
    for package in ("pyarrow", "scipy"):
        if find_spec(package) is None:
            raise MissingExtra(package, needed_for="--looplet-store", extra="evals")
    from looplet.trajectory.store import TrajectoryStore

    return StoredRuns(TrajectoryStore(path))


class LoadedRuns:
    """The runs of a store, none of them read yet, each with its label and what it is.

    Held as columns: one object less for each of many runs.
    """

    def __init__(self, stored: StoredRuns) -> None:
        self._keys, self._trajectories = stored.keys, list(stored)
        self._labels = [label for label, _ in with_labels(self._trajectories)]

    def __iter__(self) -> Iterator[tuple[str, Trajectory, RunKey]]:
        return zip(self._labels, self._trajectories, self._keys, strict=True)


def with_labels(trajectories: Iterable[Trajectory]) -> Iterator[tuple[str, Trajectory]]:
    """Labels, which are unique and stay the same when others are appended, and the runs."""
    labels = Labels()
    return ((labels.of(trajectory), trajectory) for trajectory in trajectories)


class Labels:
    """Labels of runs that come one after the other, each of them once."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._numbers: dict[str, int] = {}
        """The last number behind each label that was wanted again."""

    def of(self, trajectory: Trajectory) -> str:
        """The label of the next run."""
        label = label_of(trajectory)
        if label in self._seen:
            own = safe(trajectory.trajectory_id)
            label = label if own == label else f"{label}-{own}"
            if label in self._seen:
                label = self._numbered(label)
        self._seen.add(label)
        return label

    def _numbered(self, stem: str) -> str:
        """The first of its numbers that is free, from 2 on."""
        number = self._numbers.get(stem, 1) + 1
        while f"{stem}-{number}" in self._seen:
            number += 1
        self._numbers[stem] = number
        return f"{stem}-{number}"


def label_of(trajectory: Trajectory) -> str:
    """Task and trial, or the trajectory's own id if the task has none."""
    if not trajectory.task_id:
        return safe(trajectory.trajectory_id)
    trial = "" if trajectory.trial is None else f"-{trajectory.trial}"
    return safe(trajectory.task_id) + trial


def safe(text: str) -> str:
    """Text that a shell and ``pytest -k`` take as it is.

    >>> safe("tau bench/retail[3]")
    'tau_bench_retail_3'
    """
    return _UNSAFE.sub("_", text).strip("_")[:LABEL_CHARS] or "_"
