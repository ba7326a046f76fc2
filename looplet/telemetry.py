"""Spans and figures of runs. Knows the loop's slots; knows no tracing package."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from typing import Any

from looplet.core.events import EventPayload, LifecycleEvent
from looplet.core.records import Step, ToolCall, ToolResult, is_dunder, new_id
from looplet.core.runtime import Runtime
from looplet.core.watching import StepWatcher, classify

# The loop calls the slots by position, so every parameter stands here, used or not.
# ruff: noqa: ARG002


@dataclass(slots=True, kw_only=True, eq=False)
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
    _began: float = field(default=0.0, repr=False)

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
            name=name,
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

    def end_span(
        self, span: Span, *, status: str = "ok", attributes: Mapping[str, Any] | None = None
    ) -> None:
        """End a span; the first end counts."""
        self.leave(span)
        if span.end_time is not None:
            return
        span.end_time = span.start_time + self._runtime.perf() - span._began  # noqa: SLF001 - its own kind
        span.status = status
        span.attributes.update(attributes or {})


class TracingHook(StepWatcher):
    """A span ``loop.run`` for a run, and below it one ``tool.<name>`` for each step.

    The spans of a run are siblings below its root however many tools run at the same time; the
    root stands below the span that was current when the run began. A span that a tool opens stands
    below the tool's; below the root where several tools run at the same time. All of them are
    ended, whatever ends the run.

    A tracer of another kind has ``start_span(name, **kw)``, which is given ``attributes=``; its
    spans have ``set_attribute(name, value)``, and ``end()`` unless the tracer has
    ``end_span(span, status=…, attributes=…)``. How such spans nest is the tracer's business.
    One hook serves one run at a time. Raises ``TypeError`` for a tracer without ``start_span``.
    """

    def __init__(self, tracer: Any) -> None:
        start = getattr(tracer, "start_span", None)
        if not callable(start) or inspect.iscoroutinefunction(start):
            raise TypeError(
                f"a tracer has a plain method start_span(name, **kw), and "
                f"{type(tracer).__name__} has not; wrap it in a class that does"
            )
        super().__init__()
        self._tracer = tracer
        self._root: Any = None
        self._spans: dict[int, Any] = {}

    def run_begun(self, state: Any) -> None:
        """Open the root span."""
        self._spans = {}
        above = self._tracer.current_span if isinstance(self._tracer, Tracer) else None
        self._root = self._start(above, "loop.run", {})

    def call_asked(self, call: ToolCall, number: int) -> None:
        """Open the call's span."""
        attributes = {"step": number, "tool": call.tool}
        others = list(self._spans.values())
        self._spans[number] = self._start(self._root, f"tool.{call.tool}", attributes)
        self._make_current(self._spans[number], others)

    def call_answered(self, call: ToolCall, result: ToolResult, number: int) -> None:
        """End the call's span."""
        self._end_step(number, result)

    def step_ended(self, step: Step) -> None:
        """Give a step that is no call its span."""
        if is_dunder(step.tool_call.tool):
            self.call_asked(step.tool_call, step.number)
            self._end_step(step.number, step.tool_result)

    def on_loop_end(self, state: Any, session_log: Any, context: Any, llm: Any) -> None:
        """End what is open; the tracer's first exception leaves when all were ended."""
        try:
            if self._root is not None:
                self._catch_up(state)
        finally:
            self._end_all(state)

    def _end_all(self, state: Any) -> None:
        reason = getattr(state, "_stop_reason", None)
        status = "error" if reason in {"error", "interrupted", "llm_error"} else "ok"
        ends: list[tuple[Any, str, dict[str, Any]]] = [
            (span, "error", {}) for span in self._spans.values()
        ]
        if self._root is not None:
            about = {"steps": state.step_count, "stop_reason": str(reason)}
            ends.append((self._root, status, about))
        self._root, self._spans = None, {}
        first: Exception | None = None
        for span, how, attributes in ends:
            try:
                self._end(span, how, attributes)
            except Exception as error:  # noqa: BLE001 - raised below, when all were ended
                first = first or error
        if first is not None:
            raise first

    def _end_step(self, number: int, result: ToolResult) -> None:
        kind = result.error_kind
        attributes = {} if kind is None else {"error.type": kind.value}
        if isinstance(self._tracer, Tracer):
            self._tracer.leave(self._root)
        self._end(self._spans.pop(number), "ok" if kind is None else "error", attributes)

    def _make_current(self, span: Any, others: list[Any]) -> None:
        """Let spans of the coming tool stand below its own; calls of a batch cannot be told apart.

        It is undone before the step is yielded, so that the caller's own spans stay the caller's.
        """
        if not isinstance(self._tracer, Tracer):
            return
        for other in (*others, self._root):
            self._tracer.leave(other)
        self._tracer.enter(self._root if others else span)

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


