"""Permissions inside a run, through both drivers: nothing bypasses them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from looplet import (
    Allow,
    DefaultState,
    EventPayload,
    HookDecision,
    LifecycleEvent,
    LoopConfig,
    Stop,
    ToolCall,
    ToolResult,
    tool,
    tools_from,
)
from looplet.control import PermissionDecision, PermissionEngine, PermissionHook
from looplet.core.records import ErrorKind

ALLOW, DENY = PermissionDecision.ALLOW, PermissionDecision.DENY


class Desk:
    """A tool that remembers what it was run with, and the registry around it."""

    def __init__(self, *, safe: bool = False) -> None:
        self.ran: list[Any] = []

        @tool(concurrent_safe=safe)
        def sell(fruit: Any) -> dict:
            self.ran.append(fruit)
            return {"sold": fruit}

        self.tools = tools_from([sell], include_done=True)


class Asked:
    """A handler that remembers what it was asked and answers in turn."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[Any] = []

    def __call__(self, call: ToolCall, rule: Any) -> Any:
        self.calls.append(call.args)
        return self.answers[len(self.calls) - 1]


def hook(**methods: Any) -> Any:
    return type("Given", (), {name: staticmethod(body) for name, body in methods.items()})()


def call(name: str, **args: Any) -> str:
    return json.dumps({"tool": name, "args": args})


def sells(*fruits: Any) -> str:
    return json.dumps({"tools": [{"tool": "sell", "args": {"fruit": each}} for each in fruits]})


APPLE, DONE = call("sell", fruit="apple"), call("done", summary="x")


def only_apples() -> PermissionEngine:
    engine = PermissionEngine(default=DENY)
    return engine.allow("sell", arg_matcher=lambda args: args["fruit"] == "apple")


def assert_denied(step: Any, reason: str) -> None:
    result = step.tool_result
    assert result.error_kind is ErrorKind.PERMISSION_DENIED
    assert result.error == reason
    assert result.data is None


def test_a_denied_call_is_a_step_with_the_reason_and_the_tool_is_not_run(drive):
    desk, engine = Desk(), PermissionEngine().deny("sell", reason="closed on Sundays")
    ran = drive(drive.text([APPLE, DONE]), tools=desk.tools, hooks=[PermissionHook(engine)])
    assert_denied(ran.steps[0], "closed on Sundays")
    assert desk.ran == []
    assert ran.stop_reason == "done"
    assert len(engine.denials) == 1


def test_the_model_reads_why_a_call_was_denied(drive):
    desk, engine = Desk(), PermissionEngine().deny("sell", reason="closed on Sundays")
    llm = drive.text([APPLE, DONE])
    drive(llm, tools=desk.tools, hooks=[PermissionHook(engine)])
    assert "ERROR: closed on Sundays" in llm.last_prompt


def test_an_allowed_call_runs(drive):
    desk = Desk()
    ran = drive(drive.text([APPLE, DONE]), tools=desk.tools, hooks=[PermissionHook(only_apples())])
    assert (desk.ran, ran.stop_reason) == (["apple"], "done")


def test_native_calls_are_checked_too(drive):
    desk = Desk()
    reply = [
        {"type": "tool_use", "id": "c1", "name": "sell", "input": {"fruit": fruit}}
        for fruit in ("plum", "apple")
    ]
    llm = drive.native([reply, [{"type": "tool_use", "id": "c2", "name": "done", "input": {}}]])
    config = LoopConfig(use_native_tools=True, max_steps=2)
    ran = drive(llm, tools=desk.tools, hooks=[PermissionHook(only_apples())], config=config)
    assert_denied(ran.steps[0], "no rule allows 'sell'")
    assert desk.ran == ["apple"]


def test_done_needs_no_permission(drive):
    engine = PermissionEngine(default=DENY)
    ran = drive(drive.text([DONE]), tools=Desk().tools, hooks=[PermissionHook(engine)])
    assert (ran.stop_reason, engine.denials) == ("done", [])


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("guard_first", [True, False])
def test_a_cached_result_does_not_bypass_the_permission(drive, cached, guard_first):
    desk, engine = Desk(), PermissionEngine().deny("sell", reason="no")
    value = ToolResult("sell", "", {"sold": "from the cache"})
    cache = hook(pre_dispatch=lambda *args: value if cached else None)
    hooks = [PermissionHook(engine), cache] if guard_first else [cache, PermissionHook(engine)]
    ran = drive(drive.text([APPLE, DONE]), tools=desk.tools, hooks=hooks)
    assert_denied(ran.steps[0], "no")
    assert desk.ran == []


