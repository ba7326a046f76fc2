"""What preview_prompt shows is what the loop sends."""

from __future__ import annotations

import json

import pytest

from looplet import (
    DefaultState,
    LoopConfig,
    MockLLMBackend,
    SessionLog,
    StaticMemorySource,
    composable_loop,
    tool,
    tools_from,
)
from looplet.core.preview import preview_prompt
from looplet.core.tracing import Tracer


@tool
def price(fruit: str) -> dict:
    """Price of one piece of fruit, in euro."""
    return {"euro": 0.4}


class Brief:
    def pre_prompt(self, state, session_log, context, step_num):
        return f"note {step_num} {context}"


CONFIG = LoopConfig(
    max_steps=5, memory_sources=[StaticMemorySource("euro")], acceptance_criteria=["all priced"]
)
TASK = {"goal": "price {fruit}", "zero": 0}


def test_the_first_prompt_is_shown_as_it_is_sent(drive):
    tools = tools_from([price], include_done=True)
    llm = drive.text(['{"tool": "done", "args": {"summary": "x"}}'])
    drive(llm, tools=tools, task=TASK, config=CONFIG, hooks=[Brief()], context="ctx")
    shown = preview_prompt(TASK, tools, config=CONFIG, hooks=[Brief()], context="ctx")
    assert shown == llm.last_prompt


def test_a_later_prompt_is_shown_with_its_history(drive):
    tools = tools_from([price], include_done=True)
    log, state = SessionLog(), DefaultState(max_steps=5)
    call = json.dumps({"tool": "price", "args": {"fruit": "apple"}})
    llm = drive.text([call, call, '{"tool": "done", "args": {"summary": "x"}}'])
    drive(llm, tools=tools, task=TASK, config=CONFIG, state=state, session_log=log, leave_after=2)
    shown = preview_prompt(TASK, tools, state, log, config=CONFIG)
    before = len(state.steps), len(log.entries)
    llm = drive.text(['{"tool": "done", "args": {"summary": "x"}}'])
    drive(llm, tools=tools, task=TASK, config=CONFIG, state=state, session_log=log)
    assert before == (2, 2)
    assert shown == llm.last_prompt


def test_nothing_that_was_given_is_changed():
    state = DefaultState(max_steps=3)
    preview_prompt(TASK, state=state, config=LoopConfig(max_steps=3))
    assert not hasattr(state, "task")
    assert state == DefaultState(max_steps=3)


def test_a_step_number_counts_where_no_state_is_given():
    assert "STEP 4/5" in preview_prompt(TASK, config=CONFIG, step_number=4)


def test_an_async_hook_is_refused():
    class Slow:
        async def pre_prompt(self, state, session_log, context, step_num):
            return "x"

    with pytest.raises(TypeError, match=r"Slow\.pre_prompt"):
        preview_prompt(TASK, hooks=[Slow()])


def test_a_preview_of_a_run_that_goes_on_changes_nothing_that_was_given(tmp_path):
    llm = MockLLMBackend(['{"tool": "think", "args": {"analysis": "hm"}}'])
    tools = tools_from([], include_think=True, include_done=True)
    config = LoopConfig(checkpoint_dir=tmp_path, max_steps=9)
    loop = composable_loop(llm, {"goal": "g"}, tools, config=config)
    next(loop)
    loop.close()
    state, log = DefaultState(max_steps=9, metadata={"a": 1}), SessionLog()
    text = preview_prompt({"goal": "g"}, tools, state, log, config=config)
    assert "STEP 2/9" in text
    assert "think(analysis=hm)" in text
    assert (state, log.entries) == (DefaultState(max_steps=9, metadata={"a": 1}), [])


def test_a_preview_is_not_traced(drive):
    tools, state = tools_from([price], include_done=True), DefaultState(max_steps=5)
    llm = drive.text([json.dumps({"tool": "price", "args": {"fruit": "apple"}})])
    drive(llm, tools=tools, task=TASK, config=CONFIG, state=state, leave_after=1)
    tracer = Tracer()
    preview_prompt(TASK, tools, state, config=LoopConfig(max_steps=5, tracer=tracer))
    assert tracer.root_spans == []
