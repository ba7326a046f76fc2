"""What an eval reads of a run, live or in a trace directory. Knows trajectories; knows no eval."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from looplet.core.codec import JSON
from looplet.trajectory.model import SESSION_LOG, Trajectory, termination_reason
from looplet.trajectory.trace_reading import open_trace, read_json

ARTIFACTS, METRICS = "artifacts.json", "metrics.json"
_EXPECTED = "expected_"


def context_of(trajectory: Trajectory, reason: str | None = None) -> dict[str, Any]:
    """The arguments of an ``EvalContext``; ``reason`` is the saved termination reason."""
    saved = {name: each for name, each in trajectory.metadata.items() if name != SESSION_LOG}
    about = {
        "run_id": trajectory.run_id,
        "started_at": _seconds(trajectory.started_at),
        "ended_at": _seconds(trajectory.ended_at),
        "termination_reason": reason or termination_reason(trajectory),
    }
    return {
        "steps": None,  # they are built of the trajectory when they are first touched
        "task": trajectory.task,
        "final_output": trajectory.final_output,
        "session_log_text": str(trajectory.metadata.get(SESSION_LOG) or ""),
        "metadata": {**saved, **about},
        "artifacts": dict(trajectory.artifacts),
        "stop_reason": trajectory.stop_reason,
        "expected": trajectory.expected,
        "trajectory": trajectory,
    }


def read_context(path: Path) -> dict[str, Any]:
    """The same of a trace directory. Raises as ``EvalContext.from_trajectory_dir`` does."""
    trace = open_trace(path)
    trajectory = trace.trajectory()
    inferred = termination_reason(trajectory, done_tool=trace.done_tool)
    found = context_of(trajectory, trace.run.get("termination_reason") or inferred)
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
