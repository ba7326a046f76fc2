"""looplet's own trace directories: one a run, named by the trajectory's id.

What is written is read back and compared, since a directory holds what a recorder makes, and other
runs may have what it cannot tell: two calls of one index, or a start without an end, which would
be read as an interruption.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from looplet.errors import TraceError
from looplet.trajectory.exporters.files import Names, whole_folder
from looplet.trajectory.exporters.registry import Loss, OnLoss, Target
from looplet.trajectory.model import Trajectory
from looplet.trajectory.trace_dir import TraceDir
from looplet.trajectory.trace_reading import read_trace

NAME = "looplet"


def write(trajectories: Iterable[Trajectory], folder: Path, on_loss: OnLoss) -> int:
    """A directory a run. A run whose directory cannot be read back is told and passed."""
    names, count = Names(), 0
    for run in trajectories:
        try:
            with whole_folder(folder / names.of(run.trajectory_id)) as beside:
                TraceDir(beside, run_id=run.run_id).complete(run, calls=run.llm_calls)
                different = _different(run, read_trace(beside))
        except (TraceError, TypeError, ValueError, LookupError) as error:
            if isinstance(error, OSError):  # the disk's, and not the run's
                raise
            on_loss(Loss(trajectory_id=run.trajectory_id, message=f"it is not written: {error}"))
        else:
            count += 1
            if different:
                message = f"a trace directory gives back another {', '.join(different)}"
                on_loss(Loss(trajectory_id=run.trajectory_id, message=message))
    return count


def _different(one: Trajectory, other: Trajectory) -> list[str]:
    """Fields in which two runs differ; NaN, which is not equal to itself, is not a difference."""
    different = []
    for each in fields(Trajectory):
        values = getattr(one, each.name), getattr(other, each.name)
        if each.compare and values[0] != values[1] and repr(values[0]) != repr(values[1]):
            different.append(each.name)
    return different


TARGET = Target(name=NAME, write=write)
