"""Guarantee 13: no field of a decision is ignored in silence. The whole table, cell by cell."""

from __future__ import annotations

from typing import Any

import pytest

from looplet import (
    Allow,
    CompactOutcome,
    HookDecision,
    InjectContext,
    LoopConfig,
    ToolResult,
    tools_from,
)
from tests.guarantees.parts import APPLE, DONE, at, call, heard, hook, several, shop

NOTE, WORD = "mind the pears", "enough"
FRESH = ToolResult("look", "by a hook", {"fresh": True})
FIELDS: dict[str, Any] = {
    "additional_context": {"additional_context": NOTE},
    "updated_args": {"updated_args": {"fruit": "pear"}},
    "updated_result": {"updated_result": FRESH},
    "block": {"block": "not this"},
    "deny": {"permission": "deny"},
    "stop": {"stop": WORD},
}
ALL = frozenset(FIELDS)
REFUSE = {"block", "deny"}
TABLE: dict[str, frozenset[str]] = {
    "pre_prompt": frozenset({"additional_context", "stop"}),
    "pre_dispatch": ALL,
    "pre_tool_use": ALL,
    "check_permission": frozenset({"additional_context", "stop", *REFUSE}),
    "post_dispatch": frozenset({"additional_context", "updated_result", "stop"}),
    "post_tool_use": frozenset({"additional_context", "updated_result", "stop"}),
    "post_tool_failure": frozenset({"additional_context", "updated_result", "stop"}),
    "check_done": frozenset({"additional_context", "stop", *REFUSE}),
    "should_stop": frozenset({"stop"}),
    "pre_llm_call": frozenset({"additional_context", "stop"}),
    "post_llm_response": frozenset({"additional_context", "stop"}),
    "pre_compact": frozenset({"stop"}),
    "pre_loop": frozenset(),
    "should_compact": frozenset(),
    "build_briefing": frozenset(),
    "build_prompt": frozenset(),
    "on_loop_end": frozenset(),
    "session_start": frozenset(),
    "post_compact": frozenset(),
    "tool_progress": frozenset(),
    "hook_decision": frozenset(),
    "done_accepted": frozenset(),
    "stop": frozenset(),
}
METHODS = {
    "pre_prompt", "pre_dispatch", "check_permission", "post_dispatch", "check_done", "should_stop",
    "pre_loop", "should_compact", "build_briefing", "build_prompt", "on_loop_end",
}  # fmt: skip


class Compactor:
    """A service that only counts."""

    def __init__(self) -> None:
        self.runs = 0

    def compact(self, **about: Any) -> CompactOutcome:
        self.runs += 1
        return CompactOutcome("tested", 2, 1)


class Desk:
    """One run of five turns that passes through every slot and every event."""

    def __init__(self, drive: Any, slot: str, given: Any) -> None:
        self.ran_with: list[str] = []
        self.compactor, self.told = Compactor(), []
        answer = (lambda *args, **keywords: given) if slot in METHODS else None
        one = hook(**{slot: answer}) if answer else at(slot, give=given)
        ask_compact = hook(should_compact=lambda state, log, talk, number: number == 3)
        listener = hook(on_event=self.listen)
        chatty = at("pre_llm_call", give=InjectContext("hm")) if slot == "hook_decision" else None
        self.llm = drive.text([several(APPLE, APPLE), call("price", fruit="plum"), DONE, DONE])
        hooks = [one, *([chatty] if chatty else []), ask_compact, listener]
        if slot == "check_done" and getattr(given, "additional_context", None):
            # A text is seen in the next prompt, so there must be one.
            hooks.append(
                hook(check_done=lambda state, *args: (self.llm.calls == 3 and "no") or None)
            )
        config = LoopConfig(max_steps=5, compact_service=self.compactor)
        keywords = {"tools": self.tools(), "hooks": hooks, "config": config}
        self.ran, self.warnings = heard(lambda: drive(self.llm, **keywords))

    def tools(self) -> Any:
        tools = tools_from([], include_done=True)

        @tools.tool
        def price(fruit: str, ctx: Any) -> dict:
            self.ran_with.append(fruit)
            ctx.report_progress("looking")
            return {"euro": {"apple": 0.4, "pear": 0.55}[fruit]}

        return tools

    def listen(self, payload: Any) -> None:
        if payload.event.value == "hook_decision":
            self.told.append(payload)

    def shows(self) -> dict[str, bool]:
        """Which effects the run has seen."""
        steps = self.ran.steps
        results = [step.tool_result for step in steps]
        shown = "\n".join(request.prompt for request in self.llm._script.asked)
        done = [step for step in steps if step.tool_call.tool == "done"]
        rejected = bool(done) and done[0].tool_result.args_summary == "rejected"
        return {
            "additional_context": NOTE in shown,
            "updated_args": "pear" in self.ran_with,
            "updated_result": any(result.args_summary == "by a hook" for result in results),
            "block": rejected or any("not this" in (each.error or "") for each in results),
            "deny": rejected or any("denied" in (each.error or "") for each in results),
            "stop": self.ran.stop_reason == WORD or self.compactor.runs == 0,
        }


CELLS = [(slot, name) for slot in TABLE for name in FIELDS]


@pytest.mark.parametrize(("slot", "name"), CELLS, ids=[f"{a}-{b}" for a, b in CELLS])
def test_a_field_is_honoured_or_warned_of_exactly_once(drive, slot, name):
    desk = Desk(drive, slot, HookDecision(**FIELDS[name]))
    honoured = name in TABLE[slot]
    field = "block" if name == "deny" else name
    ours = [text for text in desk.warnings if f"HookDecision({field}=…)" in text]
    assert desk.ran.error is None
    assert desk.shows()[name] is honoured
    assert len(ours) == (0 if honoured else 1)
    assert all(slot in text and "Given" in text for text in ours)
    assert desk.warnings == ours


