"""For hosts that drive parts of a run by themselves."""

from __future__ import annotations

from typing import Any

from looplet import Deny, InjectContext, LifecycleEvent, ToolCall, emit_event


class Answers:
    def __init__(self, value: Any) -> None:
        self.value = value

    def on_event(self, payload: Any) -> Any:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def test_what_listeners_decide_comes_back_in_order():
    hooks = [Answers(Deny("no")), Answers(None), Answers(InjectContext("mind"))]
    told = emit_event(hooks, LifecycleEvent.PRE_TOOL_USE, tool_call=ToolCall("price"))
    assert [decision.wishes() for decision in told] == [["block"], ["additional_context"]]


def test_a_listener_that_fails_is_logged_and_denies_before_a_tool_alone(caplog):
    hooks = [Answers(LookupError("broke"))]
    (denial,) = emit_event(hooks, LifecycleEvent.PRE_TOOL_USE, tool_call=ToolCall("price"))
    assert denial.reason() == "LookupError: broke"
    assert emit_event(hooks, LifecycleEvent.POST_TOOL_USE) == []
    assert "broke" in caplog.text
