"""Two stores side by side, on the tasks that they share. Knows stores and statistics alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from looplet.errors import EvalError, StatisticsError
from looplet.evals.measuring import GROUPS, judged_by, observed, rows_of, succeeded
from looplet.evals.statistics import (
    EvalComparison,
    Observation,
    PairedDifference,
    compare,
    group_trials,
    paired_difference,
)

if TYPE_CHECKING:
    from looplet.trajectory.store import TrajectoryStore

SUCCESS = "success"
FIGURES = ("n_steps", "input_tokens", "output_tokens", "cost_usd", "n_tool_errors")
"""Columns without bounds, of which less is better or nothing is."""
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A column's mean difference over shared tasks, candidate minus baseline."""

    column: str
    found: PairedDifference | None = None
    why_not: str = ""
    """Why there is no difference to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreComparison:
    """What came of it."""

    evals: tuple[EvalComparison, ...]
    """Success, then each eval that has scores in both stores."""
    figures: tuple[Figure, ...]
    only_baseline: tuple[str, ...] = ()
    """Evals with scores in the baseline alone."""
    only_candidate: tuple[str, ...] = ()


def compare_stores(
    baseline: TrajectoryStore,
    candidate: TrajectoryStore,
    *,
    by: str = "task_id",
    margin: float = 0.05,
    alpha: float = 0.05,
) -> StoreComparison:
    """Compare the runs of two stores, paired by task, or by another column's values.

    Success and scores go from 0 to 1; ``margin`` is the difference that does not matter. An eval's
    newest score of a run counts. Raises ``EvalError`` for a column that does not group and where
    nothing is shared; what ``statistics.compare`` raises.
    """
    if by not in GROUPS:
        raise EvalError(f"runs are not paired by {by!r}, but by one of {', '.join(GROUPS)}")
    sides = [rows_of(baseline), rows_of(candidate)]
    keys = [{each.task_id for each in observed(rows, lambda _: None, by=by)} for rows in sides]
    if not keys[0] & keys[1]:
        raise EvalError(
            f"{baseline} and {candidate} share no {by}: there is nothing to compare them on"
        )
    how = judged_by([*sides[0], *sides[1]])
    given = [
        _observations(rows, store, how, by)
        for rows, store in zip(sides, (baseline, candidate), strict=True)
    ]
    found = compare(given[1], given[0], margin=margin, alpha=alpha)
    return StoreComparison(
        evals=tuple(found.evals),
        figures=tuple(_figure(column, sides, by) for column in FIGURES),
        only_baseline=tuple(name for name in given[0] if name not in given[1]),
        only_candidate=tuple(name for name in given[1] if name not in given[0]),
    )


def _observations(
    rows: Sequence[Row], store: TrajectoryStore, how: str, by: str
) -> dict[str, list[Observation]]:
    """Success, and each eval that has scores in the store, of every run."""
    found = {SUCCESS: observed(rows, lambda row: succeeded(row, how), by=by)}
    for name, values in _scores(store).items():
        if name != SUCCESS:
            found[name] = observed(rows, _looking_up(values), by=by)
    return found


def _looking_up(values: Mapping[str, bool | float | None]) -> Callable[[Row], bool | float | None]:
    return lambda row: values.get(row["trajectory_id"])


def _scores(store: TrajectoryStore) -> dict[str, dict[str, bool | float | None]]:
    """The newest value of each eval for each run; ``None`` where there was nothing to judge."""
    found: dict[str, dict[str, bool | float | None]] = {}
    for score in store.scores():
        value = score["passed"] if score["passed"] is not None else score["score"]
        if score["evaluable"] is False:
            value = None
        found.setdefault(score["eval_name"], {})[score["trajectory_id"]] = value
    return found


def _figure(column: str, sides: Sequence[Sequence[Row]], by: str) -> Figure:
    def value(row: Row) -> float | None:
        return None if row[column] is None else float(row[column])

    before, after = (group_trials(observed(rows, value, by=by)).values for rows in sides)
    shared = [task for task in before if task in after]
    if not shared:
        return Figure(column=column, why_not="not known of any task that both have")
    try:
        difference = paired_difference(
            [after[task] for task in shared], [before[task] for task in shared]
        )
    except StatisticsError as error:
        return Figure(column=column, why_not=str(error))
    return Figure(column=column, found=difference)
