"""Differences on shared tasks, against statsmodels and scipy and by their laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import norm, ttest_rel
from statsmodels.stats.contingency_tables import mcnemar

from looplet.errors import StatisticsError
from looplet.evals.statistics import mcnemar_test, paired_difference, paired_interval
from looplet.evals.statistics.trinomial import score
from tests.evals.statistics.samples import PAIRED, SINGLE, counts, flipped, once, sides

COUNT = st.integers(0, 60)


@given(COUNT, COUNT)
def test_mcnemar_is_that_of_statsmodels(gained, lost):
    theirs = mcnemar([[7, gained], [lost, 9]], exact=True).pvalue
    assert mcnemar_test(gained, lost) == pytest.approx(theirs, abs=1e-9)


def test_counts_below_none_are_refused():
    with pytest.raises(StatisticsError, match="-1 lost"):
        mcnemar_test(2, -1)


@given(COUNT, COUNT)
def test_the_score_without_a_difference_is_mcnemar_s(gained, lost):
    assume(gained + lost)
    theirs = mcnemar([[0, gained], [lost, 0]], exact=False, correction=False).statistic
    assert score(200, gained, lost, 0.0) ** 2 == pytest.approx(theirs, abs=1e-9)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.floats(-0.9, 0.9))
def test_the_score_s_variance_is_at_the_most_likely_share(gained, lost, unchanged, difference):
    n = gained + lost + unchanged
    assume(n)

    def unlikely(share):
        parts = [
            (gained, share + difference),
            (lost, share),
            (unchanged, 1 - 2 * share - difference),
        ]
        return -sum(count * math.log(max(part, 1e-300)) for count, part in parts if count)

    least, most = max(0.0, -difference), (1 - difference) / 2
    share = minimize_scalar(unlikely, bounds=(least, most), options={"xatol": 1e-12}).x
    variance = n * (2 * share + difference * (1 - difference))
    assume(variance > 1e-3)
    found = score(n, gained, lost, difference)
    expected = (gained - lost - n * difference) / math.sqrt(variance)
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)


@given(SINGLE, st.floats(0.5, 0.99))
def test_the_interval_ends_where_the_score_is_the_quantile(pairs, confidence):
    gained, lost = counts(pairs)
    z = norm.ppf((1 + confidence) / 2)
    low, high = paired_interval(*once(pairs), confidence)
    if low > -1:
        assert score(len(pairs), gained, lost, low) == pytest.approx(z, abs=1e-6)
    if high < 1:
        assert score(len(pairs), gained, lost, high) == pytest.approx(-z, abs=1e-6)


@given(PAIRED)
def test_the_interval_holds_the_difference_and_stays_among_differences(pairs):
    new, old = sides(pairs)
    low, high = paired_interval(new, old)
    difference = np.mean([np.mean(a) - np.mean(b) for a, b in pairs])
    assert -1 <= low <= difference + 1e-9
    assert difference - 1e-9 <= high <= 1


@given(PAIRED)
def test_more_confidence_is_a_wider_interval(pairs):
    narrow, wide = paired_interval(*sides(pairs), 0.8), paired_interval(*sides(pairs), 0.99)
    assert wide.low <= narrow.low + 1e-9
    assert narrow.high <= wide.high + 1e-9


@given(PAIRED)
def test_sides_and_verdicts_swapped_mirror_the_interval(pairs):
    new, old = sides(pairs)
    low, high = paired_interval(new, old)
    mirrored = pytest.approx((-high, -low), abs=1e-9)
    assert tuple(paired_interval(old, new)) == mirrored
    assert tuple(paired_interval(flipped(new), flipped(old))) == mirrored


@pytest.mark.parametrize("tasks", [1, 5, 40])
def test_tasks_that_all_agree_leave_room_for_those_not_seen(tasks):
    same = [[True] * 7] * tasks
    low, high = paired_interval(same, same)
    # Nearly all tasks could differ by so much, and none of them be seen.
    assert high == -low == pytest.approx(norm.ppf(0.975) ** 2 / (tasks + norm.ppf(0.975) ** 2))


@given(st.integers(2, 8), st.integers(1, 4), st.integers(0, 10**6))
def test_the_clustered_difference_is_that_of_statsmodels_and_scipy(tasks, trials, seed):
    draw = np.random.default_rng(seed)
    new, old = draw.normal(100, 20, (2, tasks, trials))
    found = paired_difference(new.tolist(), old.tolist(), 0.9)
    task = np.repeat(np.arange(tasks), trials)
    values = (new - old).ravel()
    fit = sm.OLS(values, np.ones_like(values)).fit(
        cov_type="cluster", cov_kwds={"groups": task}, use_t=True
    )
    theirs = ttest_rel(new.mean(1), old.mean(1))
    assert found.difference == pytest.approx(fit.params[0], rel=1e-9)
    assert found.standard_error == pytest.approx(fit.bse[0], rel=1e-9)
    assert found.p_value == pytest.approx(theirs.pvalue, abs=1e-9)
    assert tuple(found.interval) == pytest.approx(tuple(theirs.confidence_interval(0.9)), rel=1e-9)


@pytest.mark.parametrize(
    ("new", "old", "words"),
    [
        ([[1.0]], [[2.0]], "one task"),
        ([[1.0], [2.0]], [[2.0], [3.0]], "all equal"),
        ([[1.0], [2.0]], [[2.0]], "2 and 1"),
        ([[1.0], []], [[2.0], [1.0]], "without trials"),
        ([[1.0], [math.inf]], [[2.0], [1.0]], "inf"),
    ],
)
def test_differences_from_which_no_spread_can_be_told_are_refused(new, old, words):
    with pytest.raises(StatisticsError, match=words):
        paired_difference(new, old)
