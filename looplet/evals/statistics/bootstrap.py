"""The bootstrap over tasks, by scipy. Knows values of tasks and a statistic of them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from looplet.errors import StatisticsError
from looplet.evals.statistics.checks import check_numbers, check_share
from looplet.evals.statistics.intervals import Interval
from looplet.evals.statistics.special import missing


def bootstrap_interval(
    tasks: Sequence[Sequence[float]],
    statistic: Callable[[Sequence[float]], float] | None = None,
    confidence: float = 0.95,
    *,
    resamples: int = 9_999,
    seed: int = 0,
) -> Interval:
    """The BCa bootstrap interval of any statistic of the tasks' means; by itself their mean.

    ``tasks`` holds one sequence of trials a task, in any unit; whole tasks are drawn again, so that
    trials of one task stay together. It is for statistics that have no interval of their own, such
    as a median, and for some tens of tasks: of fewer, or of rates near 0 or 1, it promises too
    much. Raises ``StatisticsError`` for fewer than three tasks and for tasks that are all equal,
    from which nothing can be drawn; ``MissingExtra`` without scipy.

    Source: B. Efron, "Better Bootstrap Confidence Intervals", Journal of the American Statistical
    Association 82 (1987), 171-185.

    >>> low, high = bootstrap_interval([[310], [280, 320], [400], [365], [290]])
    >>> f"{low:.0f} to {high:.0f}"
    '300 to 375'
    """
    check_share("confidence", confidence)
    values = _values(tasks, resamples)
    try:
        from scipy import stats
    except ImportError as error:
        raise missing(error) from error
    options: dict[str, Any] = {"confidence_level": confidence, "n_resamples": resamples}
    options |= {"vectorized": False} if statistic else {"axis": -1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a degenerate sample, which is refused below
        found = stats.bootstrap(
            (values,), statistic or _mean(), method="BCa", rng=_draw(seed), **options
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    if math.isnan(low) or math.isnan(high):
        raise StatisticsError(
            "the statistic hardly changes when a task is left out, so BCa cannot correct its "
            "bootstrap; give more tasks, or another statistic"
        )
    if statistic is None:  # a mean lies among its values, but for the rounding of floats
        low, high = (min(max(end, min(values)), max(values)) for end in (low, high))
    return Interval(low, high)


def _values(tasks: Sequence[Sequence[float]], resamples: int) -> list[float]:
    if len(tasks) < 3 or not all(tasks) or resamples < 1:  # noqa: PLR2004 - two swap, no more
        raise StatisticsError(
            f"a bootstrap needs three tasks or more, each with trials, and resamples; got "
            f"{len(tasks)} and {resamples}"
        )
    for trials in tasks:
        check_numbers(trials, "the sample")
    values = [math.fsum(trials) / len(trials) for trials in tasks]
    if max(values) - min(values) <= 1e-12 * max(map(abs, values)):
        raise StatisticsError(
            "all tasks are equal, so every resample is; for passes and fails take "
            "clustered_interval, which knows what so many equal tasks allow"
        )
    return values


def _mean() -> Callable[..., Any]:
    import numpy as np

    return np.mean


def _draw(seed: int) -> Any:
    import numpy as np

    return np.random.default_rng(seed)
