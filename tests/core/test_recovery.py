"""Compaction and recovery inside a run, each through both drivers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from looplet import BaseToolRegistry, HookDecision, LoopConfig, tool, tools_from
from looplet.context import (
    ContextBudget,
    PruneToolResults,
    SummarizeCompact,
    ThresholdCompactHook,
    TruncateCompact,
    compact_chain,
)
from looplet.errors import BackendRefused

TOO_LONG = BackendRefused("context_length_exceeded: the prompt is too long", status=400)
DONE = '{"tool": "done", "args": {"summary": "x"}}'


@tool
def read(page: int) -> dict:
    """Read a page."""
    return {"page": page, "text": f"page {page} " + "word " * 400}


def library() -> BaseToolRegistry:
    return tools_from([read], include_done=True)


def page(number: int) -> str:
    return json.dumps({"tool": "read", "args": {"page": number}})


def use(number: int) -> list[dict[str, Any]]:
    return [{"type": "tool_use", "id": f"c{number}", "name": "read", "input": {"page": number}}]


class Events:
    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.seen: list[Any] = []

    def on_event(self, payload: Any) -> None:
        if payload.event.value == "pre_llm_call":
            self.prompts.append(payload.prompt)
        if payload.event.value.endswith("compact"):
            self.seen.append(payload)


class Once:
    """Asks for one compaction, before a given step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def should_compact(self, state, session_log, conversation, step_num):
        return step_num == self.step


def test_after_a_compaction_the_next_prompt_no_longer_has_the_pruned_text(drive):
    events = Events()
    config = LoopConfig(compact_service=PruneToolResults(keep_recent=1))
    llm = drive.text([page(1), page(2), page(3), DONE])
    ran = drive(llm, tools=library(), config=config, hooks=[Once(4), events])
    assert "page 1 word" in events.prompts[2]
    assert "page 1 word" not in events.prompts[3]
    assert "[result cleared" in events.prompts[3]
    assert "page 3 word" in events.prompts[3]
    assert len(events.prompts[3]) < len(events.prompts[2])
    assert [each.event.value for each in events.seen] == ["pre_compact", "post_compact"]
    assert len(ran.steps[0].tool_result.data["text"]) > 2000


def test_a_compaction_never_touches_steps_that_were_yielded(drive):
    config = LoopConfig(compact_service=TruncateCompact(keep_recent=1))
    llm = drive.text([page(1), page(2), page(3), DONE])
    ran = drive(llm, tools=library(), config=config, hooks=[Once(3), Once(4)])
    assert [step.tool_result.data["page"] for step in ran.steps[:3]] == [1, 2, 3]
    assert ran.state.steps == ran.steps


def test_native_conversations_are_compacted_too_and_stay_paired(drive):
    config = LoopConfig(use_native_tools=True, compact_service=TruncateCompact(keep_recent=1))
    done = [{"type": "tool_use", "id": "d", "name": "done", "input": {"summary": "x"}}]
    llm = drive.native([use(1), use(2), use(3), done])
    drive(llm, tools=library(), task={"goal": "g"}, config=config, hooks=[Once(4)])
    last = llm.requests[-1].messages
    assert [message.role for message in last] == ["user", "assistant", "tool"]
    assert "goal: g" in last[0].content
    assert last[2].call_id == last[1].calls[0].id == "c3"


def test_pruned_native_results_keep_their_calls(drive):
    config = LoopConfig(use_native_tools=True, compact_service=PruneToolResults(keep_recent=1))
    done = [{"type": "tool_use", "id": "d", "name": "done", "input": {"summary": "x"}}]
    llm = drive.native([use(1), use(2), use(3), done])
    drive(llm, tools=library(), config=config, hooks=[Once(4)])
    told = [message.content for message in llm.requests[-1].messages if message.role == "tool"]
    assert [text.startswith("[result cleared") for text in told] == [True, True, False]


