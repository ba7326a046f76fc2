"""Trajectories: runs as data, and the Parquet dataset that keeps them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from looplet.trajectory.model import LLMCall as LLMCall
    from looplet.trajectory.model import StepRecord as StepRecord
    from looplet.trajectory.model import Trajectory as Trajectory
    from looplet.trajectory.recorder import TrajectoryRecorder as TrajectoryRecorder
    from looplet.trajectory.store import TrajectoryStore as TrajectoryStore

_HOMES = {
    "LLMCall": "model",
    "StepRecord": "model",
    "Trajectory": "model",
    "TrajectoryRecorder": "recorder",
    "TrajectoryStore": "store",
}
__all__ = ["LLMCall", "StepRecord", "Trajectory", "TrajectoryRecorder", "TrajectoryStore"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
