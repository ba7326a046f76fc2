"""The sign-flip test, against scipy's and by its laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import permutation_test as scipy_test

from looplet.errors import StatisticsError
from looplet.evals.statistics import mcnemar_test, permutation_test
from tests.evals.statistics.samples import SINGLE, counts

FRACTIONS = st.lists(st.fractions(-1, 1, max_denominator=12).map(float), min_size=2, max_size=9)
UNEVEN = st.lists(st.integers(-99, 99).map(lambda n: n * 2**0.5), min_size=2, max_size=9)


@given(st.one_of(FRACTIONS, UNEVEN))
def test_the_test_is_scipy_s_with_all_flips(differences):
    total = sum(map(abs, differences))
    theirs = scipy_test(
        (np.array(differences), np.zeros(len(differences))),
        # Sums that are equal but for rounding are one.
        lambda a, b: round(float(abs(sum(a - b))) / (total or 1), 8),
        permutation_type="samples",
        alternative="greater",
        n_resamples=2**12,
    ).pvalue
    assert permutation_test(differences) == pytest.approx(theirs, abs=1e-9)


@given(SINGLE)
def test_on_tasks_tried_once_it_is_mcnemar_s(pairs):
    differences = [float(new) - float(old) for new, old in pairs]
    assert permutation_test(differences) == pytest.approx(mcnemar_test(*counts(pairs)), abs=1e-9)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_a_p_value_is_above_none_and_the_same_for_sides_swapped(differences):
    p = permutation_test(differences, flips=200)
    assert 0 < p <= 1
    assert permutation_test([-each for each in differences], flips=200) == p


def test_many_tasks_are_counted_exactly_and_never_come_to_nothing():
    assert permutation_test([1 / 3] * 12) == pytest.approx(2 * 0.5**12)
    assert 0 < permutation_test([0.2] * 3000) < 1e-300


def test_random_flips_come_near_the_exact_value():
    exact = [0.3, 0.1, -0.2, 0.4, 0.5, -0.1, 0.2, 0.3] * 3
    uneven = [each + 1e-7 * 2**0.5 * place for place, each in enumerate(exact)]
    known, estimated = permutation_test(exact), permutation_test(uneven)
    assert known != estimated == permutation_test(uneven)
    assert estimated == pytest.approx(known, abs=0.002)
    assert permutation_test([10 + each for each in uneven], flips=99) == 0.01


@pytest.mark.parametrize(("differences", "flips"), [([], 10), ([0.5], 0), ([float("nan")], 10)])
def test_nothing_to_flip_is_refused(differences, flips):
    with pytest.raises(StatisticsError):
        permutation_test(differences, flips=flips)
