"""Tools of a real MCP server, which the SDK's own classes serve from a process of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from looplet import BaseToolRegistry, ErrorKind, ToolCall, ToolSpec
from looplet.core.threads import in_thread
from looplet.mcp import MCPRefused, MCPServerLost, MCPTimeout, MCPToolAdapter
from looplet.mcp.results import object_schema
from tests.mcp.conftest import ask, http_server, registry_of

pytest.importorskip("mcp", reason="the extra 'mcp' is not installed", exc_type=ImportError)
pytest.importorskip(
    "mcp.server.mcpserver", reason="the test's server is written for mcp 2", exc_type=ImportError
)


SILENT = [sys.executable, "-c", "import sys; sys.stdin.read()"]
"""A program that never answers."""


@pytest.fixture(scope="module", params=["stdio", "http", "http --json", "http --stateless"])
def shared(command: list[str], request: pytest.FixtureRequest):
    """A server for the tests that leave it as it was, over each transport."""
    way, *flags = request.param.split()
    if way == "stdio":
        with MCPToolAdapter.connect_stdio(command=command) as adapter:
            yield adapter
        return
    with http_server(*flags) as server, MCPToolAdapter.connect_http(server.url) as adapter:
        yield adapter


@pytest.fixture
def registry(shared: MCPToolAdapter) -> BaseToolRegistry:
    return registry_of(shared)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_page_of_tools_is_read(shared):
    names = [spec.name for spec in shared.list_tools()]
    assert names == [
        "price", "pid", "plain", "two", "fails", "slow", "dies", "refuses", "where", "meets",
        "own_ctx", "lies", "deep", "either", "typeless",
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
    assert pid.parameters == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("name", "arguments"), [("either", {"mark": "m"}), ("typeless", {"x": {"y": 1}})]
)
def test_a_tool_of_an_odd_schema_can_be_used(registry, name, arguments):
    assert name in registry.tool_catalog_text()
    result = ask(registry, name, **arguments)
    assert (result.data, result.error) == ({"text": "not { json"}, None)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"properties": {}},
        {"type": "object", "properties": None, "required": None},
        {"type": ["object", "null"], "properties": {}},
    ],
)
def test_a_schema_of_whatever_kind_is_read_as_that_of_an_object(given):
    spec = ToolSpec("odd", "", object_schema(given), dict)
    assert spec.is_json_schema
    assert (spec.parameter_names(), spec.required_parameters()) == ([], [])


def test_a_read_only_tool_may_run_beside_others(shared):
    price, pid, *_ = shared.list_tools()
    assert (price.concurrent_safe, pid.concurrent_safe) == (True, False)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("plain", {"text": "not { json"}),
        ("two", {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
        ("fails", {"error": "no such fruit"}),
        ("deep", {"text": "[" * 100_000}),
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


def test_an_answer_that_breaks_the_tools_own_schema_is_an_error(registry):
    result = ask(registry, "lies")
    assert result.error_kind is ErrorKind.EXECUTION
    assert "no usable answer" in result.error


def test_an_argument_of_the_servers_may_be_called_ctx(registry):
    assert ask(registry, "own_ctx", ctx="mine").data == {"text": "ctx is mine"}


def test_calls_may_run_beside_each_other(registry):
    calls = [ToolCall("price", {"fruit": f"fruit{number}"}) for number in range(12)]
    results = registry.dispatch_batch(calls)
    assert [each.data["fruit"] for each in results] == [each.args["fruit"] for each in calls]


def test_it_works_inside_a_running_event_loop(command):
    async def run() -> Any:
        async with MCPToolAdapter(command) as adapter:
            registry = BaseToolRegistry()
            assert adapter.register_all(registry) == 15
            first = ask(registry, "price", fruit="apple")
            second = await registry.adispatch(ToolCall("price", {"fruit": "pear"}))
            return first.data["fruit"], second.data["fruit"]

    assert asyncio.run(run()) == ("apple", "pear")


def test_directory_and_environment_are_the_given_ones(command, tmp_path):
    with MCPToolAdapter.connect_stdio(command, env={"GREETING": "hi"}, cwd=tmp_path) as adapter:
        registry = registry_of(adapter)
        folder, greeting = ask(registry, "where").data["text"].split(" ")
    assert (Path(folder), greeting) == (tmp_path.resolve(), "hi")


def test_a_timeout_is_a_timeout_error_and_the_server_goes_on(command):
    with MCPToolAdapter.connect_stdio(command) as adapter:
        registry = registry_of(adapter)
        adapter._wire.timeout = 0.2
        result = ask(registry, "slow")
        assert result.error_kind is ErrorKind.TIMEOUT
        assert MCPTimeout.__name__ in result.error
        adapter._wire.timeout = 30.0
        assert ask(registry, "price", fruit="fig").data["fruit"] == "fig"


def test_a_lost_server_is_a_network_error_each_time(command):
    with MCPToolAdapter.connect_stdio(command) as adapter:
        registry = registry_of(adapter)
        for name in ("dies", "plain"):
            result = ask(registry, name)
            assert result.error_kind is ErrorKind.NETWORK
            assert MCPServerLost.__name__ in result.error


def test_closing_ends_the_process_and_may_be_repeated(command):
    adapter = MCPToolAdapter.connect_stdio(command)
    registry = registry_of(adapter)
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


@pytest.mark.parametrize(
    "secret",
    [
        ["--api-key", "hunter2"],
        ["--token=hunter2"],
        ["-e", "GITHUB_TOKEN=hunter2"],
        ["--header", "Authorization: Bearer hunter2"],
        ["postgres://ann:hunter2@db/fruit"],
    ],
)
def test_a_secret_on_the_command_line_is_in_no_message(secret):
    adapter = MCPToolAdapter(["no-such-program", *secret, "--verbose", "fruit"])
    with pytest.raises(MCPServerLost, match=r"no-such-program .*--verbose fruit") as caught:
        adapter.connect()
    adapter.close()
    assert "hunter2" not in f"{caught.value} {adapter!r} {adapter._wire.server!r}"


def test_an_empty_command_is_refused():
    with pytest.raises(ValueError, match="empty"):
        MCPToolAdapter([])


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({}, "either"),
        ({"command": "server", "url": "http://127.0.0.1/mcp"}, "either"),
        ({"url": "http://127.0.0.1/mcp", "cwd": "."}, "cwd="),
        ({"command": "server", "headers": {"a": "b"}}, "headers="),
    ],
)
def test_a_server_is_a_command_or_a_url(given, word):
    with pytest.raises(ValueError, match=word):
        MCPToolAdapter(**given)


def test_pages_that_never_end_are_refused(command):
    with (
        MCPToolAdapter.connect_stdio([*command, "--endless"]) as adapter,
        pytest.raises(MCPRefused, match="again and again"),
    ):
        adapter.list_tools()


def test_a_server_that_never_greets_is_given_up():
    with pytest.raises(MCPTimeout, match="no answer"):
        MCPToolAdapter.connect_stdio(SILENT, timeout=0.2)


def test_closing_ends_a_start_that_hangs():
    adapter = MCPToolAdapter(SILENT)
    starting = in_thread(adapter.connect, name="starting")
    while (connection := adapter._wire._connection) is None:
        time.sleep(0.01)
    adapter.close()
    assert starting.finished.wait(60)
    with pytest.raises(MCPServerLost, match="closed"):
        starting.take()
    assert connection.over


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