def test_a_summary_reaches_the_next_prompts_and_counts_as_a_call(drive):
    config = LoopConfig(compact_service=SummarizeCompact(keep_recent=1))
    llm = drive.text([page(1), page(2), page(3), "Pages 1 and 2 are dull.", DONE])
    ran = drive(llm, tools=library(), config=config, hooks=[Once(4)])
    assert ran.stop_reason == "done"
    assert "Pages 1 and 2 are dull." in llm.last_prompt
    assert llm.calls == 5


def test_a_native_summary_stands_after_the_opening(drive):
    config = LoopConfig(use_native_tools=True, compact_service=SummarizeCompact(keep_recent=1))
    done = [{"type": "tool_use", "id": "d", "name": "done", "input": {"summary": "x"}}]
    llm = drive.native([use(1), use(2), use(3), "Dull so far.", done])
    drive(llm, tools=library(), config=config, hooks=[Once(4)])
    last = llm.requests[-1].messages
    assert [message.role for message in last] == ["user", "user", "assistant", "tool"]
    assert "Dull so far." in last[1].content


def test_a_threshold_fires_and_the_chain_brings_the_estimate_below_it(drive):
    budget = ContextBudget(context_window=5_000)
    hook = ThresholdCompactHook(budget)
    chain = compact_chain(PruneToolResults(keep_recent=4), TruncateCompact(keep_recent=1))
    events = Events()
    llm = drive.text([page(number) for number in range(12)])
    ran = drive(
        llm,
        tools=library(),
        config=LoopConfig(max_steps=12, compact_service=chain),
        hooks=[hook, events],
    )
    assert len(ran.steps) == 12
    assert hook.fired_at is not None
    assert any(each.event.value == "post_compact" for each in events.seen)
    assert ran.state.conversation.token_estimate() < budget.blocking_at


def test_a_stop_at_pre_compact_aborts_the_compaction_and_not_the_run(drive):
    def stop(payload):
        return HookDecision(stop="no") if payload.event.value == "pre_compact" else None

    guard = type("Guard", (), {"on_event": staticmethod(stop)})()
    events = Events()
    llm = drive.text([page(1), page(2), DONE])
    ran = drive(llm, tools=library(), hooks=[Once(3), guard, events])
    assert ran.stop_reason == "done"
    assert [each.event.value for each in events.seen] == ["pre_compact"]
    assert "page 1 word" in llm.last_prompt


def test_a_should_compact_that_fails_is_logged_and_the_run_goes_on(drive, caplog):
    def fail(*args):
        raise LookupError("no idea")

    hook = type("Broken", (), {"should_compact": staticmethod(fail)})()
    ran = drive(drive.text([DONE]), tools=library(), hooks=[hook])
    assert ran.stop_reason == "done"
    assert "no idea" in caplog.text


def test_a_prompt_that_is_too_long_is_shortened_and_asked_again(drive):
    events = Events()
    llm = drive.text([page(1), page(2), page(3), TOO_LONG, TOO_LONG, TOO_LONG, DONE])
    ran = drive(llm, tools=library(), hooks=[events])
    assert ran.stop_reason == "done"
    first, trimmed, compacted, dropped = events.prompts[3:]
    assert len(first) > len(trimmed) >= len(compacted) >= len(dropped)
    assert "more characters]" in trimmed
    assert "S2" not in dropped.split("RECENT RESULTS")[1]


def test_each_remedy_is_taken_once_a_run_and_then_the_call_has_failed(drive):
    llm = drive.text([page(1), *[TOO_LONG] * 9])
    ran = drive(llm, tools=library())
    assert ran.stop_reason == "llm_error"
    assert ran.steps[-1].tool_result.error_kind.value == "context_overflow"
    assert llm.calls == 5


def test_recovery_can_be_switched_off(drive):
    llm = drive.text([TOO_LONG, DONE])
    ran = drive(llm, tools=library(), config=LoopConfig(reactive_recovery=False))
    assert (llm.calls, ran.stop_reason) == (1, "llm_error")