def test_a_cached_result_from_an_event_does_not_bypass_the_permission(drive):
    engine = PermissionEngine().deny("sell", reason="no")
    cached = HookDecision(updated_result=ToolResult("sell", "", {"sold": "from the cache"}))

    def answer(payload: EventPayload) -> HookDecision | None:
        return cached if payload.event is LifecycleEvent.PRE_TOOL_USE else None

    hooks = [hook(on_event=answer), PermissionHook(engine)]
    ran = drive(drive.text([APPLE, DONE]), tools=Desk().tools, hooks=hooks)
    assert_denied(ran.steps[0], "no")


@pytest.mark.parametrize("guard_first", [True, False])
@pytest.mark.parametrize("slot", ["pre_dispatch", "on_event"])
def test_rewritten_arguments_do_not_bypass_the_permission(drive, guard_first, slot):
    desk, guard = Desk(), PermissionHook(only_apples())

    def rewrite(*args: Any) -> HookDecision | None:
        first = args[0]
        if slot == "on_event" and first.event is not LifecycleEvent.PRE_TOOL_USE:
            return None
        return Allow({"fruit": "plum"})

    rewriter = hook(**{slot: rewrite})
    hooks = [guard, rewriter] if guard_first else [rewriter, guard]
    ran = drive(drive.text([APPLE, DONE]), tools=desk.tools, hooks=hooks)
    assert_denied(ran.steps[0], "no rule allows 'sell'")
    assert desk.ran == []


def test_arguments_changed_in_place_do_not_bypass_the_permission(drive):
    desk = Desk()

    def spoil(state: Any, log: Any, tool_call: ToolCall, number: int) -> None:
        tool_call.args["fruit"] = "plum"

    hooks = [PermissionHook(only_apples()), hook(pre_dispatch=spoil)]
    ran = drive(drive.text([APPLE, DONE]), tools=desk.tools, hooks=hooks)
    assert_denied(ran.steps[0], "no rule allows 'sell'")
    assert desk.ran == []


def test_a_call_turned_to_another_tool_does_not_bypass_the_permission(drive):
    desk = Desk()

    def turn(state: Any, log: Any, tool_call: ToolCall, number: int) -> None:
        tool_call.tool = "sell"

    guard = PermissionHook(PermissionEngine(default=DENY).allow("look"))
    look = call("look", fruit="apple")
    ran = drive(drive.text([look, DONE]), tools=desk.tools, hooks=[guard, hook(pre_dispatch=turn)])
    assert_denied(ran.steps[0], "no rule allows 'sell'")
    assert desk.ran == []


def test_another_hooks_allow_does_not_bypass_the_permission(drive):
    desk = Desk()
    friendly = hook(
        pre_dispatch=lambda *args: HookDecision(permission="allow"),
        check_permission=lambda *args: True,
    )
    hooks = [friendly, PermissionHook(PermissionEngine(default=DENY)), friendly]
    ran = drive(drive.text([APPLE, DONE]), tools=desk.tools, hooks=hooks)
    assert_denied(ran.steps[0], "no rule allows 'sell'")
    assert desk.ran == []


def test_an_engine_that_raises_never_lets_the_tool_run(drive):
    class Broken:
        def evaluate(self, call: ToolCall) -> Any:
            raise LookupError("engine broke")

    desk = Desk()
    ran = drive(drive.text([APPLE, DONE]), tools=desk.tools, hooks=[PermissionHook(Broken())])
    assert isinstance(ran.error, LookupError)
    assert desk.ran == []


def test_arguments_that_cannot_be_copied_never_reach_the_tool(drive):
    class Stuck:
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("stuck")

    desk = Desk()
    rewriter = hook(pre_dispatch=lambda *args: Allow({"fruit": Stuck()}))
    hooks = [PermissionHook(PermissionEngine()), rewriter]
    ran = drive(drive.text([APPLE, DONE]), tools=desk.tools, hooks=hooks)
    assert ran.error is not None or ran.steps[0].tool_result.error is not None
    assert desk.ran == []


def test_an_argument_without_a_name_does_not_bypass_the_permission(drive):
    desk = Desk()
    engine = PermissionEngine().deny("sell", arg_matcher=lambda args: args.get("fruit") == "plum")
    bare = json.dumps({"tool": "sell", "args": "plum"})
    ran = drive(drive.text([bare, DONE]), tools=desk.tools, hooks=[PermissionHook(engine)])
    assert ran.steps[0].tool_result.error_kind is ErrorKind.PERMISSION_DENIED
    assert desk.ran == []


