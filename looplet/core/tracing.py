"""Spans of runs: a tracer in memory, and the hook that opens and ends spans.

Loaded only by runs that have a tracer. Knows the loop's slots; knows no tracing package.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from looplet.core.events import EventPayload, LifecycleEvent
from looplet.core.failures import first_of
from looplet.core.records import Step, ToolCall, ToolResult, is_dunder, new_id
from looplet.core.runtime import Runtime
from looplet.core.watching import StepWatcher, stops_question

# The loop calls the slots by position, so every parameter stands here, used or not.
# ruff: noqa: ARG002


@dataclass(slots=True, eq=False)
class Span:
    """A stretch of time with a name."""

    name: str
    span_id: str = field(default_factory=new_id)
    parent_id: str | None = None
    start_time: float = 0.0
    """Unix time, in seconds."""
    end_time: float | None = None
    """``None`` while the span is open."""
    attributes: dict[str, Any] = field(default_factory=dict)
    children: list[Span] = field(default_factory=list, repr=False)
    status: str = "open"
    """``open``, then ``ok`` or ``error``."""
    _began: float = field(default=0.0, repr=False, kw_only=True)
    _work_ended: float | None = field(default=None, repr=False, kw_only=True)
    """When what the span measures was over, if that was before the span's end."""

    @property
    def duration_ms(self) -> float:
        """From start to end, in milliseconds; 0 while the span is open."""
        return 0.0 if self.end_time is None else (self.end_time - self.start_time) * 1000

    def set_attribute(self, name: str, value: Any) -> None:
        """Set one attribute."""
        self.attributes[name] = value


_OPEN: ContextVar[tuple[tuple[Tracer, Span], ...]] = ContextVar("looplet_open_spans", default=())
"""Open spans of the current thread or task, the innermost last."""


class Tracer:
    """Keeps spans in memory, nested by the thread or task that opens them.

    >>> tracer = Tracer()
    >>> outer = tracer.start_span("outer")
    >>> inner = tracer.start_span("inner", attributes={"fruit": "pear"})
    >>> tracer.end_span(inner)
    >>> tracer.end_span(outer)
    >>> [span.name for span in tracer.root_spans], [span.name for span in outer.children]
    (['outer'], ['inner'])
    """

    def __init__(self, *, runtime: Runtime | None = None) -> None:
        self.root_spans: list[Span] = []
        self._runtime = runtime or Runtime()

    @property
    def current_span(self) -> Span | None:
        """The innermost span that the current thread or task has open."""
        return next((span for owner, span in reversed(_OPEN.get()) if owner is self), None)

    def start_span(self, name: str, *, attributes: Mapping[str, Any] | None = None) -> Span:
        """Open a span below the current one, and make it the current one."""
        span = self.start_child(self.current_span, name, attributes=attributes)
        self.enter(span)
        return span

    def start_child(
        self, parent: Span | None, name: str, *, attributes: Mapping[str, Any] | None = None
    ) -> Span:
        """Open a span below that one (``None``: a root), and leave the current one as it is."""
        span = Span(
            name,
            parent_id=None if parent is None else parent.span_id,
            start_time=self._runtime.now(),
            attributes=dict(attributes or {}),
            _began=self._runtime.perf(),
        )
        (self.root_spans if parent is None else parent.children).append(span)
        return span

    def enter(self, span: Span) -> None:
        """Make a span the current one of this thread or task, and of those that it starts."""
        _OPEN.set((*_OPEN.get(), (self, span)))

    def leave(self, span: Span) -> None:
        """Make it current no more; it stays open."""
        _OPEN.set(tuple(pair for pair in _OPEN.get() if pair[1] is not span))

    @contextmanager
    def around(self, span: Span) -> Iterator[None]:
        """Make a span the current one for a while; its time ends with that, when it is ended."""
        self.enter(span)
        try:
            yield
        finally:
            span._work_ended = self._runtime.perf()  # noqa: SLF001 - its own kind
            self.leave(span)

    def end_span(
        self, span: Span, *, status: str = "ok", attributes: Mapping[str, Any] | None = None
    ) -> None:
        """End a span; the first end counts."""
        self.leave(span)
        if span.end_time is not None:
            return
        until = self._runtime.perf() if span._work_ended is None else span._work_ended  # noqa: SLF001
        span.end_time = span.start_time + until - span._began  # noqa: SLF001
        span.status = status
        span.attributes.update(attributes or {})


