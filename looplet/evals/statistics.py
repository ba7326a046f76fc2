"""Statistics of verdicts. Knows counts; knows no eval and no run."""

from __future__ import annotations

import math
from typing import NamedTuple

from looplet.errors import MissingExtra


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def wilson_interval(passed: int, n: int, confidence: float = 0.95) -> Interval:
    """The score interval of a proportion, ``passed`` of ``n`` independent trials.

    Bounds are rates from 0 to 1. Raises ``ValueError`` if there are no trials, more passed than
    there are, or a confidence outside 0 to 1; ``MissingExtra`` without scipy.

    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    Journal of the American Statistical Association 22 (1927), 209-212.

    >>> low, high = wilson_interval(15, 18)
    >>> f"{low:.3f} to {high:.3f}"
    '0.608 to 0.942'
    """
    if n < 1 or not 0 <= passed <= n:
        raise ValueError(f"an interval needs trials, and passed among them; got {passed} of {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1, not at {confidence!r}")
    z = _normal_quantile((1 + confidence) / 2)
    rate, spread = passed / n, z * z / n
    middle = (rate + spread / 2) / (1 + spread)
    half = z * math.sqrt(rate * (1 - rate) / n + spread / (4 * n)) / (1 + spread)
    low = 0.0 if passed == 0 else max(0.0, middle - half)
    high = 1.0 if passed == n else min(1.0, middle + half)
    return Interval(low, high)


def _normal_quantile(probability: float) -> float:
    # scipy.special alone: scipy.stats would take four times as long to import, in every run.
    try:
        from scipy.special import ndtri
    except ImportError as error:
        raise MissingExtra("scipy", needed_for="an interval", extra="evals") from error
    return float(ndtri(probability))
