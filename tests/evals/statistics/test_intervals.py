"""Intervals of rates, against scipy and statsmodels and by their laws."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from looplet.errors import StatisticsError
from looplet.evals.statistics import clustered_interval, wilson_interval
from tests.evals.statistics.samples import TASKS, flipped

COUNTS = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
LEVELS = st.floats(0.5, 0.999)


@given(COUNTS, LEVELS)
def test_the_interval_is_that_of_scipy_and_of_statsmodels(counts, confidence):
    passed, n = counts
    ours = tuple(wilson_interval(passed, n, confidence))
    theirs = binomtest(passed, n).proportion_ci(confidence, method="wilson")
    assert ours == pytest.approx(tuple(theirs), abs=1e-9)
    theirs = proportion_confint(passed, n, 1 - confidence, method="wilson")
    assert ours == pytest.approx(theirs, abs=1e-9)


@given(COUNTS)
def test_the_interval_holds_the_rate_and_stays_among_rates(counts):
    passed, n = counts
    low, high = wilson_interval(passed, n)
    assert 0 <= low <= passed / n <= high <= 1


@given(COUNTS)
def test_passes_and_fails_mirror_each_other(counts):
    passed, n = counts
    one, other = wilson_interval(passed, n), wilson_interval(n - passed, n)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low))


@given(COUNTS)
def test_more_confidence_is_a_wider_interval(counts):
    narrow, wide = wilson_interval(*counts, 0.8), wilson_interval(*counts, 0.99)
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high


@pytest.mark.parametrize(("passed", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_impossible_counts_are_refused(passed, n):
    with pytest.raises(StatisticsError, match=f"{passed} of {n}"):
        wilson_interval(passed, n)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_impossible_confidence_is_refused(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        wilson_interval(1, 2, confidence)


@given(TASKS)
def test_a_clustered_interval_holds_the_mean_of_tasks_and_stays_among_rates(tasks):
    low, high = clustered_interval(tasks)
    mean = math.fsum(math.fsum(trials) / len(trials) for trials in tasks) / len(tasks)
    assert 0 <= low <= mean + 1e-12
    assert mean - 1e-12 <= high <= 1


@given(TASKS)
def test_clustered_passes_and_fails_mirror_each_other(tasks):
    one, other = clustered_interval(tasks), clustered_interval(flipped(tasks))
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low))


@given(TASKS)
def test_more_confidence_is_a_wider_clustered_interval(tasks):
    narrow, wide = clustered_interval(tasks, 0.8), clustered_interval(tasks, 0.99)
    assert wide.low <= narrow.low + 1e-12
    assert narrow.high <= wide.high + 1e-12


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 6))
def test_trials_that_are_all_alike_are_worth_one(verdicts, trials):
    expected = wilson_interval(sum(verdicts), len(verdicts))
    found = clustered_interval([[verdict] * trials for verdict in verdicts])
    assert tuple(found) == pytest.approx(expected, abs=1e-9)


def test_trials_that_differ_are_worth_more_than_their_task():
    mixed = [[True, False, True, True]] * 6 + [[True, True, True, False]] * 6
    few, many = wilson_interval(9, 12), wilson_interval(36, 48)
    low, high = clustered_interval(mixed)
    assert few.low < low < many.low + 1e-12
    assert many.high - 1e-12 < high < few.high


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ([], "no tasks"),
        ([[True], []], "task 1 of the sample has no trials"),
        ([[0.5, 1.5]], "not from 0 to 1"),
        ([[math.nan]], "not evaluable"),
    ],
)
def test_samples_without_a_meaning_are_refused(tasks, words):
    with pytest.raises(StatisticsError, match=words):
        clustered_interval(tasks)
