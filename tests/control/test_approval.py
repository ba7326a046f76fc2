"""Approval by a person who answers later, through both drivers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from looplet import LoopConfig, tools_from
from looplet.control import ApprovalHook, ApprovalRequest
from looplet.core.records import ToolCall, ToolResult


def call(name: str, **args: Any) -> str:
    return json.dumps({"tool": name, "args": args})


def pay(amount: int) -> dict:
    return {
        "needs_approval": True,
        "approval_description": f"pay {amount} euro",
        "approval_options": ["pay", "refuse"],
    }


def look() -> Any:
    return {"needs_approval": False}


PAY, LOOK, DONE = call("pay", amount=40), call("look"), call("done", summary="x")


def tools() -> Any:
    return tools_from([pay, look], include_done=True)


def test_a_result_that_asks_for_approval_ends_the_run(drive):
    guard = ApprovalHook()
    ran = drive(drive.text([LOOK, PAY, DONE]), tools=tools(), hooks=[guard])
    assert ran.tools == ["look", "pay"]
    assert ran.stop_reason == "waiting_for_approval"
    options = ["pay", "refuse"]
    assert guard.pending == ApprovalRequest(2, "pay", "pay 40 euro", options)
    assert "⏸ awaiting approval: pay 40 euro" in ran.steps[-1].pretty()


def test_the_rest_of_the_turn_is_not_run_and_is_named(drive):
    reply = json.dumps({"tools": [json.loads(PAY), json.loads(LOOK)]})
    ran = drive(drive.text([reply]), tools=tools(), hooks=[ApprovalHook()])
    assert ran.tools == ["pay"]
    assert ran.steps[0].tool_result.warnings == ["not run: look"]


def test_nothing_is_pending_when_nobody_asked(drive):
    guard = ApprovalHook()
    ran = drive(drive.text([LOOK, DONE]), tools=tools(), hooks=[guard])
    assert (ran.stop_reason, guard.pending) == ("done", None)


def test_a_new_run_forgets_what_the_last_one_waited_for(drive):
    guard = ApprovalHook()
    drive(drive.text([PAY]), tools=tools(), hooks=[guard])
    drive(drive.text([DONE]), tools=tools(), hooks=[guard])
    assert guard.pending is None


def test_every_request_of_a_concurrent_batch_is_kept(drive):
    registry = tools()
    for spec in registry:
        spec.concurrent_safe = True
    guard = ApprovalHook()
    reply = json.dumps({"tools": [json.loads(call("pay", amount=n)) for n in (1, 2)]})
    config = LoopConfig(concurrent_dispatch=True)
    drive(drive.text([reply]), tools=registry, hooks=[guard], config=config)
    assert [request.description for request in guard.requests] == ["pay 1 euro", "pay 2 euro"]
    assert guard.pending is guard.requests[0]


def test_a_run_that_waited_goes_on_from_its_checkpoint(drive, tmp_path):
    config, task = LoopConfig(checkpoint_dir=str(tmp_path)), {"goal": "pay"}
    first, second = ApprovalHook(), ApprovalHook()
    waited = drive(drive.text([PAY]), tools=tools(), hooks=[first], config=config, task=task)
    again = drive(drive.text([DONE]), tools=tools(), hooks=[second], config=config, task=task)
    assert waited.stop_reason == "waiting_for_approval"
    assert [step.number for step in again.steps] == [2]
    assert (again.stop_reason, second.pending) == ("done", None)


def decide(guard: ApprovalHook, data: Any) -> Any:
    return guard.post_dispatch(None, None, ToolCall("pay"), ToolResult("pay", "", data), 1)


@pytest.mark.parametrize(
    "data", [None, "needs_approval", ["needs_approval"], 1, {}, {"needs_approval": False}]
)
def test_other_results_pass_untouched(data):
    guard = ApprovalHook()
    assert decide(guard, data) is None
    assert guard.pending is None


@pytest.mark.parametrize("options", [None, [], "yes", 3])
def test_without_usable_options_they_are_approve_and_deny(options):
    guard = ApprovalHook()
    assert decide(guard, {"needs_approval": True, "approval_options": options}) is not None
    assert guard.pending == ApprovalRequest(1, "pay")
    assert guard.pending.options == ["approve", "deny"]


def test_without_a_handler_a_tool_that_asks_is_given_no_answer(drive):
    answers: list[Any] = []

    def buy(ctx: Any) -> dict:
        answers.append(ctx.approve("buy?", ["yes", "no"]))
        return {}

    registry = tools_from([buy], include_done=True)
    drive(drive.text([call("buy"), DONE]), tools=registry)
    config = LoopConfig(approval_handler=lambda prompt, options: options[0])
    drive(drive.text([call("buy"), DONE]), tools=registry, config=config)
    assert answers == [None, "yes"]


def test_an_async_handler_is_never_taken_for_a_yes(drive):
    bought: list[int] = []

    def buy(ctx: Any) -> dict:
        if ctx.approve("buy?"):
            bought.append(1)
        return {}

    async def ask(prompt, options):
        return "yes"

    config = LoopConfig(approval_handler=ask)
    ran = drive(
        drive.text([call("buy"), DONE]), tools=tools_from([buy], include_done=True), config=config
    )
    assert bought == []
    assert "must be a plain function" in ran.steps[0].tool_result.error


@pytest.mark.parametrize("answer", [None, False, ""])
def test_an_answer_that_is_no_yes_stays_one(drive, answer):
    got: list[Any] = []

    def buy(ctx: Any) -> dict:
        got.append(ctx.approve("buy?"))
        return {}

    config = LoopConfig(approval_handler=lambda prompt, options: answer)
    drive(
        drive.text([call("buy"), DONE]), tools=tools_from([buy], include_done=True), config=config
    )
    assert got == [answer]
    assert not got[0]
