"""A run as lines for a terminal. Knows trajectories; knows no file and no terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from looplet.core.codec import JSON
from looplet.core.records import escape_controls, mark_of, summarize_args, tail_text
from looplet.core.wording import counted
from looplet.trajectory.model import DONE_TOOL, StepRecord, Trajectory, termination_reason

ARGUMENTS_WIDTH, TAIL_WIDTH = 30, 20
_MARKS = {"done": "✓", "error": "✗"}
Record = Mapping[str, JSON]


def headline(
    trajectory: Trajectory, *, calls: int | None = None, done_tool: str = DONE_TOOL
) -> str:
    """Which run, how it ended, how many steps and model calls, how long it took.

    >>> headline(Trajectory(trajectory_id="t", run_id="5d0c19ab42fe", stop_reason="done"))
    '5d0c19ab42fe  ✓ done  0 steps  0 LLM calls  0ms'
    """
    reason = termination_reason(trajectory, done_tool=done_tool)
    exact = reason if trajectory.stop_reason is None else trajectory.stop_reason
    parts = (
        trajectory.run_id or "(no run id)",
        f"{_MARKS.get(reason, '·')} {exact}",
        counted(len(trajectory.steps), "step"),
        counted(len(trajectory.llm_calls) if calls is None else calls, "LLM call"),
        f"{_duration_ms(trajectory):.0f}ms",
    )
    return escape_controls("  ".join(parts))


def trace_lines(
    trajectory: Trajectory, calls: Sequence[Record], *, done_tool: str
) -> Iterator[str]:
    """The headline, a line for each step, and one for all model calls.

    ``calls`` are the records of a manifest, since the texts of the calls are not needed.
    """
    yield headline(trajectory, calls=len(calls), done_tool=done_tool)
    yield ""
    if trajectory.steps:
        yield from map(_step_line, trajectory.steps)
        yield ""
    sent = sum(int(call.get("prompt_chars") or 0) for call in calls)
    received = sum(int(call.get("response_chars") or 0) for call in calls)
    errors = sum(call.get("error") is not None for call in calls)
    told = (
        counted(len(calls), "call"),
        f"{sent:,} in / {received:,} out chars",
        counted(errors, "error"),
    )
    yield f"LLM: {', '.join(told)}"


def _step_line(record: StepRecord) -> str:
    call, result = record.tool_call, record.tool_result
    mark = mark_of(result)
    given = escape_controls(summarize_args(call.args))[:ARGUMENTS_WIDTH]
    tail = escape_controls(tail_text(result))
    line = (
        f"#{record.step_num:<2} {mark} {escape_controls(call.tool)}({given:<{ARGUMENTS_WIDTH}})"
        f" → {tail:<{TAIL_WIDTH}} [{record.duration_ms or 0.0:5.0f}ms]"
    )
    if not record.llm_call_indices:
        return line
    many = "s" if len(record.llm_call_indices) > 1 else ""
    return f"{line} call{many} {', '.join(map(str, record.llm_call_indices))}"


def _duration_ms(trajectory: Trajectory) -> float:
    """Wall clock of the run; of one without an end, until its last step."""
    if trajectory.duration_ms is not None:
        return trajectory.duration_ms
    last = trajectory.steps[-1].timestamp if trajectory.steps else None
    if trajectory.started_at is None or last is None:
        return sum(record.duration_ms or 0.0 for record in trajectory.steps)
    return max(0.0, (last - trajectory.started_at.timestamp()) * 1000)
