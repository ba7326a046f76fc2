"""An agent to be recorded: it prices fruit, asks the model inside a tool, and notes what it did."""

from __future__ import annotations

import json
from typing import Any

from looplet import LoopConfig, tools_from
from looplet.core.tools import ToolContext, tool
from looplet.testing import AsyncMockLLMBackend, MockLLMBackend

FRUIT = ("pear", "kiwi", "fig", "plum", "lime")


def call(name: str, **args: Any) -> str:
    return json.dumps({"tool": name, "args": args})


class Desk:
    """The world of the agent: every side effect is noted."""

    def __init__(self, euro: float = 0.4) -> None:
        self.euro = euro
        self.did: list[str] = []

    def tools(self, *, ask: bool = False) -> Any:
        @tool(concurrent_safe=True)
        def price(fruit: str, ctx: ToolContext) -> dict:
            """Price of one piece."""
            self.did.append(fruit)
            result = {"fruit": fruit, "euro": self.euro}
            return result | ({"sure": ctx.llm.generate("Sure?")} if ask else {})

        return tools_from([price], include_done=True)


def script(fruit: tuple[str, ...] = FRUIT) -> list[str]:
    return [*(call("price", fruit=each) for each in fruit), call("done", summary="all priced")]


def model(replies: list[Any] | None = None, *, asynchronous: bool = False) -> Any:
    kind = AsyncMockLLMBackend if asynchronous else MockLLMBackend
    return kind(script() if replies is None else replies, cycle=False)


def agent(desk: Desk | None = None, **changes: Any) -> dict[str, Any]:
    """What ``agent_of`` takes; without a backend."""
    parts = {
        "tools": (desk or Desk()).tools(),
        "config": LoopConfig(max_steps=10),
        "task": {"description": "Price the stock"},
    }
    return parts | changes
