"""One eval on one run. Knows functions and contexts; knows no pytest and no file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from looplet.core.records import escape_controls
from looplet.errors import NotEvaluable
from looplet.evals.context import EvalContext
from looplet.evals.marks import mark_of, wants_judge
from looplet.evals.results import EvalResult, Outcome

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What came of one eval on one run."""

    result: EvalResult
    outcome: Outcome
    error: Exception | None = None
    """What the eval raised, with its traceback."""


def evaluate(
    function: Callable[..., Any],
    context: EvalContext,
    *,
    judge_llm: Any = None,
    clock: Clock = time.perf_counter,
) -> Evaluation:
    """Run an eval on a context; ``judge_llm`` is its parameter ``llm``. ``clock`` gives seconds.

    What the eval raises is kept, not raised: ``NotEvaluable`` is that outcome, anything else is
    an error, as is a return value that ``EvalResult.from_return`` refuses.

    >>> evaluate(lambda ctx: ctx.completed, EvalContext([], stop_reason="done")).outcome.value
    'pass'
    """
    name = getattr(function, "__name__", type(function).__name__)
    start = clock()
    try:
        _check_needs(function, context, judge_llm)
        given = {"llm": judge_llm} if wants_judge(function) else {}
        result = EvalResult.from_return(function(context, **given), name=name)
        evaluation = Evaluation(result=result, outcome=result.outcome)
    except NotEvaluable as absence:
        result = EvalResult(name, explanation=str(absence) or "the eval says so")
        evaluation = Evaluation(result=result, outcome=Outcome.NOT_EVALUABLE)
    except Exception as error:  # noqa: BLE001 - the one place where an eval's exception is caught
        text = escape_controls(f"{type(error).__name__}: {error}")
        result = EvalResult(name, label="error", explanation=text)
        evaluation = Evaluation(result=result, outcome=Outcome.ERROR, error=error)
    took = replace(evaluation.result, duration_ms=(clock() - start) * 1000)
    return replace(evaluation, result=took)


def _check_needs(function: Callable[..., Any], context: EvalContext, judge_llm: Any) -> None:
    absent = [name for name in mark_of(function).needs if context.lacks(name)]
    if absent:
        raise NotEvaluable(f"the run has no {' and no '.join(absent)}")
    if judge_llm is None and wants_judge(function):
        raise NotEvaluable("it needs a judge (its parameter llm), and none is configured")
