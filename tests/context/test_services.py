"""Compactions of a log and a conversation, without a loop."""

from __future__ import annotations

import pytest

from looplet import Conversation, HookDecision, Message, MessageRole, MockLLMBackend, SessionLog
from looplet.context import PruneToolResults, SummarizeCompact, TruncateCompact, compact_chain
from looplet.core.compaction import CompactOutcome, CompactReason
from looplet.core.hosting import run_compact
from looplet.core.records import ToolCall, ToolResult


def talk_of(turns: int, size: int = 400):
    talk, log = Conversation(), SessionLog()
    for step in range(1, turns + 1):
        talk.append(Message(MessageRole.USER, f"prompt {step}"))
        talk.append(Message(MessageRole.ASSISTANT, f"reply {step}"))
        call = ToolCall("look" if step % 2 else "read", {})
        result = ToolResult(call.tool, "", "x" * size)
        text = f"{step}:" + "x" * size
        about = {"step": step}
        talk.append(Message(MessageRole.TOOL, text, call, result, metadata=about))
        log.record(step=step, tool=call.tool)
    return talk, log


def run(service, talk, log, *, llm=None, reason="test"):
    return service.compact(
        state=None, session_log=log, llm=llm, conversation=talk, step_num=9, reason=reason
    )


def results(talk):
    return [each.content for each in talk.messages if each.role is MessageRole.TOOL]


def test_pruning_clears_all_but_the_newest_results_and_keeps_the_records():
    talk, log = talk_of(8)
    outcome = run(PruneToolResults(keep_recent=3), talk, log)
    assert [text.startswith("[result") for text in results(talk)] == [True] * 5 + [False] * 3
    assert outcome.compacted
    assert outcome.extra["chars_freed"] > 5 * 300
    assert all(len(each.tool_result.data) == 400 for each in talk.messages if each.tool_result)


def test_pruning_spares_tools_that_are_not_named():
    talk, log = talk_of(6)
    run(PruneToolResults(keep_recent=0, compactable_tools=["read"]), talk, log)
    assert [text.startswith("[result") for text in results(talk)] == [False, True] * 3


def test_pruning_what_is_short_frees_nothing():
    talk, log = talk_of(8, size=1)
    assert not run(PruneToolResults(), talk, log).compacted


def test_truncating_keeps_the_newest_turns_and_counts_the_rest():
    talk, log = talk_of(8)
    outcome = run(TruncateCompact(keep_recent=2), talk, log)
    assert [text.split(":")[0] for text in results(talk)] == ["7", "8"]
    assert [entry.step for entry in log.entries] == [7, 8]
    assert "earlier: look x3, read x3" in log.render()
    assert outcome.messages_after < outcome.messages_before


def test_a_summary_stands_for_the_older_turns():
    talk, log = talk_of(8)
    llm = MockLLMBackend(["Apples cost 0.40."])
    outcome = run(SummarizeCompact(keep_recent=2), talk, log, llm=llm)
    assert outcome.llm_calls_spent == 1
    assert "prompt 1" in llm.last_prompt
    assert "prompt 8" not in llm.last_prompt
    assert talk.messages[0].content == "Summary of earlier steps:\nApples cost 0.40."
    assert [text.split(":")[0] for text in results(talk)] == ["7", "8"]
    assert [entry.step for entry in log.entries[:-1]] == [7, 8]
    assert log.entries[-1].tool == "__compact_summary__"
    assert "summary of earlier steps: Apples cost 0.40." in log.render()


@pytest.mark.parametrize("reply", [ConnectionError("down"), "   "])
def test_a_summary_that_fails_truncates_instead_and_says_so(reply):
    talk, log = talk_of(8)
    outcome = run(SummarizeCompact(), talk, log, llm=MockLLMBackend([reply]))
    assert outcome.extra["fallback"]
    assert outcome.llm_calls_spent == 1
    assert [text.split(":")[0] for text in results(talk)] == ["7", "8"]


