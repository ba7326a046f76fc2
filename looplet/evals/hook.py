"""Evals at the end of a live run. Knows the loop's slots; knows no pytest."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from looplet.core.checkpoint import write_whole
from looplet.core.codec import JSON, to_jsonable
from looplet.core.runtime import Runtime
from looplet.errors import EvalError
from looplet.evals.cases import EvalCase
from looplet.evals.context import EvalContext
from looplet.evals.results import SKIPPED, EvalResult, Outcome
from looplet.evals.running import Evaluation, Given
from looplet.evals.suites import Evaluator, evaluate_all
from looplet.evals.summary import mean
from looplet.evals.trace_context import live_run
from looplet.trajectory.model import Trajectory
from looplet.trajectory.recorder import TrajectoryRecorder

logger = logging.getLogger("looplet")

Collector = Callable[[Any], Mapping[str, Any]]


class EvalHook:
    """Puts evals to a run when it ends. A hook for the loop.

    >>> from looplet import MockLLMBackend, composable_loop, tools_from
    >>> def eval_completed(ctx):
    ...     return ctx.completed
    >>> hook = EvalHook([eval_completed])
    >>> llm = MockLLMBackend(['{"tool": "done", "args": {"summary": "ripe"}}'])
    >>> steps = list(composable_loop(llm, "Ripe?", tools_from([], include_done=True), hooks=[hook]))
    >>> hook.summary()
    '1 scored (avg 1.00), 0 labeled'

    ``collectors`` are functions of the run's state, each of which gives a dict; ``artifacts`` is
    these, merged in order. One that raises or gives something else is left out, logged, and listed
    in ``collector_errors``. ``recorder``, the run's ``TrajectoryRecorder`` and before this hook in
    the list, lets evals read the very run that it keeps, identifiers and redaction included.
    ``case`` is for evals with a parameter ``case``. ``verbose`` prints the report.

    ``results`` has an ``EvalResult`` for each eval in order, ``context`` is what they read; both
    are of the last run, if there are several. What an eval raises ends no run.
    """

    def __init__(
        self,
        evaluators: Iterable[Evaluator],
        *,
        judge_llm: Any = None,
        collectors: Iterable[Collector] | None = None,
        verbose: bool = False,
        recorder: TrajectoryRecorder | None = None,
        case: EvalCase | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self.evaluators = list(evaluators)
        self.collectors = list(collectors or ())
        self.verbose = verbose
        self.context: EvalContext | None = None
        self.artifacts: dict[str, Any] = {}
        self.collector_errors: list[str] = []
        self._given = Given(judge=judge_llm, case=case)
        self._recorder = recorder
        self._runtime = runtime or Runtime()
        self._evaluations: list[Evaluation] = []
        self._before = 0
        """How many steps the state had when the run began."""
        self._started_at: datetime | None = None

    @property
    def results(self) -> list[EvalResult]:
        """What came of each eval, in order; empty before the end of a run."""
        return [each.result for each in self._evaluations]

    # The loop calls the slots by position, so every parameter stands here, used or not.
    # ruff: noqa: ARG002

    def pre_loop(self, state: Any, session_log: Any, context: Any) -> None:
        """Note when the run began."""
        self._before, self._started_at = len(state.steps), self._now()
        self._evaluations, self.context = [], None

    def on_loop_end(self, state: Any, session_log: Any, context: Any, llm: Any) -> None:
        """Collect, and evaluate. Raises ``EvalError`` if the recorder comes after this hook."""
        self.artifacts, self.collector_errors = self._collect(state)
        trajectory = self._trajectory(state, session_log)
        self.context = EvalContext.from_trajectory(trajectory)
        self.context.artifacts = {**self.context.artifacts, **self.artifacts}
        found = evaluate_all(self.evaluators, [self.context], given=self._given)
        self._evaluations = [evaluation for (evaluation,) in found]
        if self.verbose:
            sys.stdout.write(self.report() + "\n")

    def report(self) -> str:
        """A line for each result, and the summary."""
        return "\n".join([*(result.pretty() for result in self.results), self.summary()])

    def summary(self) -> str:
        """How many results have a score, how many a label alone, and how many neither."""
        results = [
            each.result
            for each in self._evaluations
            if each.outcome in (Outcome.PASS, Outcome.FAIL)
        ]
        scores = [result.score for result in results if result.score is not None]
        average = mean(scores)
        labeled = sum(result.score is None and result.label is not None for result in results)
        line = f"{len(scores)} scored" + ("" if average is None else f" (avg {average:.2f})")
        line += f", {labeled} labeled"
        absent = [each for each in self._evaluations if each.outcome is Outcome.NOT_EVALUABLE]
        skipped = sum(each.result.label == SKIPPED for each in absent)
        errors = sum(each.outcome is Outcome.ERROR for each in self._evaluations)
        rest = (
            (errors, "error" if errors == 1 else "errors"),
            (skipped, "skipped"),
            (len(absent) - skipped, "not evaluable"),
        )
        return line + "".join(f", {number} {what}" for number, what in rest if number)

    def save(self, path: str | os.PathLike[str]) -> dict[str, JSON]:
        """Write task, results, summary, and artifacts if there are any, as JSON; returns them.

        Folders are made, and a file that is there is replaced.
        """
        saved: dict[str, JSON] = {
            "task": to_jsonable(self.context.task if self.context is not None else {}),
            "results": [result.to_dict() for result in self.results],
            "summary": self.summary(),
        }
        if self.artifacts:
            saved["artifacts"] = to_jsonable(self.artifacts)
        text = json.dumps(saved, ensure_ascii=False, indent=2) + "\n"
        write_whole(Path(path), text.encode("utf-8", "backslashreplace"))
        return saved

    def _collect(self, state: Any) -> tuple[dict[str, Any], list[str]]:
        """What the collectors gave, and what went wrong with others."""
        merged: dict[str, Any] = {}
        errors = []
        for collector in self.collectors:
            name = getattr(collector, "__name__", type(collector).__name__)
            try:
                given: Any = collector(state)
                if not isinstance(given, Mapping):
                    raise TypeError(f"it gave {type(given).__name__}, not a dict")  # noqa: TRY301 - told like what it raises itself
                merged.update(given)
            except Exception as error:
                logger.exception("the collector %s was left out", name)
                errors.append(f"{name}: {type(error).__name__}: {error}")
        return merged, errors

    def _trajectory(self, state: Any, session_log: Any) -> Trajectory:
        """The run as the recorder has it, or as the state does."""
        if self._recorder is not None:
            if not self._recorder.is_over:
                raise EvalError(
                    "the recorder has no end of the run yet: put it before EvalHook in hooks"
                )
            return self._recorder.trajectory
        run = live_run(
            state,
            session_log,
            since=self._before,
            run_id=self._runtime.new_id(),
            started_at=self._started_at,
        )
        run.ended_at = self._now()
        return run

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._runtime.now(), UTC)
