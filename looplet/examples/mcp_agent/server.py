"""A warehouse as an MCP server on standard streams. Made with the official SDK; knows no looplet.

python looplet/examples/mcp_agent/server.py
"""

from __future__ import annotations

from typing import Any

try:
    from mcp.server.mcpserver import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
except ImportError:  # the SDK before version 2
    from mcp.server.fastmcp import FastMCP as MCPServer  # type: ignore[attr-defined, no-redef]
    from mcp.server.fastmcp.exceptions import ToolError  # type: ignore[import-not-found, no-redef]

STOCK = {"dried figs": 40, "fresh figs": 6, "lemons": 31, "olives": 45}
"""Crates; what is reserved is taken away for as long as the server runs."""

server = MCPServer("warehouse", log_level="ERROR")


@server.tool()
def find(word: str) -> dict[str, Any]:
    """Items whose name has a word in it."""
    return {"items": [item for item in STOCK if word.lower() in item]}


@server.tool()
def stock(item: str) -> dict[str, Any]:
    """How many crates of an item are there."""
    return {"item": item, "crates": _crates(item)}


@server.tool()
def reserve(item: str, crates: int) -> dict[str, Any]:
    """Reserve crates of an item; they are then no longer there for others."""
    there = _crates(item)
    if not 0 < crates <= there:
        raise ToolError(f"{crates} crates of {item} cannot be reserved: there are {there}")
    STOCK[item] = there - crates
    return {"item": item, "reserved": crates, "left": STOCK[item]}


def _crates(item: str) -> int:
    if item not in STOCK:
        raise ToolError(f"there is no item {item!r}; find it by a word of its name")
    return STOCK[item]


if __name__ == "__main__":
    server.run()
