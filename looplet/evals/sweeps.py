"""One eval over every run of a store, as one pytest item. Keeps verdicts, and no run."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import replace
from types import FunctionType
from typing import Any

import pytest

from looplet.core.records import escape_controls
from looplet.evals.batches import Batch
from looplet.evals.context import EvalContext
from looplet.evals.items import EvalFailed, EvalNode
from looplet.evals.marks import mark_of
from looplet.evals.results import SKIPPED, EvalResult, Outcome
from looplet.evals.running import Evaluation, Given
from looplet.evals.runs import Labels, StoredRuns
from looplet.evals.scored import sendable
from looplet.evals.summary import EvalSummary, summarize
from looplet.evals.verdicts import Verdicts

_RUN_BROKEN_OFF = (pytest.skip.Exception, pytest.fail.Exception)
"""What ends one run's evaluation and is no ``Exception``; an interrupt ends them all."""


class SweepItem(EvalNode):
    """One eval over all runs, which it reads one after the other."""

    def __init__(self, *, runs: StoredRuns, **node: Any) -> None:
        super().__init__(**node)
        self.runs = runs
        self._verdicts = Verdicts(self.info)

    @property
    def verdicts(self) -> Verdicts:
        """The verdicts on all runs."""
        return self._verdicts

    def runtest(self) -> None:
        """Evaluate every run, keep the verdicts, and tell pytest what they come to."""
        self._verdicts, self.outcome = Verdicts(self.info), None
        given = Given(judge=self.judge, fixtures=self.funcargs)
        verdicts, first_error = Verdicts(self.info), None
        keys = self.runs.keys
        for key, evaluation in zip(keys, self._evaluations(given), strict=True):
            verdicts.add(key, evaluation.outcome, evaluation.result)
            first_error = first_error or evaluation.error
        summary = self._take(verdicts)
        if self.outcome is Outcome.NOT_EVALUABLE:
            raise pytest.skip.Exception(self.reason.explanation)
        if summary.failing:
            raise EvalFailed(failure_text(summary, first_error, self.eval_function))

    def settle(self, outcome: Outcome, result: EvalResult) -> None:
        """Take the verdict for every run."""
        verdicts = Verdicts(self.info)
        for key in self.runs.keys:
            verdicts.add(key, outcome, result)
        self._take(verdicts)

    def _evaluations(self, given: Given) -> Iterator[Evaluation]:
        function = self.eval_function
        contexts = _Contexts(self.runs)
        if mark_of(function).vectorized:
            return Batch(contexts, self.runs.table).evaluate(function, given=given)
        if self.judge_cassettes is None:
            return (self._one(context, given) for context in contexts)
        labels = Labels()
        labelled = zip(map(labels.of, self.runs), contexts, strict=True)
        return (self._one(context, given, label) for label, context in labelled)

    def _one(self, context: EvalContext, given: Given, label: str = "") -> Evaluation:
        """What came of one run, also where the eval speaks to pytest, which would end them all."""
        try:
            return self.evaluate(context, given, label)
        except _RUN_BROKEN_OFF as end:
            text = escape_controls(f"{type(end).__name__}: {end}")
            label, outcome = "error", Outcome.ERROR
            if isinstance(end, pytest.skip.Exception | pytest.xfail.Exception):
                label, outcome = SKIPPED, Outcome.NOT_EVALUABLE
            result = EvalResult(self.info.name, label=label, explanation=text)
            return Evaluation(result=result, outcome=outcome)

    def _take(self, verdicts: Verdicts) -> EvalSummary:
        (summary,) = summarize(verdicts)
        self._verdicts = verdicts
        self.outcome = outcome_of(summary)
        self.reason = _reason(summary)
        self.user_properties.extend(properties(summary))
        return summary


class _Contexts:
    """Stored runs as contexts, which are gone when the next one is there."""

    def __init__(self, runs: StoredRuns) -> None:
        self._runs = runs

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[EvalContext]:
        return map(EvalContext.from_trajectory, self._runs)


def outcome_of(summary: EvalSummary) -> Outcome:
    """What an eval over many runs comes to: the worst that was found on any."""
    if summary.failed:
        return Outcome.FAIL
    if summary.errors:
        return Outcome.ERROR
    if summary.passed:
        return Outcome.PASS
    return Outcome.MEASURED if summary.measured else Outcome.NOT_EVALUABLE


def _reason(summary: EvalSummary) -> EvalResult:
    reasons = [f"{reason} ({count})" for reason, count in summary.reasons[:1]]
    more = len(summary.reasons) - 1
    reasons += [f"{more} other reasons"] * (more > 0)
    label = outcome_of(summary).value
    if label == Outcome.NOT_EVALUABLE.value and summary.skipped == summary.not_evaluable:
        label = SKIPPED
    return EvalResult(summary.eval.name, label=label, explanation="; ".join(reasons))


def properties(summary: EvalSummary) -> list[tuple[str, object]]:
    """What JUnit and other reports show of an eval over many runs; as much for any number."""
    ids = [each.trajectory_id for each in summary.failing]
    pairs = [
        ("eval", summary.eval.name),
        ("outcome", outcome_of(summary).value),
        ("passed", summary.passed),
        ("failed", summary.failed),
        ("not_evaluable", summary.not_evaluable),
        ("errors", summary.errors),
        ("measured", summary.measured),
        ("rate", summary.rate),
        ("score", summary.mean_score),
        ("failing", ", ".join(ids) or None),
    ]
    return [(name, sendable(value)) for name, value in pairs if value is not None]


def failure_text(
    summary: EvalSummary, first_error: BaseException | None, function: FunctionType
) -> str:
    """How many runs failed, and the first of them by name."""
    failing = summary.failed + summary.errors
    runs = failing + summary.passed + summary.not_evaluable + summary.measured
    counts = [f"{summary.errors} of them errors"] if summary.errors else []
    counts += [f"{summary.not_evaluable} not evaluable"] if summary.not_evaluable else []
    lines = [", ".join([f"✗ {summary.eval.name} failed on {failing} of {runs} runs", *counts])]
    for each in summary.failing:
        said = replace(each.result, name="").pretty()[2:]
        task = f" (task {each.task})" if each.task != each.trajectory_id else ""
        lines.append(f"  ✗ trajectory {each.trajectory_id}{task}: {said}")
    if failing > len(summary.failing):
        lines.append(f"  ... and {failing - len(summary.failing)} more")
    text = "\n".join(map(escape_controls, lines))
    return text if first_error is None else f"{text}\n{_traceback(first_error, function)}"


def _traceback(error: BaseException, function: FunctionType) -> str:
    """The first error as Python shows it, from the user's eval on."""
    frames = traceback.walk_tb(error.__traceback__)
    places = [place for place, (frame, _) in enumerate(frames) if _is_in(frame, function)]
    found = traceback.TracebackException.from_exception(error)
    found.stack[:] = found.stack[places[0] :] if places else []
    lines = "".join(found.format()).splitlines()
    return "\n".join(["the first error:", *map(escape_controls, lines)])


def _is_in(frame: Any, function: FunctionType) -> bool:
    return bool(frame.f_code.co_filename == function.__code__.co_filename)
