"""Two sides of the same tasks as pairs that were gained, lost and unchanged. Knows trials by task.

A score of 0.7 is taken as a trial that passes seven times of ten: its pairs vary more than the
scores do, and how much more is what ``effective_tasks`` finds out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from looplet.evals.statistics.checks import (
    Tasks,
    check_pairs,
    check_tasks,
    is_pass_fail,
    means,
    trials_a_task,
)
from looplet.evals.statistics.effective import effective_tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Shares of pairs, and what the sample knows of their spread."""

    n: int
    """Tasks."""
    gained: float
    """Share of pairs that the candidate passes and the baseline does not, 0 to 1."""
    lost: float
    """Share of pairs that the baseline passes and the candidate does not, 0 to 1."""
    seen: float
    """Sum of squares of the tasks' differences around their mean."""
    most: float
    """Trials a task, the harmonic mean of all tasks' and sides', if trials pass or fail; else
    infinity."""

    @property
    def difference(self) -> float:
        """Mean over tasks of candidate minus baseline, -1 to 1."""
        return self.gained - self.lost

    def worth(self, events: float) -> float:
        """The number of independent pairs that the sample is worth."""
        spread = max(0.0, self.gained + self.lost - self.difference**2)
        return effective_tasks(
            n=self.n, single=self.n * spread, seen=self.seen, events=events, most=self.most
        )


def pair(candidate: Tasks, baseline: Tasks) -> Pairs:
    """Pairs of each task's trials, every task with the same weight.

    Raises ``StatisticsError`` for sides of different length, without tasks or trials, and for
    values outside 0 to 1.
    """
    check_pairs(candidate, baseline)
    check_tasks(candidate, "the candidate")
    check_tasks(baseline, "the baseline")
    ours, theirs = means(candidate), means(baseline)
    rates = list(zip(ours, theirs, strict=True))
    n = len(rates)
    gained = math.fsum(new * (1 - old) for new, old in rates) / n
    lost = math.fsum(old * (1 - new) for new, old in rates) / n
    return Pairs(
        n=n,
        gained=gained,
        lost=lost,
        seen=math.fsum((new - old - (gained - lost)) ** 2 for new, old in rates),
        most=_trials(candidate, baseline),
    )


def _trials(candidate: Tasks, baseline: Tasks) -> float:
    if not (is_pass_fail(candidate) and is_pass_fail(baseline)):
        return math.inf
    return 2 / (1 / trials_a_task(candidate) + 1 / trials_a_task(baseline))
