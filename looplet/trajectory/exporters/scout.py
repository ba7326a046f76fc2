"""Inspect Scout's transcript database: one Parquet file, a row a run.

https://meridianlabs-ai.github.io/inspect_scout/db_schema.html: ``transcript_id`` and a few dozen
columns with a meaning of their own; any other column is metadata of the transcript. ``messages``
is JSON, a list of Inspect's chat messages. Only the main conversation is in it, told once: what a
later call was sent again is not repeated. Lone surrogates are escaped as in a store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from looplet.core.codec import JSON, to_jsonable
from looplet.core.messages import ChatMessage
from looplet.core.records import ErrorKind, ToolResult
from looplet.trajectory.exporters.registry import Loss, OnLoss, Target
from looplet.trajectory.exporters.turns import Asked, Turn, turns_of
from looplet.trajectory.model import MAIN_LANE, Trajectory
from looplet.trajectory.text import escape_text, map_strings, to_json_text

if TYPE_CHECKING:
    from looplet.trajectory.arrow import pa

NAME, FILE = "scout", "transcripts.parquet"
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_TOO_LARGE = 2**63
GROUP_CHARS = 16 * 2**20
"""About how much text one row group holds, in characters."""
Row = dict[str, Any]
_ERRORS = {
    ErrorKind.PARSE: "parsing",
    ErrorKind.VALIDATION: "parsing",
    ErrorKind.TIMEOUT: "timeout",
    ErrorKind.PERMISSION_DENIED: "permission",
    ErrorKind.CANCELLED: "cancelled",
}
"""Inspect's words for errors of tools; of the others it says ``unknown``."""
_WHOLE, _REAL, _FLAG = "int64", "float64", "bool"
_TYPES = {
    "task_repeat": _WHOLE, "success": _FLAG, "message_count": _WHOLE, "total_time": _REAL,
    "total_tokens": _WHOLE, "reward": _REAL, "cost_usd": _REAL, "n_steps": _WHOLE,
    "n_tool_errors": _WHOLE, "input_tokens": _WHOLE, "output_tokens": _WHOLE,
    "cached_tokens": _WHOLE,
}  # fmt: skip
"""Columns that are no text."""
_NO_ROOM = "only the main conversation is in it, not the calls of {lanes}"


def write(trajectories: Iterable[Trajectory], folder: Path, on_loss: OnLoss) -> int:
    """One file; none if there is no run."""
    place = folder / FILE
    beside = place.with_name(f".{place.name}.tmp")
    groups = _groups(trajectories, on_loss)
    first = next(groups, None)
    if first is None:
        return 0
    written = 0
    try:
        with _open(beside, _table(first).schema) as writer:
            for rows in chain([first], groups):
                writer.write_table(_table(rows), row_group_size=len(rows))
                written += len(rows)
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)
    return written


def row_of(run: Trajectory) -> tuple[Row, list[str]]:
    """A run's row, and what is not in it. Raises ``ValueError`` on what cannot be written."""
    losses: list[str] = []
    turns = turns_of([call for call in run.llm_calls if call.lane == MAIN_LANE], run.steps)
    messages = to_jsonable(list(_messages(turns, losses)))
    fitting = _fitting(messages)
    if fitting != messages:
        losses.append("whole numbers of more than 64 bits, which Scout cannot read, became texts")
    lanes = {call.lane: None for call in run.llm_calls if call.lane != MAIN_LANE}
    if lanes:
        losses.append(_NO_ROOM.format(lanes=", ".join(lanes)))
    seconds = None if run.duration_ms is None else run.duration_ms / 1000
    counted = [count for count in (run.input_tokens, run.output_tokens) if count is not None]
    first = next((call for call in run.llm_calls if call.lane == MAIN_LANE), None)
    row: Row = {
        "transcript_id": run.trajectory_id,
        "source_type": "looplet",
        "source_id": run.run_id,
        "source_uri": run.source_uri,
        "date": None if run.started_at is None else run.started_at.isoformat(),
        "task_set": run.dataset,
        "task_id": run.task_id,
        "task_repeat": run.trial,
        "agent": run.agent,
        "model": run.model,
        "model_options": _json(first.params if first and first.params else None),
        "score": None if run.reward is None else repr(run.reward),
        "success": {1.0: True, 0.0: False}.get(run.reward) if run.reward is not None else None,
        "message_count": len(messages),
        "total_time": seconds,
        "total_tokens": _whole(sum(counted)) if counted else None,
        "error": run.error,
        "messages": _ENCODE(map_strings(fitting, escape_text)),
        "events": "[]",
    }
    return row | _metadata(run), losses


def _metadata(run: Trajectory) -> Row:
    """Columns that Scout shows as metadata."""
    return {
        "task": _json(run.task),
        "expected": _json(run.expected),
        "final_output": _json(run.final_output),
        "stop_reason": run.stop_reason,
        "reward": run.reward,
        "cost_usd": run.cost_usd,
        "n_steps": len(run.steps),
        "n_tool_errors": run.n_tool_errors,
        "input_tokens": _whole(run.input_tokens),
        "output_tokens": _whole(run.output_tokens),
        "cached_tokens": _whole(run.cached_tokens),
        "tags": _json(run.tags or None),
        "artifacts": _json(run.artifacts or None),
        "run_metadata": _json(run.metadata or None),
        "digest": run.digest,
        "replay_of": run.replay_of,
        "source_format": run.source_format,
        "git_sha": run.git_sha,
    }


