"""Two stores side by side, on the tasks that they share. Knows stores and statistics alone."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
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

    ``margin`` is the difference that does not matter, of success and of scores from 0 to 1; evals
    with other scores are compared by whether runs pass. An eval's newest score of a run counts.
    Raises ``EvalError`` for a column that does not group and where nothing is shared; what
    ``statistics.compare`` raises.
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
    scores = [_scores(store) for store in (baseline, candidate)]
    graded = {name for name in {*scores[0], *scores[1]} if _is_graded(name, scores)}
    given = [
        _observations(rows, found, how, by, graded=graded)
        for rows, found in zip(sides, scores, strict=True)
    ]
    found = compare(given[1], given[0], margin=margin, alpha=alpha)
    return StoreComparison(
        evals=tuple(found.evals),
        figures=tuple(_figure(column, sides, by) for column in FIGURES),
        only_baseline=tuple(name for name in given[0] if name not in given[1]),
        only_candidate=tuple(name for name in given[1] if name not in given[0]),
    )


def _observations(
    rows: Sequence[Row],
    scores: Mapping[str, Mapping[str, Row]],
    how: str,
    by: str,
    *,
    graded: Container[str],
) -> dict[str, list[Observation]]:
    """Success, and each eval that has scores in the store, of every run."""
    found = {SUCCESS: observed(rows, lambda row: succeeded(row, how), by=by)}
    for name, newest in scores.items():
        if name != SUCCESS:
            values = {run: _value(score, graded=name in graded) for run, score in newest.items()}
            found[name] = observed(rows, _looking_up(values), by=by)
    return found


def _looking_up(values: Mapping[str, bool | float | None]) -> Callable[[Row], bool | float | None]:
    return lambda row: values.get(row["trajectory_id"])


def _scores(store: TrajectoryStore) -> dict[str, dict[str, Row]]:
    """The newest score of each eval for each run."""
    found: dict[str, dict[str, Row]] = {}
    for score in store.scores():
        found.setdefault(score["eval_name"], {})[score["trajectory_id"]] = score
    return found


def _is_graded(name: str, sides: Iterable[Mapping[str, Mapping[str, Row]]]) -> bool:
    """Whether an eval has scores, all of them from 0 to 1."""
    rows = [row for side in sides for row in side.get(name, {}).values()]
    scores = [row["score"] for row in rows if row["score"] is not None]
    return bool(scores) and all(0 <= score <= 1 for score in scores)


def _value(score: Row, *, graded: bool) -> bool | float | None:
    """What is compared; ``None`` where there was nothing to judge."""
    if score["evaluable"] is False:
        return None
    value: bool | float | None = score["score"] if graded else None
    return score["passed"] if value is None else value


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
