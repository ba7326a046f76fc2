"""Whether evals are good enough. Knows summaries; knows no pytest. In doubt it does not hold.

The one place that decides: ``looplet eval``, the pytest plugin and ``assert_evals_pass`` ask it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from looplet.core.wording import counted
from looplet.evals.contrast import Contrast
from looplet.evals.gate_baseline import Demand, causes_beside
from looplet.evals.scored import EvalInfo
from looplet.evals.summary import EvalSummary

ROUNDING = 1e-12
"""How far below its threshold an average may be by the rounding of floats alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The gate's word, and every cause for it not to hold."""

    causes: tuple[str, ...] = ()
    of_evals: frozenset[str] = field(default=frozenset())
    """Keys of the evals that are among the causes."""

    @property
    def held(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.causes

    def cell(self, summary: EvalSummary) -> str:
        """The word on one eval, short enough for a table."""
        if summary.eval.key in self.of_evals:
            return "NOT held"
        return "held" if summary.n else "-"


def judge(
    summaries: Sequence[EvalSummary],
    *,
    threshold: float | None = None,
    expected: Iterable[EvalInfo] = (),
    troubles: Iterable[str] = (),
    allow_skipped: bool = False,
    demand: Demand = Demand.THRESHOLD,
    contrast: Contrast | None = None,
) -> Verdict:
    """The gate over all evals. ``threshold`` is the average for evals that name none.

    Without one it is the demand's. Beside a baseline, in ``contrast``, an average below a threshold
    that somebody named is a cause as well: a demand that looks at the baseline adds to the others.

    ``expected`` are the evals that were collected, so that a required one that did not run is
    noticed. ``troubles`` are causes that no eval can know of: an empty store, a run cut short.
    ``allow_skipped`` lets evals pass that were not asked, for want of a judge; never all of them.
    """
    expected = list(expected)
    least = demand.threshold if threshold is None else threshold
    causes = list(troubles)
    if not summaries and not causes:
        causes.append("no evals were run")
    own = [
        (summary.eval, text)
        for summary in summaries
        for text in causes_of(summary, least, allow_skipped=allow_skipped)
    ]
    beside = [*_beside(contrast, demand, expected)] if summaries else []
    found = [*_missing(summaries, expected), *own, *beside]
    causes += [text if info is None else f"{info.name}: {text}" for info, text in found]
    if summaries and not own and not any(summary.n for summary in summaries):
        causes.append(_why_nothing(summaries))
    of_evals = frozenset(info.key for info, _ in found if info is not None)
    return Verdict(causes=tuple(causes), of_evals=of_evals)


def _beside(
    contrast: Contrast | None, demand: Demand, expected: Iterable[EvalInfo]
) -> Iterator[tuple[EvalInfo | None, str]]:
    if demand is Demand.THRESHOLD:
        return
    if contrast is None:
        yield None, "there is no baseline to compare with"
    else:
        yield from causes_beside(contrast, demand, expected=expected)


def causes_of(summary: EvalSummary, threshold: float, *, allow_skipped: bool = False) -> list[str]:
    """Why one eval does not let the gate hold; empty if it does."""
    causes = []
    if summary.errors:
        causes.append(counted(summary.errors, "error"))
    if summary.eval.required and summary.not_evaluable:
        causes.append(
            f"it is required, and not evaluable on {counted(summary.not_evaluable, 'run')}"
        )
    if summary.eval.required and summary.unvalidated:
        reason, _ = summary.unvalidated[0]
        causes.append(f"it is required, and its judge is not validated: {reason}")
    if summary.n == 0 and not summary.measured and not (summary.skipped and allow_skipped):
        causes.append("no run was evaluable")
    if summary.unscored_fails:
        causes.append(
            f"{counted(summary.unscored_fails, 'run')} without a score, and without a passing label"
        )
    needed = threshold_of(summary, threshold)
    average = summary.mean_score
    if average is not None and not _reaches(average, needed):
        causes.append(f"average {average:.3f} is below {needed:.3f}")
    return causes


def threshold_of(summary: EvalSummary, threshold: float) -> float:
    """The average that an eval must reach."""
    return threshold if summary.eval.threshold is None else summary.eval.threshold


def _reaches(average: float, needed: float) -> bool:
    return average >= needed or math.isclose(average, needed, rel_tol=ROUNDING, abs_tol=ROUNDING)


def _why_nothing(summaries: Sequence[EvalSummary]) -> str:
    """The cause where no eval says anything, and none has a cause of its own."""
    if any(summary.skipped for summary in summaries):
        return "every eval was skipped, or gives nothing but metrics"
    return "there are nothing but metrics; no eval gives a score or a label"


def _missing(
    summaries: Sequence[EvalSummary], expected: Iterable[EvalInfo]
) -> list[tuple[EvalInfo, str]]:
    seen = {summary.eval.key for summary in summaries}
    return [
        (info, "it is required, and was not run")
        for info in expected
        if info.required and info.key not in seen
    ]
