"""One run put together from its spans: calls of the model, steps, and what is known of the whole.

Knows spans and runs; knows no file, and no name of a foreign attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from looplet.core.codec import JSON
from looplet.core.messages import CallRequest, ChatMessage
from looplet.otel import conventions as names
from looplet.trajectory import own_attributes as own
from looplet.trajectory.importers import otlp_content as content
from looplet.trajectory.importers import otlp_facts as facts
from looplet.trajectory.importers import otlp_restoring as restoring
from looplet.trajectory.importers.builder import RunBuilder
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.otlp_content import Said
from looplet.trajectory.importers.otlp_facts import Kind
from looplet.trajectory.importers.otlp_left import about, whole
from looplet.trajectory.importers.otlp_messages import Messages
from looplet.trajectory.importers.otlp_spans import Span
from looplet.trajectory.importers.otlp_traces import Placed, Unit
from looplet.trajectory.importers.problems import Malformed
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import LLMCall, StepRecord, Trajectory, final_output
from looplet.trajectory.recording import LOOPS_PURPOSE

NAME = "otlp"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_T = TypeVar("_T")


def run_of(unit: Unit, source: Source) -> Trajectory:
    """The trajectory of one run's spans; what is malformed is reported, and the rest read."""
    builder = _Run(unit, source)
    for placed in restoring.in_order(unit.spans):
        builder.take(placed)
    return builder.build()


class _Run:
    """Takes the spans of a run in their order."""

    def __init__(self, unit: Unit, source: Source) -> None:
        self._unit, self._source = unit, source
        self._builder = RunBuilder()
        self._messages = Messages()
        self._latest: dict[tuple[str, ...], LLMCall] = {}
        """The last call of each lane."""
        self._steps: dict[str, StepRecord] = {}
        """By the id of the span of the tool."""
        self._by_number: dict[int, StepRecord] = {}
        self._indices: dict[int, list[int]] = {}
        """Which calls led to which step, where looplet says it."""
        self._asked_in: list[tuple[LLMCall, Placed]] = []
        self._others: list[JSON] = []
        self._final: dict[tuple[str, ...], str | None] = {}
        """What was said last in each lane, if that asked for nothing."""

    def take(self, placed: Placed) -> None:
        """One span."""
        if placed.kind is Kind.CHAT:
            self._take_chat(placed)
        elif placed.kind is Kind.TOOL and placed.tool is None:
            self._take_tool(placed)
        else:
            self._others.append(whole(placed.span))

    def _take_chat(self, placed: Placed) -> None:
        span = placed.span
        said = self._read(lambda: content.said_in(span, self._messages), Said())
        known = self._read(lambda: facts.of_call(span), {"timestamp": span.start_s})
        self._answer_from(said.sent)
        reply = said.reply
        call = self._builder.add_call(
            reply, said.sent, scope=_scope(placed), **_fields(span, said, known)
        )
        restoring.restore_call(call, self._own(own.CALL, span), span)
        self._asked_in.append((call, placed))
        self._latest[placed.lane] = call
        self._final[placed.lane] = reply.content or None if reply and not reply.calls else None
        if placed.tool is None and not facts.is_own(span):
            for asked in reply.calls if reply else ():
                step = self._builder.ask(asked, reasoning=reply.content if reply else "", call=call)
                _note_lane(step, placed)

    def _take_tool(self, placed: Placed) -> None:
        span, builder = placed.span, self._builder
        name = facts.tool_name(span)
        call_id = self._read(lambda: span.get(*facts.TOOL_IDS).label(), None)
        arguments = self._read(lambda: content.arguments_in(span), None)
        is_told, data = self._read(lambda: content.result_in(span), (False, None))
        failure = self._read(lambda: facts.tool_failure_of(span), None)
        error, kind = failure or (None, None)
        waiting = None if facts.is_own(span) else builder.waiting_for(call_id, name)
        if waiting is None:
            asked = CallRequest(id=call_id or "", name=name, input=arguments or {})
            asker = None if facts.is_own(span) else self._latest.get(placed.lane)
            step = builder.ask(asked, call=asker)
            waiting = step.tool_call.call_id
            _note_lane(step, placed)
        else:
            step = builder.step_waiting(waiting)
        if arguments is not None:
            step.tool_call.args = arguments
        extra = {**step.tool_result.metadata, **about(span, but=content.TOOL_VALUES)}
        step.tool_result.metadata = extra
        if is_told or error is not None:
            builder.answer(data, call_id=waiting, error=error, kind=kind, extra=extra)
        self._steps[span.span_id] = step
        fields = self._own(own.STEP, span)
        restoring.restore_step(step, fields, span)
        self._by_number[step.step_num] = step
        self._indices[step.step_num] = fields.get("llm_call_indices", [])

    def _answer_from(self, sent: Iterable[ChatMessage]) -> None:
        """Results that no tool's span told: the next call of the model is sent them."""
        answers = [message for message in sent if message.role == "tool"]
        waiting = self._builder.waiting if answers else set()
        for message in answers:
            if message.call_id not in waiting:
                continue
            waiting.discard(message.call_id)
            failed = any(block.get("is_error") is True for block in message.blocks)
            self._builder.answer(
                None if failed else message.content,
                call_id=message.call_id,
                error=message.content if failed else None,
                extra=self._builder.step_waiting(message.call_id).metadata,
            )

    def _link(self) -> None:
        """Calls of looplet's to the steps that they say, and those inside of a tool to its step."""
        for call, placed in self._asked_in:
            step = self._steps.get(placed.tool or "")
            number = placed.span.attributes.get(names.STEP_NUMBER)
            if step is None and facts.is_own(placed.span) and isinstance(number, int):
                step = self._by_number.get(number)
            if step is not None and call.index not in step.llm_call_indices:
                step.llm_call_indices.append(call.index)
                call.step_num = step.step_num
        for step in self._steps.values():
            told = self._indices.get(step.step_num, [])
            step.llm_call_indices += [
                index
                for index in told
                if 0 <= index < len(self._asked_in) and index not in step.llm_call_indices
            ]

    def build(self) -> Trajectory:
        """The trajectory."""
        self._link()
        root, trace_id = self._unit.root, self._unit.trace_id
        spans = [each.span for each in self._unit.spans]
        known: dict[str, Any] = {
            "task": _task(Said(), self._builder.calls),
            "final_output": self._final.get(()),
            "metadata": _about_run(root or spans[0], self._others),
        }
        place = f"trace {trace_id}"
        if root is not None:
            spans = [root, *spans]
            place = f"{place}, span {root.span_id}"
            known |= self._about_root(root, known)
        begun = min(_known(span.start_ns for span in spans), default=None)
        ended = max(_known(span.end_ns for span in spans), default=None)
        known = {"started_at": _moment(begun), "ended_at": _moment(ended)} | known
        record = Node([each.raw for each in spans], place)
        trajectory = self._builder.build(self._source, record, form=NAME, **known)
        if root is not None and restoring.is_live(root) and trajectory.final_output is not None:
            trajectory.final_output = final_output(trajectory)
        return trajectory

    def _about_root(self, root: Span, known: dict[str, Any]) -> dict[str, Any]:
        """What the span of the run itself tells."""
        said = self._read(lambda: content.said_in(root, self._messages), Said())
        error = self._read(lambda: facts.failure_of(root), None)
        stop_reason = self._read(lambda: root.get(names.STOP_REASON).text(), None)
        told: dict[str, Any] = {
            "task": _task(said, self._builder.calls),
            "agent": facts.agent_name(root),
            "final_output": said.reply.content if said.reply else known["final_output"],
            "stop_reason": "error" if error and stop_reason is None else stop_reason,
            "error": error,
            "metadata": about(root) | known["metadata"],
        }
        for name, ns in (("started_at", root.start_ns), ("ended_at", root.end_ns)):
            if ns is not None:
                told[name] = _moment(ns)
        model = root.attributes.get(names.REQUEST_MODEL)
        if isinstance(model, str):
            told["model"] = model
        return restoring.restored_run(told, self._own(own.RUN, root), root)

    def _own(self, prefix: str, span: Span) -> dict[str, Any]:
        if not facts.is_own(span):
            return {}
        return self._read(lambda: own.read_back(prefix, span.attributes, span.place), {})

    def _read(self, read: Callable[[], _T], otherwise: _T) -> _T:
        """What a part of a span tells; a malformed one is reported, and the rest of it read."""
        try:
            return read()
        except Malformed as error:
            self._source.report(error)
            return otherwise


