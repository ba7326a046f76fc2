"""The gate inside a test: one run, its evals, and an ``AssertionError``. Knows no pytest."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from looplet.evals import gate
from looplet.evals.cases import EvalCase
from looplet.evals.context import EvalContext
from looplet.evals.discovery import eval_discover, files_of
from looplet.evals.marks import check_parameters
from looplet.evals.results import PASSING_SCORE
from looplet.evals.running import Given
from looplet.evals.scored import Scored
from looplet.evals.suites import Evaluator, info_of, score_all, select
from looplet.evals.summary import EvalSummary, summarize

EvalsOrPath: TypeAlias = str | os.PathLike[str] | Iterable[Evaluator]


def assert_evals_pass(
    ctx: EvalContext,
    evals_path_or_list: EvalsOrPath,
    *,
    judge_llm: Any = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    case: EvalCase | None = None,
    allow_skipped: bool = False,
) -> None:
    """Put evals to one run, and raise ``AssertionError`` unless the gate holds.

    Evals are given themselves, or as a file or directory in which they are found; a file that has
    not changed is not imported again. An eval without a threshold of its own passes by a score of
    0.5 or more, or by its label. The error has each failed result's ``pretty()`` on a line of its
    own, then the causes that are no result's. ``judge_llm``, ``case``, ``include`` and ``exclude``
    are as in ``eval_run``; with ``allow_skipped`` an eval that has no judge is no failure. Raises
    ``EvalError`` if a file cannot be imported, or an eval cannot be called.

    >>> def eval_completed(ctx):
    ...     return ctx.completed
    >>> assert_evals_pass(EvalContext([], stop_reason="llm_error"), [eval_completed])
    Traceback (most recent call last):
    AssertionError: the gate does not hold: 1 of 1 evals
    ✗ eval_completed score=0.00 label=fail...
    eval_completed: average 0.000 is below 0.500
    """
    __tracebackhide__ = True
    evaluators = _evaluators(evals_path_or_list)
    chosen = select(evaluators, include=include, exclude=exclude)
    scored = score_all(chosen, [("", ctx)], given=Given(judge=judge_llm, case=case))
    summaries = summarize(scored)
    verdict = gate.judge(
        summaries,
        threshold=PASSING_SCORE,
        expected=map(info_of, evaluators),
        allow_skipped=allow_skipped,
    )
    if not verdict.held:
        raise AssertionError(_text(scored, summaries, verdict))


def _text(scored: Iterable[Scored], summaries: Iterable[EvalSummary], verdict: gate.Verdict) -> str:
    failed = [each.result.pretty() for each in scored if each.eval.key in verdict.of_evals]
    head = f"the gate does not hold: {len(failed)} of {len([*summaries])} evals"
    return "\n".join([head, *failed, *verdict.causes])


def _evaluators(given: EvalsOrPath) -> list[Evaluator]:
    if isinstance(given, str | os.PathLike):
        files = ((file, file.stat()) for file in files_of(Path(given)))
        known = tuple((str(file), info.st_mtime_ns, info.st_size) for file, info in files)
        return [*_discovered(str(Path(given).resolve()), known)]
    evaluators = list(given)
    for function in evaluators:
        check_parameters(function)
    return evaluators


@lru_cache(maxsize=64)
def _discovered(path: str, files: tuple[tuple[str, int, int], ...]) -> tuple[Evaluator, ...]:  # noqa: ARG001 - part of the key
    evaluators = eval_discover(path, on_error="raise")
    for function in evaluators:
        check_parameters(function)
    return tuple(evaluators)
