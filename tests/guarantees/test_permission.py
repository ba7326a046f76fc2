"""Guarantee 14: permission fails closed. Nothing bypasses the check."""

from __future__ import annotations

from typing import Any

import pytest

from looplet import (
    Deny,
    ErrorKind,
    HookDecision,
    LoopConfig,
    PermissionDecision,
    PermissionEngine,
    PermissionHook,
    ToolResult,
    tools_from,
)
from tests.guarantees.parts import APPLE, DONE, PEAR, Watcher, at, call, hook, several

CACHED = ToolResult("price", "fruit=apple", {"euro": 9})


class Vault:
    """A tool that tells what it was really run with."""

    def __init__(self) -> None:
        self.ran: list[dict[str, Any]] = []
        self.tools = tools_from([], include_done=True)

        @self.tools.tool(concurrent_safe=True)
        def price(fruit: str) -> dict:
            self.ran.append({"fruit": fruit})
            return {"fruit": fruit}


def fails(*args: Any) -> Any:
    raise LookupError("broken")


def no_pears() -> PermissionEngine:
    return PermissionEngine().deny(
        "price", arg_matcher=lambda args: args["fruit"] == "pear", reason="no pears"
    )


RULES = {
    "ask without a handler": PermissionEngine().ask("price"),
    "ask, and the handler raises": PermissionEngine(ask_handler=fails).ask("price"),
    "ask, and the handler gives no decision": PermissionEngine(
        ask_handler=lambda call, rule: "allow"
    ).ask("price"),
    "ask, and the handler gives true": PermissionEngine(ask_handler=lambda call, rule: True).ask(
        "price"
    ),
    "ask, and the handler denies": PermissionEngine(
        ask_handler=lambda call, rule: PermissionDecision.DENY
    ).ask("price"),
    "default is ask": PermissionEngine(default=PermissionDecision.ASK),
    "default is default": PermissionEngine(default=PermissionDecision.DEFAULT),
    "default is deny": PermissionEngine(default=PermissionDecision.DENY),
    "a deny rule's matcher raises": PermissionEngine().deny("price", arg_matcher=fails),
    "an allow rule's matcher raises": PermissionEngine(default=PermissionDecision.DENY).allow(
        "price", arg_matcher=fails
    ),
    "an ask rule's matcher raises before a default of allow": PermissionEngine(
        ask_handler=lambda call, rule: PermissionDecision.ALLOW
    ).ask("price", arg_matcher=fails),
    "a star denies": PermissionEngine().deny("*"),
    "the first rule wins": PermissionEngine().deny("price").allow("price"),
}


@pytest.mark.parametrize("concurrent", [False, True], ids=["alone", "batch"])
@pytest.mark.parametrize("engine", RULES.values(), ids=RULES.keys())
def test_whatever_is_not_plainly_allowed_is_denied(drive, engine, concurrent):
    vault = Vault()
    reply = several(APPLE, PEAR)
    ran = drive(
        drive.text([reply, DONE]),
        tools=vault.tools,
        hooks=[PermissionHook(engine)],
        config=LoopConfig(concurrent_dispatch=concurrent),
    )
    assert vault.ran == []
    assert ran.tools == ["price", "price", "done"]
    kinds = [step.tool_result.error_kind for step in ran.steps[:2]]
    assert kinds == [ErrorKind.PERMISSION_DENIED] * 2
    assert ran.stop_reason == "done", "done is exempt, and a denial ends no run"


def rewrite(fruit: str) -> HookDecision:
    return HookDecision(updated_args={"fruit": fruit})


def change_in_place(state: Any, session_log: Any, tool_call: Any, step_num: int) -> None:
    tool_call.args["fruit"] = "pear"


BYPASSES = {
    "a cached result of pre_dispatch": (PEAR, [hook(pre_dispatch=lambda *args: CACHED)]),
    "a cached result of an earlier event listener": (
        PEAR,
        [at("pre_tool_use", give=HookDecision(updated_result=CACHED))],
    ),
    "arguments rewritten by pre_dispatch": (
        APPLE,
        [hook(pre_dispatch=lambda *args: rewrite("pear"))],
    ),
    "arguments rewritten by an event listener": (
        APPLE,
        [at("pre_tool_use", give=rewrite("pear"))],
    ),
    "arguments changed in place": (APPLE, [hook(pre_dispatch=change_in_place)]),
    "arguments rewritten twice, with a result": (
        APPLE,
        [
            at("pre_tool_use", give=rewrite("apple")),
            hook(
                pre_dispatch=lambda *args: HookDecision(
                    updated_args={"fruit": "pear"}, updated_result=CACHED
                )
            ),
        ],
    ),
    "a hook that allows": (PEAR, [hook(check_permission=lambda tool_call, state: True)]),
    "a decision that allows": (
        PEAR,
        [hook(pre_dispatch=lambda *args: HookDecision(permission="allow"))],
    ),
    "a bare argument": ('{"tool": "price", "args": "pear"}', []),
    "a theory beside the arguments": (
        '{"tool": "price", "args": {"fruit": "pear"}, "theory": "t"}',
        [],
    ),
}


