"""A run as spans: the agent's, and below it one for each call of the model and each step.

Knows runs, and which attribute of the conventions says what; knows no file. The whole conversation
stands in each call's span, as the conventions want it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from looplet import __version__
from looplet.core.codec import JSON
from looplet.core.messages import ChatMessage, ModelRequest
from looplet.otel import content
from looplet.otel import conventions as names
from looplet.trajectory import own_attributes as own
from looplet.trajectory.exporters.otlp_encoding import (
    CLIENT,
    INTERNAL,
    Encoder,
    nanoseconds,
    request,
    span_id,
)
from looplet.trajectory.exporters.otlp_fields import (
    fields_of_call,
    fields_of_run,
    fields_of_step,
    reason,
)
from looplet.trajectory.model import LLMCall, StepRecord, Trajectory
from looplet.trajectory.recording import LOOPS_PURPOSE

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TOOL_KEYS = {"name", "description", "input_schema"}
_IN_TOOL = "tool:"


def request_of(run: Trajectory, trace_id: str, encoder: Encoder) -> JSON:
    """The export request of one run."""
    resource = encoder.attributes({"service.name": run.agent or "looplet"})
    scope = {"scope": {"name": "looplet", "version": __version__}, "schemaUrl": names.SCHEMA_URL}
    return request(resource, scope, _Spans(run, trace_id, encoder).all())


class _Spans:
    """The spans of one run."""

    def __init__(self, run: Trajectory, trace_id: str, encoder: Encoder) -> None:
        self._run, self._trace_id, self._encoder = run, trace_id, encoder
        self._root_id = span_id(trace_id, "run")
        self._step_ids = {
            step.step_num: self._step_id(place) for place, step in enumerate(run.steps)
        }
        self._told: dict[int, tuple[ChatMessage, str]] = {}
        """Messages by where they are in memory, which each holds as long as it stands here."""
        self._latest = _nanoseconds_of(run.started_at) or 0
        """Where a span is placed whose time is not known: at the end of the last that is."""

    def all(self) -> list[JSON]:
        """The agent's span, and those below it in their order."""
        below = list(self._below())
        return [self._agent(below), *below]

    def _below(self) -> Iterator[dict[str, JSON]]:
        calls = iter(self._run.llm_calls)
        call = next(calls, None)
        for place, step in enumerate(self._run.steps):
            while call is not None and _is_before(call, step):
                yield self._chat(call)
                call = next(calls, None)
            yield self._tool(step, place)
        while call is not None:
            yield self._chat(call)
            call = next(calls, None)

    def _agent(self, below: list[dict[str, JSON]]) -> dict[str, JSON]:
        run = self._run
        started, ended = map(_nanoseconds_of, (run.started_at, run.ended_at))
        begins = [int(span["startTimeUnixNano"]) for span in below]
        ends = [int(span["endTimeUnixNano"]) for span in below]
        attributes = {
            names.OPERATION: names.INVOKE_AGENT,
            names.AGENT_NAME: run.agent,
            names.REQUEST_MODEL: run.model,
            **({} if run.task is None else content.of_task(run.task)),
            **_answer(run.final_output),
            names.STOP_REASON: run.stop_reason,
            names.STEP_COUNT: len(run.steps),
            names.ERROR_TYPE: None if run.error is None else _type_of(run.error),
            own.UNKNOWN: _unknown(start=started, end=ended),
            **own.written(own.RUN, fields_of_run(run)),
        }
        first = min(begins, default=0) if started is None else started
        last = max([first, *ends]) if ended is None else ended
        title = names.INVOKE_AGENT if run.agent is None else f"{names.INVOKE_AGENT} {run.agent}"
        return self._span(self._root_id, None, title, (first, last), attributes, error=run.error)

    def _chat(self, call: LLMCall) -> dict[str, JSON]:
        start = None if call.timestamp is None else nanoseconds(call.timestamp)
        attributes = {
            names.OPERATION: names.CHAT,
            names.AGENT_NAME: self._run.agent,
            names.REQUEST_MODEL: call.model,
            names.STEP_NUMBER: call.step_num,
            names.PURPOSE: None if call.scope else LOOPS_PURPOSE,
            names.SCOPE: call.scope,
            **_sampling(call),
            **_tokens(call),
            **_sent(call, self._message),
            **({} if call.response is None else content.of_reply(call.response, reason(call))),
            names.ERROR_TYPE: None if call.error is None else _type_of(call.error),
            own.UNKNOWN: _unknown(start=start, duration=call.duration_ms),
            **own.written(own.CALL, fields_of_call(call)),
        }
        title = names.CHAT if call.model is None else f"{names.CHAT} {call.model}"
        begun = self._latest if start is None else start
        times = (begun, begun + _length(call.duration_ms))
        self._latest = max(self._latest, times[1])
        parent = self._root_id
        if call.scope is not None and call.scope.startswith(_IN_TOOL):
            parent = self._step_ids.get(call.step_num or 0, parent)
        own_id = span_id(self._trace_id, "call", call.index)
        return self._span(own_id, parent, title, times, attributes, call.error, kind=CLIENT)

    def _tool(self, step: StepRecord, place: int) -> dict[str, JSON]:
        call, result = step.tool_call, step.tool_result
        end = None if step.timestamp is None else nanoseconds(step.timestamp)
        kind = result.error_kind
        is_told = result.error is None or result.data is not None
        attributes = {
            names.OPERATION: names.EXECUTE_TOOL,
            names.AGENT_NAME: self._run.agent,
            names.TOOL_NAME: call.tool,
            names.TOOL_CALL_ID: call.call_id,
            names.TOOL_TYPE: "function",
            names.STEP_NUMBER: step.step_num,
            names.TOOL_ARGUMENTS: content.as_json(call.args),
            names.TOOL_RESULT: content.as_json(result.data) if is_told else None,
            names.ERROR_TYPE: None if kind is None else kind.value,
            own.UNKNOWN: _unknown(end=end, duration=step.duration_ms),
            **own.written(own.STEP, fields_of_step(step)),
        }
        ended = self._latest if end is None else end
        times = (max(0, ended - _length(step.duration_ms)), ended)
        self._latest = max(self._latest, ended)
        title = f"{names.EXECUTE_TOOL} {call.tool}"
        error = None if kind is None else result.error_message
        return self._span(self._step_id(place), self._root_id, title, times, attributes, error)

    def _message(self, message: ChatMessage) -> str:
        """A message's JSON, made once: each call is sent what the one before was, and more."""
        known = self._told.get(id(message))
        if known is None:
            known = self._told[id(message)] = (message, content.of_message(message))
        return known[1]

    def _step_id(self, place: int) -> str:
        return span_id(self._trace_id, "step", place)

    def _span(
        self,
        own_id: str,
        parent: str | None,
        title: str,
        times: tuple[int, int],
        attributes: dict[str, Any],
        error: str | None,
        *,
        kind: int = INTERNAL,
    ) -> dict[str, JSON]:
        start, end = times
        return {
            "traceId": self._trace_id,
            "spanId": own_id,
            **({} if parent is None else {"parentSpanId": parent}),
            "name": self._encoder.text(title),
            "kind": kind,
            "startTimeUnixNano": self._encoder.moment(start),
            "endTimeUnixNano": self._encoder.moment(max(start, end)),
            "attributes": self._encoder.attributes(attributes),
            "status": self._encoder.status(error),
        }


