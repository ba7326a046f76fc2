"""Guarantees 4 and 11: what is no completion, and what is no argument."""

from __future__ import annotations

import json
from typing import Any

import pytest

from looplet import (
    CancelToken,
    HookDecision,
    LoopConfig,
    PermissionEngine,
    PermissionHook,
    SessionLog,
    ToolResult,
    TrajectoryRecorder,
    last_accepted_done,
    tool_call_fingerprint,
    tools_from,
)
from tests.guarantees.parts import APPLE, DONE, Watcher, call, hook, price, shop


def fails(*args: Any, **keywords: Any) -> Any:
    raise LookupError("not yet")


def failing_done(*, warn: bool = False) -> Any:
    tools = tools_from([price])

    @tools.tool
    def done(summary: str, ctx: Any) -> dict:
        if warn:
            ctx.warn("the till is open")
        raise RuntimeError("not yet")

    return tools


SCHEMA = {"type": "object", "properties": {"summary": {"type": "integer"}}}
REJECTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "a hook says no": (DONE, {"hooks": [hook(check_done=lambda *args: "not yet")]}),
    "a hook blocks": (DONE, {"hooks": [hook(check_done=lambda *args: HookDecision(block="no"))]}),
    "a hook denies": (
        DONE,
        {"hooks": [hook(check_done=lambda *args: HookDecision(permission="deny"))]},
    ),
    "a hook says no in an empty text": (DONE, {"hooks": [hook(check_done=lambda *args: "")]}),
    "the schema": (DONE, {"config": LoopConfig(max_steps=2, output_schema=SCHEMA)}),
    "a missing argument": (call("done"), {}),
    "an unexpected argument": (call("done", summery="x"), {}),
    "an empty argument": (call("done", summary=""), {}),
    "the done tool raises": (DONE, {"tools": failing_done()}),
    "a native call with broken arguments": (call("done", _raw_arguments="{"), {}),
}


@pytest.mark.parametrize(("reply", "parts"), REJECTIONS.values(), ids=REJECTIONS.keys())
def test_a_failed_or_rejected_done_is_never_a_completion(drive, reply, parts):
    recorder, watcher = TrajectoryRecorder(), Watcher()
    given = {"tools": shop(), "config": LoopConfig(max_steps=2), **parts}
    hooks = [*given.pop("hooks", []), recorder, watcher]
    llm = drive.text([reply, reply])
    ran = drive(llm, hooks=hooks, **given)
    for step in ran.steps:
        data = step.tool_result.data
        assert set(data) == {"rejected", "reason"}
        assert data["rejected"] is True
        assert step.tool_result.args_summary == "rejected"
    assert ran.tools == ["done", "done"]
    assert f"done was rejected: {ran.steps[0].tool_result.data['reason']}" in llm.last_prompt
    assert "done_accepted" not in watcher.events
    assert (ran.stop_reason, watcher.stops) == ("budget_exhausted", ["budget_exhausted"])
    assert last_accepted_done(ran.state) is None
    assert (recorder.trajectory.completed, recorder.trajectory.final_output) == (False, None)


def test_a_done_of_a_cancelled_run_is_no_completion(drive):
    token = CancelToken()
    cancel = hook(check_done=lambda *args: token.cancel())
    ran = drive(
        drive.text([DONE]), tools=shop(), hooks=[cancel], config=LoopConfig(cancel_token=token)
    )
    assert ran.steps[0].tool_result.data["rejected"] is True
    assert ran.stop_reason == "cancelled"


def test_a_done_whose_post_dispatch_raises_is_no_completion(drive):
    watcher = Watcher()
    hooks = [hook(post_dispatch=fails), watcher]
    ran = drive(drive.text([DONE]), tools=shop(), hooks=hooks)
    assert isinstance(ran.error, LookupError)
    assert (ran.steps, ran.stop_reason, watcher.stops) == ([], "error", ["error"])
    assert "done_accepted" not in watcher.events


