"""The test for "no worse", by every outcome that there can be."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.errors import StatisticsError
from looplet.evals.statistics import noninferiority_test
from looplet.evals.statistics.trinomial import score, tail
from tests.evals.statistics.samples import PAIRED, SINGLE, once, sides

MARGINS = st.sampled_from([0.05, 0.1, 0.25, 0.5])


def outcomes(n):
    """Numbers of gained and lost of ``n`` pairs."""
    return [(gained, lost) for gained in range(n + 1) for lost in range(n + 1 - gained)]


def chance(n, gained, lost, share, margin):
    ways = math.comb(n, gained) * math.comb(n - gained, lost)
    up, down = max(0.0, share - margin) / 2, (share + margin) / 2
    return ways * up**gained * down**lost * max(0.0, 1 - share) ** (n - gained - lost)


@cache
def p_value(n, gained, lost, margin):
    pairs = [(1, 0)] * gained + [(0, 1)] * lost + [(1, 1)] * (n - gained - lost)
    return noninferiority_test(*once(pairs), margin=margin)


@given(st.integers(1, 7), MARGINS, st.floats(0, 1), st.sampled_from([0.05, 0.2]))
def test_a_candidate_that_is_worse_by_the_margin_passes_no_more_often_than_alpha(
    n, margin, place, alpha
):
    share = margin + (1 - margin) * place
    error = sum(
        chance(n, gained, lost, share, margin)
        for gained, lost in outcomes(n)
        if p_value(n, gained, lost, margin) <= alpha
    )
    assert error <= alpha + 1e-9


@given(st.integers(1, 6), MARGINS, st.data())
def test_the_tail_is_the_worst_sum_over_all_outcomes(n, margin, data):
    gained, lost = data.draw(st.sampled_from(outcomes(n)))
    least = score(n, gained, lost, -margin)
    reached = [each for each in outcomes(n) if score(n, *each, -margin) >= least - 1e-9]
    shares = np.linspace(margin, 1, 1000)
    worst = max(sum(chance(n, *each, share, margin) for each in reached) for share in shares)
    found = tail(n, least, -margin)
    assert found == pytest.approx(min(1, worst), abs=1e-4)
    assert found >= min(1, worst) - 1e-9


@given(st.integers(2, 25), MARGINS, st.data())
def test_a_lost_task_speaks_against_a_candidate_and_a_gained_one_for_it(n, margin, data):
    gained, lost = data.draw(st.sampled_from(outcomes(n - 1)))
    p = p_value(n, gained, lost, margin)
    assert p_value(n, gained, lost + 1, margin) >= p - 1e-12
    assert p_value(n, gained + 1, lost, margin) <= p + 1e-12


@given(PAIRED, MARGINS)
def test_few_tasks_show_little_however_often_they_are_tried(pairs, margin):
    new, old = sides(pairs)
    gain = max(0.0, sum(sum(a) / len(a) - sum(b) / len(b) for a, b in pairs) / len(pairs))
    least = ((1 - margin) / (1 + gain)) ** len(pairs)
    assert least * (1 - 1e-9) <= noninferiority_test(new, old, margin=margin) <= 1
    steady = [[0.5] * 50] * len(pairs)  # as if each task's rate were known
    assert noninferiority_test(steady, steady, margin=margin) >= (1 - margin) ** len(pairs)


@given(SINGLE.filter(lambda pairs: len(pairs) > 2), MARGINS, st.integers(2, 5))
def test_trials_that_are_all_alike_are_worth_one(pairs, margin, trials):
    new, old = once(pairs)
    once_tried = noninferiority_test(new, old, margin=margin)
    often = noninferiority_test(
        [each * trials for each in new], [each * trials for each in old], margin=margin
    )
    assert often == pytest.approx(once_tried)


def test_trials_that_differ_are_worth_more():
    new = [[True, True, False, True, True]] * 20 + [[True] * 5] * 20
    old = [[True, True, True, False, True]] * 20 + [[True] * 5] * 20
    single = [(True, True)] * 32 + [(True, False), (False, True)] * 4
    p = noninferiority_test(new, old, margin=0.1)
    assert p <= 0.05 < noninferiority_test(*once(single), margin=0.1)


def test_some_tasks_that_are_lost_wholly_leave_room_for_more_that_were_not_met():
    half = [True, False] * 15
    new, old = [half] * 58 + [[False] * 30] * 2, [half] * 60
    # Student's t would take it for shown: 0.0167 lost, with an error of 0.0117 and a margin of 0.05
    assert noninferiority_test(new, old, margin=0.05) > 0.05
    assert noninferiority_test(new * 2, old * 2, margin=0.05) < 0.05


@pytest.mark.parametrize("margin", [-0.1, 1.0, math.nan])
def test_a_margin_that_is_none_is_refused(margin):
    with pytest.raises(StatisticsError, match="margin"):
        noninferiority_test([[1]], [[1]], margin=margin)


def test_no_margin_asks_for_a_gain():
    gained = [(True, False)] * 6
    assert noninferiority_test(*once(gained), margin=0.0) == pytest.approx(0.5**6)
    assert noninferiority_test([[True]] * 99, [[True]] * 99, margin=0.0) == 1.0


def test_a_part_of_a_task_that_is_lost_counts_in_part():
    old = [[1.0]] * 60
    p = [
        noninferiority_test([[1.0]] * 59 + [[score]], old, margin=0.05)
        for score in (1.0, 0.75, 0.5, 0.0)
    ]
    assert p == sorted(p)
    assert p[0] < 0.05 < p[1] < p[2] < p[3]
