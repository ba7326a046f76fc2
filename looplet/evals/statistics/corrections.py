"""P-values of many evals, corrected for their number. Knows p-values only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal, get_args

from looplet.errors import StatisticsError

Correction = Literal["holm", "benjamini-hochberg", "none"]


def correct(p_values: Sequence[float], method: Correction = "holm") -> list[float]:
    """The p-values corrected by a method's name, in their own order.

    Raises ``StatisticsError`` for an unknown name, and as the methods do.

    >>> correct([0.01, 0.04], "none")
    [0.01, 0.04]
    """
    if method == "holm":
        return holm(p_values)
    if method == "benjamini-hochberg":
        return benjamini_hochberg(p_values)
    if method == "none":
        _check(p_values)
        return list(p_values)
    raise StatisticsError(
        f"there is no correction {method!r}; take one of {', '.join(get_args(Correction))}"
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the chance of any false finding, in the order given.

    Raises ``StatisticsError`` for a p-value outside 0 to 1.

    Source: S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian
    Journal of Statistics 6 (1979), 65-70.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    _check(p_values)
    n = len(p_values)
    order = sorted(range(n), key=p_values.__getitem__)
    scaled = [min(1.0, (n - rank) * p_values[place]) for rank, place in enumerate(order)]
    return _put_back(order, list(accumulate(scaled, max)))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the expected share of false findings among all findings.

    It allows more than ``holm``: where many evals differ, some of the findings may be false.
    Raises ``StatisticsError`` for a p-value outside 0 to 1.

    Source: Y. Benjamini and Y. Hochberg, "Controlling the False Discovery Rate", Journal of the
    Royal Statistical Society B 57 (1995), 289-300, procedure (1).

    >>> [round(p, 3) for p in benjamini_hochberg([0.01, 0.04, 0.03])]
    [0.03, 0.04, 0.04]
    """
    _check(p_values)
    n = len(p_values)
    order = sorted(range(n), key=p_values.__getitem__)
    scaled = [min(1.0, n / (rank + 1) * p_values[place]) for rank, place in enumerate(order)]
    return _put_back(order, list(accumulate(reversed(scaled), min))[::-1])


def _put_back(order: Sequence[int], values: Sequence[float]) -> list[float]:
    placed = dict(zip(order, values, strict=True))
    return [placed[place] for place in range(len(order))]


def _check(p_values: Sequence[float]) -> None:
    for p in p_values:
        if not 0 <= p <= 1:
            raise StatisticsError(f"a p-value lies from 0 to 1, not at {p!r}")
