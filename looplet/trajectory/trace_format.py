"""Records of a trace directory: steps, calls and the run as JSON, and back. Knows no file.

What a reader can derive is left out, so that a record of a plain step or call has the fields of
the format and no more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime

from looplet.core.codec import JSON, from_jsonable, to_jsonable
from looplet.core.records import ErrorKind, ToolCall, ToolError, ToolResult, Usage
from looplet.core.usage import chars_received
from looplet.errors import UnknownTraceVersion
from looplet.trajectory.model import (
    DONE_TOOL,
    INTERRUPTED,
    SESSION_LOG,
    LLMCall,
    StepRecord,
    Trajectory,
    chain,
    final_output,
    termination_reason,
)
from looplet.trajectory.text import escape_text, map_strings, unescape_text

Record = dict[str, JSON]
SCHEMA_VERSION = 1
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
"""Two lone surrogates that JSON would join to one character."""
_ESCAPED = "escaped"
"""Key of a record whose strings are escaped, since JSON does not tell them apart."""
_CALL_FIELDS = ("model", "finish_reason", "cached_tokens", "first_token_ms", "key")
"""Fields of a call that its record has if they are known."""
_DERIVED = (
    "run_id", "steps", "llm_calls", "metadata", "task", "started_at", "ended_at", "stop_reason",
    "final_output", "spans",
)  # fmt: skip
"""Fields of a trajectory that have a place of their own, or follow from its steps."""


def encode(record: Record, *, indent: int | None = None) -> bytes:
    r"""A record as JSON in UTF-8; lone surrogates are escaped, so that they come back.

    >>> encode({"price": "5 \u20ac", "odd": "\ud800"}).decode()
    '{"price": "5 €", "odd": "\\ud800"}'
    """
    text = json.dumps(record, ensure_ascii=False, indent=indent)
    if not text.isascii() and _PAIR.search(text):
        record = {_ESCAPED: True, **map_strings(record, escape_text)}
        text = json.dumps(record, ensure_ascii=False, indent=indent)
    return text.encode("utf-8", "backslashreplace")


def decode(data: bytes) -> Record:
    """The record that ``encode`` was given. Raises ``ValueError`` if it is none."""
    record = json.loads(data.decode())
    if not isinstance(record, dict):
        kind = type(record).__name__
        raise ValueError(f"it holds a {kind} and no object")  # noqa: TRY004 - a file's content
    if record.pop(_ESCAPED, False) is True:
        return dict(map_strings(record, unescape_text))
    return record


def step_to_record(step: StepRecord) -> Record:
    """A step as it is stored."""
    record: Record = {
        "step_num": step.step_num,
        "timestamp": to_jsonable(step.timestamp),
        "duration_ms": to_jsonable(step.duration_ms),
        "pretty": step.pretty,
        "tool_call": step.tool_call.to_dict(),
        "tool_result": step.tool_result.to_dict(full=True),
        "context_before": step.context_before,
        "llm_call_indices": list(step.llm_call_indices),
        "metadata": to_jsonable(step.metadata),
    }
    record["tool_result"]["duration_ms"] = to_jsonable(step.tool_result.duration_ms)
    different = _different(step)
    if different:
        record["result"] = different
    if step.usage is not None:
        record["usage"] = asdict(step.usage)
    if step.digest:
        record["digest"] = step.digest
    return record


def step_from_record(record: Record) -> StepRecord:
    """The step that ``step_to_record`` was given; what is missing is left empty."""
    call = call_of_tool(record.get("tool_call") or {})
    result = result_from_record(record.get("tool_result") or {}, call.call_id)
    for name, value in (record.get("result") or {}).items():
        setattr(result, name, _detail(value) if name == "error_detail" else from_jsonable(value))
    usage = record.get("usage")
    return StepRecord(
        step_num=int(record["step_num"]),
        tool_call=call,
        tool_result=result,
        timestamp=from_jsonable(record.get("timestamp")),
        duration_ms=from_jsonable(record.get("duration_ms")),
        pretty=record.get("pretty", ""),
        context_before=record.get("context_before", ""),
        llm_call_indices=list(record.get("llm_call_indices") or []),
        metadata=from_jsonable(record.get("metadata") or {}),
        digest=record.get("digest", ""),
        usage=None if usage is None else Usage(**usage),
    )


def call_of_tool(record: Record) -> ToolCall:
    """The tool call that ``ToolCall.to_dict`` was called on."""
    return ToolCall(
        record.get("tool", ""),
        from_jsonable(record.get("args") or {}),
        record.get("reasoning", ""),
        record.get("call_id", ""),
        from_jsonable(record.get("metadata") or {}),
    )


def result_from_record(record: Record, call_id: str) -> ToolResult:
    """The result that ``ToolResult.to_dict(full=True)`` was called on, as far as that tells."""
    error = record.get("error")
    return ToolResult(
        record.get("tool", ""),
        record.get("args", ""),
        from_jsonable(record.get("data")),
        error=error,
        error_detail=None if error is None else _usual_detail(record, error),
        duration_ms=from_jsonable(record.get("duration_ms", 0.0)),
        result_key=record.get("result_key"),
        call_id=call_id,
        warnings=list(record.get("warnings") or []),
        metadata=from_jsonable(record.get("metadata") or {}),
    )


def call_to_record(call: LLMCall) -> Record:
    """A model call as a line of the manifest has it, without its texts."""
    response = call.response
    cut = call.metadata.get("cut", {})
    blocks = len(response) if isinstance(response, list) else None
    received = 0 if response is None else chars_received(response)
    record: Record = {
        "index": call.index,
        "timestamp": to_jsonable(call.timestamp),
        "duration_ms": to_jsonable(call.duration_ms),
        "method": call.method,
        "prompt_chars": cut.get("prompt", len(call.prompt)),
        "response_chars": cut.get("response", received),
        "response_blocks": blocks,
        "temperature": to_jsonable(call.temperature),
        "max_tokens": call.max_tokens,
        "tool_count": len(call.tools or ()),
        "step_num": call.step_num,
        "error": call.error,
        "scope": call.scope,
        "metadata": to_jsonable(call.metadata),
        "input_tokens": call.input_tokens,
        "output_tokens": call.output_tokens,
        "tokens_estimated": call.tokens_estimated,
    }
    for name in _CALL_FIELDS:
        value = getattr(call, name)
        if value is not None:
            record[name] = to_jsonable(value)
    if call.params != _usual_params(call.temperature, call.max_tokens):
        record["params"] = to_jsonable(call.params)
    return record


def call_from_record(record: Record) -> LLMCall:
    """The model call of a manifest's line, without its texts."""
    temperature = from_jsonable(record.get("temperature", 0.2))
    max_tokens = record.get("max_tokens", 2000)
    usual = _usual_params(temperature, max_tokens)
    return LLMCall(
        int(record["index"]),
        from_jsonable(record.get("timestamp", 0.0)),
        from_jsonable(record.get("duration_ms", 0.0)),
        record.get("method", "generate"),
        "",
        "",
        None,
        temperature,
        max_tokens,
        step_num=record.get("step_num"),
        error=record.get("error"),
        scope=record.get("scope"),
        metadata=from_jsonable(record.get("metadata") or {}),
        input_tokens=record.get("input_tokens", 0),
        output_tokens=record.get("output_tokens", 0),
        tokens_estimated=bool(record.get("tokens_estimated", False)),
        params=from_jsonable(record["params"]) if "params" in record else usual,
        **{name: from_jsonable(record[name]) for name in _CALL_FIELDS if name in record},
    )