def test_an_accepted_done_ends_the_run_as_done_whatever_post_dispatch_wants(drive):
    other = ToolResult("done", "x", {"status": "seen"})
    after = hook(post_dispatch=lambda *args: HookDecision(stop="seen", updated_result=other))
    ran = drive(drive.text([DONE]), tools=shop(), hooks=[after])
    assert ran.stop_reason == "done"
    assert ran.steps[0].tool_result.data == {"status": "seen"}


def test_what_a_done_tool_warned_of_is_kept_when_it_fails(drive):
    ran = drive(drive.text([DONE]), tools=failing_done(warn=True), max_steps=1)
    assert ran.steps[0].tool_result.warnings == ["the till is open"]


def test_a_hook_that_rejects_and_stops_gives_its_reason_and_ends_the_run(drive):
    judge = hook(check_done=lambda *args: HookDecision(block="no source", stop="audit"))
    ran = drive(drive.text([DONE]), tools=shop(), hooks=[judge])
    assert ran.steps[0].tool_result.data["reason"] == "no source"
    assert ran.stop_reason == "audit"


@pytest.mark.parametrize(
    "reply",
    [
        {"tool": "price", "args": {"fruit": "apple"}, "theory": "apples are cheap"},
        {"tools": [{"tool": "price", "args": {"fruit": "apple"}}], "theory": "apples are cheap"},
    ],
    ids=["single", "several"],
)
def test_the_theory_is_not_an_argument(drive, reply):
    seen: dict[str, Any] = {}
    log, recorder, ran_with = SessionLog(), TrajectoryRecorder(), []
    tools = tools_from([], include_done=True)

    @tools.tool
    def price(fruit: str) -> dict:
        ran_with.append(fruit)
        return {"fruit": fruit}

    def before(state, session_log, tool_call, step_num):
        seen["hook"] = tool_call.args.get("__theory__")
        seen["fingerprint"] = tool_call_fingerprint(tool_call)

    def matcher(args):
        seen["matcher"] = dict(args)
        return False

    engine = PermissionEngine().deny("price", arg_matcher=matcher)
    hooks = [hook(pre_dispatch=before), PermissionHook(engine), recorder]
    llm = drive.text([json.dumps(reply), DONE])
    ran = drive(llm, tools=tools, hooks=hooks, session_log=log)
    step = ran.steps[0]
    assert seen["hook"] == "apples are cheap"
    assert seen["matcher"] == {"fruit": "apple"}
    assert "apples are cheap" not in seen["fingerprint"]
    assert ran_with == ["apple"]
    assert step.tool_call.metadata["theory"] == "apples are cheap"
    assert step.tool_call.to_dict()["args"] == {"fruit": "apple"}
    assert recorder.trajectory.steps[0].tool_call.args == {"fruit": "apple"}
    assert "cheap" not in step.pretty() + step.summary() + step.tool_result.args_summary
    assert log.entries[0].theory == log.current_theory == "apples are cheap"
    assert "theory: apples are cheap" in llm.last_prompt


def test_the_theory_of_a_call_whose_arguments_were_rewritten_stays_in_the_log(drive):
    log = SessionLog()
    change = hook(
        pre_dispatch=lambda state, session_log, tool_call, number: HookDecision(
            updated_args={"fruit": "pear"}
        )
    )
    reply = json.dumps({**json.loads(APPLE), "theory": "apples are cheap"})
    ran = drive(drive.text([reply, DONE]), tools=shop(), hooks=[change], session_log=log)
    assert ran.steps[0].tool_call.args == {"fruit": "pear"}
    assert log.entries[0].theory == "apples are cheap"


def test_a_bare_text_for_done_has_its_parameters_name_before_anyone_judges_it(drive):
    judged = []
    judge = hook(check_done=lambda *args, tool_call: judged.append(dict(tool_call.args)))
    schema = {"properties": {"summary": {"type": "string"}}, "required": ["summary"]}
    llm = drive.text([json.dumps({"tool": "done", "args": "all priced"})])
    ran = drive(llm, tools=shop(), hooks=[judge], config=LoopConfig(output_schema=schema))
    assert ran.stop_reason == "done"
    assert judged == [{"summary": "all priced"}]
