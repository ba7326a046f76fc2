"""Tools of a real MCP server, which the SDK's own classes serve from a process of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from looplet import (
    BaseToolRegistry,
    ErrorKind,
    MockLLMBackend,
    ToolCall,
    composable_loop,
    register_done_tool,
)
from looplet.mcp import MCPRefused, MCPServerLost, MCPTimeout, MCPToolAdapter

pytest.importorskip("mcp", reason="the extra 'mcp' is not installed", exc_type=ImportError)
pytest.importorskip(
    "mcp.server.mcpserver", reason="the test's server is written for mcp 2", exc_type=ImportError
)

SERVER = """
import asyncio, os, sys
import mcp.types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

FRUIT = {"type": "string", "minLength": 2, "default": None}
PRICE = {"type": "object", "properties": {"fruit": FRUIT},
         "required": ["fruit"], "$defs": {"x": {"type": "null"}}}
BARE = {"type": "object"}
READS = types.ToolAnnotations(readOnlyHint=True)
TOOLS = [types.Tool(name="price", description="Price.", inputSchema=PRICE, annotations=READS)]
TOOLS += [types.Tool(name=name, inputSchema=BARE) for name in
          ("pid", "plain", "two", "fails", "slow", "dies", "refuses", "where")]

def text(*texts, error=False):
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=each) for each in texts], isError=error)

async def list_tools(ctx, params):
    start = int(params.cursor) if params and params.cursor else 0
    more = str(start + 4) if start + 4 < len(TOOLS) else None
    return types.ListToolsResult(tools=TOOLS[start:start + 4], nextCursor=more)

async def call_tool(ctx, params):
    name = params.name
    if name == "price":
        return text('{"euro": 0.4, "fruit": "%s"}' % params.arguments["fruit"])
    if name == "pid":
        return text(str(os.getpid()))
    if name == "where":
        return text(os.getcwd() + " " + os.environ.get("GREETING", "none"))
    if name == "two":
        return text("a", "b")
    if name == "fails":
        return text("no such fruit", error=True)
    if name == "slow":
        await asyncio.sleep(60)
    if name == "dies":
        os._exit(1)
    if name == "refuses":
        from mcp import MCPError
        raise MCPError(-32602, "bad words")
    return text("not { json")

