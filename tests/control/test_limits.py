"""Hooks that count steps and calls, through both drivers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import (
    DefaultState,
    LifecycleEvent,
    LoopConfig,
    Step,
    ToolCall,
    ToolError,
    ToolResult,
    tools_from,
)
from looplet.control import BudgetWarningHook, PerToolLimitHook
from looplet.core.records import ErrorKind


def call(name: str, **args: Any) -> str:
    return json.dumps({"tool": name, "args": args})


def price(fruit: str) -> float:
    return 0.4


def weigh(fruit: str) -> float:
    return 1.0


PRICE, WEIGH, DONE = call("price", fruit="a"), call("weigh", fruit="a"), call("done", summary="x")


def tools() -> Any:
    return tools_from([price, weigh], include_done=True)


def state_with(steps: int, total: int) -> DefaultState:
    step = Step(1, ToolCall("price"), ToolResult("price", "", 1))
    return DefaultState(steps=[step] * steps, max_steps=total)


def warned_at(hook: BudgetWarningHook, total: int) -> list[int]:
    """Numbers of the steps before which the hook warned."""
    steps = range(total)
    return [
        done + 1 for done in steps if hook.pre_prompt(state_with(done, total), None, None, done + 1)
    ]


class Prompts:
    """What the model was asked, in order."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def on_event(self, payload: Any) -> None:
        if payload.event is LifecycleEvent.PRE_LLM_CALL:
            self.sent.append(payload.prompt)


def test_the_model_is_warned_once_per_threshold(drive):
    hook, prompts = BudgetWarningHook(message="LEFT {remaining}/{total}"), Prompts()
    drive(drive.text([PRICE] * 10), tools=tools(), hooks=[hook, prompts], max_steps=10)
    warned = {place: text for place, text in enumerate(prompts.sent, start=1) if "LEFT " in text}
    assert list(warned) == [6, 9]
    assert "LEFT 5/10" in warned[6]
    assert "LEFT 2/10" in warned[9]
    assert hook.fired_thresholds == {0.5, 0.2}


def test_each_run_is_warned_anew(drive):
    hook = BudgetWarningHook()
    for _ in range(2):
        prompts = Prompts()
        drive(drive.text([PRICE] * 4), tools=tools(), hooks=[hook, prompts], max_steps=4)
        assert ["BUDGET: " in text for text in prompts.sent] == [False, False, True, False]


@pytest.mark.parametrize(
    ("thresholds", "total", "steps"),
    [((0.5, 0.2), 10, [6, 9]), ((0.2,), 15, [13]), ((0.3, 0.1), 10, [8, 10]), ((1,), 3, [1])],
)
def test_a_threshold_fires_when_that_part_of_the_budget_is_left(thresholds, total, steps):
    assert warned_at(BudgetWarningHook(thresholds=thresholds), total) == steps


def test_thresholds_passed_at_once_give_one_warning():
    hook = BudgetWarningHook(thresholds=(0.9, 0.5, 0.2))
    assert hook.pre_prompt(state_with(9, 10), None, None, 10) is not None
    assert hook.fired_thresholds == {0.9, 0.5, 0.2}
    assert hook.pre_prompt(state_with(9, 10), None, None, 10) is None


def test_after_reset_it_warns_again():
    hook = BudgetWarningHook()
    first = warned_at(hook, 10)
    hook.reset()
    assert hook.fired_thresholds == set()
    assert warned_at(hook, 10) == first


def test_no_budget_at_all_is_no_reason_to_warn():
    assert BudgetWarningHook().pre_prompt(state_with(0, 0), None, None, 1) is None


@pytest.mark.parametrize("threshold", [0, -0.5, 1.5, 20])
def test_a_threshold_that_is_no_part_of_the_budget_is_refused(threshold):
    with pytest.raises(ValueError, match="part of the budget"):
        BudgetWarningHook(thresholds=(threshold,))


@given(st.sets(st.floats(0.01, 1), max_size=4), st.integers(1, 30))
def test_there_are_never_more_warnings_than_thresholds(thresholds, total):
    assert len(warned_at(BudgetWarningHook(thresholds=thresholds), total)) <= len(thresholds)


def test_calls_over_a_tools_limit_are_denied_and_others_run(drive):
    hook = PerToolLimitHook(limits={"price": 2})
    ran = drive(
        drive.text([PRICE, PRICE, PRICE, WEIGH, WEIGH, WEIGH, DONE]), tools=tools(), hooks=[hook]
    )
    kinds = [step.tool_result.error_kind for step in ran.steps]
    assert kinds == [None, None, ErrorKind.PERMISSION_DENIED, None, None, None, None]
    assert "price was called 2 times" in ran.steps[2].tool_result.error
    assert ran.stop_reason == "done"


def test_a_concurrent_batch_keeps_to_the_limit(drive):
    registry = tools()
    for spec in registry:
        spec.concurrent_safe = True
    reply = json.dumps({"tools": [json.loads(PRICE)] * 4})
    ran = drive(
        drive.text([reply, DONE]),
        tools=registry,
        hooks=[PerToolLimitHook(limits={"price": 3})],
        config=LoopConfig(concurrent_dispatch=True),
    )
    assert [step.tool_result.error is None for step in ran.steps] == [True, True, True, False, True]


def test_the_default_limit_is_for_tools_without_one_of_their_own(drive):
    hook = PerToolLimitHook(limits={"price": 2}, default_limit=0, message="{tool}: {limit}")
    ran = drive(drive.text([PRICE, PRICE, WEIGH, DONE]), tools=tools(), hooks=[hook])
    assert [step.tool_result.error for step in ran.steps] == [None, None, "weigh: 0", None]


def test_without_limits_nothing_is_denied(drive):
    ran = drive(drive.text([PRICE] * 3 + [DONE]), tools=tools(), hooks=[PerToolLimitHook()])
    assert all(step.tool_result.error is None for step in ran.steps)


def test_each_run_has_the_whole_limit(drive):
    hook = PerToolLimitHook(limits={"price": 1})
    for _ in range(2):
        ran = drive(drive.text([PRICE, DONE]), tools=tools(), hooks=[hook])
        assert ran.steps[0].tool_result.error is None


def test_restored_steps_count_unless_they_were_denied(drive):
    error = ToolError(ErrorKind.PERMISSION_DENIED, "no")
    denied = ToolResult("price", "", None, error="no", error_detail=error)
    state = DefaultState(max_steps=15)
    state.steps += [
        Step(1, ToolCall("price"), denied),
        Step(2, ToolCall("price"), denied),
        Step(3, ToolCall("price"), ToolResult("price", "", 1)),
        Step(4, ToolCall("price"), ToolResult("price", "", None, error="broken")),
    ]
    hook = PerToolLimitHook(limits={"price": 3})
    ran = drive(drive.text([PRICE, PRICE, DONE]), tools=tools(), hooks=[hook], state=state)
    assert [step.tool_result.error is None for step in ran.steps] == [True, False, True]


def test_braces_in_a_message_are_safe():
    hook = PerToolLimitHook(default_limit=0, message='{tool}: answer {"a": 1} or {}')
    decision = hook.pre_dispatch(None, None, ToolCall("price"), 1)
    assert decision is not None
    assert decision.reason() == 'price: answer {"a": 1} or {}'
