"""The window and its marks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import Conversation, Message, MessageRole, SessionLog
from looplet.context import ContextBudget, ThresholdCompactHook


def test_the_default_window_has_the_marks_of_the_contract():
    budget = ContextBudget()
    assert (budget.warning_at, budget.error_at, budget.compact_buffer) == (120_000, 160_000, 13_000)
    assert budget.blocking_at == 187_000


@given(st.integers(100, 2_000_000))
def test_unset_marks_are_consistent_for_any_window(window):
    budget = ContextBudget(context_window=window)
    assert 0 < budget.warning_at <= budget.error_at <= budget.blocking_at <= window
    tiers = ["ok", "warning", "error", "blocking"]
    marks = [0, budget.warning_at, budget.error_at, budget.blocking_at]
    for tokens in (0, *marks, *(mark - 1 for mark in marks[1:]), window):
        reached = max(place for place, mark in enumerate(marks) if tokens >= mark)
        assert budget.classify(tokens) == tiers[reached]


@pytest.mark.parametrize(
    "marks",
    [
        {"warning_at": 0},
        {"warning_at": 9_000, "error_at": 8_000},
        {"error_at": 9_900},
        {"context_window": 0},
        {"compact_buffer": -1},
    ],
)
def test_marks_that_do_not_fit_are_refused_by_name(marks):
    with pytest.raises(ValueError, match=r"warning_at=.*error_at=.*blocking_at="):
        ContextBudget(**{"context_window": 10_000, **marks})


def test_the_hook_fires_at_its_tier_and_says_when():
    budget = ContextBudget(context_window=1_000)
    talk = Conversation([Message(MessageRole.USER, "x" * 4 * 700)])
    warning = ThresholdCompactHook(budget, fire_tier="warning")
    error = ThresholdCompactHook(budget)
    assert warning.should_compact(None, SessionLog(), talk, 3)
    assert warning.fired_at == 3
    assert not error.should_compact(None, SessionLog(), talk, 3)
    assert error.fired_at is None


def test_without_a_conversation_the_log_is_estimated():
    log = SessionLog()
    for step in range(9):
        log.record(step=step, tool="look", reasoning="x" * 150)
    hook = ThresholdCompactHook(ContextBudget(context_window=400))
    assert hook.should_compact(None, log, None, 1)


def test_an_unknown_tier_is_refused():
    with pytest.raises(ValueError, match="fire_tier"):
        ThresholdCompactHook(ContextBudget(), fire_tier="blocking")


def test_an_estimate_counts_each_message_once_and_again_after_a_revision():
    talk = Conversation()
    for _ in range(3):
        talk.append(Message(MessageRole.USER, "x" * 400))
        talk.token_estimate()
    assert talk.token_estimate() == 300
    talk.revise(talk.messages[:1])
    assert talk.token_estimate() == 100
    talk.messages.clear()
    assert talk.token_estimate() == 0


ANY = st.none() | st.integers(-1_000, 300_000)


@given(st.integers(-10, 300_000), ANY, ANY, ANY)
def test_any_marks_are_consistent_or_refused_by_name(window, warning_at, error_at, compact_buffer):
    warning = int(window * 0.6) if warning_at is None else warning_at
    error = int(window * 0.8) if error_at is None else error_at
    buffer = min(13_000, window // 8) if compact_buffer is None else compact_buffer
    if 0 < warning <= error <= window - buffer <= window:
        budget = ContextBudget(window, warning_at, error_at, compact_buffer)
        assert (budget.warning_at, budget.error_at) == (warning, error)
        assert budget.blocking_at == window - buffer
        return
    refused = pytest.raises(ValueError, match=r"warning_at=.*error_at=.*blocking_at=")
    with refused as caught:
        ContextBudget(window, warning_at, error_at, compact_buffer)
    assert "context_window=" in str(caught.value)
    assert "compact_buffer=" in str(caught.value)


def test_a_conversation_that_says_nothing_yet_leaves_the_estimate_to_the_log():
    log = SessionLog()
    for step in range(9):
        log.record(step=step, tool="look", reasoning="x" * 150)
    hook = ThresholdCompactHook(ContextBudget(context_window=400))
    assert hook.should_compact(None, log, Conversation(), 1)