async def main():
    server = Server("fruit", on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """How the server is started."""
    script = tmp_path_factory.mktemp("mcp") / "server.py"
    script.write_text(SERVER, encoding="utf-8")
    return [sys.executable, str(script)]


@pytest.fixture(scope="module")
def shared(command: list[str]):
    """A server for the tests that leave it as it was."""
    with MCPToolAdapter.connect_stdio(command=command) as adapter:
        yield adapter


@pytest.fixture
def registry(shared: MCPToolAdapter) -> BaseToolRegistry:
    registry = BaseToolRegistry()
    shared.register_all(registry)
    return registry


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ask(registry: BaseToolRegistry, name: str, **arguments: Any) -> Any:
    return registry.dispatch(ToolCall(name, arguments))


def test_every_page_of_tools_is_read(shared):
    names = [spec.name for spec in shared.list_tools()]
    assert names == [
        "price", "pid", "plain", "two", "fails", "slow", "dies", "refuses", "where",
    ]  # fmt: skip
    assert [spec.name for spec in shared.tools()] == names


def test_a_tools_schema_is_the_servers(shared):
    price, pid, *_ = shared.list_tools()
    assert price.parameters == {
        "type": "object",
        "properties": {"fruit": {"type": "string", "minLength": 2, "default": None}},
        "required": ["fruit"],
        "$defs": {"x": {"type": "null"}},
    }
    assert price.description == "Price."
    assert pid.parameter_names() == []


def test_a_read_only_tool_may_run_beside_others(shared):
    price, pid, *_ = shared.list_tools()
    assert (price.concurrent_safe, pid.concurrent_safe) == (True, False)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("plain", {"text": "not { json"}),
        ("two", {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
        ("fails", {"error": "no such fruit"}),
    ],
)
def test_a_result_is_data(registry, name, data):
    result = ask(registry, name)
    assert (result.data, result.error) == (data, None)


def test_one_text_that_is_json_is_decoded(registry):
    assert ask(registry, "price", fruit="apple").data == {"euro": 0.4, "fruit": "apple"}


def test_a_protocol_error_is_an_error(registry):
    result = ask(registry, "refuses")
    assert result.error_kind is ErrorKind.EXECUTION
    assert "bad words" in result.error
    assert MCPRefused.__name__ in result.error


def test_calls_may_run_beside_each_other(registry):
    calls = [ToolCall("price", {"fruit": f"fruit{number}"}) for number in range(12)]
    results = registry.dispatch_batch(calls)
    assert [each.data["fruit"] for each in results] == [each.args["fruit"] for each in calls]


def test_an_agent_uses_the_tools(registry):
    register_done_tool(registry)
    llm = MockLLMBackend(
        [
            '{"tool": "price", "args": {"fruit": "apple"}}',
            '{"tool": "done", "args": {"summary": "0.4"}}',
        ]
    )
    steps = list(composable_loop(llm, "Price?", registry))
    assert steps[0].tool_result.data["euro"] == 0.4


def test_it_works_inside_a_running_event_loop(command):
    async def run() -> Any:
        async with MCPToolAdapter(command) as adapter:
            registry = BaseToolRegistry()
            assert adapter.register_all(registry) == 9
            first = ask(registry, "price", fruit="apple")
            second = await registry.adispatch(ToolCall("price", {"fruit": "pear"}))
            return first.data["fruit"], second.data["fruit"]

    assert asyncio.run(run()) == ("apple", "pear")


def test_directory_and_environment_are_the_given_ones(command, tmp_path):
    with MCPToolAdapter.connect_stdio(command, env={"GREETING": "hi"}, cwd=tmp_path) as adapter:
        registry = BaseToolRegistry()
        adapter.register_all(registry)
        folder, greeting = ask(registry, "where").data["text"].split(" ")
    assert (Path(folder), greeting) == (tmp_path.resolve(), "hi")


def test_a_timeout_is_a_timeout_error_and_the_server_goes_on(command):
    with MCPToolAdapter.connect_stdio(command) as adapter:
        registry = BaseToolRegistry()
        adapter.register_all(registry)
        adapter._wire.timeout = 0.2
        result = ask(registry, "slow")
        assert result.error_kind is ErrorKind.TIMEOUT
        assert MCPTimeout.__name__ in result.error
        adapter._wire.timeout = 30.0
        assert ask(registry, "price", fruit="fig").data["fruit"] == "fig"


def test_a_lost_server_is_a_network_error_each_time(command):
    with MCPToolAdapter.connect_stdio(command) as adapter:
        registry = BaseToolRegistry()
        adapter.register_all(registry)
        for name in ("dies", "plain"):
            result = ask(registry, name)
            assert result.error_kind is ErrorKind.NETWORK
            assert MCPServerLost.__name__ in result.error


def test_closing_ends_the_process_and_may_be_repeated(command):
    adapter = MCPToolAdapter.connect_stdio(command)
    registry = BaseToolRegistry()
    adapter.register_all(registry)
    pid = ask(registry, "pid").data
    assert is_running(pid)
    adapter.close()
    adapter.close()
    assert not is_running(pid)
    assert ask(registry, "plain").error_kind is ErrorKind.NETWORK


def test_an_unused_adapter_starts_nothing_and_closes():
    adapter = MCPToolAdapter("no-such-program --flag 'two words'")
    adapter.close()
    with pytest.raises(MCPServerLost, match="was closed"):
        adapter.list_tools()


@pytest.mark.parametrize("command", [["no-such-program"], [sys.executable, "-c", "pass"]])
def test_a_server_that_does_not_start_is_named(command):
    with pytest.raises(MCPServerLost, match=r"no-such-program|-c pass"):
        MCPToolAdapter.connect_stdio(command)


def test_an_empty_command_is_refused():
    with pytest.raises(ValueError, match="empty"):
        MCPToolAdapter([])


def test_no_server_outlives_the_interpreter(command):
    code = (
        "from looplet.mcp import MCPToolAdapter\n"
        f"adapter = MCPToolAdapter.connect_stdio({command!r})\n"
        "print({spec.name: spec for spec in adapter.list_tools()}['pid']())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert not is_running(int(ran.stdout))


def test_the_sdk_is_not_imported_before_it_is_needed():
    code = "import sys, looplet.mcp; print('mcp' in sys.modules, 'asyncio' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "False"]


def test_without_the_sdk_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['mcp'] = None\n"
        "from looplet.mcp import MCPToolAdapter\n"
        "MCPToolAdapter('server')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "looplet[mcp]"' in ran.stderr
