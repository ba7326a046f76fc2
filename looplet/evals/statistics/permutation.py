"""The sign-flip test of paired differences. Knows one number a task.

If candidate and baseline were alike, each task's difference could as well have had the other sign.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from fractions import Fraction

from looplet.errors import StatisticsError
from looplet.evals.statistics.checks import check_numbers

_FINEST = 1_000
"""Differences are fractions of trials if no denominator is above this."""
_MOST_SUMS = 200_000
_ALL_FLIPS = 20
"""Up to so many differences every flip is tried: 2^20 sums."""
_SLACK = 1e-9


def permutation_test(differences: Sequence[float], *, flips: int = 20_000, seed: int = 0) -> float:
    """The two-sided p-value that candidate and baseline are alike, above 0 and at most 1.

    ``differences`` holds one number a task, candidate minus baseline. The p-value is exact for
    differences that are fractions, such as those of pass rates, and for up to 20 others; for more
    it is estimated from ``flips`` random ones, drawn from ``seed``, and never 0. On tasks that were
    tried once it is the p-value of ``mcnemar_test``. Raises ``StatisticsError`` without
    differences or without flips; ``MissingExtra`` without numpy.

    Sources: R. A. Fisher, "The Design of Experiments" (1935), section 21; for the estimate,
    B. Phipson and G. K. Smyth, "Permutation P-values Should Never Be Zero", Statistical
    Applications in Genetics and Molecular Biology 9 (2010), article 39.

    >>> permutation_test([0.5, 0.25, 0.5, 1.0, 0.25])
    0.0625
    """
    if not differences or flips < 1:
        raise StatisticsError("a permutation test needs differences, and at least one flip")
    check_numbers(differences, "the sample")
    largest = max(map(abs, differences))
    # What is left of two equal means by rounding is no difference.
    sizes = sorted(abs(each) for each in differences if abs(each) > 1e-12 * largest)
    seen = abs(math.fsum(differences))
    if not sizes or seen <= _SLACK * math.fsum(sizes):
        return 1.0
    whole = _as_whole_numbers(sizes)
    if whole is not None:
        return _by_counting(whole, seen / math.fsum(sizes))
    if len(sizes) <= _ALL_FLIPS:
        return _by_all_flips(sizes, seen)
    return _by_random_flips(sizes, seen, flips, seed)


def _as_whole_numbers(sizes: Sequence[float]) -> list[int] | None:
    """The sizes as multiples of one fraction; ``None`` if they are not, or there are too many."""
    near = [Fraction(each).limit_denominator(_FINEST) for each in sizes]
    if any(abs(part - size) > 1e-12 * size for part, size in zip(near, sizes, strict=True)):
        return None
    scale = math.lcm(*(part.denominator for part in near))
    whole = [int(part * scale) for part in near]
    unit = math.gcd(*whole)
    return [each // unit for each in whole] if sum(whole) // unit <= _MOST_SUMS else None


def _by_counting(sizes: Sequence[int], seen: float) -> float:
    """``seen`` is the share of the largest sum; the chance of each sum is counted up."""
    import numpy as np

    total = sum(sizes)
    chances = np.zeros(total + 1)
    chances[0] = 1.0
    for size in sizes:
        chances[size:] = (chances[size:] + chances[:-size]) / 2
        chances[:size] /= 2
    sums = np.abs(2 * np.arange(total + 1) - total)
    return _among_chances(float(chances[sums >= round(seen * total)].sum()))


def _by_all_flips(sizes: Sequence[float], seen: float) -> float:
    import numpy as np

    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums + size, sums - size])
    return float(np.mean(np.abs(sums) >= seen - _SLACK * math.fsum(sizes)))


def _by_random_flips(sizes: Sequence[float], seen: float, flips: int, seed: int) -> float:
    import numpy as np

    draw, values = np.random.default_rng(seed), np.array(sizes)
    enough, hits, batch = seen - _SLACK * math.fsum(sizes), 0, max(1, 2_000_000 // len(sizes))
    for start in range(0, flips, batch):
        signs = draw.integers(0, 2, size=(min(batch, flips - start), len(sizes))) * 2 - 1
        hits += int((np.abs(signs @ values) >= enough).sum())
    return (hits + 1) / (flips + 1)


def _among_chances(p: float) -> float:
    return min(1.0, max(p, sys.float_info.min))