def test_a_short_conversation_is_not_summed_up():
    talk, log = talk_of(2)
    llm = MockLLMBackend(["unused"])
    assert not run(SummarizeCompact(keep_recent=2), talk, log, llm=llm).compacted
    assert llm.calls == 0


def test_a_chain_goes_on_until_the_estimate_is_below_its_target():
    talk, log = talk_of(8)
    chain = compact_chain(PruneToolResults(keep_recent=7), TruncateCompact(keep_recent=1))
    outcome = run(chain, talk, log, reason=CompactReason("full", target_tokens=200))
    assert outcome.extra["chain_stage"] == 1
    assert talk.token_estimate() < 200


def test_a_chain_stops_where_it_has_helped():
    talk, log = talk_of(8)
    chain = compact_chain(PruneToolResults(keep_recent=1), TruncateCompact(keep_recent=1))
    outcome = run(chain, talk, log, reason=CompactReason("full", target_tokens=500))
    assert outcome.extra["chain_stage"] == 0
    assert len(results(talk)) == 8


def test_a_stage_that_freed_nothing_is_passed_over():
    talk, log = talk_of(8)
    chain = compact_chain(PruneToolResults(keep_recent=99), TruncateCompact(keep_recent=4))
    assert run(chain, talk, log).extra["chain_stage"] == 1


def test_a_chain_needs_a_service():
    with pytest.raises(ValueError, match="at least one"):
        compact_chain()


def test_a_stop_before_the_compaction_aborts_it():
    talk, log = talk_of(8)
    stop = type("Stop", (), {"on_event": lambda self, payload: HookDecision(stop="not now")})()
    outcome = run_compact(
        TruncateCompact(), hooks=[stop], state=None, session_log=log, llm=None,
        conversation=talk, step_num=1, reason="test",
    )  # fmt: skip
    assert not outcome.compacted
    assert len(results(talk)) == 8


def test_both_events_are_told_and_a_failing_cleanup_is_logged(caplog):
    talk, log = talk_of(8)
    seen = []

    def fail():
        raise LookupError("mop broke")

    class Service:
        def compact(self, **given):
            given["conversation"].revise(given["conversation"].messages[-3:])
            return CompactOutcome(given["reason"], 24, 3, cleanup=fail)

    listen = type("Listen", (), {"on_event": lambda self, payload: seen.append(payload)})()
    outcome = run_compact(
        Service(), hooks=[listen], state=None, session_log=log, llm=None,
        conversation=talk, step_num=1, reason="test",
    )  # fmt: skip
    assert [each.event.value for each in seen] == ["pre_compact", "post_compact"]
    assert (seen[1].messages_before, seen[1].messages_after) == (24, 3)
    assert [each.extra for each in seen] == [{"reason": "test"}] * 2
    assert outcome.compacted
    assert "mop broke" in caplog.text


def test_a_chain_cleans_up_after_every_stage_that_ran_whatever_one_of_them_raises(caplog):
    talk, log = talk_of(8)
    cleaned = []

    def cleanup(name):
        cleaned.append(name)
        if name == "first":
            raise LookupError("mop broke")

    class Stage:
        def __init__(self, name):
            self.name = name

        def compact(self, **given):
            return CompactOutcome(cleanup=lambda: cleanup(self.name))

    chain = compact_chain(Stage("first"), Stage("second"), TruncateCompact())
    outcome = run_compact(
        chain, hooks=[], state=None, session_log=log, llm=None,
        conversation=talk, step_num=1, reason="test",
    )  # fmt: skip
    assert outcome.extra["chain_stage"] == 2
    assert cleaned == ["first", "second"]
    assert "mop broke" in caplog.text


def test_a_chain_that_cannot_help_enough_runs_every_stage():
    talk, log = talk_of(8)
    chain = compact_chain(PruneToolResults(keep_recent=1), TruncateCompact(keep_recent=1))
    outcome = run(chain, talk, log, reason=CompactReason("full", target_tokens=1))
    assert outcome.extra["chain_stage"] == 1
    assert outcome.compacted
    assert len(results(talk)) == 1
