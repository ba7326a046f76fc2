"""What looplet itself wrote into spans, put back into the run: its order, and fields of its own.

Knows looplet's attributes; knows no other's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from looplet.core.records import ToolError
from looplet.otel import conventions as names
from looplet.trajectory import own_attributes as own
from looplet.trajectory.importers import otlp_facts as facts
from looplet.trajectory.importers.otlp_facts import Kind
from looplet.trajectory.importers.otlp_spans import Span
from looplet.trajectory.importers.otlp_traces import Placed
from looplet.trajectory.model import LLMCall, StepRecord

_EXPORTED = ("trajectory_id", "run_id", "source_format", "source_uri")
"""What is a run's own, and another's once it is imported."""
_MOST_DIGITS = 18


def in_order(spans: list[Placed]) -> list[Placed]:
    """Spans as they began, but looplet's tools and calls each by the numbers that they have.

    Tools of one batch may begin in another order than the model asked for them, and a clock may
    be set back.
    """
    found = list(spans)
    for number_of in (_step_number, _call_index):
        places = [index for index, each in enumerate(found) if number_of(each.span) is not None]
        numbered = sorted(
            (found[index] for index in places), key=lambda each: number_of(each.span) or 0
        )
        for index, each in zip(places, numbered, strict=True):
            found[index] = each
    return found


def _step_number(span: Span) -> int | None:
    """The number of the step that a tool's span of looplet's is."""
    number = span.attributes.get(names.STEP_NUMBER)
    is_step = facts.is_own(span) and facts.kind_of(span) is Kind.TOOL
    return number if is_step and isinstance(number, int) and abs(number) < 1 << 31 else None


def _call_index(span: Span) -> int | None:
    """The place of a call of the model that looplet exported."""
    index = span.attributes.get(own.CALL + "index")
    is_number = isinstance(index, str) and index.isdecimal() and len(index) <= _MOST_DIGITS
    if not is_number or not facts.is_own(span):
        return None
    return int(span.attributes[own.CALL + "index"])


def restore_call(call: LLMCall, fields: dict[str, Any], span: Span) -> None:
    """Put back what was written of a call."""
    if "index" in fields:  # it was exported, with all fields that it has
        call.params = {}
    given = {name: value for name, value in fields.items() if name not in ("index", "metadata")}
    for name, value in given.items():
        setattr(call, name, value)
    call.metadata = {**call.metadata, **fields.get("metadata", {})}
    if _is_unknown(span, "start"):
        call.timestamp = None
    if _is_unknown(span, "duration"):
        call.duration_ms = None


def restore_step(step: StepRecord, fields: dict[str, Any], span: Span) -> None:
    """Put back what was written of a step."""
    call, result = step.tool_call, step.tool_result
    number = _step_number(span)
    step.step_num = step.step_num if number is None else number
    step.timestamp = None if _is_unknown(span, "end") else span.end_s
    step.duration_ms = None if _is_unknown(span, "duration") else span.duration_ms
    step.context_before = fields.get("context_before", "")
    step.usage = fields.get("usage")
    call.reasoning = fields.get("reasoning", call.reasoning)
    call.metadata = fields.get("call_metadata", call.metadata)
    result.duration_ms = step.duration_ms or 0.0
    result.warnings = fields.get("warnings", result.warnings)
    result.metadata = fields.get("metadata", result.metadata)
    result.error = fields.get("error", result.error)
    result.result_key = fields.get("result_key")
    if result.error_detail is not None:
        detail = fields.get("error_detail", {})
        result.error_detail = _detailed(result.error_detail, detail)
    step.metadata = dict(result.metadata)


def restored_run(known: dict[str, Any], fields: dict[str, Any], root: Span) -> dict[str, Any]:
    """What is known of a run, with what was written of it in its place."""
    fields = dict(fields)
    metadata = {**known["metadata"], **fields.pop("metadata", {})}
    exported = {name: fields.pop(name) for name in _EXPORTED if name in fields}
    if exported:
        metadata["exported"] = exported
        stop_reason = root.attributes.get(names.STOP_REASON)
        said = {"stop_reason": stop_reason if isinstance(stop_reason, str) else None}
        unsaid = {"task": None, "final_output": None, "error": None}
        known = {"model": None, **known, **unsaid, **said}
    for moment, name in (("start", "started_at"), ("end", "ended_at")):
        if _is_unknown(root, moment):
            fields[name] = None
    return {**known, **fields, "metadata": metadata}


def is_live(root: Span) -> bool:
    """Whether looplet's hook made the span, and not its exporter."""
    return facts.is_own(root) and own.RUN + "trajectory_id" not in root.attributes


def _is_unknown(span: Span, moment: str) -> bool:
    """Whether looplet says of a time that it only places the span."""
    unknown = span.attributes.get(own.UNKNOWN)
    return isinstance(unknown, list) and moment in unknown


def _detailed(error: ToolError, fields: dict[str, Any]) -> ToolError:
    context = fields.get("context")
    return replace(
        error,
        retriable=fields.get("retriable") is True,
        context=context if isinstance(context, dict) else {},
        recovery_hint=fields.get("recovery_hint"),
    )