def head_to_record(trajectory: Trajectory, *, done_tool: str) -> Record:
    """What is known of a run when it begins, and stays."""
    plain = Trajectory(trajectory_id=trajectory.run_id, run_id=trajectory.run_id)
    names = [each.name for each in fields(Trajectory) if each.name not in _DERIVED]
    about = {name: getattr(trajectory, name) for name in names}
    about = {name: each for name, each in about.items() if each != getattr(plain, name)}
    metadata = dict(trajectory.metadata)
    log = metadata.get(SESSION_LOG)
    if isinstance(log, str):
        del metadata[SESSION_LOG]
    record: Record = {
        "schema_version": SCHEMA_VERSION,
        "run_id": trajectory.run_id,
        "started_at": None,
        "ended_at": None,
        "task": {} if trajectory.task is None else to_jsonable(trajectory.task),
        "done_tool": done_tool,
        "session_log_text": log if isinstance(log, str) else None,
        "metadata": to_jsonable(metadata),
    }
    if trajectory.task is None:
        about["task"] = None
    for name in ("started_at", "ended_at"):
        moment = getattr(trajectory, name)
        record[name] = None if moment is None else moment.timestamp()
        if moment != _moment(record[name]):  # too far away for a float, or of another zone
            about[name] = moment
    record["about"] = to_jsonable(about)
    return record


