"""Where scores vary: tasks, environment, agent, judge. Knows ratings; knows no eval."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from looplet.errors import StatisticsError
from looplet.evals.statistics.checks import check_numbers

SOURCES = ("task", "environment", "agent", "judge")
Group = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """One judgement of one trial."""

    task_id: str
    environment: Hashable = 0
    """Which state of the world the task was set in: a seed, a fixture, a simulated user."""
    trial: int
    """Which of the agent's runs in that environment."""
    judgement: int = 0
    """Which of the judgements of that run."""
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceSplit:
    """Variance components, in the score's unit squared.

    ``None`` is a source that cannot be told apart: ``together`` says what it is part of, or, if it
    is not named there, there was too little of it to estimate.
    """

    task: float | None
    """Between tasks: their difficulty."""
    environment: float | None
    """Between environments of one task."""
    agent: float | None
    """Between the agent's runs in one environment."""
    judge: float | None
    """Between judgements of one run."""
    together: tuple[tuple[str, ...], ...] = ()
    """Sources that the trials do not tell apart; the first one's figure is that of all."""

    @property
    def total(self) -> float:
        """The sum of what could be estimated."""
        return math.fsum(value for name in SOURCES if (value := getattr(self, name)) is not None)


def split_variance(ratings: Iterable[Rating]) -> VarianceSplit:
    """Split the variance of scores by nested sources: task, environment, run, judgement.

    A source is told apart from the one below it only where it was repeated: judge from agent by
    several judgements of one run, agent from environment by several runs in one. What was never
    repeated is reported together with the source above it. An estimate below 0 is given as 0.
    Groups may be of any size. Raises ``StatisticsError`` for a rating that is there twice, scores
    that are not finite, and a single rating.

    Source: the analysis of variance of nested random effects with unequal numbers, S. R. Searle,
    G. Casella and C. E. McCulloch, "Variance Components" (1992), chapter 5 (Henderson's method I).

    >>> split_variance(
    ...     Rating(task_id=task, trial=trial, score=score)
    ...     for task, scores in {"pears": (0.9, 0.7), "plums": (0.3, 0.1)}.items()
    ...     for trial, score in enumerate(scores)
    ... ).together
    (('task', 'environment'), ('agent', 'judge'))
    """
    rows = list(ratings)
    scores = [each.score for each in rows]
    check_numbers(scores, "the sample")
    keys = [(each.task_id, each.environment, each.trial, each.judgement) for each in rows]
    if len(set(keys)) < len(keys):
        raise StatisticsError("a judgement of a run is there twice; number the judgements")
    named = _levels(keys)
    if not named:
        raise StatisticsError("nothing was repeated, so nothing varies; add tasks and trials")
    levels: list[list[Group]] = [[() for _ in keys]]
    levels += [[key[:depth] for key in keys] for _, depth in named]
    estimates = _estimate(levels, scores)
    found = {names[0]: value for (names, _), value in zip(named, estimates, strict=True)}
    return VarianceSplit(
        **{name: found.get(name) for name in SOURCES},
        together=tuple(names for names, _ in named if len(names) > 1),
    )


def _levels(keys: Sequence[Group]) -> list[tuple[tuple[str, ...], int]]:
    """Sources that can be told apart, each with those that it hides, and the depth of its keys.

    A source that groups the ratings just as the one above it does is hidden in that one.
    """
    named: list[tuple[tuple[str, ...], int]] = []
    groups = 1
    for depth, name in enumerate(SOURCES, 1):
        count = len({key[:depth] for key in keys})
        if count > groups:
            named.append(((name,), depth))
        elif named:
            names, _ = named[-1]
            named[-1] = ((*names, name), depth)
        groups = count
    return named


def _estimate(levels: Sequence[Sequence[Group]], scores: Sequence[float]) -> list[float]:
    """The component of each level but the first, which is the whole sample, solved from below.

    ``levels`` holds each rating's group, level by level, each finer than the one before.
    """
    mean = math.fsum(scores) / len(scores)
    centred = [score - mean for score in scores]
    sizes = [_sums(level, [1.0] * len(scores)) for level in levels]
    squares = [
        math.fsum(value**2 / size[group] for group, value in _sums(level, centred).items())
        for level, size in zip(levels, sizes, strict=True)
    ]
    weights = [
        [_weight(levels, sizes, row, column) for column in range(len(levels))]
        for row in range(len(levels))
    ]
    found = [0.0] * len(levels)
    for row in reversed(range(1, len(levels))):
        explained = math.fsum(
            (weights[row][column] - weights[row - 1][column]) * found[column]
            for column in range(row + 1, len(levels))
        )
        own = weights[row][row] - weights[row - 1][row]
        found[row] = (squares[row] - squares[row - 1] - explained) / own
    return [max(0.0, value) for value in found[1:]]


def _weight(
    levels: Sequence[Sequence[Group]], sizes: Sequence[dict[Group, float]], row: int, column: int
) -> float:
    """How often a level's squared sums hold the variance of another level."""
    if column <= row:
        return math.fsum(sizes[row].values())
    parents = dict(zip(levels[column], levels[row], strict=True))
    return math.fsum(size**2 / sizes[row][parents[group]] for group, size in sizes[column].items())


def _sums(level: Sequence[Group], values: Sequence[float]) -> dict[Group, float]:
    sums: dict[Group, float] = {}
    for group, value in zip(level, values, strict=True):
        sums[group] = sums.get(group, 0.0) + value
    return sums
