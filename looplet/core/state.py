"""What a run has done so far. Knows steps; knows no model and no hook."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from looplet.core.records import Step
from looplet.core.show import RECENT_STEPS, recent_text, step_text


@dataclass
class DefaultState:
    """The state of a run: its steps and what hooks and tools keep beside them.

    >>> DefaultState(max_steps=3).budget_remaining
    3
    """

    steps: list[Step] = field(default_factory=list)
    queries_used: int = 0
    """Dispatched calls of tools that are not free."""
    max_steps: int = 15
    metadata: dict[str, Any] = field(default_factory=dict)
    """For the whole run; reaches tools."""
    step_context: dict[str, Any] = field(default_factory=dict)
    """For one turn; emptied by the loop at each turn's start."""

    @property
    def step_count(self) -> int:
        """Steps taken."""
        return len(self.steps)

    @property
    def budget_remaining(self) -> int:
        """Steps left."""
        left = self.max_steps - len(self.steps)
        return left if left > 0 else 0  # noqa: FURB136 - asked for several times a step

    def context_summary(self) -> str:
        """The last steps with their data, bounded; empty without steps."""
        return recent_text(step_text(step) for step in self.steps[-RECENT_STEPS:])

    def snapshot(self) -> dict[str, Any]:
        """Counters and metadata."""
        return {
            "step_count": self.step_count,
            "queries_used": self.queries_used,
            "max_steps": self.max_steps,
            "budget_remaining": self.budget_remaining,
            "metadata": dict(self.metadata),
        }
