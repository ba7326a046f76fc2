"""Recovery by rules of one's own; each run through both drivers, on a clock nobody waits for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from looplet import (
    CompactAndRetry,
    ErrorKind,
    LoopConfig,
    RecoveryRegistry,
    RetryCall,
    StopRun,
    TruncateCompact,
    tool,
    tools_from,
)
from looplet.errors import BackendRefused

DONE = '{"tool": "done", "args": {"summary": "x"}}'
NATIVE_DONE = [{"type": "tool_use", "id": "d", "name": "done", "input": {"summary": "x"}}]
BUSY = BackendRefused("too many requests", status=429)
FILTERED = BackendRefused("the content filter refused", status=400)
TOO_LONG = BackendRefused("context_length_exceeded", status=400)


@tool
def read(page: int) -> dict:
    """Read a page."""
    return {"page": page, "text": f"page {page} " + "word " * 400}


class Strategy:
    """Follows a script; keeps what it was asked."""

    def __init__(self, *decisions: Any) -> None:
        self.decisions = list(decisions)
        self.asked: list[tuple[str, int, int]] = []

    def recover(self, error, *, state, session_log, conversation, step_num, attempt):
        assert session_log is not None
        assert conversation is state.conversation
        self.asked.append((str(error), step_num, attempt))
        return self.decisions.pop(0) if self.decisions else None


def page(number: int) -> str:
    return json.dumps({"tool": "read", "args": {"page": number}})


def run(drive, clock, replies, registry, **options):
    config = LoopConfig(recovery_registry=registry, runtime=clock.runtime, **options)
    llm = (drive.native if config.use_native_tools else drive.text)(replies)
    ran = drive(llm, tools=tools_from([read], include_done=True), config=config)
    ran.llm = llm
    return ran


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
def test_a_strategy_may_have_a_permanent_failure_asked_again_after_a_wait(drive, clock, native):
    strategy = Strategy(RetryCall(after_s=30))
    replies = [FILTERED, NATIVE_DONE if native else DONE]
    ran = run(drive, clock, replies, strategy, use_native_tools=native)
    assert (ran.stop_reason, clock.pauses) == ("done", [30])
    assert strategy.asked == [("the content filter refused", 1, 1)]


def test_a_retry_at_once_needs_no_pause_and_leaves_the_loops_own_retries(drive, clock):
    ran = run(drive, clock, [BUSY, BUSY, BUSY, DONE], Strategy(RetryCall()))
    assert ran.stop_reason == "done"
    assert clock.pauses == [1.0, 2.0]


def test_without_a_decision_the_loops_own_rules_apply(drive, clock):
    strategy = Strategy()
    ran = run(drive, clock, [BUSY, BUSY, BUSY, DONE], strategy)
    assert ran.stop_reason == "llm_error"
    assert [attempt for _, _, attempt in strategy.asked] == [1, 2, 3]
    assert clock.pauses == [1.0, 2.0]


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
def test_a_strategy_may_have_the_prompt_compacted(drive, clock, native):
    def use(number):
        return [{"type": "tool_use", "id": f"c{number}", "name": "read", "input": {"page": number}}]

    pages = [use(1), use(2)] if native else [page(1), page(2)]
    replies = [*pages, FILTERED, NATIVE_DONE if native else DONE]
    options = {"use_native_tools": native, "compact_service": TruncateCompact(keep_recent=1)}
    ran = run(drive, clock, replies, Strategy(CompactAndRetry()), **options)
    assert (ran.stop_reason, clock.pauses) == ("done", [])
    sent = ran.llm.last_prompt if not native else str(ran.llm.requests[-1].messages)
    assert "page 2 word" in sent
    assert "page 1 word" not in sent


def test_a_strategy_may_stop_the_run_and_the_failure_is_its_last_step(drive, clock):
    ran = run(drive, clock, [FILTERED, DONE], Strategy(StopRun("provider_said_no")))
    assert ran.stop_reason == "provider_said_no"
    assert ran.tools == ["__llm_error__"]
    assert "the content filter refused" in ran.steps[0].tool_result.error


def test_a_strategy_is_followed_once_a_failing_call_then_the_loops_own_rules_apply(drive, clock):
    strategy = Strategy(*[RetryCall()] * 9)
    ran = run(drive, clock, [FILTERED] * 9, strategy)
    assert ran.stop_reason == "llm_error"
    assert len(strategy.asked) == 1
    assert ran.steps[0].tool_result.error_detail.context["attempts"] == 2
    assert ran.llm.calls == 2


def test_each_question_may_be_recovered_but_no_more_than_so_often_a_run(drive, clock):
    registry, strategy = RecoveryRegistry(max_per_run=2), Strategy(*[RetryCall()] * 9)
    registry.register(strategy)
    replies = [FILTERED, page(1), FILTERED, page(2), FILTERED, DONE]
    ran = run(drive, clock, replies, registry)
    assert ran.tools == ["read", "read", "__llm_error__"]
    assert [step for _, step, _ in strategy.asked] == [1, 2]


def test_a_repair_is_a_question_of_its_own(drive, clock):
    strategy = Strategy(RetryCall(), CompactAndRetry())
    ran = run(drive, clock, [FILTERED, "no call", FILTERED, DONE], strategy)
    assert ran.stop_reason == "done"
    assert len(strategy.asked) == 2
    assert "could not be used" in ran.llm.last_prompt


def test_strategies_are_asked_by_the_kind_of_the_error_in_the_order_of_registering(drive, clock):
    order = []

    def named(name, decision=None):
        def recover(error, **about):
            order.append(name)
            return decision

        return recover

    registry = RecoveryRegistry()
    registry.register(named("busy"), ErrorKind.RATE_LIMIT)
    registry.register(named("long"), "context_overflow", ErrorKind.TIMEOUT)
    registry.register(named("any"))
    registry.register(named("last", RetryCall()), "rate_limit")
    ran = run(drive, clock, [BUSY, DONE], registry)
    assert order == ["busy", "any", "last"]
    assert ran.stop_reason == "done"


def test_a_prompt_that_is_too_long_is_the_strategies_business_first(drive, clock):
    strategy = Strategy(StopRun("too_much"))
    ran = run(drive, clock, [TOO_LONG, DONE], strategy)
    assert (ran.stop_reason, ran.llm.calls) == ("too_much", 1)


def test_strategies_may_be_async_in_the_async_loop_and_are_refused_in_the_sync_one(drive, clock):
    class Slow:
        async def recover(self, error, **about):
            return RetryCall(after_s=3)

    ran = run(drive, clock, [FILTERED, DONE], Slow())
    if drive.asynchronous:
        assert (ran.stop_reason, clock.pauses) == ("done", [3])
    else:
        assert isinstance(ran.error, TypeError)
        assert "Slow.recover" in str(ran.error)


def test_a_wait_ends_with_the_run_if_it_is_cancelled(drive, clock):
    from looplet import CancelToken

    token = CancelToken()
    clock.sleep = lambda seconds: token.cancel()
    strategy = Strategy(*[RetryCall(after_s=5)] * 3)
    ran = run(drive, clock, [FILTERED, DONE], strategy, cancel_token=token)
    assert (ran.stop_reason, ran.llm.calls) == ("cancelled", 1)


def test_a_strategys_exception_ends_the_run_as_a_hooks_does(drive, clock):
    def recover(error, **about):
        raise LookupError("no rule")

    ran = run(drive, clock, [FILTERED, DONE], recover)
    assert isinstance(ran.error, LookupError)
    assert ran.stop_reason == "error"


def test_what_is_no_decision_and_what_is_no_strategy_are_refused_by_name(drive, clock):
    ran = run(drive, clock, [FILTERED, DONE], Strategy("retry"))
    assert isinstance(ran.error, TypeError)
    assert "Strategy returned str; return RetryCall" in str(ran.error)
    ran = run(drive, clock, [DONE], object())
    assert isinstance(ran.error, TypeError)
    assert ran.steps == []
    with pytest.raises(TypeError, match="recover"):
        RecoveryRegistry().register(3)
    with pytest.raises(ValueError, match="weather"):
        RecoveryRegistry().register(Strategy(), "weather")
    with pytest.raises(ValueError, match="max_per_run"):
        RecoveryRegistry(max_per_run=0)


def test_a_strategy_registered_twice_is_asked_once():
    registry, strategy = RecoveryRegistry(), Strategy()
    registry.register(strategy, "timeout")
    registry.register(strategy)
    assert registry.strategies_for(TimeoutError()) == [strategy]