@pytest.mark.parametrize("last", [False, True], ids=["guard first", "guard last"])
@pytest.mark.parametrize(("reply", "others"), BYPASSES.values(), ids=BYPASSES.keys())
def test_nothing_bypasses_the_check(drive, reply, others, last):
    vault = Vault()
    guard = PermissionHook(no_pears())
    hooks = [*others, guard] if last else [guard, *others]
    ran = drive(drive.text([reply, DONE]), tools=vault.tools, hooks=hooks)
    result = ran.steps[0].tool_result
    assert vault.ran == []
    assert result.error_kind is ErrorKind.PERMISSION_DENIED
    assert (result.error, result.data) == ("no pears", None)
    assert ran.stop_reason == "done"


@pytest.mark.parametrize("place", [0, 1], ids=["before the cache", "after the cache"])
@pytest.mark.parametrize(
    "refuse",
    [fails, lambda payload: Deny("no"), lambda payload: HookDecision(stop="enough")],
    ids=["raises", "denies", "stops"],
)
def test_a_refusal_before_a_tool_counts_although_another_listener_has_a_result(
    drive, refuse, place
):
    vault = Vault()
    hooks = [at("pre_tool_use", give=HookDecision(updated_result=CACHED))]
    hooks.insert(place, at("pre_tool_use", give=refuse))
    ran = drive(drive.text([APPLE, DONE]), tools=vault.tools, hooks=hooks)
    result = ran.steps[0].tool_result
    assert vault.ran == []
    assert result.data is None
    assert result.error_kind in {ErrorKind.PERMISSION_DENIED, ErrorKind.CANCELLED}


def test_an_exception_before_a_tool_denies_that_call_with_its_text_and_no_other(drive):
    vault, asked = Vault(), []

    def first_only(payload):
        asked.append(payload.tool_call.args["fruit"])
        if len(asked) == 1:
            raise LookupError("guard broke")

    hooks = [at("pre_tool_use", give=first_only)]
    ran = drive(drive.text([several(PEAR, APPLE), DONE]), tools=vault.tools, hooks=hooks)
    assert ran.steps[0].tool_result.error == "LookupError: guard broke"
    assert ran.steps[0].tool_result.error_kind is ErrorKind.PERMISSION_DENIED
    assert vault.ran == [{"fruit": "apple"}]


@pytest.mark.parametrize("slot", ["pre_dispatch", "check_permission"])
def test_a_guard_that_raises_in_a_method_ends_the_run_before_the_tool(drive, slot):
    vault, watcher = Vault(), Watcher()
    ran = drive(drive.text([APPLE]), tools=vault.tools, hooks=[hook(**{slot: fails}), watcher])
    assert isinstance(ran.error, LookupError)
    assert (vault.ran, ran.steps, watcher.stops) == ([], [], ["error"])


def test_the_handler_is_asked_once_a_call_and_again_only_for_other_arguments(drive):
    asked = []

    def allow(tool_call, rule):
        asked.append(tool_call.args["fruit"])
        return PermissionDecision.ALLOW

    engine = PermissionEngine(ask_handler=allow).ask("price")
    change = hook(
        pre_dispatch=lambda state, log, tool_call, number: rewrite("pear") if number == 2 else None
    )
    vault = Vault()
    replies = [APPLE, APPLE, DONE]
    drive(drive.text(replies), tools=vault.tools, hooks=[PermissionHook(engine), change])
    assert asked == ["apple", "apple", "pear"]
    assert vault.ran == [{"fruit": "apple"}, {"fruit": "pear"}]


def test_an_unknown_tool_needs_permission_too(drive):
    engine = PermissionEngine(default=PermissionDecision.DENY)
    ran = drive(
        drive.text([call("sudo", command="rm"), DONE]),
        tools=Vault().tools,
        hooks=[PermissionHook(engine)],
    )
    assert ran.steps[0].tool_result.error_kind is ErrorKind.PERMISSION_DENIED
    assert engine.denials[0]["tool"] == "sudo"
