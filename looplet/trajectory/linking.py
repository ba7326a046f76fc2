"""Which model calls led to which step. Knows calls and steps; knows no loop."""

from __future__ import annotations

from collections.abc import Sequence

from looplet.core.records import Step
from looplet.trajectory.model import LLMCall, StepRecord
from looplet.trajectory.recording import CallLog


class Links:
    """Gives each call of a log to one step.

    Most calls say themselves where they belong. Of the others the loop's own belong to the next
    step, and those of a tool to the first step of that tool.
    """

    def __init__(self, log: CallLog) -> None:
        self._log = log
        self._gathered = 0
        """How many of the log's calls were looked at."""
        self._unlinked: list[LLMCall] = []
        """Those of them that no step has yet."""

    def claim(self, step: Step, earlier: Sequence[StepRecord]) -> list[int]:
        """Indices of the calls that led to a step.

        A call that a tool made after its step was over, as one that timed out may, is added to
        that step among the ``earlier`` ones.
        """
        self._gather()
        claimed: list[int] = []
        left: list[LLMCall] = []
        for call in self._unlinked:
            if not self._belongs(call, step):
                left.append(call)
                continue
            late = self._late(call, step, earlier)
            if late is None:
                call.step_num = step.number
                claimed.append(call.index)
            else:
                late.llm_call_indices.append(call.index)
        self._unlinked = left
        return claimed

    def _gather(self) -> None:
        new = self._log.calls[self._gathered :]
        self._unlinked += new
        self._gathered += len(new)

    def _belongs(self, call: LLMCall, step: Step) -> bool:
        if self._log.is_linked(call):
            return call.step_num is not None and call.step_num <= step.number
        if call.scope is None or not call.scope.startswith("tool:"):
            return True
        return call.scope.split("/")[0] == f"tool:{step.tool_call.tool}"

    def _late(self, call: LLMCall, step: Step, earlier: Sequence[StepRecord]) -> StepRecord | None:
        if not self._log.is_linked(call) or call.step_num == step.number or not earlier:
            return None
        place = (call.step_num or 0) - earlier[0].step_num
        return earlier[place] if 0 <= place < len(earlier) else None
