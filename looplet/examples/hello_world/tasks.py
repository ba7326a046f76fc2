"""Who is greeted, and the script that stands in for a model.

The small model that recorded the parcel desk answers in the text that the greeter asks for, but
greets the first of the two alone; so the recorded replies are a script's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from looplet.evals import EvalCase
from looplet.examples.hello_world.agent import NAMES, build
from looplet.testing import MockLLMBackend


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Two people, in the order in which they are to be greeted."""

    task_id: str
    names: tuple[str, str]

    def case(self) -> EvalCase:
        """The same to evals under pytest."""
        return EvalCase(self.task_id, build(self.names)["task"], {"names": list(self.names)})

    def model(self) -> MockLLMBackend:
        """A model that greets one after the other."""
        first, second = self.names
        calls = (
            ("greet", {"name": first}, f"{first} comes first"),
            ("greet", {"name": second}, f"then {second}"),
            ("done", {"summary": f"Greeted {first} and {second}."}, "both greeted"),
        )
        replies = [
            json.dumps({"tool": tool, "args": args, "reasoning": why}) for tool, args, why in calls
        ]
        return MockLLMBackend(replies, cycle=False)


TASKS = (
    Task(task_id="alice-and-bob", names=NAMES),
    Task(task_id="bob-and-alice", names=NAMES[::-1]),
)
