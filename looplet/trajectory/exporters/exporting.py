"""From trajectories to a folder in a format of another tool. Knows folders; knows no format."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from looplet.errors import ExporterError, FolderTaken, UnknownTarget
from looplet.trajectory.exporters.registry import Loss, OnLoss, known_targets
from looplet.trajectory.model import Trajectory


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
    try:
        return known[format].write(trajectories, place, on_loss or _warn)
    finally:
        if made:
            with suppress(OSError):  # there is something in it, as there should be
                place.rmdir()


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
