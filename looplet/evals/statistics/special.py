"""Quantiles and tails of distributions: the one place that knows scipy's special functions.

``scipy.special`` alone: ``scipy.stats`` would take four times as long to import, in every run.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

from looplet.errors import MissingExtra

if TYPE_CHECKING:
    from types import ModuleType


def functions() -> ModuleType:
    """The special functions of scipy. Raises ``MissingExtra`` without scipy."""
    try:
        from scipy import special
    except ImportError as error:
        raise missing(error) from error
    return special


def missing(error: ImportError) -> MissingExtra:
    """What to raise where scipy cannot be imported."""
    return MissingExtra(error.name or "scipy", needed_for="looplet.evals.statistics", extra="evals")


def normal_quantile(probability: float) -> float:
    """The standard normal's quantile.

    From the standard library, since every table of evals has an interval, and scipy takes a fifth
    of a second to import.
    """
    if 0 < probability < 1:
        return NormalDist().inv_cdf(probability)
    return math.copysign(math.inf, probability - 0.5)  # a share so near to 0 or 1 that it is that


def student_quantile(probability: float, degrees: float) -> float:
    """The quantile of Student's t with so many degrees of freedom."""
    return float(functions().stdtrit(degrees, probability))


def student_tail(value: float, degrees: float) -> float:
    """The probability that Student's t lies at or above a value."""
    return float(functions().stdtr(degrees, -value))


def binomial_tail(least: int, n: int, probability: float) -> float:
    """The probability of ``least`` or more successes in ``n`` trials."""
    if least <= 0:
        return 1.0
    return float(functions().bdtrc(least - 1, n, probability)) if least <= n else 0.0
