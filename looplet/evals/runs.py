"""The trajectories to be scored, loaded once, each with the label that ids show.

Knows the store; knows no eval. The one module of the plugin that loads Arrow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from looplet.errors import MissingExtra

if TYPE_CHECKING:
    from looplet.trajectory.model import Trajectory

LABEL_CHARS = 80
_UNSAFE = re.compile(r"[^\w.+-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One trajectory and its label."""

    label: str
    trajectory: Trajectory


def load_runs(path: str) -> list[Run]:
    """Every trajectory of a store, in order of appending.

    Raises ``StoreError`` if the store cannot be read, ``MissingExtra`` without its packages.
    """
    for package in ("pyarrow", "scipy"):
        if find_spec(package) is None:
            raise MissingExtra(package, needed_for="--looplet-store", extra="evals")
    from looplet.trajectory.store import TrajectoryStore

    return with_labels(TrajectoryStore(path).scan())


def with_labels(trajectories: Iterable[Trajectory]) -> list[Run]:
    """Runs with labels that are unique, and stay the same when others are appended."""
    runs: list[Run] = []
    seen: set[str] = set()
    for trajectory in trajectories:
        label = _unique(label_of(trajectory), safe(trajectory.trajectory_id), seen)
        seen.add(label)
        runs.append(Run(label=label, trajectory=trajectory))
    return runs


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


def _unique(label: str, trajectory_id: str, seen: set[str]) -> str:
    if label in seen and trajectory_id != label:
        label = f"{label}-{trajectory_id}"
    stem, count = label, 1
    while label in seen:
        count += 1
        label = f"{stem}-{count}"
    return label
