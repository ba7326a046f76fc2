"""Hooks that count: steps left, and calls of a tool. Knows hooks; knows no rule and no model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from looplet.core.decisions import Block, HookDecision, InjectContext
from looplet.core.records import ErrorKind, ToolCall


class BudgetWarningHook:
    """Tells the model, once a threshold, that few steps are left.

    ``thresholds`` are parts of the budget that are left, over 0 and up to 1. In ``message``
    ``{remaining}`` and ``{total}`` stand for steps. Raises ``ValueError`` for other thresholds.

    >>> from looplet import DefaultState
    >>> hook = BudgetWarningHook(thresholds=(0.5,), message="{remaining} of {total} left")
    >>> state = DefaultState(max_steps=4, steps=[None] * 2)
    >>> hook.pre_prompt(state, None, None, 3).additional_context
    '2 of 4 left'
    >>> hook.fired_thresholds
    {0.5}
    """

    def __init__(
        self,
        *,
        thresholds: Iterable[float] = (0.5, 0.2),
        message: str = "BUDGET: {remaining} of {total} steps are left; finish within them.",
    ) -> None:
        self.thresholds = tuple(thresholds)
        for threshold in self.thresholds:
            if not 0 < threshold <= 1:
                raise ValueError(
                    f"a threshold is the part of the budget that is left, over 0 and up to 1, "
                    f"not {threshold!r}"
                )
        self.message = message
        self.fired_thresholds: set[float] = set()

    def reset(self) -> None:
        """Warn again; a run that begins does this by itself."""
        self.fired_thresholds = set()

    def pre_loop(self, state: Any, session_log: Any, context: Any) -> None:  # noqa: ARG002 - a slot
        """Each run is warned anew."""
        self.reset()

    def pre_prompt(
        self,
        state: Any,
        session_log: Any,  # noqa: ARG002 - a slot
        context: Any,  # noqa: ARG002 - a slot
        step_num: int,  # noqa: ARG002 - a slot
    ) -> HookDecision | None:
        """One warning, also where several thresholds are passed at once."""
        remaining = state.budget_remaining
        total = remaining + state.step_count
        if total == 0:
            return None
        # A quotient is rounded as a literal is: 3 / 15 is 0.2, whereas 0.2 * 15 may be over 3.
        passed = {each for each in self.thresholds if remaining / total <= each}
        if passed <= self.fired_thresholds:
            return None
        self.fired_thresholds |= passed
        return InjectContext(fill(self.message, remaining=remaining, total=total))


class PerToolLimitHook:
    """Denies a tool's calls after so many in a run.

    ``limits`` says how many by tool, ``default_limit`` for every tool that it does not name;
    ``None`` is no limit. In ``message`` ``{tool}`` and ``{limit}`` are filled in. Calls that
    another hook then denied count; restored steps count unless they were denied.

    >>> hook = PerToolLimitHook(limits={"search": 1})
    >>> hook.pre_dispatch(None, None, ToolCall("search"), 1)
    >>> hook.pre_dispatch(None, None, ToolCall("search"), 2).reason()
    'search was called 1 times already, which is its limit; go on without it'
    """

    def __init__(
        self,
        *,
        limits: Mapping[str, int] | None = None,
        default_limit: int | None = None,
        message: str = "{tool} was called {limit} times already, which is its limit; "
        "go on without it",
    ) -> None:
        self.limits = dict(limits or {})
        self.default_limit = default_limit
        self.message = message
        self.counts: Counter[str] = Counter()

    def pre_loop(self, state: Any, session_log: Any, context: Any) -> None:  # noqa: ARG002 - a slot
        """Count what the run has done before it was resumed."""
        self.counts = Counter(
            step.tool_call.tool
            for step in state.steps
            if step.tool_result.error_kind is not ErrorKind.PERMISSION_DENIED
        )

    def pre_dispatch(
        self,
        state: Any,  # noqa: ARG002 - a slot
        session_log: Any,  # noqa: ARG002 - a slot
        tool_call: ToolCall,
        step_num: int,  # noqa: ARG002 - a slot
    ) -> HookDecision | None:
        """Count a call, or deny it."""
        tool = tool_call.tool
        limit = self.limits.get(tool, self.default_limit)
        if limit is not None and self.counts[tool] >= limit:
            return Block(fill(self.message, tool=tool, limit=limit))
        self.counts[tool] += 1
        return None


def fill(template: str, **values: object) -> str:
    """Put values in place of their names in braces; other braces stay as they are.

    >>> fill('{tool}: use {"a": 1}', tool="price")
    'price: use {"a": 1}'
    """
    for name, value in values.items():
        template = template.replace("{" + name + "}", str(value))
    return template
