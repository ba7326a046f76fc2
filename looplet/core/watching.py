"""What observers of a run need: its steps, one by one, from a hook's slots. Knows no observer."""

from __future__ import annotations

from typing import Any

from looplet.core.events import EventPayload, LifecycleEvent
from looplet.core.records import Step, ToolCall, ToolResult, is_dunder, is_rejection

# The loop calls the slots by position, so every parameter stands here, used or not.
# ruff: noqa: ARG002


class StepWatcher:
    """A hook that tells its subclass of each step: begun, asked for, answered, ended.

    Every step that ends was begun, whatever other hooks decided in between; one that is a tool
    call was asked for and answered too. A step ends when it stands in the state, which is seen at
    the next slot after it was yielded. One watcher serves one run at a time.
    """

    def __init__(self) -> None:
        self._forget(0)

    def _forget(self, taken: int) -> None:
        self._taken = taken
        self._log: Any = None
        self._begun: set[int] = set()
        self._asked: set[int] = set()
        self._answered: set[int] = set()
        self.done_number: int | None = None
        """Number of the accepted done-call's step, once it is known."""

    def pre_loop(self, state: Any, session_log: Any, context: Any) -> None:
        """Begin; steps that the state has already are not this run's."""
        self._forget(len(state.steps))
        self._log = session_log
        self.run_begun(state)

    def pre_prompt(self, state: Any, session_log: Any, context: Any, step_num: int) -> None:
        """Begin the turn's first step."""
        self._catch_up(state)
        self._begin(step_num)

    def pre_dispatch(
        self, state: Any, session_log: Any, tool_call: ToolCall, step_num: int
    ) -> None:
        """Note the call."""
        self._catch_up(state)
        self._ask(tool_call, step_num)

    def check_done(
        self, state: Any, session_log: Any, context: Any, step_num: int, *, tool_call: ToolCall
    ) -> None:
        """Note the done-call; never rejects it."""
        self._catch_up(state)
        self._ask(tool_call, step_num)

    def post_dispatch(
        self,
        state: Any,
        session_log: Any,
        tool_call: ToolCall,
        tool_result: ToolResult,
        step_num: int,
    ) -> None:
        """Note the result; never replaces it."""
        self._catch_up(state)
        self._answer(tool_call, tool_result, step_num)

    def should_stop(self, state: Any, step_num: int, new_entities: Any) -> bool:
        """End the turn's last step; never stops the run."""
        self._catch_up(state)
        return False

    def run_begun(self, state: Any) -> None:
        """The run begins."""

    def step_begun(self, number: int) -> None:
        """A step begins."""

    def call_asked(self, call: ToolCall, number: int) -> None:
        """The model asked for a call."""

    def call_answered(self, call: ToolCall, result: ToolResult, number: int) -> None:
        """The call has a result; hooks that come later may still replace it."""

    def step_ended(self, step: Step) -> None:
        """A step stands in the state."""

    def new_entities(self, number: int) -> int:
        """How many entities the log has for a step."""
        for entry in reversed(self._log.entries if self._log is not None else ()):
            if entry.step <= number:
                return len(entry.entities_seen) if entry.step == number else 0
        return 0

    def _begin(self, number: int) -> None:
        if number not in self._begun:
            self._begun.add(number)
            self.step_begun(number)

    def _ask(self, call: ToolCall, number: int) -> None:
        self._begin(number)
        if number not in self._asked:
            self._asked.add(number)
            self.call_asked(call, number)

    def _answer(self, call: ToolCall, result: ToolResult, number: int) -> None:
        self._ask(call, number)
        if number not in self._answered:
            self._answered.add(number)
            self.call_answered(call, result, number)

    def _catch_up(self, state: Any) -> None:
        """End the steps that came since the last look."""
        while self._taken < len(state.steps):
            self._take(state.steps[self._taken])

    def _take(self, step: Step) -> None:
        self._taken += 1
        if is_dunder(step.tool_call.tool):  # a failure of the model, no call
            self._begin(step.number)
        else:
            self._answer(step.tool_call, step.tool_result, step.number)
        self.step_ended(step)
        for seen in (self._begun, self._asked, self._answered):
            seen.discard(step.number)


def stops_question(payload: EventPayload) -> bool:
    """Whether a hook ended the run at PRE_LLM_CALL, so that the model is not asked."""
    return (
        payload.event is LifecycleEvent.HOOK_DECISION
        and payload.extra.get("originating_event") == LifecycleEvent.PRE_LLM_CALL.value
        and payload.extra["decision"].get("stop") is not None
    )


def classify(step: Step, *, is_done: bool = False) -> str:
    """What became of a step: ``done``, ``rejected`` (a done-call), ``error`` or ``ok``.

    >>> classify(Step(1, ToolCall("price"), ToolResult("price", "", None, error="no fruit")))
    'error'
    """
    result = step.tool_result
    if is_done:
        return "done"
    if result.error is not None:
        return "error"
    return "rejected" if is_rejection(result) else "ok"
