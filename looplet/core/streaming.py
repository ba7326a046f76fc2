"""The hook that tells a run as a stream of events. Loaded only by runs that have a stream."""

from __future__ import annotations

import inspect
from typing import Any, Protocol

from looplet.core.decisions import HookDecision, Stop
from looplet.core.events import EventPayload, LifecycleEvent
from looplet.core.records import Step, ToolCall, ToolResult, summarize_args
from looplet.core.runtime import Runtime
from looplet.core.stream_events import (
    ContextPressureEvent,
    HookEvent,
    LLMCallEndEvent,
    LLMCallStartEvent,
    LLMChunkEvent,
    LoopEndEvent,
    LoopStartEvent,
    RecoveryEvent,
    StepEndEvent,
    StepStartEvent,
    StreamEvent,
    ToolDispatchEvent,
    ToolResultEvent,
)
from looplet.core.usage import chars_received, estimate
from looplet.core.watching import StepWatcher, classify

TASK_CHARS = 200
"""How much of the task a stream shows."""

# The loop calls the slots by position, so every parameter stands here, used or not.
# ruff: noqa: ARG002


class Emitter(Protocol):
    """Anything that takes events."""

    def emit(self, event: StreamEvent) -> None:
        """Take one event."""
        ...


class StreamingHook(StepWatcher):
    """A hook that tells the run to an emitter; ``composable_loop(stream=emitter)`` makes one.

    ``LoopEndEvent`` comes exactly once for each run, whatever ended it. The emitter is called on
    the thread of the loop; what a sub-agent does is not told. What the emitter raises ends the run
    with the stop reason ``error`` and then leaves the loop. Hooks' exceptions at events are logged
    and passed over, so a failure there is kept: around a model call the hook ends the run at once,
    at any other event the next slot raises it. After a failure nothing more is told but
    ``LoopEndEvent``, and the first exception is the one that leaves. Raises ``TypeError`` for an
    emitter without a plain ``emit``.
    """

    def __init__(self, emitter: Emitter, *, runtime: Runtime | None = None) -> None:
        emit = getattr(emitter, "emit", None)
        if not callable(emit) or inspect.iscoroutinefunction(emit):
            raise TypeError(
                f"an emitter has a plain method emit(event), and {type(emitter).__name__} has not; "
                "wrap a function with CallbackEmitter"
            )
        super().__init__()
        self._emitter = emitter
        self._runtime = runtime or Runtime()
        self._clear()

    def _clear(self) -> None:
        self._failure: Exception | None = None
        self._calls = 0
        self._asked_at = 0.0
        self._reason: str | None = None

    def pre_loop(self, state: Any, session_log: Any, context: Any) -> None:
        """Begin a stream."""
        self._clear()
        super().pre_loop(state, session_log, context)

    def run_begun(self, state: Any) -> None:
        """Tell the run's start."""
        steps = state.step_count + state.budget_remaining
        self._tell(LoopStartEvent, _summary(getattr(state, "task", None)), steps)

    def step_begun(self, number: int) -> None:
        """Tell a step's start."""
        self._tell(StepStartEvent, number)

    def call_asked(self, call: ToolCall, number: int) -> None:
        """Tell a call."""
        self._tell(ToolDispatchEvent, number, call.tool, summarize_args(call.args))

    def call_answered(self, call: ToolCall, result: ToolResult, number: int) -> None:
        """Tell a result."""
        failed = result.error is not None
        self._tell(ToolResultEvent, number, call.tool, result.duration_ms, failed)

    def step_ended(self, step: Step) -> None:
        """Tell a step's end."""
        kind = classify(step, is_done=step.number == self.done_number)
        self._tell(StepEndEvent, step.number, kind, self.new_entities(step.number))

    def on_chunk(self, text: str, step_num: int, attempt: int) -> None:
        """Tell a piece of a reply."""
        self._tell(LLMChunkEvent, step_num, text, attempt)

    def on_event(self, payload: EventPayload) -> HookDecision | None:
        """Tell what is seen through events alone; keeps what the emitter raises."""
        if payload.subagent_id is not None:  # another run, with step numbers of its own
            return None
        if payload.event is LifecycleEvent.STOP:
            self._reason = payload.termination_reason
        if payload.event is LifecycleEvent.DONE_ACCEPTED:
            self.done_number = payload.step_num
        if self._failure is None:
            try:
                self._tell_event(payload)
            except Exception as error:  # noqa: BLE001 - raised here it would be logged only
                self._failure = error
        around_call = (LifecycleEvent.PRE_LLM_CALL, LifecycleEvent.POST_LLM_RESPONSE)
        return Stop("error") if self._failure and payload.event in around_call else None

    def on_loop_end(self, state: Any, session_log: Any, context: Any, llm: Any) -> None:
        """Tell the last steps and the end; raises the first exception of the emitter, if any."""
        try:
            if self._log is not None:  # else an earlier hook's pre_loop broke the run
                self._catch_up(state)
        finally:
            reason = getattr(state, "_stop_reason", None)
            reason = self._reason if reason is None else reason
            reason = "error" if reason is None else reason  # a hook may give an empty text
            failure, self._failure = self._failure, None
            try:
                self._tell(LoopEndEvent, state.step_count, self._calls, reason)
            finally:
                if failure is not None:
                    raise failure

    def _tell_event(self, payload: EventPayload) -> None:
        event, number = payload.event, payload.step_num
        if event is LifecycleEvent.PRE_LLM_CALL:
            self._asked_at = self._runtime.perf()
            self._tell(LLMCallStartEvent, number, estimate(len(payload.prompt or "")))
        elif event is LifecycleEvent.POST_LLM_RESPONSE:
            self._calls += 1
            elapsed = (self._runtime.perf() - self._asked_at) * 1000
            reply = payload.raw_response
            length = 0 if reply is None else chars_received(reply)
            self._tell(LLMCallEndEvent, number, length, elapsed)
        elif event is LifecycleEvent.HOOK_DECISION:
            names = (payload.hook_name or "", payload.hook_slot or "")
            self._tell(HookEvent, number, *names, payload.extra.get("decision", {}))
        elif event is LifecycleEvent.PRE_COMPACT:
            self._tell(ContextPressureEvent, number, payload.messages_before or 0)
        elif event is LifecycleEvent.POST_COMPACT:
            before, after = payload.messages_before or 0, payload.messages_after or 0
            self._tell(RecoveryEvent, number, before, after)

    def _tell(self, kind: type[StreamEvent], *fields: Any) -> None:
        """Make an event and hand it over; raises what the emitter raised, then and ever after."""
        if self._failure is not None:
            raise self._failure
        try:
            self._emitter.emit(kind(*fields, timestamp=self._runtime.now()))
        except Exception as error:
            self._failure = error
            raise


def _summary(task: object) -> str:
    described = task.get("description") if isinstance(task, dict) else None
    return str(described if described is not None else task or "")[:TASK_CHARS]