def _fields(span: Span, said: Said, known: dict[str, Any]) -> dict[str, Any]:
    """Fields of a call, by all that its span tells."""
    metadata = about(span)
    if said.others:
        metadata["other_choices"] = said.others
    model = span.get(*facts.RESPONSE_MODEL).value
    if model is not None and model != known.get("model"):
        metadata["response_model"] = model
    with_tools = known.get("tools") or (said.reply and said.reply.calls)
    return {
        "method": "generate_with_tools" if with_tools else "generate",
        "finish_reason": None if facts.is_own(span) else said.finish_reason,
        "metadata": metadata,
    } | {name: value for name, value in known.items() if value is not None}


def _note_lane(step: StepRecord, placed: Placed) -> None:
    if placed.lane:
        step.metadata = {"scope": "/".join(placed.lane)}
        step.tool_result.metadata = dict(step.metadata)


def _scope(placed: Placed) -> str | None:
    """Who asked: as looplet says, or else by the lane."""
    told = placed.span.attributes.get(names.SCOPE)
    if isinstance(told, str):
        return told
    purpose = placed.span.attributes.get(names.PURPOSE)
    if isinstance(purpose, str) and not placed.lane:
        return None if purpose == LOOPS_PURPOSE else purpose
    return "/".join(placed.lane) or None


def _task(said: Said, calls: list[LLMCall]) -> JSON:
    """What was asked: as the agent's span tells, or what the user said first."""
    messages = said.sent or (calls[0].messages if calls else ())
    prompt = next((message.content for message in messages if message.role == "user"), None)
    return None if prompt is None else {"prompt": prompt}


def _about_run(first: Span, others: list[JSON]) -> dict[str, JSON]:
    """Where a run's spans come from, and those of them that are neither calls nor steps."""
    told = {
        "trace_id": first.trace_id,
        "parent_span_id": first.parent_id,
        "resource": dict(first.resource),
        "instrumentation": first.scope,
        "conversation_id": first.attributes.get(names.CONVERSATION_ID),
        "other_spans": others,
    }
    return {name: value for name, value in told.items() if value}


def _known(moments: Iterable[int | None]) -> Iterable[int]:
    return (each for each in moments if each is not None)


def _moment(ns: int | None) -> datetime | None:
    return None if ns is None else _EPOCH + timedelta(microseconds=ns // 1000)
