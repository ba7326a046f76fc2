"""looplet: the async loop, text mode; the registry of tools is made once."""

from __future__ import annotations

import asyncio
from typing import Any

from worker import serve

from looplet import DefaultState, LoopConfig, async_composable_loop, tool, tools_from

CALL = '{"tool": "add", "args": {"a": 1, "b": 2}, "reasoning": "add them"}'
DONE = '{"tool": "done", "args": {"summary": "3"}, "reasoning": "known"}'


async def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


TOOLS = tools_from([tool(add)], include_done=True)


class Model:
    """Asks for the tool so many times, then says that it is done."""

    last_usage = {"input_tokens": 100, "output_tokens": 10}  # noqa: RUF012

    def __init__(self, calls: int, seconds: float) -> None:
        self.left = calls
        self.seconds = seconds

    async def generate(self, prompt: str, **_options: Any) -> str:
        if self.seconds:
            await asyncio.sleep(self.seconds)
        self.left -= 1
        return CALL if self.left >= 0 else DONE


async def agent(steps: int, seconds: float = 0) -> None:
    """One run."""
    state, config = DefaultState(max_steps=steps + 1), LoopConfig(max_steps=steps + 1)
    model = Model(steps, seconds)
    loop = async_composable_loop(
        model, tools=TOOLS, state=state, config=config, task={"goal": "add"}
    )
    async for _ in loop:
        pass
    assert len(state.steps) == steps + 1


if __name__ == "__main__":
    serve("looplet", run=agent, agent=agent)