def test_a_prompt_that_cannot_fit_is_shortened_before_a_call_is_wasted(drive):
    config = LoopConfig(context_window=3_800)
    llm = drive.text([page(1), page(2), page(3), page(4), DONE])
    events = Events()
    ran = drive(llm, tools=library(), config=config, hooks=[events])
    assert ran.stop_reason == "done"
    assert llm.calls == 5
    assert all(len(prompt) // 4 <= 800 for prompt in events.prompts)


@pytest.mark.parametrize("native", [False, True])
def test_native_and_text_recover_alike(drive, native):
    done = [{"type": "tool_use", "id": "d", "name": "done", "input": {"summary": "x"}}]
    if native:
        llm = drive.native([use(1), use(2), TOO_LONG, TOO_LONG, TOO_LONG, done])
    else:
        llm = drive.text([page(1), page(2), TOO_LONG, TOO_LONG, TOO_LONG, DONE])
    ran = drive(llm, tools=library(), config=LoopConfig(use_native_tools=native))
    assert ran.stop_reason == "done"
    assert ran.tools == ["read", "read", "done"]


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
def test_a_repair_that_is_too_long_is_shortened_too(drive, native):
    done = [{"type": "tool_use", "id": "d", "name": "done", "input": {"summary": "x"}}]
    pages = [use(1), use(2)] if native else [page(1), page(2)]
    replies = [*pages, "no call", TOO_LONG, done if native else DONE]
    llm = (drive.native if native else drive.text)(replies)
    ran = drive(llm, tools=library(), config=LoopConfig(use_native_tools=native))
    assert ran.stop_reason == "done"
    sent = str(llm.requests[-1].messages) if native else llm.last_prompt
    assert "could not be used" in sent
    assert "more characters]" in sent


def test_the_rest_of_a_reply_that_is_asked_for_is_shortened_too(drive):
    class CutShort:
        last_stop_reason = "max_tokens"

        def __init__(self):
            self.prompts = []

        def generate(self, prompt):
            self.prompts.append(prompt)
            replies = [page(1), DONE[:20], TOO_LONG, DONE[20:]]
            reply = replies[len(self.prompts) - 1]
            self.last_stop_reason = "max_tokens" if reply == DONE[:20] else "end_turn"
            if isinstance(reply, Exception):
                raise reply
            return reply

    llm = CutShort()
    ran = drive(llm, tools=library(), config=LoopConfig(max_turn_continuations=2))
    assert ran.stop_reason == "done"
    assert "Your reply so far" in llm.prompts[3]
    assert len(llm.prompts[3]) < len(llm.prompts[2])


def test_a_failure_is_a_step_also_if_a_hook_ends_the_run_with_it(drive):
    def stop(payload):
        return HookDecision(stop="enough") if payload.event.value == "post_llm_response" else None

    hook = type("Stops", (), {"on_event": staticmethod(stop)})()
    ran = drive(drive.text([BackendRefused("no", status=401)]), tools=library(), hooks=[hook])
    assert (ran.stop_reason, ran.tools) == ("enough", ["__llm_error__"])


def test_a_compaction_that_ends_as_an_iterator_does_ends_the_run(drive):
    class Broken:
        def compact(self, **about):
            return next(iter(()))

    config = LoopConfig(compact_service=Broken())
    ran = drive(drive.text([DONE]), tools=library(), config=config, hooks=[Once(1)])
    assert isinstance(ran.error, RuntimeError)
    assert isinstance(ran.error.__cause__, StopIteration)
    assert ran.stop_reason == "error"


def test_what_hooks_say_is_sent_again_with_a_first_native_prompt_that_was_too_long(drive):
    class Brief:
        def pre_prompt(self, state, session_log, context, step_num):
            return "Read one page at a time."

    done = [{"type": "tool_use", "id": "d", "name": "done", "input": {"summary": "x"}}]
    llm = drive.native([TOO_LONG, TOO_LONG, TOO_LONG, done])
    config = LoopConfig(use_native_tools=True)
    ran = drive(llm, tools=library(), config=config, hooks=[Brief()])
    assert ran.stop_reason == "done"
    sent = [[message.content for message in request.messages] for request in llm.requests]
    assert all("Read one page at a time." in said for said in sent)
