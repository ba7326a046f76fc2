"""The bootstrap over tasks, against scipy."""

from __future__ import annotations

from statistics import fmean, median

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from looplet.errors import StatisticsError
from looplet.evals.statistics import bootstrap_interval

TASKS = st.lists(
    st.lists(st.integers(-50, 50), min_size=1, max_size=3), min_size=4, max_size=12
).filter(lambda tasks: len({fmean(trials) for trials in tasks}) > 2)


@given(TASKS, st.integers(0, 99))
@example([[0, -1], [0, 0, -17], [0, 0, -17], [0]], 0)  # a mean of means, rounded below them all
def test_whole_tasks_are_drawn_as_scipy_does(tasks, seed):
    means = [fmean(trials) for trials in tasks]
    theirs = stats.bootstrap(
        (means,),
        np.mean,
        method="BCa",
        n_resamples=200,
        confidence_level=0.9,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    ours = bootstrap_interval(tasks, confidence=0.9, resamples=200, seed=seed)
    assert tuple(ours) == pytest.approx(tuple(theirs), abs=1e-9)
    assert min(means) <= ours.low <= ours.high <= max(means)


def test_any_statistic_of_tasks_will_do():
    tasks = [[place, place + 2] for place in range(21)]
    low, high = bootstrap_interval(tasks, median, resamples=500)
    assert low < median(fmean(trials) for trials in tasks) < high
    assert (low, high) == bootstrap_interval(tasks, median, resamples=500)


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ([[1], [2]], "three tasks"),
        ([[1], [2], []], "three tasks"),
        ([[1], [2], [float("inf")]], "inf"),
        ([[1, 3], [2], [2]], "all tasks are equal"),
    ],
)
def test_tasks_from_which_nothing_can_be_drawn_are_refused(tasks, words):
    with pytest.raises(StatisticsError, match=words):
        bootstrap_interval(tasks)


def test_a_statistic_that_hardly_moves_is_refused():
    with pytest.raises(StatisticsError, match="hardly changes"):
        bootstrap_interval([[1], [1], [1], [1], [2]], lambda values: 7.0, resamples=50)
