"""What an eval reads of a run, live or in a trace directory. Knows trajectories; knows no eval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from looplet.core.codec import JSON
from looplet.trajectory.model import SESSION_LOG, Trajectory, termination_reason
from looplet.trajectory.trace_reading import open_trace, read_json

ARTIFACTS, METRICS = "artifacts.json", "metrics.json"
_EXPECTED = "expected_"


def _metadata_of(run: Trajectory) -> dict[str, Any]:
    saved = {name: each for name, each in run.metadata.items() if name != SESSION_LOG}
    return saved | {
        "run_id": run.run_id,
        "started_at": _seconds(run.started_at),
        "ended_at": _seconds(run.ended_at),
        "termination_reason": termination_reason(run),
    }


READERS: Mapping[str, Callable[[Trajectory], Any]] = {
    "_steps": lambda _: None,  # they are built of the trajectory when they are first touched
    "task": lambda run: {} if run.task is None else run.task,
    "final_output": lambda run: {} if run.final_output is None else run.final_output,
    "session_log_text": lambda run: str(run.metadata.get(SESSION_LOG) or ""),
    "metadata": _metadata_of,
    "artifacts": lambda run: dict(run.artifacts),
    "stop_reason": lambda run: run.stop_reason,
    "expected": lambda run: run.expected,
}
"""How an ``EvalContext`` gets each of its attributes from a run."""


def read_context(path: Path) -> dict[str, Any]:
    """The arguments of an ``EvalContext`` for a trace directory.

    Raises as ``EvalContext.from_trajectory_dir`` does.
    """
    trace = open_trace(path)
    trajectory = trace.trajectory()
    found = {name: read(trajectory) for name, read in READERS.items()}
    found |= {"steps": found.pop("_steps"), "trajectory": trajectory}
    inferred = termination_reason(trajectory, done_tool=trace.done_tool)
    found["metadata"]["termination_reason"] = trace.run.get("termination_reason") or inferred
    if found["stop_reason"] is None:
        found["stop_reason"] = found["metadata"]["termination_reason"]
    artifacts = read_json(path / ARTIFACTS)
    if artifacts is not None:
        found["artifacts"] = artifacts
    metrics = read_json(path / METRICS) or {}
    found["task"] = _with_expected(trajectory.task, metrics)
    if trajectory.final_output is None:
        found["final_output"] = metrics.get("output")
    return found


def _with_expected(task: JSON, metrics: dict[str, JSON]) -> JSON:
    """The task with what ``metrics.json`` says is expected of it."""
    expected = {name: each for name, each in metrics.items() if name.startswith(_EXPECTED)}
    return {**task, **expected} if expected and isinstance(task, dict) else task


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