def _is_before(call: LLMCall, step: StepRecord) -> bool:
    """Whether a call was made before a step's tool was run, as far as is known."""
    if call.scope is not None and call.scope.startswith(_IN_TOOL):
        return call.step_num is not None and call.step_num < step.step_num
    return call.step_num is None or call.step_num <= step.step_num


def _nanoseconds_of(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND * 1000


def _length(duration_ms: float | None) -> int:
    return max(0, nanoseconds((duration_ms or 0.0) / 1000))


def _unknown(**moments: float | None) -> list[str] | None:
    """Which of the times only place a span in its trace."""
    return [name for name, moment in moments.items() if moment is None] or None


def _answer(output: JSON) -> dict[str, str]:
    if output is None:
        return {}
    if isinstance(output, dict):
        return content.of_answer(output)
    return content.of_reply(output if isinstance(output, str) else content.as_json(output), None)


def _sent(call: LLMCall, told: Callable[[ChatMessage], str]) -> dict[str, str]:
    """What the model was sent; a system prompt that stands before the rest is told apart."""
    messages, system = list(call.messages), ""
    if not messages:
        system = call.system_prompt
    elif len(messages) > 1 and _is_system_prompt(messages[0]):
        system = messages.pop(0).content
    tools = call.tools or []
    plain = all(_TOOL_KEYS >= tool.keys() >= {"name", "input_schema"} for tool in tools)
    asked = ModelRequest(
        method="generate",
        prompt=call.prompt,
        system_prompt=system,
        messages=messages,
        tools=tools if plain else (),
    )
    sent = content.of_request(asked, told=told)
    return sent if plain else {**sent, names.TOOL_DEFINITIONS: content.as_json(tools)}


def _is_system_prompt(message: ChatMessage) -> bool:
    return message.role == "system" and bool(message.content) and not message.blocks


def _sampling(call: LLMCall) -> dict[str, Any]:
    others = names.REQUEST_OTHERS.items()
    return {
        names.REQUEST_MAX_TOKENS: call.max_tokens,
        names.REQUEST_TEMPERATURE: call.temperature,
    } | {name: call.params[key] for key, name in others if key in call.params}


def _tokens(call: LLMCall) -> dict[str, Any]:
    """What the provider counted, and why it ended; estimates are looplet's own fields."""
    told = not call.tokens_estimated
    return {
        names.INPUT_TOKENS: call.input_tokens if told else None,
        names.OUTPUT_TOKENS: call.output_tokens if told else None,
        names.CACHE_READ_TOKENS: call.cached_tokens,
        names.FINISH_REASONS: None if call.finish_reason is None else [reason(call)],
    }


def _type_of(error: str) -> str:
    """The kind of an error that is told as ``kind: message``."""
    kind, colon, _ = error.partition(": ")
    return kind if colon and kind.isidentifier() else "_OTHER"
