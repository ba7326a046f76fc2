"""pydantic-ai: an agent over its FunctionModel, the way that its page on testing shows."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_ai import Agent, ModelResponse, TextPart, ToolCallPart, UsageLimits
from pydantic_ai.models.function import FunctionModel
from worker import serve

LIMITS = UsageLimits(request_limit=None)


def model(calls: int, seconds: float) -> FunctionModel:
    """Asks for the tool so many times, then answers."""
    left = calls

    async def answer(messages: Any, info: Any) -> ModelResponse:
        nonlocal left
        if seconds:
            await asyncio.sleep(seconds)
        left -= 1
        if left < 0:
            return ModelResponse(parts=[TextPart("3")])
        return ModelResponse(parts=[ToolCallPart("add", {"a": 1, "b": 2})])

    return FunctionModel(answer)


AGENT: Agent[None, str] = Agent()


@AGENT.tool_plain
async def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


async def agent(steps: int, seconds: float = 0) -> None:
    """One run."""
    result = await AGENT.run("add", model=model(steps, seconds), usage_limits=LIMITS)
    assert result.output == "3"


if __name__ == "__main__":
    serve("pydantic-ai-slim", run=agent, agent=agent)
