"""Whether evals are good enough. Knows summaries; knows no pytest. In doubt it does not hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from looplet.evals.scored import EvalInfo
from looplet.evals.summary import EvalSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The gate's word, and every cause for it not to hold."""

    causes: tuple[str, ...] = ()

    @property
    def held(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.causes


def judge(
    summaries: Sequence[EvalSummary],
    *,
    threshold: float,
    expected: Iterable[EvalInfo] = (),
    troubles: Iterable[str] = (),
) -> Verdict:
    """The gate over all evals. ``threshold`` is the pass rate for evals that name none.

    ``expected`` are the evals that were collected, so that a required one that did not run is
    noticed. ``troubles`` are causes that no eval can know of: an empty store, a run cut short.
    """
    causes = list(troubles)
    if not summaries and not causes:
        causes.append("no evals were run")
    causes += [f"{info.name}: {text}" for info, text in _missing(summaries, expected)]
    for summary in summaries:
        causes += [f"{summary.eval.name}: {text}" for text in causes_of(summary, threshold)]
    if summaries and all(_only_measured(each) for each in summaries):
        causes.append("there are nothing but metrics; no eval gives a score or a label")
    return Verdict(causes=tuple(causes))


def causes_of(summary: EvalSummary, threshold: float) -> list[str]:
    """Why one eval does not let the gate hold; empty if it does."""
    causes = []
    if summary.errors:
        causes.append(_count(summary.errors, "error"))
    if summary.eval.required and summary.not_evaluable:
        causes.append(
            f"it is required, and not evaluable on {_count(summary.not_evaluable, 'run')}"
        )
    if summary.n == 0 and not summary.measured:
        causes.append("no run was evaluable")
    needed = threshold_of(summary, threshold)
    if summary.rate is not None and summary.rate < needed:
        causes.append(f"pass rate {summary.rate:.3f} is below {needed:.3f}")
    return causes


def threshold_of(summary: EvalSummary, threshold: float) -> float:
    """The pass rate that an eval must reach."""
    return threshold if summary.eval.threshold is None else summary.eval.threshold


def cell(summary: EvalSummary, threshold: float) -> str:
    """The gate's word on one eval, short enough for a table."""
    if causes_of(summary, threshold):
        return "NOT held"
    return "-" if _only_measured(summary) else "held"


def _only_measured(summary: EvalSummary) -> bool:
    return bool(summary.measured) and not (summary.n or summary.errors or summary.not_evaluable)


def _missing(
    summaries: Sequence[EvalSummary], expected: Iterable[EvalInfo]
) -> list[tuple[EvalInfo, str]]:
    seen = {summary.eval.key for summary in summaries}
    return [
        (info, "it is required, and was not run")
        for info in expected
        if info.required and info.key not in seen
    ]


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