class TracingHook(StepWatcher):
    """A span ``loop.run`` for a run, and below it one ``tool.<name>`` for each step.

    With ``model_calls``, as ``LoopConfig.tracer`` has it, also one ``llm.<purpose>`` for each
    question of the loop to the model (``llm.reasoning``, ``llm.repair``), retries included; calls
    that tools make through ``ctx.llm`` have none. All spans of a run are siblings below its root,
    however many tools run at the same time; the root stands below the span that was current when
    the run began. A span that a tool opens stands below the tool's own, also where several tools
    run at the same time. All of them are ended, whatever ends the run.

    A tracer of another kind has ``start_span(name, **kw)``, which is given ``attributes=``; its
    spans have ``set_attribute(name, value)``, and ``end()`` unless the tracer has
    ``end_span(span, status=…, attributes=…)``. How such spans nest is the tracer's business: those
    of a tracer of OpenTelemetry are not nested in one another, for which there is
    ``looplet.otel.OpenTelemetryHook``. One hook serves one run at a time. Raises ``TypeError`` for
    a tracer without ``start_span``.
    """

    def __init__(self, tracer: Any, *, model_calls: bool = False) -> None:
        start = getattr(tracer, "start_span", None)
        if not callable(start) or inspect.iscoroutinefunction(start):
            raise TypeError(
                f"a tracer has a plain method start_span(name, **kw), and "
                f"{type(tracer).__name__} has not; wrap it in a class that does"
            )
        super().__init__()
        self._tracer = tracer
        self._model_calls = model_calls
        self._clear()

    def _clear(self) -> None:
        self._root: Any = None
        self._question: Any = None
        self._asks_no_more = False
        self._spans: dict[int, Any] = {}

    def run_begun(self, state: Any) -> None:
        """Open the root span."""
        self._clear()
        above = self._tracer.current_span if isinstance(self._tracer, Tracer) else None
        self._root = self._start(above, "loop.run", {})

    def call_asked(self, call: ToolCall, number: int) -> None:
        """Open the call's span."""
        attributes = {"step": number, "tool": call.tool}
        self._spans[number] = self._start(self._root, f"tool.{call.tool}", attributes)

    def around_tool(self, tool_call: ToolCall, step_num: int) -> Any:
        """Let spans of the tool stand below its own."""
        if not isinstance(self._tracer, Tracer):
            return None
        return self._tracer.around(self._spans[step_num])

    def call_answered(self, call: ToolCall, result: ToolResult, number: int) -> None:
        """End the call's span."""
        self._end_step(number, result)

    def step_ended(self, step: Step) -> None:
        """Give a step that is no call its span."""
        if is_dunder(step.tool_call.tool):
            self.call_asked(step.tool_call, step.number)
            self._end_step(step.number, step.tool_result)

    def on_event(self, payload: EventPayload) -> None:
        """Open a question's span, and end it."""
        if not self._model_calls or payload.subagent_id is not None or self._root is None:
            return
        if payload.event is LifecycleEvent.PRE_LLM_CALL and not self._asks_no_more:
            self._open_question(payload)
        elif payload.event is LifecycleEvent.POST_LLM_RESPONSE:
            failed = payload.raw_response is None
            self._end_question("error" if failed else "ok", _about_answer(payload))
        elif stops_question(payload):
            self._asks_no_more = True
            self._end_question("ok", {"asked": False})

    def on_loop_end(self, state: Any, session_log: Any, context: Any, llm: Any) -> None:
        """End what is open; the tracer's first exception leaves when all were ended."""
        try:
            if self._root is not None:
                self._catch_up(state)
        finally:
            self._end_all(state)

    def _open_question(self, payload: EventPayload) -> None:
        request = payload.extra["request"]
        about = {"step": payload.step_num, "method": request.method}
        name = f"llm.{payload.extra['purpose']}"
        self._question = self._start(self._root, name, about)
        if isinstance(self._tracer, Tracer):
            self._tracer.enter(self._question)

    def _end_question(self, status: str, attributes: dict[str, Any]) -> None:
        question, self._question = self._question, None
        if question is not None:
            self._end(question, status, attributes)

    def _end_all(self, state: Any) -> None:
        reason = getattr(state, "_stop_reason", None)
        status = "error" if reason in {"error", "interrupted", "llm_error"} else "ok"
        open_spans = [*self._spans.values(), self._question]
        ends: list[tuple[Any, str, dict[str, Any]]] = [
            (span, "error", {}) for span in open_spans if span is not None
        ]
        if self._root is not None:
            about = {"steps": len(state.steps), "stop_reason": str(reason)}
            ends.append((self._root, status, about))
        self._clear()
        first: Exception | None = None
        for span, how, attributes in ends:
            try:
                self._end(span, how, attributes)
            except Exception as error:  # noqa: BLE001 - raised below, when all were ended
                first = first_of(first, error)
        if first is not None:
            raise first

    def _end_step(self, number: int, result: ToolResult) -> None:
        kind = result.error_kind
        attributes = {} if kind is None else {"error.type": kind.value}
        self._end(self._spans.pop(number), "ok" if kind is None else "error", attributes)

    def _start(self, above: Any, name: str, attributes: dict[str, Any]) -> Any:
        if isinstance(self._tracer, Tracer):
            return self._tracer.start_child(above, name, attributes=attributes)
        return self._tracer.start_span(name, attributes=attributes)

    def _end(self, span: Any, status: str, attributes: dict[str, Any]) -> None:
        if callable(getattr(self._tracer, "end_span", None)):
            self._tracer.end_span(span, status=status, attributes=attributes)
            return
        try:
            for name, value in {**attributes, "status": status}.items():
                span.set_attribute(name, value)
        finally:
            span.end()


def _about_answer(payload: EventPayload) -> dict[str, Any]:
    """What a question's span says of its answer: the provider's own figures, or the failure."""
    failure = payload.extra.get("failure")
    if failure is not None:
        return {"error.type": type(failure).__name__}
    usage = payload.extra.get("usage") or {}
    names = ("input_tokens", "output_tokens")
    return {name: usage[name] for name in names if usage.get(name) is not None}
