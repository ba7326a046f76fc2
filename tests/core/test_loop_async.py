"""What only the async loop can do; that the drivers agree is in ``tests/guarantees``."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from looplet import (
    DefaultState,
    LoopConfig,
    async_composable_loop,
    tools_from,
)
from looplet.core.runtime import Runtime
from looplet.testing import AsyncMockLLMBackend


def call(name: str, **args: Any) -> str:
    return json.dumps({"tool": name, "args": args})


DONE = call("done", summary="x")


class Watcher:
    def __init__(self) -> None:
        self.events: list[str] = []
        self.ends = 0

    def on_event(self, payload: Any) -> None:
        self.events.append(payload.event.value)

    def on_loop_end(self, state: Any, session_log: Any, context: Any, llm: Any) -> None:
        self.ends += 1


def test_a_plain_tool_does_not_hold_up_the_event_loop():
    tools = tools_from([], include_done=True)
    ticks = []

    @tools.tool
    def sleepy() -> dict:
        time.sleep(0.2)
        return {"ticks": len(ticks)}

    async def tick():
        while True:
            ticks.append(1)
            await asyncio.sleep(0.01)

    async def run():
        ticking = asyncio.create_task(tick())
        llm = AsyncMockLLMBackend([call("sleepy"), DONE])
        steps = [step async for step in async_composable_loop(llm, tools=tools)]
        ticking.cancel()
        return steps

    assert asyncio.run(run())[0].tool_result.data["ticks"] > 3


def test_a_coroutine_tool_runs_on_the_running_loop():
    tools = tools_from([], include_done=True)
    seen = []

    @tools.tool
    async def where() -> dict:
        seen.append(asyncio.get_running_loop())
        return {"ok": True}

    async def run():
        llm = AsyncMockLLMBackend([call("where"), DONE])
        steps = [step async for step in async_composable_loop(llm, tools=tools)]
        return steps, asyncio.get_running_loop()

    steps, loop = asyncio.run(run())
    assert steps[0].tool_result.data == {"ok": True}
    assert seen == [loop]


def test_cancelling_the_task_finalises_with_cancelled():
    tools = tools_from([], include_done=True)
    started = asyncio.Event()
    watcher, state = Watcher(), DefaultState()

    @tools.tool
    async def forever() -> dict:
        started.set()
        await asyncio.sleep(60)
        return {}

    async def run():
        async def consume():
            llm = AsyncMockLLMBackend([call("forever")])
            hooks = [watcher]
            async for _ in async_composable_loop(llm, tools=tools, hooks=hooks, state=state):
                raise AssertionError("no step was expected")

        task = asyncio.create_task(consume())
        await started.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return task.cancelled()

    assert asyncio.run(run())
    assert state._stop_reason == "cancelled"
    assert watcher.ends == 1
    assert watcher.events.count("stop") == 1


def test_a_slow_coroutine_tool_is_cancelled_at_its_timeout():
    tools = tools_from([], include_done=True)
    seen = []

    @tools.tool(timeout_s=0.05)
    async def slow() -> dict:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return {}

    async def run():
        llm = AsyncMockLLMBackend([call("slow"), DONE])
        return [step async for step in async_composable_loop(llm, tools=tools)]

    steps = asyncio.run(run())
    assert steps[0].tool_result.error_kind.value == "timeout"
    assert seen == ["cancelled"]


def test_concurrent_coroutine_tools_run_at_the_same_time():
    tools = tools_from([], include_done=True)
    inside = []

    @tools.tool(concurrent_safe=True)
    async def meet(name: str) -> dict:
        inside.append(name)
        while len(inside) < 2:
            await asyncio.sleep(0)
        return {"name": name}

    reply = json.dumps({"tools": [{"tool": "meet", "args": {"name": n}} for n in "ab"]})

    async def run():
        llm = AsyncMockLLMBackend([reply, DONE])
        config = LoopConfig(concurrent_dispatch=True)
        return [step async for step in async_composable_loop(llm, tools=tools, config=config)]

    steps = asyncio.run(asyncio.wait_for(run(), 10))
    assert [step.tool_result.data for step in steps[:2]] == [{"name": "a"}, {"name": "b"}]


def test_the_async_loops_own_sleep_is_awaited():
    pauses = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def run():
        llm = AsyncMockLLMBackend([ConnectionError("down"), DONE], cycle=False)
        config = LoopConfig(runtime=Runtime(sleep=sleep))
        tools = tools_from([], include_done=True)
        return [step async for step in async_composable_loop(llm, tools=tools, config=config)]

    assert len(asyncio.run(run())) == 1
    assert pauses == [1.0]


def test_a_plain_tool_waits_for_an_async_backends_reply_and_sees_its_tokens():
    class Counting(AsyncMockLLMBackend):
        last_usage, last_stop_reason = {"input_tokens": 7, "output_tokens": 1}, "end_turn"

    tools = tools_from([], include_done=True)

    @tools.tool
    def ask(ctx: Any) -> Any:
        before = (ctx.llm.last_usage, ctx.llm.last_stop_reason)
        return [before, ctx.llm.generate("well?"), ctx.llm.last_usage, ctx.llm.last_stop_reason]

    async def run():
        llm = Counting([call("ask"), "yes", DONE], cycle=False)
        return [step async for step in async_composable_loop(llm, tools=tools)]

    steps = asyncio.run(run())
    assert steps[0].tool_result.data == [
        (None, None), "yes", Counting.last_usage, "end_turn",
    ]  # fmt: skip


def test_a_plain_tool_may_return_what_an_async_function_does_with_the_backend():
    tools = tools_from([], include_done=True)

    async def think(llm: Any) -> str:
        return await llm.generate("well?")

    @tools.tool
    def ask(ctx: Any) -> Any:
        return think(ctx.llm)

    async def run():
        llm = AsyncMockLLMBackend([call("ask"), "yes", DONE], cycle=False)
        return [step async for step in async_composable_loop(llm, tools=tools)]

    assert asyncio.run(run())[0].tool_result.data == "yes"


def test_a_tool_of_a_batch_does_not_go_on_when_another_ended_the_run():
    class Escapes(BaseException):
        pass

    ended = []
    tools = tools_from([], include_done=True)

    @tools.tool(concurrent_safe=True)
    async def wait(n: int) -> dict:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(n)
            raise
        return {}

    @tools.tool(concurrent_safe=True)
    async def escape() -> dict:
        await asyncio.sleep(0)
        raise Escapes

    both = json.dumps({"tools": [{"tool": "wait", "args": {"n": 1}}, {"tool": "escape"}]})

    async def run():
        config = LoopConfig(concurrent_dispatch=True)
        async for _ in async_composable_loop(
            AsyncMockLLMBackend([both]), tools=tools, config=config
        ):
            pass

    with pytest.raises(Escapes):
        asyncio.run(asyncio.wait_for(run(), 30))
    assert ended == [1]
