"""The recorded runs at a path, as contexts: trace directories, or a store. Knows no eval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from looplet.errors import EvalError, LoopletError
from looplet.evals.context import EvalContext
from looplet.evals.runs import with_labels
from looplet.trajectory.trace_dir import HEAD, MANIFEST, RUN, STEPS

STORE_PARTS = "trajectories/*.parquet"
"""What tells a store from a directory of traces."""
_SIGNS = (RUN, HEAD, MANIFEST, STEPS, "call_*.txt")
"""Files of which any tells that a run was written there, however it ended."""


@dataclass(slots=True, kw_only=True)
class Recorded:
    """What was found at a path."""

    runs: list[tuple[str, EvalContext]] = field(default_factory=list)
    """Each with its name, sorted by it; those of a store in order of appending."""
    unreadable: list[str] = field(default_factory=list)
    """Traces that cannot be read, and why."""
    left_out: list[Path] = field(default_factory=list)
    """Folders in which no run was written."""


def read_recorded(path: Path) -> Recorded:
    """Every run at a path: a trace directory, a directory of them, or a trajectory store.

    A trace that cannot be read is told, and keeps no other from being read. Raises ``EvalError``
    if the path is no directory, and ``StoreError`` if a store cannot be read.
    """
    if not path.is_dir():
        what = "is not a directory" if path.exists() else "does not exist"
        raise EvalError(f"{path} {what}; name a directory of trace directories")
    if any(path.glob(STORE_PARTS)):
        return Recorded(runs=list(_stored(path)))
    found = Recorded()
    for folder in [path] if _is_trace(path) else _folders(path):
        if not _is_trace(folder):
            found.left_out.append(folder)
            continue
        try:
            context = EvalContext.from_trajectory_dir(folder)
        except (LoopletError, OSError) as error:
            found.unreadable.append(str(error))
        else:
            found.runs.append((folder.resolve().name, context))
    return found


def _stored(path: Path) -> Iterator[tuple[str, EvalContext]]:
    from looplet.trajectory.store import TrajectoryStore  # loads Arrow

    for label, trajectory in with_labels(TrajectoryStore(path)):
        yield label, EvalContext.from_trajectory(trajectory)


def _is_trace(folder: Path) -> bool:
    return any(any(folder.glob(sign)) for sign in _SIGNS)


def _folders(path: Path) -> Iterator[Path]:
    for each in sorted(path.iterdir()):
        if each.is_dir() and not each.name.startswith((".", "__")):
            yield each
