"""Candidate and baseline on the same tasks: tests and intervals of their difference.

Knows trials by task; knows no eval and no margin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from looplet.errors import StatisticsError
from looplet.evals.statistics.checks import Tasks, check_numbers, check_pairs, check_share, means
from looplet.evals.statistics.effective import DIFFERENCE_EVENTS
from looplet.evals.statistics.intervals import Interval
from looplet.evals.statistics.pairs import Pairs, pair
from looplet.evals.statistics.special import (
    binomial_tail,
    normal_quantile,
    student_quantile,
    student_tail,
)
from looplet.evals.statistics.trinomial import score_limits


def mcnemar_test(gained: int, lost: int) -> float:
    """The exact two-sided p-value that as many single-trial tasks were gained as lost.

    ``gained`` tasks pass for the candidate alone, ``lost`` ones for the baseline alone; tasks on
    which both agree say nothing. Raises ``StatisticsError`` for negative counts; ``MissingExtra``
    without scipy.

    Source: Q. McNemar, "Note on the Sampling Error of the Difference between Correlated
    Proportions or Percentages", Psychometrika 12 (1947), 153-157, with the binomial distribution
    in place of its approximation.

    >>> mcnemar_test(1, 6)
    0.125
    """
    if gained < 0 or lost < 0:
        raise StatisticsError(f"counts are 0 or more; got {gained} gained and {lost} lost")
    return min(1.0, 2 * binomial_tail(max(gained, lost), gained + lost, 0.5))


def paired_interval(candidate: Tasks, baseline: Tasks, confidence: float = 0.95) -> Interval:
    """The interval of the mean difference, candidate minus baseline, on the tasks that both have.

    Both sides hold one sequence of trials a task, in the same order, bools or scores from 0 to 1;
    bounds lie from -1 to 1. It holds for few tasks, for rates near 0 and 1, and where all trials
    agree: then it is as wide as that many tasks without an event demand. Raises ``StatisticsError``
    for sides that do not match and for values outside 0 to 1; ``MissingExtra`` without scipy.

    Source: T. Tango, "Equivalence Test and Confidence Interval for the Difference in Proportions
    for the Paired-Sample Design", Statistics in Medicine 17 (1998), 891-908, at the number of tasks
    that the sample is worth, as in ``clustered_interval``.

    >>> low, high = paired_interval([[1], [1], [1], [0]] * 5, [[1], [0], [1], [1]] * 5)
    >>> f"{low:.2f} to {high:.2f}"
    '-0.31 to 0.31'
    """
    check_share("confidence", confidence)
    return interval_of(pair(candidate, baseline), confidence)


def interval_of(pairs: Pairs, confidence: float) -> Interval:
    """The score interval of the difference."""
    n = pairs.worth(DIFFERENCE_EVENTS)
    z = normal_quantile((1 + confidence) / 2)
    return Interval(*score_limits(n, pairs.gained * n, pairs.lost * n, z))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """A mean difference of scores, in the scores' own unit."""

    difference: float
    """Mean over tasks, candidate minus baseline."""
    standard_error: float
    """Clustered by task."""
    interval: Interval
    p_value: float
    """Two-sided, that the difference is 0."""
    tasks: int


def paired_difference(
    candidate: Sequence[Sequence[float]],
    baseline: Sequence[Sequence[float]],
    confidence: float = 0.95,
) -> PairedDifference:
    """The mean difference of scores that have no bounds, such as tokens or seconds.

    Both sides hold one sequence of trials a task, in the same order; every task weighs the same,
    and its trials count as one. For scores from 0 to 1 take ``paired_interval``: this one rests on
    the normal distribution of the tasks' mean, which few tasks or rare events do not give. Raises
    ``StatisticsError`` for fewer than two tasks, for differences that are all equal, from which no
    spread can be told, and for sides that do not match; ``MissingExtra`` without scipy.

    Source: E. Miller, "Adding Error Bars to Evals: A Statistical Approach to Language Model
    Evaluations" (2024): clustered standard errors and paired differences; with Student's t in
    place of the normal distribution.

    >>> found = paired_difference([[310], [280, 320], [400]], [[350], [330], [410]])
    >>> f"{found.difference:.0f} tokens, {found.interval.low:.0f} to {found.interval.high:.0f}"
    '-27 tokens, -65 to 11'
    """
    check_share("confidence", confidence)
    differences = differences_of(candidate, baseline)
    n = len(differences)
    mean = math.fsum(differences) / n
    spread = math.fsum((each - mean) ** 2 for each in differences)
    if n < 2 or spread <= 1e-24 * n * max(1.0, mean * mean):  # noqa: PLR2004 - a spread needs two
        raise StatisticsError(
            f"the spread of differences cannot be told from {n} of them that are all equal"
            if n > 1
            else "the spread of differences cannot be told from one task; add tasks, not trials"
        )
    error = math.sqrt(spread / (n - 1) / n)
    half = student_quantile((1 + confidence) / 2, n - 1) * error
    return PairedDifference(
        difference=mean,
        standard_error=error,
        interval=Interval(mean - half, mean + half),
        p_value=min(1.0, 2 * student_tail(abs(mean) / error, n - 1)),
        tasks=n,
    )


def differences_of(
    candidate: Sequence[Sequence[float]], baseline: Sequence[Sequence[float]]
) -> list[float]:
    """Each task's mean over trials, candidate minus baseline."""
    check_pairs(candidate, baseline)
    for what, tasks in (("the candidate", candidate), ("the baseline", baseline)):
        if not tasks or not all(tasks):
            raise StatisticsError(f"{what} has no tasks, or one without trials; leave it out")
        for trials in tasks:
            check_numbers(trials, what)
    return [new - old for new, old in zip(means(candidate), means(baseline), strict=True)]
