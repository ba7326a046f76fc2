"""What a sample could show at all. Knows a number of tasks; knows no outcome of a test."""

from __future__ import annotations

import math

from looplet.errors import StatisticsError
from looplet.evals.statistics.checks import check_share
from looplet.evals.statistics.special import binomial_tail, functions, normal_quantile

_STEPS = 40


def minimum_detectable_effect(
    tasks: int, discordance: float, *, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """The smallest true difference of pass rates that the exact McNemar test is likely to find.

    ``discordance`` is the share of tasks on which candidate and baseline differ, 0 to 1 (at least
    the difference differs); ``power`` is how likely the test finds it at ``alpha``, two-sided.
    ``None`` if there are too few tasks for any difference. Raises ``StatisticsError`` without
    tasks and for shares outside 0 to 1; ``MissingExtra`` without scipy.

    Source: the power is summed exactly, as in S. W. Duffy, "Asymptotic and Exact Power for the
    McNemar Test and its Analogue with R Controls per Case", Biometrics 40 (1984), 1005-1015.

    >>> minimum_detectable_effect(5, 0.1) is None
    True
    >>> round(minimum_detectable_effect(100, 0.1), 2)
    0.09
    """
    if tasks < 1 or not 0 <= discordance <= 1:
        raise StatisticsError(
            f"an effect needs tasks and a share of them from 0 to 1; got {tasks} and {discordance}"
        )
    check_share("alpha", alpha)
    check_share("power", power)
    needed = _needed(tasks, alpha)
    if mcnemar_power(tasks, discordance, 1.0, needed) < power:
        return None
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if mcnemar_power(tasks, discordance, middle, needed) < power:
            low = middle
        else:
            high = middle
    return high


def tasks_needed(
    margin: float, discordance: float, *, alpha: float = 0.05, power: float = 0.8
) -> int:
    """About how many tasks of one trial show that a candidate as good as the baseline is no worse.

    ``margin`` is a difference of pass rates, above 0 and below 1; ``discordance`` is the share of
    tasks on which candidate and baseline differ, 0 to 1; ``power`` is how likely it is shown at
    ``alpha``, one-sided. To the formula's tasks come those that it takes where none differs: see
    ``noninferiority_test``. Raises ``StatisticsError`` for shares outside of that; ``MissingExtra``
    without scipy.

    Source: J. Lu and J. A. Bean, "On the Sample Size for One-sided Equivalence of Sensitivities
    Based upon McNemar's Test", Statistics in Medicine 14 (1995), 1831-1839, with the discordance
    that is expected in place of its bounds.

    >>> tasks_needed(0.05, 0), tasks_needed(0.05, 0.1)
    (59, 306)
    """
    check_share("margin", margin)
    check_share("alpha", alpha)
    check_share("power", power)
    if not 0 <= discordance <= 1:
        raise StatisticsError(f"a discordance is a share of tasks, 0 to 1, not {discordance!r}")
    quantiles = normal_quantile(1 - alpha) + normal_quantile(power)
    unseen = math.log(alpha) / math.log1p(-margin)
    return math.ceil(discordance * (quantiles / margin) ** 2 + unseen)


def mcnemar_power(n: int, discordance: float, difference: float, needed: list[int]) -> float:
    """The chance that the test finds a difference above 0, in its true direction.

    ``needed`` are the tasks that must be gained, for 0 to ``n`` that differ.
    """
    import numpy as np

    special = functions()
    share = max(discordance, difference)
    up = (share + difference) / (2 * share) if share else 0.5
    discordant, least = np.arange(n + 1), np.array(needed)
    ways = special.gammaln(n + 1) - special.gammaln(discordant + 1)
    ways = ways - special.gammaln(n - discordant + 1)
    logs = special.xlogy(discordant, share) + special.xlog1py(n - discordant, -share)
    tails = special.bdtrc(np.maximum(least - 1, 0), discordant, min(1.0, up))
    return math.fsum(np.exp(ways + logs) * np.where(least > discordant, 0.0, tails))


def _needed(n: int, alpha: float) -> list[int]:
    """For 0 to ``n`` tasks that differ, how many must be gained for the test to find it.

    One more than there are means that it cannot. With one task more it is as many, or one more.
    """
    found, gained = [], 1
    for discordant in range(n + 1):
        while gained <= discordant and 2 * binomial_tail(gained, discordant, 0.5) > alpha:
            gained += 1
        found.append(gained)
    return found