def test_the_handler_is_asked_once_a_call(drive):
    desk, asked = Desk(), Asked(ALLOW)
    engine = PermissionEngine(ask_handler=asked).ask("sell")
    drive(drive.text([APPLE, DONE]), tools=desk.tools, hooks=[PermissionHook(engine)])
    assert asked.calls == [{"fruit": "apple"}]
    assert desk.ran == ["apple"]


def test_the_handler_is_asked_once_about_a_denied_call(drive):
    asked = Asked(DENY)
    engine = PermissionEngine(ask_handler=asked).ask("sell")
    drive(drive.text([APPLE, DONE]), tools=Desk().tools, hooks=[PermissionHook(engine)])
    assert (len(asked.calls), len(engine.denials)) == (1, 1)


def test_a_call_that_was_denied_as_asked_for_is_not_asked_about_again(drive):
    asked = Asked(DENY, ALLOW)

    def rewrite(payload: EventPayload) -> HookDecision | None:
        changed = payload.event is LifecycleEvent.PRE_TOOL_USE
        return Allow({"fruit": "plum"}) if changed else None

    guard = PermissionHook(PermissionEngine(ask_handler=asked).ask("sell", reason="costly"))
    hooks = [hook(on_event=rewrite), guard]
    ran = drive(drive.text([APPLE, DONE]), tools=Desk().tools, hooks=hooks)
    assert_denied(ran.steps[0], "costly: it was asked about and refused")
    assert asked.calls == [{"fruit": "apple"}]


def test_the_handler_is_asked_again_if_the_arguments_changed(drive):
    desk, asked = Desk(), Asked(ALLOW, DENY)
    engine = PermissionEngine(ask_handler=asked).ask("sell", reason="costly")
    hooks = [PermissionHook(engine), hook(pre_dispatch=lambda *args: Allow({"fruit": "plum"}))]
    ran = drive(drive.text([APPLE, DONE]), tools=desk.tools, hooks=hooks)
    assert asked.calls == [{"fruit": "apple"}, {"fruit": "plum"}]
    assert_denied(ran.steps[0], "costly: it was asked about and refused")
    assert desk.ran == []


def test_the_handler_is_not_asked_again_if_the_arguments_stayed_equal(drive):
    desk, asked = Desk(), Asked(ALLOW)
    engine = PermissionEngine(ask_handler=asked).ask("sell")
    hooks = [PermissionHook(engine), hook(pre_dispatch=lambda *args: Allow({"fruit": "apple"}))]
    with_theory = json.dumps({"tool": "sell", "args": {"fruit": "apple"}, "theory": "t"})
    drive(drive.text([with_theory, DONE]), tools=desk.tools, hooks=hooks)
    assert (len(asked.calls), desk.ran) == (1, ["apple"])


def test_arguments_that_are_equal_but_of_another_type_are_changed_arguments(drive):
    desk, asked = Desk(), Asked(ALLOW, DENY)
    engine = PermissionEngine(ask_handler=asked).ask("sell")
    hooks = [PermissionHook(engine), hook(pre_dispatch=lambda *args: Allow({"fruit": [True]}))]
    drive(drive.text([call("sell", fruit=[1]), DONE]), tools=desk.tools, hooks=hooks)
    assert (len(asked.calls), desk.ran) == (2, [])


def test_the_handler_is_asked_for_each_of_two_equal_calls(drive):
    desk, asked = Desk(), Asked(ALLOW, DENY)
    engine = PermissionEngine(ask_handler=asked).ask("sell")
    reply = sells("apple", "apple")
    ran = drive(drive.text([reply, DONE]), tools=desk.tools, hooks=[PermissionHook(engine)])
    assert len(asked.calls) == 2
    assert desk.ran == ["apple"]
    assert ran.steps[1].tool_result.error_kind is ErrorKind.PERMISSION_DENIED


def test_a_yes_is_not_used_again_by_a_call_with_the_same_id(drive):
    desk, asked = Desk(), Asked(ALLOW, DENY)
    engine = PermissionEngine(ask_handler=asked).ask("sell")
    block = {"type": "tool_use", "id": "same", "name": "sell", "input": {"fruit": "apple"}}
    config = LoopConfig(use_native_tools=True, max_steps=2)
    llm = drive.native([[block], [block]])
    drive(llm, tools=desk.tools, hooks=[PermissionHook(engine)], config=config)
    assert (len(asked.calls), desk.ran) == (2, ["apple"])


