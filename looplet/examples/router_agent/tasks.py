"""What the helper is asked, and what its two scripted stand-ins say.

The scripts are ours: they show the three kinds of trouble that the strong model is for, which are a
call that fails, a model that cannot be reached, and an answer that is rejected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from looplet.core.codec import JSON
from looplet.examples.router_agent.agent import CHEAP, STRONG
from looplet.examples.scripted import TOKENS_A_REPLY, Call, block
from looplet.testing import ScriptedToolBackend

DOWN = "connection refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One question to two models."""

    task_id: str
    goal: str
    expected: Mapping[str, JSON]
    replies: Mapping[str, tuple[Call | str, ...]]
    """Of each model what it calls, one call a reply; a text is an outage."""

    def models(self) -> dict[str, ScriptedToolBackend]:
        """Models that make these calls."""
        return {name: _model(name, replies) for name, replies in self.replies.items()}


def _model(name: str, replies: tuple[Call | str, ...]) -> ScriptedToolBackend:
    script = [
        ConnectionError(reply) if isinstance(reply, str) else [block(number, *reply)]
        for number, reply in enumerate(replies, 1)
    ]
    return ScriptedToolBackend(script, usage=TOKENS_A_REPLY, model=name)


TASKS = (
    Task(
        task_id="bread",
        goal="How many ounces of flour go into two loaves of bread?",
        expected={"amount": 35.3, "unit": "oz"},
        replies={
            CHEAP: (
                ("ingredients", {"recipe": "bread"}),
                ("convert", {"amount": 1000, "unit": "grams", "to": "ounces"}),
                ("done", {"amount": 35.3, "unit": "oz"}),
            ),
            STRONG: (("convert", {"amount": 1000, "unit": "g", "to": "oz"}),),
        },
    ),
    Task(
        task_id="jam",
        goal="How many pounds of sugar go into four jars of jam?",
        expected={"amount": 1.3, "unit": "lb"},
        replies={
            CHEAP: (
                ("ingredients", {"recipe": "jam"}),
                DOWN,
                ("done", {"amount": 1.3, "unit": "lb"}),
            ),
            STRONG: (("convert", {"amount": 600, "unit": "g", "to": "lb"}),),
        },
    ),
    Task(
        task_id="soup",
        goal="How many grams of potatoes go into a soup for eight people?",
        expected={"amount": 2000, "unit": "g"},
        replies={
            CHEAP: (
                ("ingredients", {"recipe": "soup"}),
                ("convert", {"amount": 2, "unit": "kg", "to": "g"}),
                ("done", {"amount": "two thousand", "unit": "g"}),
            ),
            STRONG: (("done", {"amount": 2000, "unit": "g"}),),
        },
    ),
)
