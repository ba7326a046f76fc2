"""Section 3.3: the exact order of hooks and events, line by line, through both drivers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from looplet import Deny, LoopConfig, tools_from
from looplet.core.backend import is_async
from looplet.core.listeners import SLOTS
from looplet.core.wrapping import AsyncWrapper, SyncWrapper
from tests.guarantees.parts import APPLE, DONE, PEAR, hook, several

ASKING = (
    "should_compact build_briefing pre_prompt build_prompt <pre_llm_call> [LLM] <post_llm_response>"
)
ONE_TURN_AND_DONE = f"""
pre_loop <session_start>
{ASKING}
<pre_tool_use> pre_dispatch check_permission [price] post_dispatch <post_tool_use>
on_step YIELD#1
should_stop
{ASKING}
check_done [done] post_dispatch on_step YIELD#2 <done_accepted>
<stop> on_loop_end
"""
DECIDED = f"""
pre_loop <session_start>
{ASKING}
<pre_tool_use> pre_dispatch <hook_decision> check_permission post_dispatch <post_tool_failure>
on_step YIELD#1
should_stop
{ASKING}
check_done [done] post_dispatch on_step YIELD#2 <done_accepted>
<stop> on_loop_end
"""
TWO_ALONE = f"""
pre_loop <session_start>
{ASKING}
<pre_tool_use> pre_dispatch check_permission [price] post_dispatch <post_tool_use> on_step YIELD#1
<pre_tool_use> pre_dispatch check_permission [price] post_dispatch <post_tool_use> on_step YIELD#2
should_stop
{ASKING}
check_done [done] post_dispatch on_step YIELD#3 <done_accepted>
<stop> on_loop_end
"""
TWO_TOGETHER = f"""
pre_loop <session_start>
{ASKING}
<pre_tool_use> pre_dispatch check_permission
<pre_tool_use> pre_dispatch check_permission
[price] [price]
post_dispatch <post_tool_use> on_step YIELD#1
post_dispatch <post_tool_use> on_step YIELD#2
should_stop
{ASKING}
check_done [done] post_dispatch on_step YIELD#3 <done_accepted>
<stop> on_loop_end
"""
REJECTED = f"""
pre_loop <session_start>
{ASKING}
check_done <hook_decision> on_step YIELD#1
should_stop
{ASKING}
check_done [done] post_dispatch on_step YIELD#2 <done_accepted>
<stop> on_loop_end
"""


SCRIPTS: dict[str, tuple[str, list[str], dict[str, Any], dict[str, Any]]] = {
    "one call, then done": (ONE_TURN_AND_DONE, [APPLE, DONE], {}, {}),
    "a decision": (DECIDED, [APPLE, DONE], {"pre_dispatch": Deny("no")}, {}),
    "two calls, one by one": (TWO_ALONE, [several(APPLE, PEAR), DONE], {}, {}),
    "two calls in a batch": (
        TWO_TOGETHER,
        [several(APPLE, PEAR), DONE],
        {},
        {"concurrent_dispatch": True},
    ),
    "one call where batches are allowed": (
        ONE_TURN_AND_DONE,
        [APPLE, DONE],
        {},
        {"concurrent_dispatch": True},
    ),
    "a rejected done": (REJECTED, [DONE, DONE], {"check_done": "not yet"}, {}),
}


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
@pytest.mark.parametrize(
    ("table", "replies", "first", "config"), SCRIPTS.values(), ids=SCRIPTS.keys()
)
def test_hooks_events_model_tools_and_steps_come_in_the_tables_order(
    drive, table, replies, first, config, native
):
    seen: list[str] = []
    answers = dict(first)

    def slot(name: str) -> Any:
        return lambda *args, **keywords: seen.append(name) or answers.pop(name, None)

    slots = {name: slot(name) for name in SLOTS if name not in {"on_event", "on_chunk"}}
    listener = hook(on_event=lambda payload: seen.append(f"<{payload.event.value}>"))
    model = drive.native([blocks(each) for each in replies]) if native else drive.text(replies)
    ran = drive(
        told(model, seen),
        tools=tools_that_tell(seen),
        hooks=[hook(**slots), listener],
        config=LoopConfig(use_native_tools=native, **config),
        on_step=lambda step: seen.append(f"YIELD#{step.number}"),
    )
    assert ran.error is None
    assert seen == table.split()
    assert answers == {}


def told(model: Any, seen: list[str]) -> Any:
    """The same model, which notes when it is asked."""
    base = AsyncWrapper if is_async(model) else SyncWrapper

    def around(self: Any, *args: Any) -> Any:
        seen.append("[LLM]")
        return base.around(self, *args)

    return type("Told", (base,), {"around": around})(model)


def tools_that_tell(seen: list[str]) -> Any:
    tools = tools_from([])

    @tools.tool(concurrent_safe=True)
    def price(fruit: str) -> dict:
        seen.append("[price]")
        return {"fruit": fruit}

    @tools.tool
    def done(summary: str) -> dict:
        seen.append("[done]")
        return {"summary": summary}

    return tools


def blocks(reply: str) -> list[dict[str, Any]]:
    """A reply as native tool calls."""
    data = json.loads(reply)
    return [
        {"type": "tool_use", "id": f"c{place}", "name": call["tool"], "input": call["args"]}
        for place, call in enumerate(data.get("tools", [data]))
    ]
