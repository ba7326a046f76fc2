"""Spans and figures of runs. Knows the loop's slots; knows no tracing package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from looplet.core.events import EventPayload, LifecycleEvent
from looplet.core.records import Step, is_dunder
from looplet.core.runtime import Runtime
from looplet.core.tracing import Span, Tracer, TracingHook
from looplet.core.watching import StepWatcher, classify

__all__ = ["MetricsCollector", "MetricsHook", "Span", "Tracer", "TracingHook"]

# The loop calls the slots by position, so every parameter stands here, used or not.
# ruff: noqa: ARG002


@dataclass(slots=True, kw_only=True)
class MetricsCollector:
    """Sums over the runs of the ``MetricsHook``s that share it.

    >>> from looplet.core.records import ToolCall, ToolResult
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
        """Count the model's answers, a sub-agent's too if it is told them; note the done."""
        if payload.event is LifecycleEvent.POST_LLM_RESPONSE:
            self._collector.total_llm_calls += 1
        elif payload.event is LifecycleEvent.DONE_ACCEPTED and payload.subagent_id is None:
            self.done_number = payload.step_num

    def on_loop_end(self, state: Any, session_log: Any, context: Any, llm: Any) -> None:
        """Count the last steps and the time."""
        if self._began is not None:  # else an earlier hook's pre_loop broke the run
            began, self._began = self._began, None
            self._collector.total_duration_ms += (self._runtime.perf() - began) * 1000
            self._catch_up(state)
