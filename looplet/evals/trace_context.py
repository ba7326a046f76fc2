"""What an eval reads of a run: live, as a trajectory, or in a directory. Knows no eval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from looplet.core.codec import JSON
from looplet.core.records import Step
from looplet.trajectory.model import (
    DONE_TOOL,
    SESSION_LOG,
    StepRecord,
    Trajectory,
    final_output,
    termination_reason,
)
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


def live_run(
    state: Any, session_log: Any, *, since: int, run_id: str, started_at: datetime | None
) -> Trajectory:
    """A run that has just ended, as a recorder would have kept it; ``since`` is its first step."""
    run = Trajectory(
        trajectory_id=run_id,
        run_id=run_id,
        task=getattr(state, "task", None),
        steps=[record_of(step) for step in state.steps[since:]],
        started_at=started_at,
        stop_reason=getattr(state, "_stop_reason", None),
        metadata={SESSION_LOG: "" if session_log is None else session_log.render()},
    )
    run.final_output = final_output(run, done_tool=getattr(state, "_done_tool", DONE_TOOL))
    return run


def record_of(step: Step) -> StepRecord:
    """A step as it is kept, as far as it tells of itself."""
    return StepRecord(
        step_num=step.number,
        tool_call=step.tool_call,
        tool_result=step.tool_result,
        duration_ms=step.tool_result.duration_ms,
        pretty=step.pretty(),
        usage=step.usage,
    )


def _with_expected(task: JSON, metrics: dict[str, JSON]) -> JSON:
    """The task with what ``metrics.json`` says is expected of it."""
    expected = {name: each for name, each in metrics.items() if name.startswith(_EXPECTED)}
    return {**task, **expected} if expected and isinstance(task, dict) else task


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
