"""Several evals on one run or many. Knows functions and contexts; knows no pytest and no file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from looplet.core.codec import JSON
from looplet.evals.context import EvalContext
from looplet.evals.identity import RunKey
from looplet.evals.marks import mark_of, name_of
from looplet.evals.results import EvalResult
from looplet.evals.running import NOTHING, Evaluation, Given, evaluate
from looplet.evals.scored import EvalInfo, Scored, asks_judge
from looplet.evals.summary import mean

Evaluator = Callable[..., Any]
DECIMALS = 3


def eval_run(
    evaluators: Iterable[Evaluator],
    ctx: EvalContext,
    *,
    judge_llm: Any = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    case: Any = None,
) -> list[EvalResult]:
    """Put evals to one run; their results, in order.

    ``judge_llm`` is a backend for evals with a parameter ``llm``; without one the result of an
    eval that needs it has the label ``skipped``. ``case`` is for evals with a parameter ``case``.
    ``include`` keeps evals with one of these tags alone, ``exclude`` drops those with one.
    Nothing that an eval raises gets out: its result has the label ``error``, and for
    ``NotEvaluable`` the label ``not_evaluable``.

    >>> def eval_completed(ctx):
    ...     return ctx.completed
    >>> eval_run([eval_completed], EvalContext([], stop_reason="done"))[0].passed
    True
    """
    given = Given(judge=judge_llm, case=case)
    chosen = select(evaluators, include=include, exclude=exclude)
    return [evaluate(function, deepcopy(ctx), given=given).result for function in chosen]


def eval_run_batch(
    evaluators: Iterable[Evaluator],
    contexts: Iterable[EvalContext],
    *,
    judge_llm: Any = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
) -> list[dict[str, JSON]]:
    """Put evals to many runs; a row for each eval, in order.

    A row has ``name``, ``scores`` (of the runs that have one), ``runs`` (how many there are),
    where there are scores ``avg_score``, ``min_score`` and ``max_score``, and ``per_run``, each
    run's ``EvalResult.to_dict()`` in order. Numbers are rounded to three decimals. A vectorized
    eval is called once. The rest is as in ``eval_run``.

    >>> runs = [EvalContext([], stop_reason=reason) for reason in ("done", "llm_error")]
    >>> eval_run_batch([lambda ctx: ctx.completed], runs)[0]["avg_score"]
    0.5
    """
    contexts, given = list(contexts), Given(judge=judge_llm)
    chosen = select(evaluators, include=include, exclude=exclude)
    found = evaluate_all(chosen, contexts, given=given)
    return [
        _row(name_of(function), [evaluation.result for evaluation in evaluations])
        for function, evaluations in zip(chosen, found, strict=True)
    ]


def select(
    evaluators: Iterable[Evaluator],
    *,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
) -> list[Evaluator]:
    """The evals that have a tag of ``include``, if there is any, and none of ``exclude``."""
    wanted, unwanted = _tags(include), _tags(exclude)
    return [
        function
        for function in evaluators
        if not unwanted.intersection(mark_of(function).tags)
        and (not wanted or wanted.intersection(mark_of(function).tags))
    ]


def evaluate_all(
    evaluators: Iterable[Evaluator], contexts: Sequence[EvalContext], *, given: Given = NOTHING
) -> list[list[Evaluation]]:
    """For each eval what came of it, run by run; a vectorized one is called once."""
    evaluators = list(evaluators)
    if not any(mark_of(function).vectorized for function in evaluators):
        return [_each(function, contexts, given) for function in evaluators]
    from looplet.evals.batches import Batch  # loads Arrow

    batch = Batch(contexts)  # one table for all evals
    return [
        [*batch.evaluate(each, given=given)]
        if mark_of(each).vectorized
        else _each(each, contexts, given)
        for each in evaluators
    ]


def _each(function: Evaluator, contexts: Iterable[EvalContext], given: Given) -> list[Evaluation]:
    """What came of an eval on each run; what it changes there, no other eval sees."""
    return [evaluate(function, deepcopy(context), given=given) for context in contexts]


def score_all(
    evaluators: Iterable[Evaluator],
    runs: Sequence[tuple[str, EvalContext]],
    *,
    given: Given = NOTHING,
) -> list[Scored]:
    """The verdicts of evals on runs, each with its name, as the gate takes them."""
    evaluators = list(evaluators)
    found = evaluate_all(evaluators, [ctx for _, ctx in runs], given=given)
    keys = [_key_of(name, context) for name, context in runs]
    return [
        Scored.of(info, key, evaluation.outcome, evaluation.result)
        for info, evaluations in zip(map(info_of, evaluators), found, strict=True)
        for key, evaluation in zip(keys, evaluations, strict=True)
    ]


def _key_of(name: str, context: EvalContext) -> RunKey:
    """A run's key under the name that its verdicts are to have."""
    if context.trajectory is None:
        return RunKey(trajectory_id=name, task=name)
    key = RunKey.of(context.trajectory)
    own = key.trajectory_id == key.task
    return replace(key, trajectory_id=name, task=name if own else key.task)


def info_of(function: Evaluator) -> EvalInfo:
    """The facts about an eval, with a key that is its own as long as this process lasts."""
    name, mark = name_of(function), mark_of(function)
    return EvalInfo(
        key=f"{name}@{id(function):x}",
        name=name,
        tags=mark.tags,
        threshold=mark.threshold,
        required=mark.required,
        asks_judge=asks_judge(function),
    )


def _tags(tags: Iterable[str] | None) -> frozenset[str]:
    return frozenset([tags] if isinstance(tags, str) else tags or ())


def _row(name: str, results: Sequence[EvalResult]) -> dict[str, JSON]:
    scores = [result.score for result in results if result.score is not None]
    row: dict[str, JSON] = {"name": name, "scores": _rounded(scores), "runs": len(results)}
    if scores:
        figures = (mean(scores), min(scores), max(scores))
        names = ("avg_score", "min_score", "max_score")
        row.update(zip(names, _rounded(figures), strict=True))
    return {**row, "per_run": [_rounded(result.to_dict()) for result in results]}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
