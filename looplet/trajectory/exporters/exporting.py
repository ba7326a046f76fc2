"""From trajectories to a folder in a format of another tool. Knows folders; knows no format."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from looplet.errors import ExporterError, FolderTaken, UnknownTarget
from looplet.trajectory.exporters.registry import Loss, OnLoss, known_targets
from looplet.trajectory.model import Trajectory

_TRIALS = 2**31


def export_trajectories(
    trajectories: Trajectory | Iterable[Trajectory],
    folder: str | os.PathLike[str],
    *,
    format: str,  # noqa: A002 - the command line's word
    on_loss: OnLoss | None = None,
) -> int:
    """Write runs into a folder, one in memory at a time; gives how many were written.

    ``format`` is a name out of ``targets()``. The folder is made, or is there and empty. A file
    has its name when it is whole. What the format has no place for, and a run that it cannot
    hold, is told to ``on_loss``, as a warning without one, and the rest is written.

    Raises ``UnknownTarget``, ``FolderTaken``, and ``ExporterError`` if the folder cannot be made.

    >>> import tempfile
    >>> run = Trajectory(trajectory_id="t1", run_id="r1", task="Rest.")
    >>> export_trajectories(run, Path(tempfile.mkdtemp()), format="looplet")
    1
    """
    known = known_targets()
    if format not in known:
        raise UnknownTarget(
            f"there is no format {format!r} to export; known are {', '.join(known)}"
        )
    place = Path(folder)
    made = _make(place)
    if isinstance(trajectories, Trajectory):
        trajectories = [trajectories]
    tell = on_loss or _warn
    try:
        return known[format].write(_fitting(trajectories, tell), place, tell)
    finally:
        if made:
            with suppress(OSError):  # there is something in it, as there should be
                place.rmdir()


def _fitting(runs: Iterable[Trajectory], on_loss: OnLoss) -> Iterator[Trajectory]:
    """The runs that a store takes as well; each other is told."""
    for run in runs:
        why = _unfit(run)
        if why is None:
            yield run
        else:
            on_loss(Loss(trajectory_id=run.trajectory_id, message=f"it is left out: {why}"))


def _unfit(run: Trajectory) -> str | None:
    for name in ("started_at", "ended_at"):
        time = getattr(run, name)
        if time is not None and time.tzinfo is None:
            return f"its {name} has no time zone; use datetime.now(timezone.utc)"
    if run.trial is not None and abs(run.trial) >= _TRIALS:
        return "its trial is no number of 32 bits"
    for name in ("reward", "cost_usd", "duration_ms"):
        try:
            float(getattr(run, name) or 0)
        except OverflowError:
            return f"its {name} is too large a number"
    return None


def _make(folder: Path) -> bool:
    """Make the folder, or see that it is empty; whether it was made."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        pass
    except OSError as error:
        raise ExporterError(f"{folder} cannot be made: {error.strerror}") from error
    else:
        return True
    if not folder.is_dir():
        raise FolderTaken(f"{folder} is a file; name a folder that is new or empty")
    if any(folder.iterdir()):
        raise FolderTaken(
            f"{folder} is not empty; name a folder that is new or empty, or take away what is in it"
        )
    return False


def _warn(loss: Loss) -> None:
    warnings.warn(f"not exported: {loss}", stacklevel=2)
