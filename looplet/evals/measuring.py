"""What stored runs come to: success, pass^k, steps, tokens, cost, errors, by group.

Knows the store's columns and the statistics; knows no eval and no command.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from looplet.errors import EvalError
from looplet.evals.identity import RunKey
from looplet.evals.statistics import (
    Interval,
    Observation,
    clustered_interval,
    group_trials,
    mean_over_tasks,
    pass_hat_k,
)

if TYPE_CHECKING:
    from looplet.trajectory.store import TrajectoryStore

GROUPS = ("agent", "dataset", "model", "run_id", "source_format", "stop_reason", "task_id")
"""Columns by which runs may be grouped or paired."""
_COLUMNS = (
    *("trajectory_id", "trial", "completed", "reward", "n_steps", "n_tool_errors", "cost_usd"),
    *("input_tokens", "output_tokens", "replay_of", "cassette_hash", *GROUPS),
)
SUCCESS = 1.0
"""The reward from which on a run is a success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Values of runs: mean, median and the ninth decile, and how many runs tell none."""

    n: int
    mean: float | None = None
    median: float | None = None
    p90: float | None = None
    missing: int = 0

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread:
        """The spread of what there is; ``None`` counts as missing.

        >>> Spread.of([1, 3, None])
        Spread(n=2, mean=2.0, median=2.0, p90=2.8, missing=1)
        """
        given = list(values)
        found = sorted(value for value in given if value is not None)
        missing = len(given) - len(found)
        if not found:
            return cls(n=0, missing=missing)
        mean = math.fsum(found) / len(found)
        median, p90 = _quantile(found, 0.5), _quantile(found, 0.9)
        return cls(n=len(found), mean=mean, median=median, p90=p90, missing=missing)


def _quantile(ordered: Sequence[float], share: float) -> float:
    """By linear interpolation between neighbours, as NumPy's default."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """How many runs succeeded; every task weighs the same in rate and interval."""

    rate: float
    interval: Interval
    passed: int
    runs: int
    tasks: int
    judged_by: str
    """``reward``, or ``completed`` where no run has a reward."""
    unknown: int = 0
    """Runs without a reward, where others have one: not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Runs that belong together, and what they come to."""

    name: str | None
    """The value that they share; ``None`` where they have none."""
    runs: int
    replays: int = 0
    """Replays of a recording that is counted already: left out of everything else."""
    success: Success | None = None
    pass_hat: tuple[float, ...] = ()
    """pass^1, pass^2 and so on, as far as every task was tried so often."""
    steps: Spread = field(default_factory=lambda: Spread(n=0))
    input_tokens: Spread = field(default_factory=lambda: Spread(n=0))
    output_tokens: Spread = field(default_factory=lambda: Spread(n=0))
    cost_usd: Spread = field(default_factory=lambda: Spread(n=0))
    tool_errors: int = 0
    tool_calls: int = 0


def measure(store: TrajectoryStore, *, by: str | None = None) -> list[Group]:
    """What the runs of a store come to, by the values of a column, in their order.

    Success is a reward of 1 or more; where no run has a reward, that the run was completed. Runs
    without a ``task_id`` are a task each, but for replays of one recording. Raises ``EvalError``
    for a column that does not group.
    """
    if by is not None and by not in GROUPS:
        raise EvalError(f"runs are not grouped by {by!r}, but by one of {', '.join(GROUPS)}")
    groups: dict[str | None, list[Mapping[str, Any]]] = {}
    for row in store.iter_rows(_COLUMNS):
        groups.setdefault(None if by is None else row[by], []).append(row)
    ordered = sorted(groups.items(), key=lambda each: (each[0] is None, str(each[0])))
    return [_group(name, rows) for name, rows in ordered]


def _group(name: str | None, all_rows: list[Mapping[str, Any]]) -> Group:
    rows = list(without_replays(all_rows))
    success = _success(rows)
    return Group(
        name=name,
        runs=len(rows),
        replays=len(all_rows) - len(rows),
        success=success,
        pass_hat=() if success is None else _pass_hat(rows, success.judged_by),
        steps=Spread.of(row["n_steps"] for row in rows),
        input_tokens=Spread.of(row["input_tokens"] for row in rows),
        output_tokens=Spread.of(row["output_tokens"] for row in rows),
        cost_usd=Spread.of(row["cost_usd"] for row in rows),
        tool_errors=sum(row["n_tool_errors"] or 0 for row in rows),
        tool_calls=sum(row["n_steps"] or 0 for row in rows),
    )


def without_replays(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The runs, each recording of a task once: a replay repeats a trial and is none."""
    seen: set[tuple[str, str]] = set()
    for row in rows:
        run = RunKey.of_row(row)
        if run.recording is not None:
            key = (run.task, run.recording)
            if key in seen:
                continue
            seen.add(key)
        yield row


def task_of(row: Mapping[str, Any]) -> str:
    """The task's name, within its dataset, as ``identity`` tells it."""
    return RunKey.of_row(row).task


def succeeded(row: Mapping[str, Any], judged_by: str) -> bool | None:
    """Whether a run succeeded; ``None`` where that is not known."""
    if judged_by == "completed":
        return bool(row["completed"])
    return None if row["reward"] is None else bool(row["reward"] >= SUCCESS)


def judged_by(rows: Iterable[Mapping[str, Any]]) -> str:
    """What tells success: the reward, if any run has one, else whether it was completed."""
    return "reward" if any(row["reward"] is not None for row in rows) else "completed"


def observations(rows: Iterable[Mapping[str, Any]], how: str) -> list[Observation]:
    """Success of each run, as the statistics take it; trials are numbered in order of the rows."""
    return observed(rows, lambda row: succeeded(row, how))


def observed(
    rows: Iterable[Mapping[str, Any]],
    value: Callable[[Mapping[str, Any]], bool | float | None],
    *,
    by: str = "task_id",
) -> list[Observation]:
    """A value of each run, by task or by another column."""
    counts: dict[str, int] = {}
    found = []
    for row in rows:
        task = task_of(row) if by == "task_id" else str(row[by])
        number = counts[task] = counts.get(task, -1) + 1
        found.append(Observation(task, number, value(row), row["cassette_hash"]))
    return found


def rows_of(store: TrajectoryStore) -> list[Mapping[str, Any]]:
    """The runs of a store without replays, with the columns that are measured."""
    return list(without_replays(store.iter_rows(_COLUMNS)))


def _success(rows: list[Mapping[str, Any]]) -> Success | None:
    how = judged_by(rows)
    grouped = group_trials(observations(rows, how))
    if not grouped.values:
        return None
    tasks = list(grouped.values.values())
    return Success(
        rate=math.fsum(math.fsum(each) / len(each) for each in tasks) / len(tasks),
        interval=clustered_interval(tasks),
        passed=round(sum(map(math.fsum, tasks))),
        runs=sum(map(len, tasks)),
        tasks=len(tasks),
        judged_by=how,
        unknown=sum(grouped.not_evaluable.values()),
    )


def _pass_hat(rows: list[Mapping[str, Any]], how: str) -> tuple[float, ...]:
    grouped = group_trials(observations(rows, how))
    counts = [(round(math.fsum(each)), len(each)) for each in grouped.values.values()]
    least = min(n for _, n in counts)
    return tuple(mean_over_tasks(pass_hat_k, counts, k) for k in range(1, least + 1))