@pytest.mark.parametrize("slot", TABLE)
def test_every_decision_that_wants_something_is_told(drive, slot):
    desk = Desk(drive, slot, HookDecision(metadata={"why": 1}, additional_context=NOTE))
    ours = [
        each
        for each in desk.told
        if (each.hook_slot == slot or each.extra.get("originating_event") == slot)
        and each.extra["decision"].get("metadata") == {"why": 1}
    ]
    if slot == "hook_decision":  # a decision about a decision would never end
        assert ours == []
    else:
        assert ours
        assert {each.hook_name for each in ours} == {"Given"}
        assert ours[0].extra["decision"]["additional_context"] == NOTE
        assert ours[0].hook_slot == (slot if slot in METHODS else "on_event")


@pytest.mark.parametrize("slot", TABLE)
@pytest.mark.parametrize("nothing", [HookDecision(), Allow(), HookDecision(metadata={"n": 1})])
def test_a_decision_that_wants_nothing_does_nothing(drive, slot, nothing):
    desk = Desk(drive, slot, nothing)
    assert desk.warnings == []
    assert [each for each in desk.told if each.extra["decision"].get("metadata")] == []
    assert desk.ran.stop_reason == "done"
    assert desk.compactor.runs == 1


PLAIN = {
    "text": "a text",
    "true": True,
    "false": False,
    "result": FRESH,
    "number": 3,
    "dict": {"stop": WORD},
}
MEANING: dict[str, set[str]] = {
    "pre_prompt": {"text"},
    "build_briefing": {"text"},
    "build_prompt": {"text"},
    "pre_dispatch": {"result"},
    "pre_tool_use": {"result"},
    "check_permission": {"true", "false"},
    "post_dispatch": {"text", "result"},
    "post_tool_use": {"result"},
    "post_tool_failure": {"result"},
    "check_done": {"text"},
    "should_stop": {"true", "false"},
    "should_compact": {"true", "false"},
    "on_loop_end": {"number"},
}
PLAIN_CELLS = [(slot, name) for slot in TABLE for name in PLAIN]


@pytest.mark.parametrize(("slot", "name"), PLAIN_CELLS, ids=[f"{a}-{b}" for a, b in PLAIN_CELLS])
def test_a_plain_value_has_its_meaning_or_is_a_type_error_that_names_hook_and_slot(
    drive, slot, name
):
    desk = Desk(drive, slot, PLAIN[name])
    if name in MEANING.get(slot, ()):
        assert desk.ran.error is None
    else:
        assert isinstance(desk.ran.error, TypeError)
        assert "Given" in str(desk.ran.error)
        assert slot in str(desk.ran.error)


def test_a_warning_comes_once_for_each_hook_and_slot(drive):
    useless = HookDecision(updated_args={"a": 1})

    class Other:
        def pre_prompt(self, *args: Any) -> HookDecision:
            return useless

        def should_stop(self, *args: Any) -> HookDecision:
            return useless

    hooks = [hook(pre_prompt=lambda *args: useless), Other()]
    llm = drive.text([APPLE, APPLE, DONE])
    _, texts = heard(lambda: drive(llm, tools=shop(), hooks=hooks))
    assert sorted(text.split(" and ")[0] for text in texts) == [
        "Given: HookDecision(updated_args=…) has no effect in pre_prompt",
        "Other: HookDecision(updated_args=…) has no effect in pre_prompt",
        "Other: HookDecision(updated_args=…) has no effect in should_stop",
    ]


def test_a_stop_counts_whatever_else_was_decided_before_a_tool(drive):
    hooks = [
        at("pre_tool_use", give=HookDecision(block="no")),
        at("pre_tool_use", give=HookDecision(stop=WORD)),
    ]
    ran = drive(drive.text([APPLE]), tools=shop(), hooks=hooks)
    assert (ran.tools, ran.stop_reason) == (["price"], WORD)


def test_an_async_listener_of_progress_that_fails_is_logged_and_the_run_goes_on(caplog):
    from tests.drivers import DRIVERS

    drive = DRIVERS["async"]
    tools = tools_from([], include_done=True)

    @tools.tool
    def price(fruit: str, ctx: Any) -> dict:
        ctx.report_progress("looking")
        return {"fruit": fruit}

    class Broken:
        async def on_event(self, payload: Any) -> None:
            if payload.event.value == "tool_progress":
                raise LookupError("the listener broke")

    ran = drive(drive.text([APPLE, DONE]), tools=tools, hooks=[Broken()])
    assert ran.stop_reason == "done"
    assert ran.steps[0].tool_result.data == {"fruit": "apple"}
    assert "the listener broke" in caplog.text


def test_a_result_that_a_hook_gives_again_is_not_shared_by_its_steps(drive):
    cached = ToolResult("price", "cached", {"euro": 9})
    config = LoopConfig(max_steps=2, extract_step_metadata=lambda state, step: {"n": step.number})
    hooks = [hook(pre_dispatch=lambda *args: cached)]
    ran = drive(
        drive.text([APPLE, several(APPLE, APPLE)]), tools=shop(), hooks=hooks, config=config
    )
    first, second = (step.tool_result for step in ran.steps)
    assert (first.metadata, second.metadata) == ({"n": 1}, {"n": 2})
    assert (first.warnings, second.warnings) == ([], ["not run: price"])
    assert (cached.warnings, cached.metadata) == ([], {})
