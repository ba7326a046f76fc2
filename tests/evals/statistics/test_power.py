"""What a sample could show, by every outcome that there can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multinomial

from looplet.errors import StatisticsError
from looplet.evals.statistics import (
    mcnemar_test,
    minimum_detectable_effect,
    noninferiority_test,
    tasks_needed,
)


def found(n, discordance, difference, alpha):
    """How likely the test finds a difference above 0."""
    share = max(discordance, difference)
    parts = [(share + difference) / 2, max(0.0, (share - difference) / 2), 1 - share]
    return sum(
        multinomial.pmf([gained, lost, n - gained - lost], n, parts)
        for gained in range(n + 1)
        for lost in range(n + 1 - gained)
        if gained > lost and mcnemar_test(gained, lost) <= alpha
    )


@given(st.integers(4, 14), st.floats(0, 1), st.sampled_from([0.05, 0.2]))
def test_what_is_detectable_is_found_so_often_and_a_little_less_is_not(n, discordance, alpha):
    effect = minimum_detectable_effect(n, discordance, alpha=alpha, power=0.7)
    if effect is None:
        assert found(n, discordance, 1.0, alpha) < 0.7
    else:
        assert found(n, discordance, effect, alpha) >= 0.7 - 1e-6
        assert found(n, discordance, effect - 1e-4, alpha) < 0.7


def test_more_tasks_show_less():
    effects = [minimum_detectable_effect(n, 0.2) for n in (10, 100, 1000)]
    assert effects == sorted(effects, reverse=True)
    assert len(set(effects)) == 3


@pytest.mark.parametrize(
    ("tasks", "discordance", "options"),
    [(0, 0.1, {}), (5, 1.2, {}), (5, 0.1, {"alpha": 0}), (5, 0.1, {"power": 1})],
)
def test_what_is_no_sample_is_refused(tasks, discordance, options):
    with pytest.raises(StatisticsError):
        minimum_detectable_effect(tasks, discordance, **options)


@pytest.mark.parametrize(("margin", "discordance"), [(0.2, 0.0), (0.3, 0.2), (0.25, 0.1)])
def test_so_many_tasks_show_an_equal_candidate_to_be_no_worse(margin, discordance):
    n = tasks_needed(margin, discordance)
    half = discordance / 2
    shown = 0.0
    for gained in range(n + 1):
        for lost in range(n + 1 - gained):
            chance = multinomial.pmf(
                [gained, lost, n - gained - lost], n, [half, half, 1 - 2 * half]
            )
            if chance > 1e-6:
                ours = [[1]] * (n - lost) + [[0]] * lost
                theirs = [[0]] * gained + [[1]] * (n - gained)
                shown += chance * (noninferiority_test(ours, theirs, margin=margin) <= 0.05)
    assert shown >= 0.78
    few = [[1]] * (tasks_needed(margin, 0) - 1)
    assert noninferiority_test(few, few, margin=margin) > 0.05


@given(st.floats(0.01, 0.5), st.floats(0, 0.9), st.floats(0.01, 0.3))
def test_it_takes_more_tasks_for_less_and_where_more_differ(margin, discordance, alpha):
    needed = tasks_needed(margin, discordance, alpha=alpha)
    assert tasks_needed(margin / 2, discordance, alpha=alpha) > needed
    assert tasks_needed(margin, discordance + 0.1, alpha=alpha) >= needed
    assert tasks_needed(margin, discordance, alpha=alpha / 2) >= needed


@pytest.mark.parametrize(("margin", "discordance"), [(0, 0.1), (1, 0.1), (0.1, -0.1), (0.1, 1.1)])
def test_no_number_of_tasks_is_told_for_what_is_no_share(margin, discordance):
    with pytest.raises(StatisticsError):
        tasks_needed(margin, discordance)
