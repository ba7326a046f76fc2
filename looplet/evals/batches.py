"""Many runs as one table, and evals that judge it at once. Knows Arrow; knows no pytest.

The table has a row for each run, in order. Its columns are those of the store's ``trajectories``
view, and ``steps``, a list for each run. Text stands as it is stored, and JSON as text.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any, Protocol

from looplet.core.codec import JSON
from looplet.errors import EvalError, NotEvaluable
from looplet.evals.context import EvalContext
from looplet.evals.marks import mark_of, name_of
from looplet.evals.results import SCORE_KEYS
from looplet.evals.running import (
    NOTHING,
    Clock,
    Evaluation,
    Given,
    arguments_for,
    check_needs,
    failed,
    returned,
)
from looplet.evals.trace_context import record_of
from looplet.trajectory.model import Trajectory

if TYPE_CHECKING:
    from looplet.trajectory.arrow import pa

STEPS = "steps"


class Contexts(Protocol):
    """Runs in order, which may be gone through again."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[EvalContext]: ...


Reader = Callable[[Sequence[str]], "pa.Table"]
"""Gives a table of these columns of all runs; of steps, fields may be named as ``steps.tool``."""


class Batch:
    """Runs that are judged at once. Their table is made when an eval first asks for it.

    >>> from looplet.evals import eval_mark
    >>> @eval_mark(vectorized=True)
    ... def eval_short(runs):
    ...     return [count <= 3 for count in runs["n_steps"].to_pylist()]
    >>> [each.outcome.value for each in Batch([EvalContext([])]).evaluate(eval_short)]
    ['pass']
    """

    def __init__(self, contexts: Contexts, read: Reader | None = None) -> None:
        self.contexts = contexts
        self._read = self._read_contexts if read is None else read

    @cached_property
    def table(self) -> pa.Table:
        """All runs. Raises ``MissingExtra`` without Arrow."""
        return self._read(all_columns())

    def evaluate(
        self,
        function: Callable[..., Any],
        *,
        given: Given = NOTHING,
        clock: Clock = time.perf_counter,
    ) -> Iterator[Evaluation]:
        """What came of a vectorized eval, for each run in order.

        Runs that lack what the eval needs are not evaluable, and not in its table; so is a run
        for which it gives null. Each result's duration is its share. An exception is an error of
        every run that was in the table.
        """
        name, absences = name_of(function), self._absences(function)
        count = len(self.contexts) - len(absences)
        start = clock()
        raised: Exception | SystemExit | None = None
        values: list[Any] = []
        try:
            arguments = arguments_for(function, given)
            values = self._judge(function, absences, arguments) if count else []
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as in evaluate: what an eval raises is kept
            raised = error
        share = (clock() - start) * 1000 / max(1, count)
        found = (
            repeat(failed(name, raised, share))
            if raised is not None
            else (_evaluation(name, value, share) for value in values)
        )
        for place in range(len(self.contexts)):
            yield absences[place] if place in absences else next(found)

    def _absences(self, function: Callable[..., Any]) -> dict[int, Evaluation]:
        """What came of the runs that lack what the eval needs, by place."""
        if not mark_of(function).needs:
            return {}
        found = ((place, _absence(function, each)) for place, each in enumerate(self.contexts))
        return {place: absence for place, absence in found if absence is not None}

    def _judge(
        self,
        function: Callable[..., Any],
        absences: Collection[int],
        arguments: Mapping[str, Any],
    ) -> list[Any]:
        columns, name = mark_of(function).columns, name_of(function)
        table = self._read(_checked(columns, name)) if columns else self.table
        if absences:
            table = table.filter([place not in absences for place in range(len(self.contexts))])
        return _values(function(table, **arguments), table.num_rows, name)

    def _read_contexts(self, columns: Sequence[str]) -> pa.Table:
        from looplet.trajectory import gathering, rows
        from looplet.trajectory.schema import TRAJECTORIES

        made = (
            rows.run_row(trajectory_of(context, place))
            for place, context in enumerate(self.contexts)
        )
        return _narrowed(gathering.table_of(made, TRAJECTORIES), columns)


def all_columns() -> list[str]:
    """The columns of a table whose eval names none."""
    from looplet.trajectory.schema import TRAJECTORY_COLUMNS

    return [*(column.name for column in TRAJECTORY_COLUMNS), STEPS]


def _checked(columns: Sequence[str], name: str) -> Sequence[str]:
    from looplet.trajectory.schema import STEP_COLUMNS

    known = [*all_columns(), *(f"{STEPS}.{column.name}" for column in STEP_COLUMNS)]
    for column in columns:
        if column not in known:
            near = difflib.get_close_matches(column, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else "docs/store.md lists them"
            raise EvalError(f"{name} wants the column {column!r}, and there is none: {hint}")
    return columns


def _narrowed(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Some columns of a table; of steps, if fields of theirs are named, these alone."""
    from looplet.trajectory.arrow import load_compute, pa

    heads = list(dict.fromkeys(column.partition(".")[0] for column in columns))
    if STEPS in heads and STEPS not in columns:
        steps: Any = table.column(STEPS).combine_chunks()
        structs = steps.flatten()
        names = [each.name for each in structs.type if f"{STEPS}.{each.name}" in columns]
        fields = [load_compute().struct_field(structs, name) for name in names]
        kept: Any = pa.StructArray.from_arrays(fields, names)
        listed: Any = pa.ListArray.from_arrays(steps.offsets, kept)
        table = table.set_column(table.column_names.index(STEPS), STEPS, listed)
    return table.select(heads)


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


def _absence(function: Callable[..., Any], context: EvalContext) -> Evaluation | None:
    try:
        check_needs(function, context)
    except NotEvaluable as absence:
        return failed(name_of(function), absence)
    return None


def _evaluation(name: str, value: object, duration_ms: float) -> Evaluation:
    if value is None:
        return failed(name, NotEvaluable("the eval gave null for this run"), duration_ms)
    try:
        return returned(name, value, duration_ms)
    except EvalError as error:
        return failed(name, error, duration_ms)


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
