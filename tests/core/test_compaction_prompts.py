"""What a compaction does to the very next request, text and native, through both drivers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import BaseToolRegistry, DefaultState, LoopConfig, tool, tools_from
from looplet.context import PruneToolResults, SummarizeCompact, TruncateCompact, compact_chain
from looplet.core.compaction import CompactOutcome
from looplet.errors import BackendRefused
from tests.drivers import DRIVERS

TOO_LONG = BackendRefused("context_length_exceeded: the prompt is too long", status=400)


@tool(concurrent_safe=True)
def read(page: int) -> str:
    """Read a page."""
    return f"page-{page}. " + "word " * 300


class Once:
    def __init__(self, step: int) -> None:
        self.step = step

    def should_compact(self, state, session_log, conversation, step_num):
        return step_num == self.step


def library() -> BaseToolRegistry:
    return tools_from([read], include_done=True)


def turn(*pages: int, native: bool) -> Any:
    if not native:
        return json.dumps({"tools": [{"tool": "read", "args": {"page": page}} for page in pages]})
    return [
        {"type": "tool_use", "id": f"c{page}", "name": "read", "input": {"page": page}}
        for page in pages
    ]


def done(*, native: bool) -> Any:
    if not native:
        return json.dumps({"tool": "done", "args": {"summary": "x"}})
    return [{"type": "tool_use", "id": "d", "name": "done", "input": {"summary": "x"}}]


class Asked:
    """Keeps every request as one text, as far as results are told in it."""

    def __init__(self, llm: Any) -> None:
        self.llm = llm
        self.texts: list[str] = []

    def on_event(self, payload: Any) -> None:
        if payload.event.value == "pre_llm_call":
            self.texts.append(payload.prompt)

    def sent(self, *, native: bool) -> list[str]:
        if not native:
            return self.texts
        asked = [request for request in self.llm.requests if request.method != "generate"]
        return ["\n".join(each.content for each in request.messages) for request in asked]


def go(drive: Any, turns: list[Any], *, native: bool, hooks: list[Any] = [], **options: Any) -> Any:  # noqa: B006
    state = options.pop("state", None) or DefaultState(max_steps=40)
    llm = (drive.native if native else drive.text)(turns)
    asked = Asked(llm)
    config = LoopConfig(max_steps=40, use_native_tools=native, **options)
    ran = drive(llm, tools=library(), config=config, hooks=[*hooks, asked], state=state)
    ran.sent, ran.llm = asked.sent(native=native), llm
    return ran


def pages_in(text: str) -> set[int]:
    return {number for number in range(40) if f"page-{number}." in text}


both = pytest.mark.parametrize("native", [False, True], ids=["text", "native"])


@given(
    turns=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    keep=st.integers(0, 4),
    kind=st.sampled_from(["prune", "truncate", "summarize"]),
    native=st.booleans(),
    driver=st.sampled_from(["sync", "async"]),
)
def test_the_request_after_a_compaction_has_the_kept_results_alone(
    turns, keep, kind, native, driver
):
    drive = DRIVERS[driver]
    services = {
        "prune": PruneToolResults(keep_recent=keep),
        "truncate": TruncateCompact(keep_recent=keep),
        "summarize": SummarizeCompact(keep_recent=keep),
    }
    numbers = iter(range(1, 40))
    script = [turn(*(next(numbers) for _ in range(size)), native=native) for size in turns]
    count, last = sum(turns), done(native=native)
    summary = ["Nothing new."] if kind == "summarize" and count > keep else []
    hooks = [Once(count + 1)]
    ran = go(drive, [*script, *summary, last], native=native, hooks=hooks,
             compact_service=services[kind])  # fmt: skip
    assert ran.stop_reason == "done"
    plain = go(drive, [*script, last], native=native)
    shown, whole = pages_in(ran.sent[-1]), pages_in(plain.sent[-1])
    assert shown == whole & set(range(count - keep + 1, count + 1))
    if shown < whole:
        assert len(ran.sent[-1]) < len(plain.sent[-1])
    else:
        assert len(ran.sent[-1]) <= len(plain.sent[-1]) + 200 * bool(summary)
    assert [step.tool_result.data for step in ran.steps[:-1]] == [
        step.tool_result.data for step in plain.steps[:-1]
    ]


@both
def test_the_newest_result_alone_is_left_of_a_crowded_turn(drive, native):
    turns = [turn(1, 2, 3, native=native), TOO_LONG, TOO_LONG, TOO_LONG, done(native=native)]
    ran = go(drive, turns, native=native, compact_service=PruneToolResults(keep_recent=3))
    assert ran.stop_reason == "done"
    assert pages_in(ran.sent[-2]) == {1, 2, 3}
    assert pages_in(ran.sent[-1]) == {3}
    if native:
        last = ran.llm.requests[-1].messages
        assert [call.id for call in last[1].calls] == [each.call_id for each in last[2:]]


@both
def test_results_of_a_given_state_are_compacted_too(drive, native):
    before = go(drive, [turn(1, 2, native=native), done(native=native)], native=native)
    state = DefaultState(max_steps=40, steps=list(before.steps[:2]))
    turns = [turn(3, native=native), turn(4, native=native), done(native=native)]
    ran = go(drive, turns, native=native, state=state, hooks=[Once(5)],
             compact_service=TruncateCompact(keep_recent=1))  # fmt: skip
    assert pages_in(ran.sent[0]) == {1, 2}
    assert pages_in(ran.sent[1]) == {1, 2, 3}
    assert pages_in(ran.sent[2]) == {4}


@both
def test_results_of_a_given_state_are_trimmed_and_dropped_too(drive, native):
    before = go(drive, [turn(1, 2, native=native), done(native=native)], native=native)
    state = DefaultState(max_steps=40, steps=list(before.steps[:2]))
    turns = [turn(3, native=native), TOO_LONG, TOO_LONG, TOO_LONG, done(native=native)]
    ran = go(drive, turns, native=native, state=state)
    lengths = [len(text) for text in ran.sent[1:]]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[1] < lengths[0]
    assert pages_in(ran.sent[-1]) == {3}


@both
def test_a_compaction_that_changes_nothing_leaves_the_next_request_as_it_was(drive, native):
    before = go(drive, [turn(1, 2, native=native), done(native=native)], native=native)
    sent = []
    for hooks in ([], [Once(4)]):
        state = DefaultState(max_steps=40, steps=list(before.steps[:2]))
        turns = [turn(3, native=native), done(native=native)]
        ran = go(drive, turns, native=native, state=state, hooks=hooks,
                 compact_service=PruneToolResults(keep_recent=9))  # fmt: skip
        sent.append(ran.sent[-1])
    assert sent[0] == sent[1]
    assert pages_in(sent[0]) == {1, 2, 3}


@both
def test_a_service_may_put_messages_of_its_own_in_place_of_results(drive, native):
    class Rewrites:
        def compact(self, *, conversation, **given):
            for message in conversation.messages:
                if message.role.value == "tool":
                    message.content = "in short: read"
                    message.tool_call = message.tool_result = None
            conversation.revise(conversation.messages)
            return CompactOutcome()

    turns = [turn(1, native=native), turn(2, native=native), done(native=native)]
    ran = go(drive, turns, native=native, hooks=[Once(3)], compact_service=Rewrites())
    assert ran.stop_reason == "done"
    assert pages_in(ran.sent[-1]) == set()


def test_an_async_service_is_awaited_or_refused_by_name(drive):
    class Slow:
        async def compact(self, **given):
            return TruncateCompact(keep_recent=1).compact(**given)

    turns = [turn(1, native=False), turn(2, native=False), done(native=False)]
    ran = go(drive, turns, native=False, hooks=[Once(3)], compact_service=Slow())
    if drive.asynchronous:
        assert pages_in(ran.sent[-1]) == {2}
    else:
        assert isinstance(ran.error, TypeError)
        assert "Slow.compact returned an awaitable under the sync loop" in str(ran.error)


def test_a_chain_in_a_run_goes_on_to_the_stage_that_helps_and_tells_it(drive):
    from looplet import ContextBudget, ThresholdCompactHook

    told = []

    class Stages:
        def on_event(self, payload):
            if payload.event.value == "post_compact":
                estimate = payload.state.conversation.token_estimate()
                told.append((payload.extra["chain_stage"], estimate))

    budget = ContextBudget(context_window=5_000)
    chain = compact_chain(PruneToolResults(keep_recent=5), TruncateCompact(keep_recent=2))
    turns = [turn(number, native=False) for number in range(1, 30)]
    hooks = [ThresholdCompactHook(budget), Stages()]
    go(drive, [*turns, done(native=False)], native=False, hooks=hooks, compact_service=chain)
    assert {stage for stage, _ in told} <= {0, 1}
    assert told
    assert all(estimate < budget.error_at for _, estimate in told)
