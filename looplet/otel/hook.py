"""The hook that tells a run to OpenTelemetry. Knows the loop's slots."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, Status, StatusCode, Tracer, TracerProvider

from looplet import __version__
from looplet.core.events import EventPayload, LifecycleEvent
from looplet.core.records import ToolCall, ToolResult
from looplet.core.watching import StepWatcher, stops_question
from looplet.otel import content
from looplet.otel import conventions as names
from looplet.otel.chats import AsyncTracedBackend, Chat, Chats, Settings, TracedBackend, error_type

_BROKEN = frozenset({"error", "interrupted", "llm_error"})
"""Stop reasons of runs that failed."""

# The loop calls the slots by position, so every parameter stands here, used or not.
# ruff: noqa: ARG002


@dataclass(slots=True, eq=False)
class _Tool:
    """A call's span."""

    span: Span
    ended_ns: int | None = None
    """When the tool had ended, in nanoseconds of Unix time."""


class OpenTelemetryHook(StepWatcher):
    """A hook that makes a run's trace and metrics, by the conventions for generative AI.

    | span | kind | of |
    |---|---|---|
    | ``invoke_agent {agent_name}`` | internal | the run, below what is current at its start |
    | ``chat {model}`` | client | each question of the loop to the model, its retries included |
    | ``execute_tool {tool}`` | internal | each call that the model asked for, done included |

    Below a ``chat`` stands what the backend's own client traces, below an ``execute_tool`` what
    the tool does: its own spans, and the ``invoke_agent`` of a sub-agent that has a hook of its
    own; also where several tools run at the same time. Between two steps the caller's own span is
    current. All spans are ended, whatever ends the run.

    Calls that tools, compaction services or others make have ``chat`` spans too if the backend
    comes from ``wrap_llm``; a question of the loop still has one alone. Without it the model of a
    question that a router directs is not known, and sampling parameters beside ``temperature``
    and ``max_tokens`` are not told.

    ``tracer`` is one of OpenTelemetry's, else one is had from ``tracer_provider``, else from the
    global one; figures go to ``meter_provider``, else to the global one. ``provider_name`` is
    ``gen_ai.provider.name``; without it the shipped backends are known by their own, and others
    have none. What was said (messages, instructions, arguments, results, tool definitions, errors
    of tools) is recorded only with ``capture_content=True``; left at ``None``, the environment's
    ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` decides (``true``, ``SPAN_ONLY`` or
    ``SPAN_AND_EVENT`` allow it). Token counts are the provider's own, or are left out.

    ``error.type`` is, of a ``chat``, the HTTP status or the exception's class; of an
    ``execute_tool``, the ``ErrorKind``; of an ``invoke_agent``, the class of the exception that
    leaves the run, or ``llm_error``. One hook serves one run at a time.

    >>> from looplet import MockLLMBackend, composable_loop, tools_from
    >>> from opentelemetry.sdk.trace import TracerProvider
    >>> from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    >>> from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    >>> exporter, provider = InMemorySpanExporter(), TracerProvider()
    >>> provider.add_span_processor(SimpleSpanProcessor(exporter))
    >>> llm = MockLLMBackend(['{"tool": "done", "args": {"summary": "ripe"}}'])
    >>> hook = OpenTelemetryHook(tracer_provider=provider, agent_name="clerk")
    >>> tools = tools_from([], include_done=True)
    >>> for step in composable_loop(llm, "Is the pear ripe?", tools, hooks=[hook]):
    ...     pass
    >>> [span.name for span in exporter.get_finished_spans()]
    ['chat', 'execute_tool done', 'invoke_agent clerk']
    """

    def __init__(
        self,
        tracer: Tracer | None = None,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        agent_name: str | None = None,
        conversation_id: str | None = None,
        provider_name: str | None = None,
        capture_content: bool | None = None,
    ) -> None:
        super().__init__()
        about = {names.AGENT_NAME: agent_name, names.CONVERSATION_ID: conversation_id}
        self._settings = Settings(
            common={name: value for name, value in about.items() if value is not None},
            provider=provider_name,
            capture=_allowed() if capture_content is None else capture_content,
        )
        self._tracer = tracer or trace.get_tracer(
            "looplet", __version__, tracer_provider, names.SCHEMA_URL
        )
        meter = metrics.get_meter("looplet", __version__, meter_provider, names.SCHEMA_URL)
        self._chats = Chats(self._tracer, meter, self._settings)
        self._clear()

    def _clear(self) -> None:
        self._agent: Span | None = None
        self._context: Context | None = None
        """With the agent's span as the current one."""
        self._tools: dict[int, _Tool] = {}
        self._chat: Chat | None = None
        self._asks_no_more = False

    def wrap_llm(self, backend: Any) -> TracedBackend | AsyncTracedBackend:
        """``backend``, sync or async, with a ``chat`` span for every call that has none yet."""
        return self._chats.wrap(backend)

    def run_begun(self, state: Any) -> None:
        """Open the agent's span."""
        self._clear()
        name = self._settings.common.get(names.AGENT_NAME)
        attributes: dict[str, Any] = {names.OPERATION: names.INVOKE_AGENT}
        attributes |= self._settings.common
        if self._settings.provider is not None:
            attributes[names.PROVIDER] = self._settings.provider
        if self._settings.capture:
            attributes |= content.of_task(getattr(state, "task", None))
        title = names.INVOKE_AGENT if name is None else f"{names.INVOKE_AGENT} {name}"
        self._agent = self._tracer.start_span(title, attributes=attributes)
        self._context = trace.set_span_in_context(self._agent)

    def call_asked(self, call: ToolCall, number: int) -> None:
        """Open the call's span."""
        attributes: dict[str, Any] = {
            names.OPERATION: names.EXECUTE_TOOL,
            **self._settings.common,
            names.TOOL_NAME: call.tool,
            names.TOOL_CALL_ID: call.call_id,
            names.TOOL_TYPE: "function",
            names.STEP_NUMBER: number,
        }
        title = f"{names.EXECUTE_TOOL} {call.tool}"
        span = self._tracer.start_span(title, self._context, attributes=attributes)
        self._tools[number] = _Tool(span)

    def around_tool(self, tool_call: ToolCall, step_num: int) -> AbstractContextManager[None]:
        """Make the call's span the current one while the tool runs, where it runs."""
        return _current(self._tools[step_num])

    def call_answered(self, call: ToolCall, result: ToolResult, number: int) -> None:
        """End the call's span."""
        tool = self._tools.pop(number)
        if self._settings.capture:
            tool.span.set_attributes(content.of_arguments(call.args))
            if result.error is None:
                tool.span.set_attributes(content.of_result(result.data))
        kind = result.error_kind
        if kind is not None:
            # The text is what the model reads as the call's result, so it is content.
            said = result.error_message if self._settings.capture else None
            tool.span.set_attribute(names.ERROR_TYPE, kind.value)
            tool.span.set_status(Status(StatusCode.ERROR, said))
        # A consumer may have paused since, between two steps of one batch.
        tool.span.end(tool.ended_ns)

    def on_event(self, payload: EventPayload) -> None:
        """Open a question's span, and end it; keep the run's answer."""
        if self._agent is None or payload.subagent_id is not None:
            return
        event = payload.event
        if event is LifecycleEvent.PRE_LLM_CALL and not self._asks_no_more:
            self._open_chat(payload)
        elif event is LifecycleEvent.POST_LLM_RESPONSE:
            self._end_chat(payload)
        elif event is LifecycleEvent.DONE_ACCEPTED and self._settings.capture:
            self._agent.set_attributes(content.of_answer(payload.tool_call.args))
        elif stops_question(payload):
            self._asks_no_more = True
            chat, self._chat = self._chat, None
            if chat is not None:
                chat.not_asked()

    def on_loop_end(self, state: Any, session_log: Any, context: Any, llm: Any) -> None:
        """End whatever is open."""
        if self._agent is None:  # an earlier hook's pre_loop broke the run
            return
        try:
            self._catch_up(state)
        finally:
            self._end_all(state, self._agent)

    def _open_chat(self, payload: EventPayload) -> None:
        extra = payload.extra
        about = {names.PURPOSE: extra["purpose"], names.STEP_NUMBER: payload.step_num}
        self._chat = self._chats.open(
            extra["request"], extra["backend"], about=about, parent=self._context
        )
        self._chat.attach()

    def _end_chat(self, payload: EventPayload) -> None:
        chat, self._chat = self._chat, None
        if chat is None:
            return
        extra = payload.extra
        if payload.raw_response is None:
            chat.failed(extra.get("failure"))
        else:
            chat.answered(payload.raw_response, extra.get("usage"), extra.get("stop_reason"))
        if chat.model is not None and self._agent is not None:
            self._agent.set_attribute(names.REQUEST_MODEL, chat.model)

    def _end_all(self, state: Any, agent: Span) -> None:
        leaving = sys.exception()
        if self._chat is not None:
            self._chat.failed(leaving)
        for tool in self._tools.values():
            tool.span.set_attribute(names.ERROR_TYPE, error_type(leaving))
            tool.span.set_status(StatusCode.ERROR)
            tool.span.end(tool.ended_ns)
        reason = str(getattr(state, "_stop_reason", None))
        agent.set_attributes({names.STOP_REASON: reason, names.STEP_COUNT: state.step_count})
        if reason in _BROKEN:
            kind = reason if leaving is None else error_type(leaving)
            agent.set_attribute(names.ERROR_TYPE, kind)
            agent.set_status(Status(StatusCode.ERROR, str(leaving) if leaving else None))
        agent.end()
        self._clear()


@contextmanager
def _current(tool: _Tool) -> Iterator[None]:
    token = contexts.attach(trace.set_span_in_context(tool.span))
    try:
        yield
    finally:
        contexts.detach(token)
        tool.ended_ns = time.time_ns()


def _allowed() -> bool:
    return os.environ.get(names.CAPTURE_VARIABLE, "").strip().lower() in names.CAPTURE_WORDS