@dataclass(slots=True, kw_only=True)
class MetricsCollector:
    """Sums over the runs of the ``MetricsHook``s that share it.

    >>> collector = MetricsCollector()
    >>> result = ToolResult("price", "fruit=pear", {"euro": 0.55})
    >>> collector.record_step(Step(1, ToolCall("price"), result), classification="ok")
    >>> collector.report()["tool_call_histogram"]
    {'price': 1}
    """

    total_steps: int = 0
    """Steps, done and failures of the model included."""
    total_llm_calls: int = 0
    """Questions that were answered or failed for good."""
    total_tool_calls: int = 0
    total_errors: int = 0
    """Steps with an error; a rejected done is none."""
    total_input_tokens_est: int = 0
    """As on ``Step.usage``: the provider's own count where given, else an estimate."""
    total_output_tokens_est: int = 0
    tool_call_histogram: Counter[str] = field(default_factory=Counter)
    step_classifications: Counter[str] = field(default_factory=Counter)
    total_duration_ms: float = 0.0
    """Wall clock of the runs, from ``pre_loop`` to the end, in milliseconds."""

    def record_step(self, step: Step, *, classification: str | None = None) -> None:
        """Count a step."""
        self.total_steps += 1
        self.total_errors += step.tool_result.error is not None
        if not is_dunder(step.tool_call.tool):
            self.total_tool_calls += 1
            self.tool_call_histogram[step.tool_call.tool] += 1
        if step.usage is not None:
            self.total_input_tokens_est += step.usage.input_tokens
            self.total_output_tokens_est += step.usage.output_tokens
        if classification is not None:
            self.step_classifications[classification] += 1

    def report(self) -> dict[str, Any]:
        """All figures, by name."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name: dict(value) if isinstance(value, Counter) else value
            for name, value in values.items()
        }


class MetricsHook(StepWatcher):
    """Counts a run into a collector.

    ``classify(step)`` names a step's kind; by default it is ``ok``, ``error``, ``rejected`` or
    ``done``. One hook serves one run at a time.
    """

    def __init__(
        self,
        collector: MetricsCollector,
        *,
        classify: Callable[[Step], str] | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        super().__init__()
        self._collector, self._classify = collector, classify
        self._runtime = runtime or Runtime()
        self._began: float | None = None

    def run_begun(self, state: Any) -> None:
        """Look at the clock."""
        self._began = self._runtime.perf()

    def step_ended(self, step: Step) -> None:
        """Count a step."""
        if self._classify is not None:
            kind = self._classify(step)
        else:
            kind = classify(step, is_done=step.number == self.done_number)
        self._collector.record_step(step, classification=kind)

    def on_event(self, payload: EventPayload) -> None:
        """Count the model's answers; note the accepted done."""
        if payload.event is LifecycleEvent.POST_LLM_RESPONSE:
            self._collector.total_llm_calls += 1
        elif payload.event is LifecycleEvent.DONE_ACCEPTED:
            self.done_number = payload.step_num

    def on_loop_end(self, state: Any, session_log: Any, context: Any, llm: Any) -> None:
        """Count the last steps and the time."""
        if self._began is not None:  # else an earlier hook's pre_loop broke the run
            began, self._began = self._began, None
            self._collector.total_duration_ms += (self._runtime.perf() - began) * 1000
            self._catch_up(state)
