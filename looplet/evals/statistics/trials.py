"""Trials of tasks: what was observed, and what may be counted. Knows values; knows no eval.

A recording that is replayed shows again what one trial did. So replays of one recording are one
trial, and counting them as several is refused.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from looplet.errors import ReplaysCounted, StatisticsError


@dataclass(frozen=True, slots=True)
class Observation:
    """What one eval said of one trial of a task."""

    task_id: str
    trial: int
    """Which of the task's trials it was; no two of a task have the same number."""
    value: bool | float | None
    """Passed or failed, or a score; ``None`` if the eval found nothing to judge."""
    cassette_hash: str | None = None
    """The recording of this one run, if it was replayed from one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTrials:
    """Observations by task."""

    values: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """What there is of each task that has a value, in the order observed; a pass is 1."""
    not_evaluable: dict[str, int] = field(default_factory=dict)
    """How many trials of a task had nothing to judge. They are no zeros: they are not counted."""
    recordings: dict[str, frozenset[str]] = field(default_factory=dict)
    """The recordings that each task's trials were replayed from."""
    pass_fail: bool = True
    """Whether there are passes and fails only, and no scores."""


def group_trials(observations: Iterable[Observation]) -> TaskTrials:
    """Observations of one eval and one agent, by task.

    Raises ``ReplaysCounted`` if two trials of a task come from the same recording, and
    ``StatisticsError`` for a trial that is there twice and for NaN and infinities.

    >>> group_trials([Observation("pears", 0, True), Observation("pears", 1, None)]).values
    {'pears': (1.0,)}
    """
    by_task: dict[str, list[Observation]] = {}
    for each in observations:
        by_task.setdefault(each.task_id, []).append(each)
    for task_id, trials in by_task.items():
        _refuse_doubles(task_id, trials)
    values = {task_id: _values(trials) for task_id, trials in by_task.items()}
    missing = {task_id: len(by_task[task_id]) - len(found) for task_id, found in values.items()}
    return TaskTrials(
        values={task_id: found for task_id, found in values.items() if found},
        not_evaluable={task_id: count for task_id, count in missing.items() if count},
        recordings={task_id: _recordings(trials) for task_id, trials in by_task.items()},
        pass_fail=all(
            each.value is None or isinstance(each.value, bool)
            for trials in by_task.values()
            for each in trials
        ),
    )


def _values(trials: Iterable[Observation]) -> tuple[float, ...]:
    found = tuple(float(each.value) for each in trials if each.value is not None)
    for value in found:
        if not math.isfinite(value):
            raise StatisticsError(f"{value} is no score; give None for what is not evaluable")
    return found


def _recordings(trials: Iterable[Observation]) -> frozenset[str]:
    return frozenset(each.cassette_hash for each in trials if each.cassette_hash is not None)


def _refuse_doubles(task_id: str, trials: list[Observation]) -> None:
    numbers = Counter(each.trial for each in trials)
    twice = [number for number, count in numbers.items() if count > 1]
    if twice:
        raise StatisticsError(
            f"task {task_id!r} has trial {twice[0]} more than once; number its trials, and give "
            "each one's value once"
        )
    recorded = Counter(each.cassette_hash for each in trials if each.cassette_hash is not None)
    for recording, count in recorded.items():
        if count > 1:
            raise ReplaysCounted(
                f"task {task_id!r} has {count} trials from the one recording {recording!r}. "
                "Replays of a recording repeat one trial and say nothing of how others would go, "
                "so they count as one: give one of them, or record the task anew for each trial"
            )