def _messages(turns: Iterable[Turn], losses: list[str]) -> Iterator[dict[str, JSON]]:
    """The conversation: what each call was told anew, its reply, and what its tools gave."""
    odd: set[str] = set()
    for turn in turns:
        for message in turn.heard:
            repeated = turn.kept is not None and message.role in {"assistant", "tool"}
            if not repeated:
                odd |= {str(block.get("type")) for block in message.blocks} - _TOLD
                yield _told(message)
        yield _said(turn)
        for asked in turn.asked:
            if asked.step is not None or asked.answer is not None:
                yield _result(asked)
    if odd:
        losses.append(f"parts of messages are left out: {', '.join(sorted(odd))}")


_TOLD = frozenset({"text", "thinking", "tool_use", "tool_result"})


def _told(message: ChatMessage) -> dict[str, JSON]:
    told: dict[str, JSON] = {"role": message.role, "content": message.content}
    if message.role == "tool" and message.call_id is not None:
        told["tool_call_id"] = message.call_id
    if message.calls:
        calls = [
            Asked(id=each.id, name=each.name, input=dict(each.input)) for each in message.calls
        ]
        told["tool_calls"] = [_call(each) for each in calls]
    return told


def _said(turn: Turn) -> dict[str, JSON]:
    """The reply; a thought in it comes first, as a part of its own."""
    text = turn.reply.content if turn.reply else ""
    blocks = turn.call.response if turn.call and isinstance(turn.call.response, list) else []
    thoughts = [block.get("thinking") for block in blocks if block.get("type") == "thinking"]
    parts: list[JSON] = [
        {"type": "reasoning", "reasoning": each} for each in thoughts if isinstance(each, str)
    ]
    content = [*parts, {"type": "text", "text": text}] if parts else text
    said: dict[str, JSON] = {"role": "assistant", "content": content, "source": "generate"}
    if turn.asked:
        said["tool_calls"] = [_call(each) for each in turn.asked]
    if turn.call is not None and turn.call.model is not None:
        said["model"] = turn.call.model
    if turn.call is None:
        del said["source"]
    return said


def _call(asked: Asked) -> dict[str, JSON]:
    return {
        "id": asked.id,
        "function": asked.name,
        "arguments": asked.input,
        "type": "function",
    }


def _result(asked: Asked) -> dict[str, JSON]:
    told: dict[str, JSON] = {
        "role": "tool",
        "tool_call_id": asked.id,
        "function": asked.name,
        "content": asked.told(),
    }
    result = None if asked.step is None else asked.step.tool_result
    if result is not None and result.error is not None:
        told["error"] = _error(result)
    return told


def _error(result: ToolResult) -> dict[str, JSON]:
    kind = result.error_kind
    word = _ERRORS.get(kind, "unknown") if kind else "unknown"
    return {"type": word, "message": result.error_message or ""}


def _groups(trajectories: Iterable[Trajectory], on_loss: OnLoss) -> Iterator[list[Row]]:
    """Rows, as many at a time as one row group holds."""
    rows: list[Row] = []
    size = 0
    for run in trajectories:
        try:
            row, losses = row_of(run)
        except ValueError as error:
            message = f"it is left out, as it has no such form: {error}"
            on_loss(Loss(trajectory_id=run.trajectory_id, message=message))
            continue
        for message in losses:
            on_loss(Loss(trajectory_id=run.trajectory_id, message=message))
        rows.append(row)
        size += sum(len(value) for value in row.values() if isinstance(value, str))
        if size >= GROUP_CHARS:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _table(rows: list[Row]) -> pa.Table:
    from looplet.trajectory.arrow import pa

    kinds: Mapping[str, Callable[[], pa.DataType]] = {
        _WHOLE: pa.int64, _REAL: pa.float64, _FLAG: pa.bool_
    }  # fmt: skip
    columns: dict[str, Any] = {}
    for name in rows[0]:
        kind = _TYPES.get(name)
        values = [row[name] for row in rows]
        if kind is None:
            values = [None if value is None else escape_text(value) for value in values]
        columns[name] = pa.array(values, kinds[kind]() if kind else pa.large_string())
    return pa.table(columns)


def _open(place: Path, schema: pa.Schema) -> Any:
    from looplet.trajectory.arrow import pq

    return pq.ParquetWriter(place, schema, compression="zstd")


def _fitting(value: JSON) -> JSON:
    """A value with those whole numbers as texts that Scout's reader of JSON stumbles over."""
    if isinstance(value, dict):
        return {key: _fitting(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_fitting(item) for item in value]
    return str(value) if type(value) is int and abs(value) >= _TOO_LARGE else value


def _json(value: JSON) -> str | None:
    return None if value is None else to_json_text(value)


def _whole(count: int | None) -> int | None:
    """A count, where a column of 64 bits holds it."""
    return count if count is not None and abs(count) < _TOO_LARGE else None


TARGET = Target(name=NAME, write=write)
