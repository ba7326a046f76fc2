"""What a sample could show, by every outcome that there can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multinomial

from looplet.errors import StatisticsError
from looplet.evals.statistics import mcnemar_test, minimum_detectable_effect


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
