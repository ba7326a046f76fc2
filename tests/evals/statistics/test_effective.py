"""What clustered trials are worth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.evals.statistics import (
    clustered_interval,
    noninferiority_test,
    paired_interval,
    wilson_interval,
)
from looplet.evals.statistics.effective import effective_tasks

SQUARES = st.floats(0, 50)


@given(st.integers(1, 50), SQUARES, SQUARES, st.floats(0.05, 1), st.floats(1, 20))
def test_a_sample_is_worth_its_tasks_at_least_and_its_trials_at_most(n, single, seen, events, most):
    worth = effective_tasks(n=n, single=single, seen=seen, events=events, most=most)
    assert n <= worth <= n * most * (1 + 1e-12)
    wider = effective_tasks(n=n, single=single, seen=seen + 1, events=events, most=most)
    surer = effective_tasks(n=n, single=single, seen=seen, events=events + 1, most=most)
    assert max(wider, surer) <= worth * (1 + 1e-12)


def test_without_an_event_it_is_worth_its_tasks_and_with_many_the_ratio_of_variances():
    assert effective_tasks(n=9, single=0, seen=0, events=0.1, most=5) == 9
    many = effective_tasks(n=1000, single=200, seen=50, events=0.1)
    assert many == pytest.approx(4000, rel=0.01)
    assert effective_tasks(n=1, single=0.25, seen=0, events=0.1) == 1  # no spread of one task


def test_it_takes_events_to_make_trials_worth_more_than_their_task():
    lows = [
        clustered_interval([[1] * 5] * 20).low,
        clustered_interval([[1] * 5] * 19 + [[1, 1, 1, 1, 0]]).low,
    ]
    assert lows[0] == pytest.approx(wilson_interval(20, 20).low)
    assert lows[0] < lows[1] < wilson_interval(99, 100).low


@pytest.mark.parametrize("trials", [10, 1000])
def test_many_trials_of_one_task_make_the_others_no_surer(trials):
    coins, other = [[0, 1]] * 20, [*[[0, 1]] * 19, [0, 1] * trials]
    for interval in (clustered_interval, lambda tasks: paired_interval(tasks, coins)):
        few, many = interval(coins), interval(other)
        assert 0.97 * (few.high - few.low) < many.high - many.low < few.high - few.low
    few, many = (noninferiority_test(each, coins, margin=0.3) for each in (coins, other))
    assert 0.8 * few < many <= few
