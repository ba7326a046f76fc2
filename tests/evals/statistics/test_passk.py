"""pass@k and pass^k, by all choices of k trials."""

from __future__ import annotations

import itertools
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.errors import StatisticsError
from looplet.evals.statistics import mean_over_tasks, pass_at_k, pass_hat_k

VERDICTS = st.lists(st.booleans(), min_size=1, max_size=9)


@given(VERDICTS, st.data())
def test_estimates_are_the_shares_of_all_choices(verdicts, data):
    k = data.draw(st.integers(1, len(verdicts)))
    chosen = list(itertools.combinations(verdicts, k))
    passed, n = sum(verdicts), len(verdicts)
    assert pass_at_k(passed, n, k) == pytest.approx(fmean(map(any, chosen)))
    assert pass_hat_k(passed, n, k) == pytest.approx(fmean(map(all, chosen)))


@given(st.floats(0, 1), st.integers(1, 6), st.data())
def test_estimates_have_no_bias(rate, n, data):
    k = data.draw(st.integers(1, n))
    chances = {
        verdicts: rate ** sum(verdicts) * (1 - rate) ** (n - sum(verdicts))
        for verdicts in itertools.product((0, 1), repeat=n)
    }
    at_k = sum(chance * pass_at_k(sum(seen), n, k) for seen, chance in chances.items())
    hat_k = sum(chance * pass_hat_k(sum(seen), n, k) for seen, chance in chances.items())
    assert at_k == pytest.approx(1 - (1 - rate) ** k)
    assert hat_k == pytest.approx(rate**k)


def test_thousands_of_trials_are_exact():
    assert pass_at_k(1, 5000, 2500) == 0.5


def test_a_suite_is_the_mean_of_its_tasks():
    assert mean_over_tasks(pass_at_k, [(1, 2), (0, 3)], 2) == 0.5
    with pytest.raises(StatisticsError, match="k=3 for 2 trials"):
        mean_over_tasks(pass_at_k, [(3, 3), (1, 2)], 3)
    with pytest.raises(StatisticsError, match="one task"):
        mean_over_tasks(pass_at_k, [], 1)


@pytest.mark.parametrize(("passed", "n", "k"), [(3, 2, 1), (-1, 2, 1), (1, 2, 3), (1, 2, 0)])
def test_impossible_counts_are_refused(passed, n, k):
    for estimate in (pass_at_k, pass_hat_k):
        with pytest.raises(StatisticsError):
            estimate(passed, n, k)
