"""A trajectory as one row of plain values, and back. Knows no column type and no file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any, Protocol

from looplet.core.codec import JSON
from looplet.core.records import ErrorKind, ToolCall, ToolError, ToolResult, Usage, summarize_args
from looplet.trajectory import talk
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


def to_row(trajectory: Trajectory) -> Row:
    """One row; its columns are those of the schema. Raises ``ValueError`` on a naive time."""
    for name in ("started_at", "ended_at"):
        time = getattr(trajectory, name)
        if time is not None and time.tzinfo is None:  # before a duration is computed from it
            raise ValueError(f"{name} has no time zone: {time}; use datetime.now(timezone.utc)")
    messages, calls = talk.to_rows(trajectory.llm_calls)
    return {
        **{name: getattr(trajectory, name) for name in KEPT + DERIVED},
        "artifacts": trajectory.artifacts or None,
        "metadata": trajectory.metadata or None,
        "n_steps": len(trajectory.steps),
        "n_calls": len(calls),
        "steps": [_step_row(index, step) for index, step in enumerate(trajectory.steps)],
        "messages": messages,
        "calls": calls,
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


def _step_row(index: int, step: StepRecord) -> Row:
    call, result = step.tool_call, step.tool_result
    kind = result.error_kind
    return {
        "index": index,
        "step_num": step.step_num,
        "tool": call.tool,
        "args": call.args,
        "result": result.data,
        "error": result.error,
        "error_kind": kind.value if kind else None,
        "error_detail": _detail_row(result.error_detail),
        "reasoning": call.reasoning,
        "call_id": call.call_id,
        "result_key": result.result_key,
        "warnings": result.warnings,
        "timestamp": step.timestamp,
        "duration_ms": step.duration_ms,
        "result_duration_ms": result.duration_ms,
        "call_indices": step.llm_call_indices,
        "digest": step.digest,
        "context_before": step.context_before,
        "call_metadata": call.metadata or None,
        "result_metadata": result.metadata or None,
        "metadata": step.metadata or None,
        "extra": _extra(step),
    }


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
    plain = is_plain(call.args) and is_plain(result.data)
    derived: Sequence[tuple[str, JSON, JSON]] = (
        ("result_tool", result.tool, call.tool),
        ("result_call_id", result.call_id, call.call_id),
        ("args_summary", result.args_summary, summarize_args(call.args) if plain else None),
        ("pretty", step.pretty, step.to_step().pretty() if plain else None),
        ("usage", None if step.usage is None else list(astuple(step.usage)), None),
    )
    return {name: kept for name, kept, usual in derived if kept != usual} or None


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