def test_a_yes_is_used_up_by_the_call_that_it_was_for():
    asked, state = Asked(ALLOW, DENY), DefaultState()
    guard = PermissionHook(PermissionEngine(ask_handler=asked).ask("sell"))
    sell = ToolCall("sell")
    guard.on_event(EventPayload(LifecycleEvent.PRE_TOOL_USE, state=state, tool_call=sell))
    assert guard.check_permission(sell, state) is None
    assert guard.check_permission(sell, state) is not None


def test_each_call_of_a_concurrent_batch_is_checked(drive):
    desk = Desk(safe=True)
    config = LoopConfig(concurrent_dispatch=True)
    ran = drive(
        drive.text([sells("apple", "plum", "apple"), DONE]),
        tools=desk.tools,
        hooks=[PermissionHook(only_apples())],
        config=config,
    )
    errors = [step.tool_result.error for step in ran.steps]
    assert errors == [None, "no rule allows 'sell'", None, None]
    assert desk.ran == ["apple", "apple"]


def test_runs_that_share_a_hook_do_not_share_its_verdicts():
    asked = Asked(DENY, ALLOW)
    guard = PermissionHook(PermissionEngine(ask_handler=asked).ask("sell"))
    one, other = DefaultState(), DefaultState()
    sell = ToolCall("sell", {"fruit": "apple"}, call_id="same")
    for state in (one, other):
        guard.on_event(EventPayload(LifecycleEvent.PRE_TOOL_USE, state=state, tool_call=sell))
    assert guard.check_permission(sell, one) is not None
    assert guard.check_permission(sell, other) is None
    assert len(asked.calls) == 2


def test_a_run_that_ends_between_the_judgements_leaves_nothing_behind(drive):
    def fail(*args: Any) -> None:
        raise LookupError("hook broke")

    guard = PermissionHook(PermissionEngine())
    hooks = [guard, hook(pre_dispatch=fail)]
    ran = drive(drive.text([APPLE]), tools=Desk().tools, hooks=hooks)
    assert isinstance(ran.error, LookupError)
    assert guard._verdicts == {}


def test_a_stop_before_the_tool_leaves_the_call_unrun(drive):
    desk = Desk()
    stopper = hook(pre_dispatch=lambda *args: Stop("audit"))
    hooks = [PermissionHook(PermissionEngine()), stopper]
    ran = drive(drive.text([APPLE]), tools=desk.tools, hooks=hooks)
    assert (ran.stop_reason, desk.ran) == ("audit", [])


@pytest.mark.parametrize("event", [e for e in LifecycleEvent if e.value != "pre_tool_use"])
def test_other_events_judge_nothing(event):
    engine = PermissionEngine(default=DENY)
    guard = PermissionHook(engine)
    assert guard.on_event(EventPayload(event, tool_call=ToolCall("sell"))) is None
    assert engine.denials == []


def test_the_hook_judges_by_either_slot_alone():
    guard = PermissionHook(PermissionEngine(default=DENY))
    sell = ToolCall("sell")
    payload = EventPayload(LifecycleEvent.PRE_TOOL_USE, state=DefaultState(), tool_call=sell)
    told, checked = guard.on_event(payload), guard.check_permission(sell, DefaultState())
    assert told is not None
    assert checked is not None
    assert told.is_block()
    assert checked.is_block()


def turned_to_a_pear(call: ToolCall, state: Any) -> None:
    call.args["fruit"] = "pear"


def turned_to_another_tool(call: ToolCall, state: Any) -> None:
    call.tool = "give_away"


@pytest.mark.parametrize("turn", [turned_to_a_pear, turned_to_another_tool])
def test_a_call_that_is_changed_after_it_was_judged_is_not_run(drive, turn):
    desk = Desk()

    @desk.tools.tool
    def give_away(fruit: Any) -> dict:
        desk.ran.append(fruit)
        return {}

    hooks = [PermissionHook(only_apples()), hook(check_permission=turn)]
    ran = drive(drive.text([APPLE, DONE]), tools=desk.tools, hooks=hooks)
    text = "Given.check_permission changed the call; do that in pre_dispatch"
    assert_denied(ran.steps[0], text)
    assert desk.ran == []
