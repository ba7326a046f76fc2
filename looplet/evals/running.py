"""One eval on one run. Knows functions and contexts; knows no pytest and no file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from looplet.core.records import escape_controls
from looplet.errors import EvalError, NotEvaluable
from looplet.evals.context import EvalContext
from looplet.evals.marks import mark_of, name_of, wants_of
from looplet.evals.results import SKIPPED, EvalResult, Outcome

if TYPE_CHECKING:
    from looplet.evals.cases import EvalCase

Clock = Callable[[], float]


class NoJudge(NotEvaluable):
    """An eval needs a judge, and there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What came of one eval on one run."""

    result: EvalResult
    outcome: Outcome
    error: Exception | SystemExit | None = None
    """What the eval raised, with its traceback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What there is to give to an eval beside its context."""

    judge: Any = None
    """A backend to ask, for evals with a parameter ``llm``."""
    case: EvalCase | None = None
    """Without one it is what the run itself tells of its case."""
    fixtures: Mapping[str, Any] | None = None
    """Values by name; pytest has them, and nobody else."""


NOTHING = Given()


def evaluate(
    function: Callable[..., Any],
    context: EvalContext,
    *,
    given: Given = NOTHING,
    clock: Clock = time.perf_counter,
) -> Evaluation:
    """Run an eval on a context. ``clock`` gives seconds.

    What the eval raises is kept, not raised: ``NotEvaluable`` is that outcome, anything else is
    an error, ``sys.exit(0)`` too, as is a return value that ``EvalResult.from_return`` refuses.

    >>> evaluate(lambda ctx: ctx.completed, EvalContext([], stop_reason="done")).outcome.value
    'pass'
    """
    if mark_of(function).vectorized:
        from looplet.evals.batches import Batch  # loads Arrow

        (evaluation,) = Batch([context]).evaluate(function, given=given, clock=clock)
        return evaluation
    name = name_of(function)
    start = clock()
    try:
        arguments = arguments_for(function, given, context)
        check_needs(function, context)
        value = function(context, **arguments)
        return returned(name, value, (clock() - start) * 1000)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the one place that catches an eval's
        return failed(name, error, (clock() - start) * 1000)


def returned(name: str, value: object, duration_ms: float) -> Evaluation:
    """What came of an eval that returned; ``EvalResult.from_return`` says what it raises."""
    result = EvalResult.from_return(value, name=name, duration_ms=duration_ms)
    return Evaluation(result=result, outcome=result.outcome)


def failed(name: str, error: Exception | SystemExit, duration_ms: float = 0) -> Evaluation:
    """What came of an eval that raised."""
    if isinstance(error, NotEvaluable):
        label = SKIPPED if isinstance(error, NoJudge) else Outcome.NOT_EVALUABLE.value
        text = escape_controls(str(error)) or "the eval says so"
        result = EvalResult(name, label=label, explanation=text, duration_ms=duration_ms)
        return Evaluation(result=result, outcome=Outcome.NOT_EVALUABLE)
    text = escape_controls(f"{type(error).__name__}: {error}")
    result = EvalResult(name, label="error", explanation=text, duration_ms=duration_ms)
    return Evaluation(result=result, outcome=Outcome.ERROR, error=error)


def arguments_for(
    function: Callable[..., Any], given: Given, context: EvalContext | None = None
) -> dict[str, Any]:
    """What an eval is called with beside its first argument.

    Raises ``NoJudge`` or ``NotEvaluable`` where it needs a judge or a case that there is not, and
    ``EvalError`` where it asks for a fixture and pytest is not there.
    """
    wants = wants_of(function)
    if not (wants.takes or wants.fixtures):
        return {}
    fixtures = given.fixtures or {}
    for name in wants.fixtures:
        if name not in fixtures:
            raise EvalError(
                f"{name_of(function)} asks for {name!r}, which only pytest can give: run it with "
                "pytest --looplet-store, or give the parameter a default"
            )
    case = given.case
    if case is None and context is not None and "case" in wants.takes:
        case = case_of(context)
    own = {"llm": given.judge, "case": case}
    arguments = {name: fixtures[name] for name in wants.fixtures}
    arguments |= {name: own[name] for name in wants.takes if own[name] is not None}
    if "llm" in wants.needs and "llm" not in arguments:
        raise NoJudge("it needs a judge (its parameter llm), and none is configured")
    if "case" in wants.needs and "case" not in arguments:
        raise NotEvaluable("it needs a case (its parameter case), and the run names no task")
    return arguments


def check_needs(function: Callable[..., Any], context: EvalContext) -> None:
    """Raise ``NotEvaluable`` if the run lacks what the eval's mark says that it needs."""
    absent = [name for name in mark_of(function).needs if context.lacks(name)]
    if absent:
        raise NotEvaluable(f"the run has no {' and no '.join(absent)}")


def case_of(context: EvalContext) -> EvalCase | None:
    """The case that a run tells of itself: its task, and what is expected of it."""
    trajectory = context.trajectory
    if trajectory is None or not trajectory.task_id:
        return None
    from looplet.evals.cases import EvalCase  # loads what writes files

    expected = {} if context.expected is None else context.expected
    return EvalCase(trajectory.task_id, context.task, expected, list(trajectory.tags))
