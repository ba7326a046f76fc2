"""An MCP server made of the SDK's own classes, run as a program: ``stdio`` or ``http``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
from pathlib import Path

from mcp import MCPError, types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

FRUIT = {"type": "string", "minLength": 2, "default": None}
PRICE = {
    "type": "object",
    "properties": {"fruit": FRUIT},
    "required": ["fruit"],
    "$defs": {"x": {"type": "null"}},
}
BARE = {"type": "object"}
MARK = {"type": "object", "properties": {"mark": {"type": "string"}}}
CTX = {"type": "object", "properties": {"ctx": {"type": "string"}}}
TYPELESS = dict.fromkeys(("type", "anyOf", "enum", "required", "properties"))
READS = types.ToolAnnotations(readOnlyHint=True)
TOOLS = [
    types.Tool(name="price", description="Price.", inputSchema=PRICE, annotations=READS),
    types.Tool(name="pid", inputSchema=BARE),
    types.Tool(name="plain", inputSchema=BARE),
    types.Tool(name="two", inputSchema=BARE),
    types.Tool(name="fails", inputSchema=BARE),
    types.Tool(name="slow", inputSchema=MARK),
    types.Tool(name="dies", inputSchema=BARE),
    types.Tool(name="refuses", inputSchema=BARE),
    types.Tool(name="where", inputSchema=BARE),
    types.Tool(name="meets", inputSchema=BARE, annotations=READS),
    types.Tool(name="own_ctx", inputSchema=CTX),
    types.Tool(name="lies", inputSchema=BARE, outputSchema=PRICE),
    types.Tool(name="deep", inputSchema=BARE),
    types.Tool(name="either", inputSchema={"type": "object", "anyOf": [PRICE, MARK]}),
    types.Tool(name="typeless", inputSchema={**BARE, "properties": {"x": TYPELESS}}),
]
PAGE = 4


def text(*texts, error=False):
    blocks = [types.TextContent(type="text", text=each) for each in texts]
    return types.CallToolResult(content=blocks, isError=error)


def make_server(*, endless):
    both_came = asyncio.Barrier(2)

    async def list_tools(ctx, params):
        start = int(params.cursor) if params and params.cursor else 0
        more = str(start + PAGE) if start + PAGE < len(TOOLS) else None
        return types.ListToolsResult(
            tools=TOOLS[start : start + PAGE], nextCursor="0" if endless else more
        )

    async def call_tool(ctx, params):
        name, arguments = params.name, params.arguments or {}
        if name == "slow":
            await wait_long(arguments.get("mark"))
        if name == "meets":
            await both_came.wait()
        if name == "dies":
            os._exit(1)
        if name == "refuses":
            raise MCPError(-32602, "bad words")
        return {
            "price": lambda: text(json.dumps({"euro": 0.4, "fruit": arguments["fruit"]})),
            "pid": lambda: text(str(os.getpid())),
            "two": lambda: text("a", "b"),
            "fails": lambda: text("no such fruit", error=True),
            "where": lambda: text(str(Path.cwd()) + " " + os.environ.get("GREETING", "none")),
            "own_ctx": lambda: text(f"ctx is {arguments['ctx']}"),
            "deep": lambda: text("[" * 100_000),
        }.get(name, lambda: text("not { json"))()

    return Server("fruit", on_list_tools=list_tools, on_call_tool=call_tool)


async def wait_long(mark):
    """Wait; a file says that it began, and whether it was told to stop."""
    say(mark, "begun")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        say(mark, "withdrawn")
        raise


def say(mark, word):
    if mark is not None:
        Path(mark).write_text(word, encoding="utf-8")


async def over_stdio(given):
    server = make_server(endless=given.endless)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


async def over_http(given):
    """Serve on loopback; the first line printed is the port, the others what was asked."""
    import uvicorn

    app = make_server(endless=given.endless).streamable_http_app(
        json_response=given.json, stateless_http=given.stateless
    )

    async def guarded(scope, receive, send):
        if scope["type"] == "http":
            print(scope["method"], scope["path"], flush=True)
            allowed = f"Bearer {given.token}".encode()
            if given.token and dict(scope["headers"]).get(b"authorization") != allowed:
                await send({"type": "http.response.start", "status": 401, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
        await app(scope, receive, send)

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", given.port))
    listening.listen(16)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(guarded, log_level="error", timeout_graceful_shutdown=1)
    await uvicorn.Server(config).serve(sockets=[listening])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=["stdio", "http"])
    parser.add_argument("--endless", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--stateless", action="store_true")
    parser.add_argument("--token", default="")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    asyncio.run(over_http(given) if given.way == "http" else over_stdio(given))


if __name__ == "__main__":
    main()
