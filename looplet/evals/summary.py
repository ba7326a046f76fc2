"""Verdicts added up, eval by eval, and the table of them. Knows verdicts; knows no pytest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from looplet.core.records import escape_controls
from looplet.evals.results import Outcome
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
    mean_score: float | None = None
    """Over the runs that have a score; ``None`` if none has."""
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
    def interval(self) -> Interval | None:
        """The 95 % interval of the rate; ``None`` without a rate."""
        return wilson_interval(self.passed, self.n) if self.n else None


def summarize(scored: Iterable[Scored]) -> list[EvalSummary]:
    """One summary an eval, in the order in which the evals first appear."""
    groups: dict[str, list[Scored]] = {}
    for each in scored:
        groups.setdefault(each.eval.key, []).append(each)
    return [_summary(group) for group in groups.values()]


def _summary(group: Sequence[Scored]) -> EvalSummary:
    counts = Counter(each.outcome for each in group)
    scores = [each.result.score for each in group if each.result.score is not None]
    unjudged = (Outcome.NOT_EVALUABLE, Outcome.ERROR)
    reasons = Counter(each.result.explanation for each in group if each.outcome in unjudged)
    return EvalSummary(
        eval=group[0].eval,
        passed=counts[Outcome.PASS],
        failed=counts[Outcome.FAIL],
        not_evaluable=counts[Outcome.NOT_EVALUABLE],
        errors=counts[Outcome.ERROR],
        measured=counts[Outcome.MEASURED],
        mean_score=sum(scores) / len(scores) if scores else None,
        reasons=tuple(reasons.most_common()),
    )


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
