"""What a hook may decide, and in which slot."""

from __future__ import annotations

import warnings

import pytest

from looplet.core.decisions import (
    HONOURED,
    Allow,
    Block,
    Continue,
    Deny,
    HookDecision,
    InjectContext,
    Stop,
    read_decision,
    warn_unhonoured,
)
from looplet.core.records import ToolResult

RESULT = ToolResult("t", "", 1)


@pytest.mark.parametrize(
    ("value", "slot", "decision"),
    [
        ("text", "pre_prompt", InjectContext("text")),
        ("text", "post_dispatch", InjectContext("text")),
        ("", "pre_prompt", None),
        ("no", "check_done", Block("no")),
        (True, "should_stop", Stop("hook_stop")),
        (False, "should_stop", None),
        (True, "check_permission", None),
        (RESULT, "pre_dispatch", HookDecision(updated_result=RESULT)),
        (RESULT, "post_dispatch", HookDecision(updated_result=RESULT)),
        (RESULT, "pre_tool_use", HookDecision(updated_result=RESULT)),
        (None, "pre_loop", None),
        (HookDecision(), "pre_dispatch", None),
        (Stop("enough"), "pre_prompt", Stop("enough")),
    ],
)
def test_a_plain_value_means_what_its_slot_says(value, slot, decision):
    assert read_decision(value, slot=slot, hook="Hook") == decision


def test_a_false_from_check_permission_denies():
    assert read_decision(False, slot="check_permission", hook="Hook").is_block()


@pytest.mark.parametrize(
    ("value", "slot"),
    [("x", "pre_dispatch"), ("x", "should_stop"), (True, "pre_prompt"), (True, "check_done"),
     (1, "should_stop"), (RESULT, "check_permission"), ({}, "post_dispatch"), ("x", "on_loop_end")],
)  # fmt: skip
def test_a_value_without_meaning_is_refused_with_hook_and_slot(value, slot):
    with pytest.raises(TypeError, match=rf"Careful\.{slot}"):
        read_decision(value, slot=slot, hook="Careful")


def test_the_constructors_say_what_they_want():
    assert InjectContext("x").wishes() == ["additional_context"]
    assert Continue("x") == InjectContext("x")
    assert Continue().is_noop()
    assert Allow().is_noop()
    assert Allow({"a": 1}).wishes() == ["updated_args"]
    assert Stop("x").is_stop()
    assert Block("why").is_block()
    assert Block("why").reason() == "why"
    assert Deny("why", retry=True).permission == "deny"
    assert Deny("why", retry=True).metadata == {"retry": True}
    assert HookDecision(permission="deny").is_block()


def test_a_misspelt_permission_does_not_let_a_call_through():
    with pytest.raises(ValueError, match="denied"):
        HookDecision(permission="denied")


FIELDS = {
    "additional_context": InjectContext("x"),
    "updated_args": Allow({"a": 1}),
    "updated_result": HookDecision(updated_result=RESULT),
    "block": Block("x"),
    "stop": Stop("x"),
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("slot", [*HONOURED, "pre_loop", "on_loop_end", "session_start"])
def test_a_field_without_effect_warns_once_and_one_with_effect_never(slot, field):
    told = set()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            warn_unhonoured(FIELDS[field], slot=slot, hook="Hook", told=told)
    expected = [] if field in HONOURED.get(slot, ()) else [field]
    assert [field for each in caught if f"({field}=" in str(each.message)] == expected
    assert all("Hook" in str(each.message) and slot in str(each.message) for each in caught)


def test_the_table_of_effects_is_the_contracts():
    rows = {
        "pre_prompt": "additional_context stop",
        "pre_dispatch": "additional_context updated_args updated_result block stop",
        "pre_tool_use": "additional_context updated_args updated_result block stop",
        "check_permission": "additional_context block stop",
        "post_dispatch": "additional_context updated_result stop",
        "post_tool_use": "additional_context updated_result stop",
        "post_tool_failure": "additional_context updated_result stop",
        "check_done": "additional_context block stop",
        "should_stop": "stop",
        "pre_llm_call": "additional_context stop",
        "post_llm_response": "additional_context stop",
        "pre_compact": "stop",
    }
    assert {slot: frozenset(fields.split()) for slot, fields in rows.items()} == dict(HONOURED)


def test_a_decision_as_a_dict_holds_what_is_set():
    assert Deny("no").to_dict() == {
        "block": "no",
        "permission": "deny",
        "metadata": {"retry": False},
    }
    assert HookDecision(updated_result=RESULT).to_dict()["updated_result"]["data"] == 1
