"""The smallest agent: one tool, and a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from looplet import LoopConfig, tool, tools_from

NAMES = ("Alice", "Bob")


@tool(description="Greet one person by name.")
def greet(name: str) -> dict[str, str]:
    """Make the greeting."""
    return {"greeting": f"Hello, {name}!"}


def build(names: Sequence[str] = NAMES, *, max_steps: int = 5) -> dict[str, Any]:
    """What ``composable_loop`` is given beside a model."""
    goal = f"Greet {' and '.join(names)}, each with a call of greet, then call done."
    return {
        "task": {"goal": goal},
        "tools": tools_from([greet], include_done=True),
        "config": LoopConfig(max_steps=max_steps),
    }
