"""An MCP server's tools in a run: through both drivers, over both transports."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest

from looplet import (
    CancelToken,
    DefaultState,
    ErrorKind,
    LoopConfig,
    async_composable_loop,
    register_done_tool,
)
from looplet.core.threads import in_thread
from looplet.mcp import MCPToolAdapter
from looplet.testing import AsyncScriptedToolBackend
from tests.mcp.conftest import SECONDS, http_server, registry_of, wait_for

pytest.importorskip("mcp", reason="the extra 'mcp' is not installed", exc_type=ImportError)
pytest.importorskip(
    "mcp.server.mcpserver", reason="the test's server is written for mcp 2", exc_type=ImportError
)


def call(name, **arguments):
    return {"type": "tool_use", "id": f"call_{name}", "name": name, "input": arguments}


DONE = [call("done", summary="0.4")]
NATIVE = LoopConfig(max_steps=5, use_native_tools=True)


@contextmanager
def serving(way, command):
    if way == "stdio":
        with MCPToolAdapter(command) as adapter:
            yield adapter
        return
    with http_server() as server, MCPToolAdapter(url=server.url) as adapter:
        yield adapter


@pytest.fixture(scope="module", params=["stdio", "http"])
def way(request):
    return request.param


@pytest.fixture(scope="module")
def shared(way, command):
    """A server for the tests that leave it as it was."""
    with serving(way, command) as adapter:
        yield adapter


def tools_of(adapter):
    registry = registry_of(adapter)
    register_done_tool(registry)
    return registry


@pytest.fixture
def tools(shared):
    return tools_of(shared)


def test_an_agent_uses_the_tools(drive, tools):
    llm = drive.text(
        [
            '{"tool": "price", "args": {"fruit": "apple"}}',
            '{"tool": "done", "args": {"summary": "0.4"}}',
        ]
    )
    ran = drive(llm, tools=tools, task="Price?")
    assert (ran.tools, ran.stop_reason) == (["price", "done"], "done")
    assert ran.steps[0].tool_result.data == {"euro": 0.4, "fruit": "apple"}


def test_read_only_tools_of_one_turn_run_at_the_same_time(drive, tools):
    llm = drive.native([[call("meets"), call("meets")], DONE])  # each waits for the other
    ran = drive(llm, tools=tools, config=replace(NATIVE, concurrent_dispatch=True))
    assert [step.tool_result.error for step in ran.steps] == [None, None, None]


def test_a_call_that_takes_too_long_is_a_step_and_the_run_goes_on(
    drive, tools, shared, monkeypatch
):
    monkeypatch.setattr(shared._wire, "timeout", 0.2)
    ran = drive(drive.native([[call("slow")], DONE]), tools=tools, config=NATIVE)
    assert ran.steps[0].tool_result.error_kind is ErrorKind.TIMEOUT
    assert ran.stop_reason == "done"


def test_a_tools_own_limit_withdraws_the_request(drive, tools, tmp_path):
    mark = tmp_path / "mark"
    tools.register(replace(tools.get("slow"), name="brief", timeout_s=0.5))
    llm = drive.native([[call("brief", mark=str(mark))], DONE])
    ran = drive(llm, tools=tools, config=NATIVE)
    assert ran.steps[0].tool_result.error_kind is ErrorKind.TIMEOUT
    wait_for(mark, "withdrawn")


def test_a_lost_server_is_a_step_and_the_run_goes_on(drive, way, command):
    llm = drive.native([[call("dies")], DONE])
    with serving(way, command) as adapter:
        ran = drive(llm, tools=tools_of(adapter), config=NATIVE)
    assert ran.steps[0].tool_result.error_kind is ErrorKind.NETWORK
    assert ran.stop_reason == "done"


def test_a_cancelled_run_withdraws_the_request(drive, tools, tmp_path):
    mark, token = tmp_path / "mark", CancelToken()

    def cancel_once_begun():
        wait_for(mark, "begun")
        token.cancel()

    cancelling = in_thread(cancel_once_begun, name="cancelling")
    config = replace(NATIVE, cancel_token=token)
    ran = drive(drive.native([[call("slow", mark=str(mark))], DONE]), tools=tools, config=config)
    assert cancelling.finished.wait(SECONDS)
    assert ran.steps[0].tool_result.error_kind is ErrorKind.CANCELLED
    assert ran.stop_reason == "cancelled"
    wait_for(mark, "withdrawn")


def test_a_cancelled_task_withdraws_the_request_and_leaves_no_thread(tools, tmp_path):
    mark, state = tmp_path / "mark", DefaultState(max_steps=5)
    before = set(threading.enumerate())

    async def run():
        llm = AsyncScriptedToolBackend([[call("slow", mark=str(mark))], DONE])
        async for _ in async_composable_loop(llm, tools=tools, config=NATIVE, state=state):
            pass

    async def cancel_once_begun():
        task = asyncio.create_task(run())
        await asyncio.to_thread(wait_for, mark, "begun")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_once_begun())  # waits for the threads that tools run in
    assert state._stop_reason == "cancelled"
    assert set(threading.enumerate()) == before
    wait_for(mark, "withdrawn")
