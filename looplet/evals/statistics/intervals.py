"""Intervals of a rate or a mean score. Knows trials by task; knows no comparison."""

from __future__ import annotations

import math
from typing import NamedTuple

from looplet.errors import StatisticsError
from looplet.evals.statistics.checks import (
    Tasks,
    check_share,
    check_tasks,
    is_pass_fail,
    means,
    trials_a_task,
)
from looplet.evals.statistics.effective import RATE_EVENTS, effective_tasks
from looplet.evals.statistics.special import normal_quantile


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def wilson_interval(passed: int, n: int, confidence: float = 0.95) -> Interval:
    """The score interval of a proportion, ``passed`` of ``n`` independent trials.

    Bounds are rates from 0 to 1. Raises ``StatisticsError`` (a ``ValueError``) if there are no
    trials, more passed than there are, or a confidence outside 0 to 1; ``MissingExtra`` without
    scipy.

    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    Journal of the American Statistical Association 22 (1927), 209-212.

    >>> low, high = wilson_interval(15, 18)
    >>> f"{low:.3f} to {high:.3f}"
    '0.608 to 0.942'
    """
    if n < 1 or not 0 <= passed <= n:
        raise StatisticsError(
            f"an interval needs trials, and passed among them; got {passed} of {n}"
        )
    check_share("confidence", confidence)
    return score_interval(passed / n, n, confidence)


def clustered_interval(tasks: Tasks, confidence: float = 0.95) -> Interval:
    """The interval of the mean over tasks, each of which was tried once or more.

    ``tasks`` holds one sequence of trials a task, bools or scores from 0 to 1; every task weighs
    the same, and the tasks are taken as a sample of those that could be asked. Trials of one task
    are alike, so they do not count as independent: the score interval is taken at the number of
    single trials that the sample is worth. Raises ``StatisticsError`` without tasks or trials, and
    for values outside 0 to 1; ``MissingExtra`` without scipy.

    Sources: Wilson (1927), with the effective sample size of E. L. Korn and B. I. Graubard,
    "Confidence Intervals for Proportions with Small Expected Number of Positive Counts Estimated
    from Survey Data", Survey Methodology 24 (1998), 193-201; what it is worth where nothing varies
    is our own choice, checked by simulation (docs/benchmarks.md).

    >>> low, high = clustered_interval([[1, 1, 1], [0, 0, 0], [1, 1, 1], [1, 0, 1]])
    >>> f"{low:.2f} to {high:.2f}"  # not that of 8 of 12, which is 0.39 to 0.86
    '0.25 to 0.92'
    """
    check_tasks(tasks)
    check_share("confidence", confidence)
    rates = means(tasks)
    n = len(rates)
    rate = math.fsum(rates) / n
    most = trials_a_task(tasks) if is_pass_fail(tasks) else math.inf
    worth = effective_tasks(
        n=n,
        single=n * rate * (1 - rate),
        seen=math.fsum((each - rate) ** 2 for each in rates),
        events=RATE_EVENTS,
        most=most,
    )
    return score_interval(rate, worth, confidence)


def score_interval(rate: float, n: float, confidence: float) -> Interval:
    """Wilson's interval around a rate of ``n`` trials, which may be a fraction."""
    z = normal_quantile((1 + confidence) / 2)
    spread = z * z / n
    middle = (rate + spread / 2) / (1 + spread)
    half = z * math.sqrt(max(0.0, rate * (1 - rate)) / n + spread / (4 * n)) / (1 + spread)
    low = 0.0 if rate <= 0 else min(rate, max(0.0, middle - half))
    high = 1.0 if rate >= 1 else max(rate, min(1.0, middle + half))
    return Interval(low, high)
