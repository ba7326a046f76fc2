"""Intervals, against scipy and by their laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from looplet.evals.statistics import wilson_interval

COUNTS = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
LEVELS = st.floats(0.5, 0.999)


@given(COUNTS, LEVELS)
def test_the_interval_is_scipy_s(counts, confidence):
    passed, n = counts
    theirs = binomtest(passed, n).proportion_ci(confidence, method="wilson")
    assert tuple(wilson_interval(passed, n, confidence)) == pytest.approx(theirs, abs=1e-9)


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
    with pytest.raises(ValueError, match=f"{passed} of {n}"):
        wilson_interval(passed, n)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_impossible_confidence_is_refused(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        wilson_interval(1, 2, confidence)