def run_to_record(
    trajectory: Trajectory, *, done_tool: str, calls: Sequence[Record], steps: Sequence[Record]
) -> Record:
    """All of a run. One that has begun and not ended is interrupted, should nothing come after."""
    record = head_to_record(trajectory, done_tool=done_tool)
    head = ("schema_version", "run_id", "started_at", "ended_at", "task")
    reason = trajectory.stop_reason
    if reason is None and trajectory.started_at is not None and trajectory.ended_at is None:
        reason = INTERRUPTED
    output = trajectory.final_output
    if output != final_output(trajectory, done_tool=done_tool):
        record["about"]["final_output"] = to_jsonable(output)
    return {
        **{name: record.pop(name) for name in head},
        "termination_reason": termination_reason(trajectory, done_tool=done_tool),
        "stop_reason": reason,
        **record,
        "step_count": len(steps),
        "llm_call_count": len(calls),
        "steps": list(steps),
        "llm_calls": list(calls),
    }


def run_from_record(
    record: Record, *, calls: Sequence[LLMCall], steps: Sequence[StepRecord]
) -> Trajectory:
    """The run that ``run_to_record`` was given, or, of a head alone, an interrupted one."""
    about = from_jsonable(record.get("about") or {})
    done_tool = record.get("done_tool") or DONE_TOOL
    run_id = record.get("run_id") or ""
    metadata = from_jsonable(record.get("metadata") or {})
    if record.get("session_log_text") is not None:
        metadata[SESSION_LOG] = record["session_log_text"]
    known = {
        "trajectory_id": run_id,
        "task": from_jsonable(record.get("task", {})),
        "started_at": _moment(record.get("started_at")),
        "ended_at": _moment(record.get("ended_at")),
        "stop_reason": record.get("stop_reason"),
        **about,
    }
    trajectory = Trajectory(
        run_id=run_id, metadata=metadata, steps=list(steps), llm_calls=list(calls), **known
    )
    for step, link in zip(steps, chain(trajectory.task, steps), strict=True):
        step.digest = step.digest or link
    if "final_output" not in about:
        trajectory.final_output = final_output(trajectory, done_tool=done_tool)
    return trajectory


def check_version(record: Record, *, where: str) -> None:
    """Raise ``UnknownTraceVersion`` for a directory of a version that is not known."""
    version = record.get("schema_version", 1)
    if version != SCHEMA_VERSION:
        raise UnknownTraceVersion(
            f"{where} has the schema_version {version!r}, and this looplet reads {SCHEMA_VERSION}; "
            "use the version of looplet that wrote it"
        )


def _different(step: StepRecord) -> Record:
    """What of a step's result its record would not tell."""
    result = step.tool_result
    different: Record = {}
    if result.call_id != step.tool_call.call_id:
        different["call_id"] = result.call_id
    if result.error is not None and result.result_key is not None:
        different["result_key"] = result.result_key
    error, kind = result.error, result.error_kind
    usual = (
        None if error is None or kind is None else ToolError(kind, error, result.error_retriable)
    )
    detail = result.error_detail
    if detail != usual:
        different["error_detail"] = None if detail is None else {
            "kind": detail.kind.value,
            "message": detail.message,
            "retriable": detail.retriable,
            "context": to_jsonable(detail.context),
            "recovery_hint": to_jsonable(detail.recovery_hint),
        }  # fmt: skip
    return different


def _detail(record: Record | None) -> ToolError | None:
    if record is None:
        return None
    more = {name: from_jsonable(record[name]) for name in ("context", "recovery_hint")}
    return ToolError(ErrorKind(record["kind"]), record["message"], record["retriable"], **more)


def _usual_detail(record: Record, error: str) -> ToolError | None:
    kind = record.get("error_kind")
    if kind is None:
        return None
    return ToolError(ErrorKind(kind), error, bool(record.get("error_retriable", False)))


def _usual_params(temperature: JSON, max_tokens: JSON) -> Record:
    return {"temperature": temperature, "max_tokens": max_tokens}


def _moment(seconds: JSON) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
