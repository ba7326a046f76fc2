"""Verdicts added up, eval by eval, and the table of them. Knows verdicts; knows no pytest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from looplet.core.records import escape_controls
from looplet.evals.results import SKIPPED, Outcome
from looplet.evals.scored import EvalInfo, Scored
from looplet.evals.statistics import Interval, wilson_interval

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
    def interval(self) -> Interval | None:
        """The 95 % interval of the rate; ``None`` without a rate."""
        return wilson_interval(self.passed, self.n) if self.n else None


def mean(values: Sequence[float]) -> float | None:
    """The mean, rounded once, so that equal values have that value; ``None`` without any.

    >>> mean([0.7, 0.7, 0.7])
    0.7
    """
    return _mean(values) if values else None


def _mean(values: Sequence[float]) -> float:
    return float(sum(map(Fraction, values)) / len(values))


def summarize(scored: Iterable[Scored]) -> list[EvalSummary]:
    """One summary an eval, in the order in which the evals first appear."""
    groups: dict[str, list[Scored]] = {}
    for each in scored:
        groups.setdefault(each.eval.key, []).append(each)
    return [_summary(group) for group in groups.values()]


def _summary(group: Sequence[Scored]) -> EvalSummary:
    counts = Counter(each.outcome for each in group)
    results = [each.result for each in group if each.outcome in (Outcome.PASS, Outcome.FAIL)]
    unjudged = [each for each in group if each.outcome in (Outcome.NOT_EVALUABLE, Outcome.ERROR)]
    absent = (each.result.label for each in group if each.outcome is Outcome.NOT_EVALUABLE)
    reasons = Counter(each.result.explanation for each in unjudged)
    return EvalSummary(
        eval=group[0].eval,
        passed=counts[Outcome.PASS],
        failed=counts[Outcome.FAIL],
        not_evaluable=counts[Outcome.NOT_EVALUABLE],
        errors=counts[Outcome.ERROR],
        measured=counts[Outcome.MEASURED],
        skipped=sum(label == SKIPPED for label in absent),
        unscored_fails=sum(each.score is None and not each.passed for each in results),
        metrics=_means(each.result.metrics for each in group if each.outcome is Outcome.MEASURED),
        scores=tuple(each.score for each in results if each.score is not None),
        reasons=tuple(reasons.most_common()),
    )


def _means(results: Iterable[Mapping[str, float]]) -> tuple[tuple[str, float], ...]:
    found: dict[str, list[float]] = {}
    for metrics in results:
        for name, value in metrics.items():
            found.setdefault(name, []).append(value)
    return tuple((name, _mean(values)) for name, values in found.items())


def table(
    summaries: Sequence[EvalSummary], verdict: Callable[[EvalSummary], str], *, width: int = 80
) -> list[str]:
    """The summaries as aligned lines, in plain text.

    ``verdict`` gives the last column. A name that does not fit the width stands on its own line.
    """
    rows = [_cells(each, verdict(each)) for each in summaries]
    sizes = [max(len(row[index]) for row in (COLUMNS, *rows)) for index in range(1, len(COLUMNS))]
    room = max(4, width - sum(sizes) - 2 * len(sizes))
    names = [len(row[0]) for row in rows if len(row[0]) <= room]
    first = max([len(COLUMNS[0]), *names])
    lines = [_line(COLUMNS, first, sizes)]
    for row in rows:
        if len(row[0]) > first:
            lines.append(row[0])
            row = ("", *row[1:])  # noqa: PLW2901 - the numbers follow on a line of their own
        lines.append(_line(row, first, sizes))
    return lines


def reason_lines(summaries: Iterable[EvalSummary]) -> list[str]:
    """Why runs have no verdict, one line a reason."""
    return [
        escape_controls(f"{each.eval.name}: {reason} ({count})")
        for each in summaries
        for reason, count in each.reasons
    ]


def _cells(summary: EvalSummary, verdict: str) -> tuple[str, ...]:
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


def _line(cells: Sequence[str], first: int, sizes: Sequence[int]) -> str:
    numbers = [cell.rjust(size) for cell, size in zip(cells[1:-1], sizes[:-1], strict=True)]
    return "  ".join([cells[0].ljust(first), *numbers, cells[-1]]).rstrip()
