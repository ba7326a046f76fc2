"""Tools of MCP servers. Knows the official ``mcp`` SDK; knows no loop."""

from __future__ import annotations

from looplet.mcp.adapter import MCPToolAdapter as MCPToolAdapter
from looplet.mcp.failures import MCPRefused as MCPRefused
from looplet.mcp.failures import MCPServerLost as MCPServerLost
from looplet.mcp.failures import MCPTimeout as MCPTimeout

__all__ = ["MCPRefused", "MCPServerLost", "MCPTimeout", "MCPToolAdapter"]
