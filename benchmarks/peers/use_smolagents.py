"""smolagents: its ToolCallingAgent over a Model of one's own, quiet; it is sync."""

from __future__ import annotations

import time
from typing import Any

from smolagents import LogLevel, Model, ToolCallingAgent, tool
from smolagents.models import ChatMessage, ChatMessageToolCall, ChatMessageToolCallFunction
from worker import serve


@tool
def add(a: int, b: int) -> dict:
    """Add two numbers.

    Args:
        a: One number.
        b: The other.
    """
    return {"sum": a + b}


class Scripted(Model):
    """Asks for the tool so many times, then answers."""

    def __init__(self, calls: int, seconds: float) -> None:
        super().__init__()
        self.left = calls
        self.seconds = seconds

    def generate(self, messages: Any, **_options: Any) -> ChatMessage:
        if self.seconds:
            time.sleep(self.seconds)
        self.left -= 1
        name, arguments = ("add", {"a": 1, "b": 2})
        if self.left < 0:
            name, arguments = ("final_answer", {"answer": "3"})
        function = ChatMessageToolCallFunction(name=name, arguments=arguments)
        call = ChatMessageToolCall(function=function, id=f"call_{self.left}", type="function")
        return ChatMessage(role="assistant", content="", tool_calls=[call])


def agent(steps: int, seconds: float = 0) -> None:
    """One run."""
    adder = ToolCallingAgent(
        tools=[add],
        model=Scripted(steps, seconds),
        max_steps=steps + 10,
        verbosity_level=LogLevel.OFF,
    )
    assert adder.run("add") == "3"


if __name__ == "__main__":
    serve("smolagents", run_sync=agent, agent_sync=agent)
