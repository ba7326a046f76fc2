"""A candidate agent beside a baseline, eval by eval. Knows observations; knows no store."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from looplet.errors import StatisticsError
from looplet.evals.statistics.checks import Tasks, check_share
from looplet.evals.statistics.corrections import Correction, correct
from looplet.evals.statistics.effective import DIFFERENCE_EVENTS
from looplet.evals.statistics.intervals import Interval
from looplet.evals.statistics.noninferiority import noninferiority_of
from looplet.evals.statistics.paired import differences_of, interval_of
from looplet.evals.statistics.pairs import Pairs, pair
from looplet.evals.statistics.permutation import permutation_test
from looplet.evals.statistics.power import minimum_detectable_effect, tasks_needed
from looplet.evals.statistics.trials import Observation, TaskTrials, group_trials


class Finding(str, Enum):
    """What a comparison shows."""

    BETTER = "better"
    NO_WORSE = "no worse"
    WORSE = "worse"
    NOT_ENOUGH_DATA = "not enough data"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalComparison:
    """One eval of both agents, on the tasks on which both have a value."""

    eval: str
    finding: Finding
    margin: float
    """In the score's unit, as are difference, interval and what is detectable."""
    tasks: tuple[str, ...] = ()
    """The tasks that were compared."""
    difference: float | None = None
    """Mean over tasks, candidate minus baseline; ``None`` without a task."""
    interval: Interval | None = None
    """Of the difference, with confidence 1 - alpha, for this eval alone."""
    p_value: float | None = None
    """Two-sided, that candidate and baseline are alike."""
    corrected_p_value: float | None = None
    """The same, corrected for the number of evals."""
    no_worse_p_value: float | None = None
    """One-sided, that the candidate is worse by the margin or more. Not corrected: a gate that asks
    all evals to hold errs no more often than one eval does."""
    detectable: float | None = None
    """The smallest true difference that tasks like these show in four cases of five; ``None`` if
    they are too few to show any."""
    enough: int | None = None
    """About how many tasks like these would show, in four cases of five, that a candidate as good
    as the baseline is no worse; ``None`` for a margin of 0, which no number shows."""
    only_candidate: tuple[str, ...] = ()
    """Tasks that the baseline has no trial of: not compared."""
    only_baseline: tuple[str, ...] = ()
    """Tasks that the candidate has no trial of: not compared."""
    not_evaluable_candidate: tuple[tuple[str, int], ...] = ()
    """Task and number of the candidate's trials that had nothing to judge; they are not zeros."""
    not_evaluable_baseline: tuple[tuple[str, int], ...] = ()
    same_recording: tuple[str, ...] = ()
    """Tasks on which both sides replay a recording in common: only what is not in the recording,
    such as tools and evals, can differ there."""

    @property
    def verdict(self) -> str:
        """The finding in words.

        >>> EvalComparison(eval="e", finding=Finding.NO_WORSE, margin=0.05).verdict
        'no worse (margin 0.05)'
        """
        if self.finding is Finding.NO_WORSE:
            return f"{self.finding.value} (margin {self.margin:g})"
        if self.finding is Finding.NOT_ENOUGH_DATA:
            least = "nothing" if self.detectable is None else f"{self.detectable:.2g}"
            return f"{self.finding.value} (detectable: {least})"
        return str(self.finding.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All evals that both agents have, and the names of those that one of them lacks."""

    evals: tuple[EvalComparison, ...]
    only_candidate: tuple[str, ...] = ()
    only_baseline: tuple[str, ...] = ()

    @property
    def no_worse(self) -> bool:
        """Whether every eval is better or no worse, and the candidate lacks none."""
        shown = (Finding.BETTER, Finding.NO_WORSE)
        held = all(each.finding in shown for each in self.evals)
        return bool(self.evals) and held and not self.only_baseline


def compare(
    candidate: Mapping[str, Iterable[Observation]],
    baseline: Mapping[str, Iterable[Observation]],
    *,
    margin: float,
    alpha: float = 0.05,
    correction: Correction = "holm",
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Comparison:
    """Compare two agents on the tasks that they share, each eval by itself.

    Both sides hold the observations of each eval by its name. ``margin`` is the difference that
    does not matter, and ``bounds`` are what scores can reach, in their own unit; passes and fails
    are 1 and 0. The finding is

    - ``better`` if the corrected p-value is at most ``alpha``, and the difference is above 0;
    - else ``no worse`` if it is shown, with an error of at most ``alpha``, that the candidate is
      not worse by the margin or more;
    - else ``worse`` if the corrected p-value is at most ``alpha``;
    - else ``not enough data``, with the difference that such a sample would show.

    Every task weighs the same, however often it was tried. Tasks of one side only, and trials that
    were not evaluable, are named and not compared. Raises ``ReplaysCounted`` where replays of one
    recording are given as several trials; ``StatisticsError`` for scores outside the bounds, and a
    margin, alpha or correction that there is not; ``MissingExtra`` without scipy.

    Sources: those of ``permutation_test`` (p-value), ``paired_interval``, ``noninferiority_test``,
    ``correct`` and ``minimum_detectable_effect``. That a conjunction of evals needs no correction:
    R. L. Berger, "Multiparameter Hypothesis Testing and Acceptance Sampling", Technometrics 24
    (1982), 295-300.

    >>> passed = [Observation(f"t{number}", 0, True) for number in range(60)]
    >>> [each.verdict for each in compare({"e": passed}, {"e": passed}, margin=0.05).evals]
    ['no worse (margin 0.05)']
    """
    check_share("alpha", alpha)
    low, high = bounds
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise StatisticsError(f"bounds are a lower and a higher number, not {bounds!r}")
    both = [name for name in candidate if name in baseline]
    parts = [
        _Part.of(name, group_trials(candidate[name]), group_trials(baseline[name]), bounds)
        for name in both
    ]
    level = alpha / max(1, len(parts)) if correction == "holm" else alpha
    rows = [part.measure(margin, confidence=1 - alpha, level=level) for part in parts]
    known = [row.p_value for row in rows if row.p_value is not None]
    corrected = iter(correct(known, correction))
    return Comparison(
        evals=tuple(
            _concluded(row, None if row.p_value is None else next(corrected), alpha) for row in rows
        ),
        only_candidate=tuple(name for name in candidate if name not in baseline),
        only_baseline=tuple(name for name in baseline if name not in candidate),
    )


def _concluded(row: EvalComparison, corrected: float | None, alpha: float) -> EvalComparison:
    """The finding, once the p-value is corrected."""
    difference, no_worse = row.difference, row.no_worse_p_value
    finding = Finding.NOT_ENOUGH_DATA
    if corrected is not None and difference is not None and no_worse is not None:
        differs, harmless = corrected <= alpha, no_worse <= alpha
        if harmless:  # also asked of what is better, so that the gate's error is bounded by it
            finding = Finding.BETTER if differs and difference > 0 else Finding.NO_WORSE
        elif differs and difference < 0:
            finding = Finding.WORSE
    return replace(row, corrected_p_value=corrected, finding=finding)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One eval: both sides' trials of the tasks that they share, as scores from 0 to 1."""

    eval: str
    ours: TaskTrials
    theirs: TaskTrials
    tasks: tuple[str, ...]
    candidate: Tasks
    baseline: Tasks
    span: float
    """Width of the score's bounds, in its unit."""

    @classmethod
    def of(
        cls, name: str, ours: TaskTrials, theirs: TaskTrials, bounds: tuple[float, float]
    ) -> _Part:
        if ours.pass_fail and theirs.pass_fail:
            bounds = (0.0, 1.0)
        tasks = tuple(task for task in ours.values if task in theirs.values)
        return cls(
            eval=name,
            ours=ours,
            theirs=theirs,
            tasks=tasks,
            candidate=[_scaled(name, ours.values[task], bounds) for task in tasks],
            baseline=[_scaled(name, theirs.values[task], bounds) for task in tasks],
            span=bounds[1] - bounds[0],
        )

    def measure(self, margin: float, *, confidence: float, level: float) -> EvalComparison:
        """All but the corrected p-value and the finding."""
        ours, theirs = self.ours, self.theirs
        row = EvalComparison(
            eval=self.eval,
            finding=Finding.NOT_ENOUGH_DATA,
            margin=margin,
            tasks=self.tasks,
            only_candidate=tuple(task for task in ours.recordings if task not in theirs.recordings),
            only_baseline=tuple(task for task in theirs.recordings if task not in ours.recordings),
            not_evaluable_candidate=tuple(ours.not_evaluable.items()),
            not_evaluable_baseline=tuple(theirs.not_evaluable.items()),
            same_recording=tuple(
                task for task in self.tasks if ours.recordings[task] & theirs.recordings[task]
            ),
        )
        if not self.tasks:
            return row
        pairs, span = pair(self.candidate, self.baseline), self.span
        low, high = interval_of(pairs, confidence)
        least = _detectable(pairs, level)
        share = margin / span
        return replace(
            row,
            difference=pairs.difference * span,
            interval=Interval(low * span, high * span),
            p_value=permutation_test(differences_of(self.candidate, self.baseline)),
            no_worse_p_value=noninferiority_of(pairs, share),
            detectable=None if least is None else least * span,
            enough=_enough(pairs, share, 1 - confidence) if share else None,
        )


def _scaled(name: str, values: tuple[float, ...], bounds: tuple[float, float]) -> tuple[float, ...]:
    low, high = bounds
    for value in values:
        if not low <= value <= high:
            raise StatisticsError(
                f"{name} has the score {value:g}, which is not from {low:g} to {high:g}; give the "
                "bounds that its scores can reach"
            )
    return tuple((value - low) / (high - low) for value in values)


def _detectable(pairs: Pairs, alpha: float) -> float | None:
    n = math.floor(pairs.worth(DIFFERENCE_EVENTS) + 1e-9)
    return minimum_detectable_effect(n, _discordance(pairs, n), alpha=alpha)


def _enough(pairs: Pairs, margin: float, alpha: float) -> int:
    n = pairs.worth(DIFFERENCE_EVENTS)
    alike = tasks_needed(margin, 0, alpha=alpha)  # it takes these however often each is tried
    differing = tasks_needed(margin, _discordance(pairs, n), alpha=alpha) - alike
    return alike + math.ceil(differing * pairs.n / n)


def _discordance(pairs: Pairs, n: float) -> float:
    """The share of pairs that differ, with one more that does, and one that does not.

    That none were seen does not mean that there are none.
    """
    return ((pairs.gained + pairs.lost) * n + 1) / (n + 2)
