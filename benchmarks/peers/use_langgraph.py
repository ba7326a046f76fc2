"""langgraph: a graph of a model's node and its ToolNode over MessagesState, compiled once."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from worker import serve


@tool
async def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


class Script:
    """Asks for the tool so many times, then answers."""

    def __init__(self, calls: int, seconds: float) -> None:
        self.left = calls
        self.seconds = seconds

    async def reply(self) -> AIMessage:
        """The next reply."""
        if self.seconds:
            await asyncio.sleep(self.seconds)
        self.left -= 1
        if self.left < 0:
            return AIMessage("3")
        call = {"name": "add", "args": {"a": 1, "b": 2}, "id": f"call_{self.left}"}
        return AIMessage("", tool_calls=[call])


async def model(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
    """The model's node."""
    return {"messages": [await config["configurable"]["script"].reply()]}


def graph() -> Any:
    """The graph, which all runs share."""
    built = StateGraph(MessagesState)
    built.add_node("model", model)
    built.add_node("tools", ToolNode([add]))
    built.add_edge(START, "model")
    built.add_conditional_edges("model", tools_condition)
    built.add_edge("tools", "model")
    return built.compile()


GRAPH = graph()


async def agent(steps: int, seconds: float = 0) -> None:
    """One run."""
    script = Script(steps, seconds)
    config = {"recursion_limit": 2 * steps + 10, "configurable": {"script": script}}
    result = await GRAPH.ainvoke({"messages": [("user", "add")]}, config)
    assert result["messages"][-1].content == "3"


if __name__ == "__main__":
    serve("langgraph", run=agent, agent=agent)
