"""What the loop asks routers for, in both modes, through both drivers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from looplet import (
    BackendRouter,
    LoopConfig,
    RoutingLLMBackend,
    SummarizeCompact,
    ToolContext,
    tool,
    tools_from,
)

PURPOSES = ["reasoning", "repair", "compaction", "tool"]


@tool
def plain(word: str) -> str:
    """Say a word again."""
    return word


class Once:
    def should_compact(self, state, session_log, conversation, step_num):
        return step_num == 3


def ask_tool(drive: Any) -> Any:
    """A tool that asks the model, as an author of async or of plain tools writes it."""

    @tool(name="ask")
    def asks(ctx: ToolContext) -> str:
        """Ask the model."""
        return ctx.llm.generate("what now?")

    @tool(name="ask")
    async def asks_async(ctx: ToolContext) -> str:
        """Ask the model."""
        reply = ctx.llm.generate("what now?")
        return await reply if hasattr(reply, "__await__") else reply

    return asks_async if drive.asynchronous else asks


def reply(name: str, *, native: bool, **args: Any) -> Any:
    if native:
        return [{"type": "tool_use", "id": name, "name": name, "input": args}]
    return json.dumps({"tool": name, "args": args})


def backends(drive: Any, *, native: bool) -> dict[str, Any]:
    make = drive.native if native else drive.text
    steps = [reply("ask", native=native), reply("plain", native=native, word="x"), "no call at all"]
    return {
        "reasoning": make(steps),
        "repair": make([reply("done", native=native, summary="x")]),
        "compaction": drive.text(["a summary"]),
        "tool": drive.text(["an answer"]),
    }


def run(drive: Any, llm: Any, *, native: bool, **options: Any) -> Any:
    config = LoopConfig(
        use_native_tools=native, compact_service=SummarizeCompact(keep_recent=1), **options
    )
    tools = tools_from([plain, ask_tool(drive)], include_done=True)
    return drive(llm, tools=tools, config=config, hooks=[Once()])


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
@pytest.mark.parametrize("place", ["llm", "config", "wrapped"])
def test_each_purpose_reaches_its_backend_and_is_counted(drive, native, place):
    asked = backends(drive, native=native)
    router = BackendRouter(asked, routes={purpose: purpose for purpose in PURPOSES})
    if place == "config":
        never = (drive.native if native else drive.text)([])
        ran = run(drive, never, native=native, router=router)
        assert never.calls == 0
    else:
        llm = RoutingLLMBackend(router) if place == "wrapped" else router
        ran = run(drive, llm, native=native)
    assert (ran.error, ran.stop_reason) == (None, "done")
    assert ran.tools == ["ask", "plain", "done"]
    assert ran.steps[0].tool_result.data == "an answer"
    calls = {purpose: asked[purpose].calls for purpose in PURPOSES}
    assert calls == {"reasoning": 3, "repair": 1, "compaction": 1, "tool": 1}
    report = router.report()
    assert {name: each["call_count"] for name, each in report["purposes"].items()} == calls
    assert {name: each["call_count"] for name, each in report["backends"].items()} == calls
    assert report["call_count"] == router.call_count == 6


@pytest.mark.parametrize("place", ["llm", "config", "wrapped"])
def test_a_native_repair_that_its_backend_cannot_be_asked_for_is_asked_of_the_default(drive, place):
    steps = ["no call at all", reply("done", native=True, summary="x")]
    asked = {"big": drive.native(steps), "small": drive.text(["unused"])}
    router = BackendRouter(asked, routes={"repair": "small"})
    if place == "config":
        ran = run(drive, drive.text([]), native=True, router=router)
    else:
        ran = run(drive, RoutingLLMBackend(router) if place == "wrapped" else router, native=True)
    assert (ran.error, ran.stop_reason) == (None, "done")
    assert (asked["big"].calls, asked["small"].calls) == (2, 0)
    assert all(request.messages for request in asked["big"].requests)


@pytest.mark.parametrize("takes_messages", [True, False])
def test_the_routers_backend_decides_how_a_native_run_asks(drive, takes_messages):
    turns = [reply("plain", native=True, word="quince"), reply("done", native=True, summary="x")]
    able = drive.native(turns, takes_messages=takes_messages)
    other = drive.native([], takes_messages=not takes_messages)
    ran = run(drive, other, native=True, router=BackendRouter(able))
    assert ran.stop_reason == "done"
    request = able.requests[1]
    assert bool(request.messages) is takes_messages
    told = request.messages[-1].content if takes_messages else request.prompt
    assert "quince" in told


def test_a_router_without_native_tools_makes_a_run_of_text(drive):
    able = drive.text([reply("done", native=False, summary="x")])
    ran = run(drive, drive.native([]), native=True, router=BackendRouter(able))
    assert ran.stop_reason == "done"
    assert "Answer with JSON only" in able.last_prompt


def test_an_async_backend_from_a_router_is_refused_by_the_sync_loop():
    from looplet import AsyncMockLLMBackend, MockLLMBackend
    from tests.drivers import DRIVERS

    router = BackendRouter(AsyncMockLLMBackend())
    ran = run(DRIVERS["sync"], MockLLMBackend(), native=False, router=router)
    assert isinstance(ran.error, TypeError)
    assert "use async_composable_loop" in str(ran.error)
