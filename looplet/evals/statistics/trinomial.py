"""Pairs of a pass or a fail: the score statistic of their difference, and its exact tail.

Knows three counts, of pairs that were gained, lost and unchanged; knows no task and no trial. The
counts may be fractions: those of a sample that is worth so many pairs.

Source of the statistic: T. Tango, "Equivalence Test and Confidence Interval for the Difference in
Proportions for the Paired-Sample Design", Statistics in Medicine 17 (1998), 891-908.
Source of its exact tail: K. Sidik, "Exact Unconditional Tests for Testing Non-inferiority
in Matched-pairs Design", Statistics in Medicine 22 (2003), 265-278.
"""

from __future__ import annotations

import math
from functools import lru_cache

from looplet.evals.statistics.special import functions

_STEPS = 60
_GRID = 24
_ZOOMS = 4
_NEGLIGIBLE = 1e-18


def score(n: float, gained: float, lost: float, difference: float) -> float:
    """How many standard errors, as they were if ``difference`` held, the seen one lies above it."""
    above = gained - lost - n * difference
    if abs(above) < 1e-12 * n:
        return 0.0
    share = _lost_share(n, gained, lost, difference)
    variance = n * (2 * share + difference * (1 - difference))
    return above / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, above)


def _lost_share(n: float, gained: float, lost: float, difference: float) -> float:
    """The most likely share of lost pairs, if the difference held."""
    b = -gained - lost + (2 * n - gained + lost) * difference
    c = -lost * difference * (1 - difference)
    root = math.sqrt(max(0.0, b * b - 8 * n * c))
    return max(0.0, -difference, (root - b) / (4 * n))


def score_limits(n: float, gained: float, lost: float, z: float) -> tuple[float, float]:
    """The differences from which the seen one lies ``z`` standard errors or less; -1 to 1."""
    return -_upper(n, lost, gained, z), _upper(n, gained, lost, z)


def _upper(n: float, gained: float, lost: float, z: float) -> float:
    low, high = (gained - lost) / n, 1.0
    if score(n, gained, lost, high) >= -z:
        return high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if score(n, gained, lost, middle) >= -z:
            low = middle
        else:
            high = middle
    return low


@lru_cache(maxsize=4096)  # the evals of a suite, and simulated ones, come to few counts
def tail(n: int, least: float, difference: float) -> float:
    """The chance of a score of ``least`` or more in ``n`` pairs, at most, if a difference holds.

    How many pairs differ at all is not known, so it is taken as it is worst. ``difference`` is 0
    or negative, and above -1.
    """
    fewest = _fewest_gained(n, least, difference)
    # Closer where few pairs differ: there the chance changes fastest.
    shares = [-difference + (1 + difference) * (step / _GRID) ** 2 for step in range(_GRID + 1)]
    found = 0.0
    for _ in range(_ZOOMS):
        chances = _chances(n, fewest, difference, shares)
        worst = max(range(_GRID + 1), key=chances.__getitem__)
        found = max(found, chances[worst])
        near, far = shares[max(0, worst - 1)], shares[min(_GRID, worst + 1)]
        shares = [near + (far - near) * step / _GRID for step in range(_GRID + 1)]
    return min(1.0, found)


def _fewest_gained(n: int, least: float, difference: float) -> list[int]:
    """For 0 to ``n`` pairs that differ, how many must be gained for such a score, at least.

    One more than there are means that it cannot be. With one more lost the score is lower, with
    one more gained instead it is not, so each number is the last or one above it.
    """
    found, gained = [], 0
    enough = least - 1e-9
    for discordant in range(n + 1):
        while gained <= discordant and score(n, gained, discordant - gained, difference) < enough:
            gained += 1
        found.append(gained)
    return found


def _chances(n: int, fewest: list[int], difference: float, shares: list[float]) -> list[float]:
    """The chance of such a score for each share of pairs that differ."""
    import numpy as np

    special = functions()
    discordant, share = np.arange(n + 1), np.array(shares)[:, None]
    up = np.where(share > 0, (share + difference) / (2 * np.where(share > 0, share, 1)), 0.5)
    ways = special.gammaln(n + 1) - special.gammaln(discordant + 1)
    ways = ways - special.gammaln(n - discordant + 1)
    logs = special.xlogy(discordant, share) + special.xlog1py(n - discordant, -share)
    chances = np.exp(ways + logs)
    needed = np.array(fewest) + np.zeros_like(chances, dtype=int)
    # The tail is what takes time, and most numbers of pairs that differ are next to impossible.
    rows, columns = np.nonzero((chances > _NEGLIGIBLE) & (needed <= discordant))
    least = needed[rows, columns]
    tails = special.bdtrc(np.maximum(least - 1, 0), columns, np.clip(up[rows, 0], 0, 1))
    tails = np.where(least == 0, 1.0, tails) * chances[rows, columns]
    return [float(each) for each in np.bincount(rows, weights=tails, minlength=len(shares))]
