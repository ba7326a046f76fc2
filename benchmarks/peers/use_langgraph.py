"""langgraph: a graph of a model's node and its ToolNode over MessagesState, compiled once a run."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from worker import serve


@tool
async def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


def graph(calls: int, seconds: float) -> Any:
    """A model's node that asks for the tool so many times, then answers."""
    left = calls

    async def model(state: MessagesState) -> dict[str, Any]:
        nonlocal left
        if seconds:
            await asyncio.sleep(seconds)
        left -= 1
        if left < 0:
            return {"messages": [AIMessage("3")]}
        call = {"name": "add", "args": {"a": 1, "b": 2}, "id": f"call_{left}"}
        return {"messages": [AIMessage("", tool_calls=[call])]}

    built = StateGraph(MessagesState)
    built.add_node("model", model)
    built.add_node("tools", ToolNode([add]))
    built.add_edge(START, "model")
    built.add_conditional_edges("model", tools_condition)
    built.add_edge("tools", "model")
    return built.compile()


async def agent(steps: int, seconds: float = 0) -> None:
    """One run."""
    config = {"recursion_limit": 2 * steps + 10}
    asked = {"messages": [("user", "add")]}
    result = await graph(steps, seconds).ainvoke(asked, config)
    assert result["messages"][-1].content == "3"


if __name__ == "__main__":
    serve("langgraph", run=agent, agent=agent)
