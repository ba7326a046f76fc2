"""Verdicts added up, eval by eval, and the table of them. Knows verdicts; knows no pytest."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from looplet.core.records import escape_controls
from looplet.evals.columns import aligned
from looplet.evals.results import SKIPPED, Outcome
from looplet.evals.scored import EvalInfo, Scored
from looplet.evals.statistics import (
    FlakyTask,
    Interval,
    Observation,
    clustered_interval,
    flaky_tasks,
)

FAILING = 20
"""How many of the failing runs of an eval are named."""
_VERDICTS = frozenset({Outcome.PASS, Outcome.FAIL})
_FAILING = frozenset({Outcome.FAIL, Outcome.ERROR})
COLUMNS = ("eval", "n", "passed", "rate", "95% interval", "not evaluable", "gate")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSummary:
    """One eval over all the runs that it was put to."""

    eval: EvalInfo
    passed: int = 0
    failed: int = 0
    not_evaluable: int = 0
    errors: int = 0
    measured: int = 0
    """Runs for which there are metrics and nothing else."""
    skipped: int = 0
    """Those of the not evaluable that were not asked: without a judge, or by the author's word."""
    unscored_fails: int = 0
    """Those of the failed that have no score: a label that is no passing one, or no label."""
    scores: tuple[float, ...] = ()
    """Of the runs that have one, in order."""
    metrics: tuple[tuple[str, float], ...] = ()
    """The mean of each metric, over the runs for which there is nothing else."""
    reasons: tuple[tuple[str, int], ...] = ()
    """Why runs were not evaluable, and what the errors were, the most frequent first."""
    trials: tuple[tuple[bool, ...], ...] = ()
    """Passed or failed, for each trial of each task. Replays of one recording are one trial, which
    passed if they all did."""
    repeats: int = 0
    """Verdicts on further replays of a recording, which are in every figure but the interval."""
    failing: tuple[Scored, ...] = ()
    """The first of those that failed or were errors."""
    flaky: tuple[FlakyTask, ...] = ()
    """Tasks of which some trials passed and some did not, the least certain first."""
    unvalidated: tuple[tuple[str, int], ...] = ()
    """Why judges are unvalidated, and on how many verdicts, the most frequent first."""

    @property
    def n(self) -> int:
        """Runs with a verdict: passed or failed."""
        return self.passed + self.failed

    @property
    def rate(self) -> float | None:
        """Passed of those with a verdict, 0 to 1; ``None`` if there are none."""
        return self.passed / self.n if self.n else None

    @property
    def mean_score(self) -> float | None:
        """Over the runs that have a score; ``None`` if none has."""
        return mean(self.scores)

    @property
    def task_rate(self) -> float | None:
        """Passed, 0 to 1, as a mean over tasks, which the interval is of; ``None`` without any."""
        if not self.trials:
            return None
        shares = Counter((sum(trials), len(trials)) for trials in self.trials)
        total = sum(Fraction(*share) * count for share, count in shares.items())
        return float(total / len(self.trials))

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of the rate over tasks, each weighing the same; ``None`` without.

        It is Wilson's where each task was tried once.
        """
        return clustered_interval(self.trials) if self.trials else None


def mean(values: Sequence[float]) -> float | None:
    """The mean, rounded once, so that equal values have that value; ``None`` without any.

    >>> mean([0.7, 0.7, 0.7])
    0.7
    """
    return _mean(values) if values else None


def _mean(values: Sequence[float]) -> float:
    total = sum(Fraction(value) * count for value, count in Counter(values).items())
    return float(total / len(values))


def summarize(scored: Iterable[Scored]) -> list[EvalSummary]:
    """One summary an eval, in the order in which the evals first appear.

    Verdicts are added up as they come, and but for ``FAILING`` of each eval none is kept.
    """
    tallies: dict[str, _Tally] = {}
    for each in scored:
        tally = tallies.get(each.eval.key)
        if tally is None:
            tally = tallies[each.eval.key] = _Tally(each.eval)
        tally.add(each)
    return [tally.summary() for tally in tallies.values()]


class _Tally:
    """Verdicts of one eval, added up. Changes with each."""

    def __init__(self, info: EvalInfo) -> None:
        self._eval = info
        self._outcomes: Counter[Outcome] = Counter()
        self._reasons: Counter[str] = Counter()
        self._skipped = self._unscored_fails = self._repeats = 0
        self._scores = array("d")
        self._metrics: dict[str, array[float]] = {}
        self._trials: dict[str, list[bool]] = {}
        self._places: dict[tuple[str, str], int] = {}
        """Where the trial of a task from a recording stands in its trials."""
        self._failing: list[Scored] = []
        self._unvalidated: Counter[str] = Counter()

    def add(self, scored: Scored) -> None:
        """Add a verdict."""
        outcome, result = scored.outcome, scored.result
        self._outcomes[outcome] += 1
        if outcome in _VERDICTS:
            self._add_trial(scored)
            trouble = scored.unvalidated
            if trouble is not None:
                self._unvalidated[trouble] += 1
            if result.score is not None:
                self._scores.append(result.score)
            else:
                self._unscored_fails += not result.passed
        elif outcome is Outcome.MEASURED:
            for name, value in result.metrics.items():
                self._metrics.setdefault(name, array("d")).append(value)
        else:
            self._reasons[result.explanation] += 1
            self._skipped += outcome is Outcome.NOT_EVALUABLE and result.label == SKIPPED
        if outcome in _FAILING and len(self._failing) < FAILING:
            self._failing.append(scored)

    def _add_trial(self, scored: Scored) -> None:
        """Add a trial, or a further verdict on one: it passed if all of its replays pass."""
        passed = scored.outcome is Outcome.PASS
        task = scored.task or scored.trajectory_id
        trials = self._trials.setdefault(task, [])
        if scored.recording is not None:
            place = self._places.setdefault((task, scored.recording), len(trials))
            if place < len(trials):
                trials[place] &= passed
                self._repeats += 1
                return
        trials.append(passed)

    def summary(self) -> EvalSummary:
        """What they come to."""
        return EvalSummary(
            eval=self._eval,
            passed=self._outcomes[Outcome.PASS],
            failed=self._outcomes[Outcome.FAIL],
            not_evaluable=self._outcomes[Outcome.NOT_EVALUABLE],
            errors=self._outcomes[Outcome.ERROR],
            measured=self._outcomes[Outcome.MEASURED],
            skipped=self._skipped,
            unscored_fails=self._unscored_fails,
            scores=tuple(self._scores),
            metrics=tuple((name, _mean(values)) for name, values in self._metrics.items()),
            reasons=tuple(self._reasons.most_common()),
            trials=tuple(map(tuple, self._trials.values())),
            repeats=self._repeats,
            failing=tuple(self._failing),
            flaky=tuple(flaky_tasks(self._mixed())),
            unvalidated=tuple(self._unvalidated.most_common()),
        )

    def _mixed(self) -> Iterator[Observation]:
        """The trials of tasks on which not all agree."""
        for task, trials in self._trials.items():
            if any(trials) and not all(trials):
                yield from (Observation(task, *each) for each in enumerate(trials))


def table(
    summaries: Sequence[EvalSummary], verdict: Callable[[EvalSummary], str], *, width: int = 80
) -> list[str]:
    """The summaries as aligned lines, in plain text.

    ``verdict`` gives the last column. A name that does not fit the width stands on its own line.
    """
    return aligned(COLUMNS, [cells(each, verdict(each)) for each in summaries], width=width)


def reason_lines(summaries: Iterable[EvalSummary]) -> list[str]:
    """Why runs have no verdict, one line a reason."""
    return [
        escape_controls(f"{each.eval.name}: {reason} ({count})")
        for each in summaries
        for reason, count in each.reasons
    ]


def trial_lines(summaries: Sequence[EvalSummary]) -> list[str]:
    """What the intervals count, where that is not each verdict once."""
    clustered = any(len(trials) > 1 for each in summaries for trials in each.trials)
    lines = ["intervals are by task: trials of one are alike, and every task weighs the same"]
    return [*lines * clustered, *_rate_lines(summaries), *replay_lines(summaries)]


def _rate_lines(summaries: Iterable[EvalSummary]) -> Iterator[str]:
    """The rates of tasks that those of runs do not tell, as far as they are shown."""
    for each in summaries:
        runs, tasks = f"{each.rate or 0:.2f}", f"{each.task_rate or 0:.2f}"
        if runs != tasks:
            yield escape_controls(
                f"{each.eval.name}: the rate of runs is {runs}, that of tasks is {tasks}: some "
                "tasks have more verdicts than others"
            )


def replay_lines(summaries: Iterable[EvalSummary]) -> list[str]:
    """How many verdicts are on replays of one recording, one line an eval."""
    return [
        escape_controls(
            f"{each.eval.name}: {each.repeats} of {each.n} verdicts are on further replays of a "
            "recording: they repeat its trial, say nothing of how others would go, and are in no "
            "interval"
        )
        for each in summaries
        if each.repeats
    ]


def cells(summary: EvalSummary, verdict: str) -> tuple[str, ...]:
    """A row of the table, column by column."""
    rate, interval = summary.rate, summary.interval
    return (
        summary.eval.name,
        str(summary.n),
        str(summary.passed),
        "-" if rate is None else f"{rate:.2f}",
        "-" if interval is None else f"{interval.low:.2f} to {interval.high:.2f}",
        str(summary.not_evaluable),
        verdict,
    )
