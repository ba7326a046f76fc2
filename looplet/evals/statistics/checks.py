"""What statistics refuse, in words that say what to give instead. Knows numbers only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from looplet.errors import StatisticsError

Tasks = Sequence[Sequence[float]]
"""One sequence of trials a task; every trial a rate or score from 0 to 1, or a bool."""


def check_share(name: str, value: float) -> None:
    """Refuse a confidence, an alpha or a power that does not lie between 0 and 1."""
    if not 0 < value < 1:
        raise StatisticsError(f"{name} lies between 0 and 1, not at {value!r}")


def check_numbers(values: Iterable[float], what: str) -> None:
    """Refuse NaN and infinities, which would pass through every mean unseen."""
    for value in values:
        if not math.isfinite(value):
            raise StatisticsError(
                f"{what} holds {value!r}; leave out what is not evaluable, and report it beside"
            )


def check_tasks(tasks: Tasks, what: str = "the sample") -> None:
    """Refuse a sample without tasks, a task without trials and values outside 0 to 1."""
    if not tasks:
        raise StatisticsError(f"{what} has no tasks; an estimate needs at least one")
    for place, trials in enumerate(tasks):
        if not trials:
            raise StatisticsError(f"task {place} of {what} has no trials; leave it out")
        check_numbers(trials, what)
        for value in trials:
            if not 0 <= value <= 1:
                raise StatisticsError(
                    f"{what} holds {value!r}, which is not from 0 to 1; scale the scores by the "
                    "bounds that they can reach"
                )


def check_pairs(candidate: Sequence[object], baseline: Sequence[object]) -> None:
    """Refuse two sides that do not have the same tasks."""
    if len(candidate) != len(baseline):
        raise StatisticsError(
            f"a paired comparison needs the same tasks on both sides, in the same order; got "
            f"{len(candidate)} and {len(baseline)}"
        )


def is_pass_fail(tasks: Tasks) -> bool:
    """Whether every trial is a pass (1) or a fail (0)."""
    return all(value in (0, 1) for trials in tasks for value in trials)


def means(tasks: Tasks) -> list[float]:
    """The mean of each task's trials."""
    return [math.fsum(trials) / len(trials) for trials in tasks]


def trials_a_task(tasks: Tasks) -> float:
    """How often tasks were tried, as their mean's variance has it: the harmonic mean.

    Every task weighs the same, so a thousand trials of one make the others no surer.
    """
    return len(tasks) / math.fsum(1 / len(trials) for trials in tasks)
