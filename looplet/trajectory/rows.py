"""A trajectory as one row of plain values, and back. Knows no column type and no file.

In a row that is made, steps, messages and calls stand by columns, a list of values each, since so
they are stored; in one that is read they are rows again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from operator import attrgetter
from typing import Any, Protocol

from looplet.core.codec import JSON
from looplet.core.records import (
    ErrorKind,
    ToolCall,
    ToolError,
    ToolResult,
    Usage,
    pretty_line,
    summarize_args,
)
from looplet.trajectory import placing, talk
from looplet.trajectory.model import StepRecord, Trajectory
from looplet.trajectory.text import is_plain

Row = dict[str, Any]


class Cells(Protocol):
    """What a row is read by: its columns, by name."""

    def __getitem__(self, name: str, /) -> Any: ...


KEPT = (
    "trajectory_id",
    "run_id",
    "task_id",
    "trial",
    "dataset",
    "agent",
    "model",
    "tags",
    "started_at",
    "ended_at",
    "stop_reason",
    "error",
    "reward",
    "task",
    "expected",
    "final_output",
    "cost_usd",
    "cassette",
    "cassette_hash",
    "replay_of",
    "source_format",
    "source_uri",
    "git_sha",
    "looplet_version",
)
"""Columns that are fields of the trajectory."""
DERIVED = (
    "duration_ms",
    "completed",
    "n_tool_errors",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "tokens_estimated",
    "digest",
)
"""Columns that are computed for queries, and not read back."""


_RUN_GETTERS = {name: attrgetter(name) for name in KEPT + DERIVED}
_STEP_GETTERS = {
    name: attrgetter(name)
    for name in ("step_num", "timestamp", "duration_ms", "digest", "context_before")
}
_CALL_GETTERS = {name: attrgetter(name) for name in ("tool", "args", "reasoning", "call_id")}
_RESULT_GETTERS = {name: attrgetter(name) for name in ("error", "result_key", "warnings")}


def to_row(trajectory: Trajectory) -> Row:
    """One row; its columns are those of the schema. Raises ``ValueError`` on a naive time."""
    messages, calls = placing.to_columns(trajectory.llm_calls)
    return run_row(trajectory) | {"messages": messages, "calls": calls}


def run_row(trajectory: Trajectory) -> Row:
    """The same without messages and calls."""
    for name in ("started_at", "ended_at"):
        time = getattr(trajectory, name)
        if time is not None and time.tzinfo is None:  # before a duration is computed from it
            raise ValueError(f"{name} has no time zone: {time}; use datetime.now(timezone.utc)")
    return {
        **{name: getter(trajectory) for name, getter in _RUN_GETTERS.items()},
        "artifacts": trajectory.artifacts or None,
        "metadata": trajectory.metadata or None,
        "n_steps": len(trajectory.steps),
        "n_calls": len(trajectory.llm_calls),
        "steps": step_columns(trajectory.steps),
    }


def step_columns(steps: Sequence[StepRecord]) -> placing.Columns:
    """The columns of ``steps``, a value for each step."""
    calls = [step.tool_call for step in steps]
    results = [step.tool_result for step in steps]
    return {
        "index": range(len(steps)),
        **{name: list(map(getter, steps)) for name, getter in _STEP_GETTERS.items()},
        **{name: list(map(getter, calls)) for name, getter in _CALL_GETTERS.items()},
        **{name: list(map(getter, results)) for name, getter in _RESULT_GETTERS.items()},
        "result": [result.data for result in results],
        "error_kind": [kind and kind.value for kind in (each.error_kind for each in results)],
        "error_detail": [_detail_row(result.error_detail) for result in results],
        "result_duration_ms": [result.duration_ms for result in results],
        "call_indices": [step.llm_call_indices for step in steps],
        "call_metadata": [call.metadata or None for call in calls],
        "result_metadata": [result.metadata or None for result in results],
        "metadata": [step.metadata or None for step in steps],
        "extra": list(map(_extra, steps)),
    }


def from_row(row: Cells) -> Trajectory:
    """The trajectory that ``to_row`` was given.

    Raises ``LookupError`` or ``ValueError`` if the row refers to what is not in it.
    """
    return Trajectory(
        **{name: row[name] for name in KEPT},
        artifacts=row["artifacts"] or {},
        metadata=row["metadata"] or {},
        steps=[step_of(step) for step in row["steps"]],
        llm_calls=talk.from_rows(row["messages"], row["calls"]),
    )


def step_of(row: Cells) -> StepRecord:
    """The step that a row of ``steps`` holds."""
    extra = row["extra"] or {}
    call = ToolCall(
        row["tool"],
        row["args"],
        row["reasoning"],
        row["call_id"],
        row["call_metadata"] or {},
    )
    record = StepRecord(
        step_num=row["step_num"],
        tool_call=call,
        tool_result=_result(row, call, extra),
        timestamp=row["timestamp"],
        duration_ms=row["duration_ms"],
        context_before=row["context_before"],
        llm_call_indices=row["call_indices"],
        metadata=row["metadata"] or {},
        digest=row["digest"],
        usage=Usage(*extra["usage"]) if "usage" in extra else None,
    )
    record.pretty = extra["pretty"] if "pretty" in extra else record.to_step().pretty()
    return record


def _result(row: Cells, call: ToolCall, extra: Mapping[str, JSON]) -> ToolResult:
    args_summary = extra.get("args_summary")
    return ToolResult(
        extra.get("result_tool", call.tool),
        summarize_args(call.args) if args_summary is None else args_summary,
        row["result"],
        error=row["error"],
        error_detail=detail_of(row),
        duration_ms=row["result_duration_ms"],
        result_key=row["result_key"],
        call_id=extra.get("result_call_id", call.call_id),
        warnings=row["warnings"],
        metadata=row["result_metadata"] or {},
    )


def _extra(step: StepRecord) -> dict[str, JSON] | None:
    """What a reader would derive otherwise, where it differs from that, and the step's usage.

    A line that shows a set depends on the set's order, which is not kept, so lines about values
    that are not plain JSON are kept too.
    """
    call, result = step.tool_call, step.tool_result
    extra: dict[str, JSON] = {}
    if result.tool != call.tool:
        extra["result_tool"] = result.tool
    if result.call_id != call.call_id:
        extra["result_call_id"] = result.call_id
    plain = is_plain(call.args) and is_plain(result.data)
    summary = summarize_args(call.args) if plain else None
    if result.args_summary != summary:
        extra["args_summary"] = result.args_summary
    if summary is None or step.pretty != pretty_line(step.step_num, call.tool, summary, result):
        extra["pretty"] = step.pretty
    if step.usage is not None:
        extra["usage"] = list(astuple(step.usage))
    return extra or None


def _detail_row(detail: ToolError | None) -> dict[str, JSON] | None:
    if detail is None:
        return None
    return {
        "message": detail.message,
        "retriable": detail.retriable,
        "context": detail.context,
        "recovery_hint": detail.recovery_hint,
    }


def detail_of(row: Cells) -> ToolError | None:
    """The details of a step's error, where they are known."""
    if row["error_detail"] is None:
        return None
    return ToolError(ErrorKind(row["error_kind"]), **row["error_detail"])
