"""Tasks whose verdict differs from trial to trial. Knows observations of one eval."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from looplet.evals.statistics.passk import pass_hat_k
from looplet.evals.statistics.trials import Observation, group_trials


@dataclass(frozen=True, slots=True, kw_only=True)
class FlakyTask:
    """A task of which some trials passed and some did not."""

    task_id: str
    passed: int
    trials: int

    def pass_hat_k(self, k: int) -> float:
        """The chance that all of ``k`` trials pass, 0 to 1; as ``statistics.pass_hat_k``."""
        return pass_hat_k(self.passed, self.trials, k)


def flaky_tasks(
    observations: Iterable[Observation], *, passing_score: float = 0.5
) -> list[FlakyTask]:
    """The flaky tasks of one eval, those first whose verdict is least certain.

    A score passes from ``passing_score`` on. Trials that are not evaluable count neither way, and
    a task that was tried once cannot be told to be flaky. Raises as ``group_trials`` does:
    replays of one recording, which cannot differ, are refused.

    >>> found = flaky_tasks(Observation("pears", trial, trial != 2) for trial in range(4))
    >>> found, found[0].pass_hat_k(2)
    ([FlakyTask(task_id='pears', passed=3, trials=4)], 0.5)
    """
    counts = {
        task_id: (sum(value >= passing_score for value in values), len(values))
        for task_id, values in group_trials(observations).values.items()
    }
    flaky = [
        FlakyTask(task_id=task_id, passed=passed, trials=trials)
        for task_id, (passed, trials) in counts.items()
        if 0 < passed < trials
    ]
    return sorted(flaky, key=lambda each: abs(each.passed / each.trials - 0.5))
