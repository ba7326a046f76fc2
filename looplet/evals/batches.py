"""Many runs as one table, and evals that judge it at once. Knows Arrow; knows no pytest.

The table has a row for each run, in order. Its columns are those of the store's ``trajectories``
view, and ``steps``, a list for each run. Text stands as it is stored, and JSON as text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from looplet.core.codec import JSON
from looplet.errors import EvalError, NotEvaluable
from looplet.evals.context import EvalContext
from looplet.evals.marks import name_of
from looplet.evals.results import SCORE_KEYS, EvalResult
from looplet.evals.running import (
    NOTHING,
    Clock,
    Evaluation,
    Given,
    arguments_for,
    check_needs,
    failed,
    timed,
)
from looplet.evals.trace_context import record_of
from looplet.trajectory.model import Trajectory

if TYPE_CHECKING:
    from looplet.trajectory.arrow import pa

STEPS = "steps"


class Batch:
    """Runs that are judged at once. Their table is made when an eval first asks for it.

    >>> from looplet.evals import eval_mark
    >>> @eval_mark(vectorized=True)
    ... def eval_short(runs):
    ...     return [count <= 3 for count in runs["n_steps"].to_pylist()]
    >>> [each.outcome.value for each in Batch([EvalContext([])]).evaluate(eval_short)]
    ['pass']
    """

    def __init__(self, contexts: Sequence[EvalContext]) -> None:
        self.contexts = contexts

    @cached_property
    def table(self) -> pa.Table:
        """All runs. Raises ``MissingExtra`` without Arrow."""
        from looplet.trajectory import gathering, rows
        from looplet.trajectory.schema import TRAJECTORIES, TRAJECTORY_COLUMNS

        def row_of(place: int, context: EvalContext) -> Any:
            return rows.to_row(trajectory_of(context, place)) | {"messages": [], "calls": []}

        made = (row_of(place, context) for place, context in enumerate(self.contexts))
        columns = [*(column.name for column in TRAJECTORY_COLUMNS), STEPS]
        return gathering.table_of(made, TRAJECTORIES).select(columns)

    def evaluate(
        self,
        function: Callable[..., Any],
        *,
        given: Given = NOTHING,
        clock: Clock = time.perf_counter,
    ) -> list[Evaluation]:
        """What came of a vectorized eval, for each run in order.

        Runs that lack what the eval needs are not evaluable, and not in its table; so is a run
        for which it gives null. Each result's duration is its share. An exception is an error of
        every run that was in the table.
        """
        name = name_of(function)
        outcomes = [_unevaluable(function, context) for context in self.contexts]
        places = [place for place, outcome in enumerate(outcomes) if outcome is None]
        start = clock()
        try:
            arguments = arguments_for(function, given)
            found = self._judge(function, places, arguments) if places else []
        except Exception as error:  # noqa: BLE001 - as in evaluate: what an eval raises is kept
            found = [failed(name, error) for _ in places]
        share = (clock() - start) / max(1, len(places))
        for place, evaluation in zip(places, found, strict=True):
            outcomes[place] = timed(evaluation, share)
        return [outcome for outcome in outcomes if outcome is not None]

    def _judge(
        self, function: Callable[..., Any], places: list[int], arguments: Mapping[str, Any]
    ) -> list[Evaluation]:
        table = self.table
        if len(places) < len(self.contexts):
            table = table.take(places)
        values = _values(function(table, **arguments), len(places), name_of(function))
        return [_evaluation(name_of(function), value) for value in values]


def trajectory_of(context: EvalContext, place: int = 0) -> Trajectory:
    """A run as its evals see it; ``place`` tells those apart that have no identifier."""
    found = context.trajectory
    if found is None:
        identity = str(context.metadata.get("run_id") or f"run-{place}")
        steps = [record_of(step) for step in context.steps]
        found = Trajectory(trajectory_id=identity, run_id=identity, steps=steps)
    return replace(
        found,
        task=_known(context, "task"),
        expected=context.expected,
        final_output=_known(context, "final_output"),
        artifacts=context.artifacts,
        stop_reason=context.stop_reason,
    )


def _known(context: EvalContext, name: str) -> JSON:
    return None if context.lacks(name) else getattr(context, name)


def _unevaluable(function: Callable[..., Any], context: EvalContext) -> Evaluation | None:
    try:
        check_needs(function, context)
    except NotEvaluable as absence:
        return failed(name_of(function), absence)
    return None


def _evaluation(name: str, value: object) -> Evaluation:
    if value is None:
        return failed(name, NotEvaluable("the eval gave null for this run"))
    try:
        result = EvalResult.from_return(value, name=name)
    except EvalError as error:
        return failed(name, error)
    return Evaluation(result=result, outcome=result.outcome)


def _values(returned: object, count: int, name: str) -> list[Any]:
    """What an eval returned, a value for each run. Raises ``EvalError`` if it is not that."""
    if isinstance(returned, Mapping):
        if not returned:
            raise EvalError(f"{name} returned an empty dict. Give it a column of values.")
        columns = {str(key): _values(each, count, name) for key, each in returned.items()}
        return [
            _cells(dict(zip(columns, cells, strict=True)))
            for cells in zip(*columns.values(), strict=True)
        ]
    listed = getattr(returned, "to_pylist", None) or getattr(returned, "tolist", None)
    values = listed() if callable(listed) else returned
    if not isinstance(values, list | tuple):
        raise EvalError(
            f"{name} is vectorized, and returned {type(returned).__name__}. Return a value for "
            "each row: a list, an Arrow or NumPy array, or a dict of these."
        )
    if len(values) != count:
        raise EvalError(
            f"{name} returned {len(values)} values for {count} runs. Return one for each row."
        )
    return list(values)


def _cells(row: dict[str, Any]) -> dict[str, Any] | None:
    """A run's own values without the nulls; ``None`` if its score is null, or all of it."""
    score = next((key for key in SCORE_KEYS if key in row), None)
    if score is not None and row[score] is None:
        return None
    return {key: value for key, value in row.items() if value is not None} or None
