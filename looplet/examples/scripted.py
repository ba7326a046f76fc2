"""Tasks with a script: what is asked, what is right, and the calls that a model would make.

A script stands for a model where none is at hand. Recorded, it is a cassette like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from looplet.core.codec import JSON
from looplet.evals import EvalCase
from looplet.testing import ScriptedToolBackend

Call: TypeAlias = tuple[str, Mapping[str, JSON]]
"""A tool's name and the arguments of one call."""
TOKENS_A_REPLY = {"input_tokens": 800, "output_tokens": 40}
"""What a scripted model says that each of its replies took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One question to an agent."""

    task_id: str
    goal: str
    """The question, as the model reads it."""
    expected: Mapping[str, JSON]
    """What evals compare a run with."""
    calls: tuple[Call, ...]
    """The script: one call a reply."""

    def case(self) -> EvalCase:
        """The same question to evals under pytest."""
        return EvalCase(self.task_id, {"goal": self.goal}, dict(self.expected))

    def model(self, *, after: int = 0) -> ScriptedToolBackend:
        """A model that makes these calls, those of the first ``after`` steps left out."""
        replies = [[block(number, *call)] for number, call in enumerate(self.calls, 1)]
        return ScriptedToolBackend(replies[after:], usage=TOKENS_A_REPLY)


def block(number: int, tool: str, args: Mapping[str, JSON]) -> dict[str, Any]:
    """A reply's call, in the blocks of native tools."""
    return {"type": "tool_use", "id": f"call_{number}", "name": tool, "input": dict(args)}
