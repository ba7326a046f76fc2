"""Trajectories: runs as data, and the Parquet dataset that keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from looplet.lazy import lazy_names

if TYPE_CHECKING:
    from looplet.trajectory.model import LLMCall as LLMCall
    from looplet.trajectory.model import StepRecord as StepRecord
    from looplet.trajectory.model import Trajectory as Trajectory
    from looplet.trajectory.recorder import TrajectoryRecorder as TrajectoryRecorder
    from looplet.trajectory.store import TrajectoryStore as TrajectoryStore

__all__ = ["LLMCall", "StepRecord", "Trajectory", "TrajectoryRecorder", "TrajectoryStore"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "LLMCall": "looplet.trajectory.model",
        "StepRecord": "looplet.trajectory.model",
        "Trajectory": "looplet.trajectory.model",
        "TrajectoryRecorder": "looplet.trajectory.recorder",
        "TrajectoryStore": "looplet.trajectory.store",
    },
)
