"""What ATIF's importer and exporter share: versions, and the names of what looplet adds.

ATIF is harbor's Agent Trajectory Interchange Format, RFC 0001 of
https://github.com/harbor-framework/harbor: a JSON object a run, whose ``steps`` are the messages
of one conversation. Rewards, errors of tools and more have no field in it. They stand under the
free ``extra`` of a run, a step and a call, as an object ``looplet``: the columns of looplet's own
schema whose values differ from those of an empty record. Knows rows; knows no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from looplet.core.codec import JSON
from looplet.core.records import ToolCall, ToolResult
from looplet.trajectory.model import LLMCall, StepRecord, Trajectory
from looplet.trajectory.rows import run_row, step_columns

NAME = "atif"
MARK = "ATIF-v"
VERSIONS = tuple(f"{MARK}1.{minor}" for minor in range(9))
"""Every version that is read."""
WRITTEN = f"{MARK}1.7"
"""The version that is written: the first with ``extra`` of calls and results."""
OWN = "looplet"
"""The member of an ``extra`` under which looplet's columns stand."""

Row = dict[str, Any]
RUN_COLUMNS = (
    "trajectory_id", "run_id", "task_id", "trial", "dataset", "agent", "model", "tags",
    "started_at", "ended_at", "stop_reason", "error", "reward", "task", "expected",
    "final_output", "artifacts", "metadata", "cost_usd", "cassette", "cassette_hash", "replay_of",
    "git_sha", "looplet_version",
)  # fmt: skip
STEP_COLUMNS = (
    "step_num", "tool", "args", "result", "error", "error_kind", "error_detail", "reasoning",
    "call_id", "result_key", "warnings", "timestamp", "duration_ms", "result_duration_ms",
    "call_indices", "digest", "context_before", "call_metadata", "result_metadata", "metadata",
    "extra",
)  # fmt: skip
CALL_COLUMNS = (
    "scope", "method", "params", "temperature", "max_tokens", "step_num", "finish_reason",
    "tokens_estimated", "timestamp", "duration_ms", "first_token_ms", "error", "key", "metadata",
    "prompt", "system_prompt",
)  # fmt: skip
"""Fields of a model's call that ATIF has none for; the others are its step's."""


@cache
def empty_run() -> Row:
    """The row of a run of which nothing is known."""
    return _run_row(Trajectory(trajectory_id="", run_id=""))


@cache
def empty_step() -> Row:
    """The row of a step of which nothing is known."""
    blank = StepRecord(
        step_num=0,
        tool_call=ToolCall("", {}, "", ""),
        tool_result=ToolResult("", "", None, call_id=""),
    )
    return _step_rows([blank])[0] | {"extra": None}


@cache
def empty_call() -> Row:
    """The fields of a call of which nothing is known."""
    unknown = {"temperature": None, "max_tokens": None}
    return call_row(LLMCall(0, None, None, "generate", "", "", None, **unknown))  # type: ignore[arg-type]


def run_extra(run: Trajectory) -> Row:
    """What of a run ATIF has no field for, or no exact one."""
    return _differing(_run_row(replace(run, steps=[], llm_calls=[])), empty_run())


def step_extras(run: Trajectory) -> list[Row]:
    """The same of each step."""
    return [_differing(row, empty_step()) for row in _step_rows(run.steps)]


def call_extra(call: LLMCall, *, prompt: str, system_prompt: str) -> Row:
    """The same of a call. The prompts are those that its messages tell."""
    usual = empty_call() | {"prompt": prompt, "system_prompt": system_prompt}
    return _differing(call_row(call), usual)


def usual_blocks(
    thought: str | None, text: str, asked: Iterable[tuple[str, str, Mapping[str, JSON]]]
) -> list[dict[str, JSON]]:
    """The blocks that a reply of a thought, a text and calls (id, name, input) mostly came in."""
    blocks: list[dict[str, JSON]] = []
    if thought is not None:
        blocks.append({"type": "thinking", "thinking": thought})
    if text:
        blocks.append({"type": "text", "text": text})
    calls = [(call_id, name, dict(given)) for call_id, name, given in asked]
    return blocks + [
        {"type": "tool_use", "id": call_id, "name": name, "input": given}
        for call_id, name, given in calls
    ]


def call_row(call: LLMCall) -> Row:
    """The fields that ``CALL_COLUMNS`` names."""
    return {name: getattr(call, name) for name in CALL_COLUMNS}


def _run_row(run: Trajectory) -> Row:
    row = run_row(run)
    return {name: row[name] for name in RUN_COLUMNS}


def _step_rows(steps: Sequence[StepRecord]) -> list[Row]:
    columns = step_columns(steps)
    values = zip(*[columns[name] for name in STEP_COLUMNS], strict=True)
    return [dict(zip(STEP_COLUMNS, row, strict=True)) for row in values]


def _differing(row: Mapping[str, Any], usual: Mapping[str, Any]) -> Row:
    return {
        name: value
        for name, value in row.items()
        if value != usual[name] or type(value) is not type(usual[name])
    }
