"""The calls of a turn, and what hooks around them may do; both drivers."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from looplet import (
    Allow,
    Continue,
    HookDecision,
    InjectContext,
    LoopConfig,
    Stop,
    ToolResult,
    tool,
    tools_from,
)


@tool
def price(fruit: str) -> str:
    """Price of one piece of fruit, in euro."""
    if fruit == "plum":
        raise LookupError("no plums")
    return f"{fruit} costs 0.40"


@tool
def count(ctx: Any) -> str:
    """Count the stock, and say how far it is."""
    ctx.report_progress("half", 1)
    return "12 apples"


def call(name: str, **args: Any) -> str:
    return json.dumps({"tool": name, "args": args})


APPLE, PLUM = call("price", fruit="apple"), call("price", fruit="plum")
COUNT, DONE = call("count"), call("done", summary="x")


def hook(**methods: Any) -> Any:
    return type("Given", (), {name: staticmethod(body) for name, body in methods.items()})()


def at(event: str, decision: Any) -> Any:
    """A listener with one decision at one event."""
    return hook(on_event=lambda payload: decision if payload.event.value == event else None)


def run(drive: Any, replies: list[str], *hooks: Any, **options: Any) -> Any:
    llm = drive.text(replies)
    tools = tools_from([price, count], include_done=True)
    ran = drive(llm, tools=tools, hooks=hooks, config=LoopConfig(**options))
    ran.llm = llm
    return ran


@pytest.mark.parametrize("decision", [Allow(), Continue(), True, None])
def test_a_permission_that_is_given_runs_the_call(drive, decision):
    ran = run(drive, [APPLE, DONE], hook(check_permission=lambda *args: decision))
    assert ran.steps[0].tool_result.data == "apple costs 0.40"


def test_every_permission_is_asked_and_what_it_says_reaches_the_model(drive):
    asked = []

    def check(call, state):
        asked.append(call.tool)
        return Allow() if len(asked) == 1 else InjectContext("You may.")

    ran = run(drive, [APPLE, DONE], *[hook(check_permission=check)] * 3)
    assert asked == ["price"] * 3
    assert "You may.\nYou may." in ran.llm.last_prompt


def test_a_listener_may_say_something_before_a_tool_and_the_tool_runs(drive):
    ran = run(drive, [APPLE, DONE], at("pre_tool_use", InjectContext("Fresh today.")))
    assert ran.steps[0].tool_result.data == "apple costs 0.40"
    assert "Fresh today." in ran.llm.last_prompt


def test_the_first_result_that_stands_in_for_the_tools_stays(drive):
    first = HookDecision(updated_result=ToolResult("price", "", "first"))
    late = HookDecision(
        updated_result=ToolResult("price", "", "late"), additional_context="I came late."
    )
    ran = run(drive, [APPLE, DONE], at("pre_tool_use", first), at("pre_tool_use", late))
    assert ran.steps[0].tool_result.data == "first"
    assert "I came late." in ran.llm.last_prompt


@pytest.mark.parametrize(
    ("reply", "event"), [(APPLE, "post_tool_use"), (PLUM, "post_tool_failure")]
)
def test_a_listener_may_replace_a_result_say_something_and_end_the_run(drive, reply, event):
    other = HookDecision(
        updated_result=ToolResult("price", "", "cheap"), additional_context="Mended."
    )
    ran = run(drive, [reply, DONE], at(event, other))
    assert ran.steps[0].tool_result.data == "cheap"
    assert "Mended." in ran.llm.last_prompt
    stopped = run(drive, [reply, DONE], at(event, Stop("enough")))
    assert (stopped.stop_reason, stopped.tools) == ("enough", ["price"])


def test_a_done_may_be_commented_on_without_being_rejected(drive):
    comment = hook(check_done=lambda *args: InjectContext("Well done."))
    then = hook(check_done=lambda *args: HookDecision(block="not yet"))
    assert run(drive, [DONE], comment).stop_reason == "done"
    ran = run(drive, [DONE], comment, then, max_steps=1)
    assert ran.steps[0].tool_result.data == {"rejected": True, "reason": "not yet"}


def test_progress_reaches_async_listeners_before_the_step_is_recorded(drive):
    told = []

    async def listen(payload):
        if payload.event.value == "tool_progress":
            await asyncio.sleep(0)
            told.append((payload.extra["stage"], payload.extra["data"], payload.state.step_count))

    if not drive.asynchronous:
        assert isinstance(run(drive, [COUNT, DONE], hook(on_event=listen)).error, TypeError)
        return
    ran = run(drive, [COUNT, DONE], hook(on_event=listen))
    assert ran.stop_reason == "done"
    assert told == [("half", 1, 0)]


def test_a_listener_that_fails_at_progress_is_logged_and_the_tool_goes_on(drive, caplog):
    def fail(payload):
        if payload.event.value == "tool_progress":
            raise LookupError("no ears")

    ran = run(drive, [COUNT, DONE], hook(on_event=fail))
    assert ran.steps[0].tool_result.data == "12 apples"
    assert "no ears" in caplog.text


def test_a_registry_of_ones_own_needs_dispatch_alone(drive):
    class Registry:
        tool_names = ("price", "done")

        def tool_catalog_text(self):
            return "price(fruit)"

        def tool_schemas(self):
            return []

        def dispatch(self, call, *, ctx=None):
            return ToolResult(call.tool, "", f"own {call.tool}", call_id=call.call_id)

    ran = drive(drive.text([APPLE, DONE]), tools=Registry())
    assert [step.tool_result.data for step in ran.steps] == ["own price", "own done"]


def test_an_awaitable_that_is_no_coroutine_is_refused_by_the_sync_loop_by_name(drive):
    class Later:
        def __await__(self):
            return iter(())

    ran = run(drive, [DONE], hook(pre_prompt=lambda *args: Later()))
    if drive.asynchronous:
        assert ran.stop_reason == "done"
    else:
        assert "Given.pre_prompt returned an awaitable" in str(ran.error)


def test_a_tool_that_timed_out_tells_no_progress_of_a_run_that_has_ended(drive):
    go_on, told, seen = threading.Event(), threading.Event(), []

    @tool(timeout_s=0.01)
    def slow(ctx) -> str:
        """Never in time."""
        go_on.wait(60)
        ctx.report_progress("late")
        told.set()
        return "late"

    class Watch:
        def on_event(self, payload):
            seen.append(payload.event.value)

        def on_loop_end(self, state, session_log, context, llm):
            seen.append("end")

    tools = tools_from([slow], include_done=True)
    drive(drive.text([call("slow"), DONE]), tools=tools, hooks=[Watch()])
    go_on.set()
    assert told.wait(60)
    assert seen[-1] == "end"
