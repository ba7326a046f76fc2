"""openai-agents: its Runner over a Model of one's own, tracing off."""

from __future__ import annotations

import asyncio
from typing import Any

from agents import (
    Agent,
    Model,
    ModelResponse,
    RunConfig,
    Runner,
    Usage,
    function_tool,
    set_tracing_disabled,
)
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)
from worker import serve

set_tracing_disabled(disabled=True)
CONFIG = RunConfig(tracing_disabled=True)


@function_tool
async def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


class Scripted(Model):
    """Asks for the tool so many times, then answers."""

    def __init__(self, calls: int, seconds: float) -> None:
        self.left = calls
        self.seconds = seconds

    async def get_response(self, *_given: Any, **_options: Any) -> ModelResponse:
        if self.seconds:
            await asyncio.sleep(self.seconds)
        self.left -= 1
        return ModelResponse(output=[self._said()], usage=Usage(), response_id=None)

    def stream_response(self, *_given: Any, **_options: Any) -> Any:
        raise NotImplementedError

    def _said(self) -> Any:
        if self.left >= 0:
            return ResponseFunctionToolCall(
                type="function_call",
                name="add",
                call_id=f"call_{self.left}",
                arguments='{"a": 1, "b": 2}',
            )
        text = ResponseOutputText(type="output_text", text="3", annotations=[])
        return ResponseOutputMessage(
            id="msg_1", type="message", role="assistant", status="completed", content=[text]
        )


async def agent(steps: int, seconds: float = 0) -> None:
    """One run."""
    # An agent shared by a crowd is slower here: a thousand runs took twice as long.
    adder = Agent(name="adder", model=Scripted(steps, seconds), tools=[add])
    result = await Runner.run(adder, "add", max_turns=steps + 10, run_config=CONFIG)
    assert result.final_output == "3"


if __name__ == "__main__":
    serve("openai-agents", run=agent, agent=agent)
