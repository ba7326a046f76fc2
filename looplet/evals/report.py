"""What ``looplet eval`` shows: a line an eval, the average of all, the gate's word. Knows text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from looplet.core.wording import counted
from looplet.evals import gate
from looplet.evals.results import Outcome
from looplet.evals.scored import Scored
from looplet.evals.summary import EvalSummary, mean

NAME_WIDTH = 30
"""Characters of the column of names; a longer name widens it for all."""


def report_lines(
    summaries: Sequence[EvalSummary],
    verdict: gate.Verdict,
    *,
    threshold: float,
    scored: Sequence[Scored] = (),
) -> list[str]:
    """The whole report, as it is to be said. With ``scored``, each eval is followed by its runs."""
    width = max([NAME_WIDTH, *(len(summary.eval.name) for summary in summaries)])
    runs: dict[str, list[Scored]] = {}
    for each in scored:
        runs.setdefault(each.eval.key, []).append(each)
    lines = []
    for summary in summaries:
        lines.append(_eval_line(summary, verdict, width))
        lines += [_run_line(each) for each in runs.get(summary.eval.key, ())]
    averages = [each.mean_score for each in summaries if each.mean_score is not None]
    overall = mean(averages)
    word = "PASS" if verdict.held else "FAIL"
    lines += ["", f"  overall: {'-' if overall is None else format(overall, '.2f')}"]
    lines.append(f"  threshold: {threshold:.2f}  → {word}")
    return lines


def _eval_line(summary: EvalSummary, verdict: gate.Verdict, width: int) -> str:
    sign = "✗" if summary.eval.key in verdict.of_evals else "✓" if summary.n else "·"
    parts = [f"  {sign} {summary.eval.name:<{width}}"]
    if summary.scores:
        low, high = min(summary.scores), max(summary.scores)
        parts.append(f"avg={summary.mean_score:.2f}  min={low:.2f}  max={high:.2f} ")
    elif summary.n:
        parts.append(f"pass={summary.passed}  fail={summary.failed} ")
    elif summary.metrics:
        parts.append("  ".join(f"{name}={value:.2f}" for name, value in summary.metrics) + " ")
    parts.append(f"({', '.join(_counts(summary))})")
    return " ".join(parts)


def _counts(summary: EvalSummary) -> Iterable[str]:
    """How many runs there are, and how many of them have no verdict."""
    total = summary.n + summary.not_evaluable + summary.errors + summary.measured
    unevaluable = summary.not_evaluable - summary.skipped
    yield counted(total, "run")
    if summary.errors:
        yield counted(summary.errors, "error")
    if summary.skipped:
        yield f"{summary.skipped} skipped"
    if unevaluable:
        yield f"{unevaluable} not evaluable"
    if summary.measured:
        yield "metrics only" if summary.measured == total else f"{summary.measured} metrics only"


_SIGNS: Mapping[Outcome, str] = {
    Outcome.PASS: "✓",
    Outcome.MEASURED: "·",
    Outcome.NOT_EVALUABLE: "·",
}


def _run_line(scored: Scored) -> str:
    sign = _SIGNS.get(scored.outcome, "✗")
    return f"      {sign} {replace(scored.result, name=scored.trajectory_id).pretty()[2:]}"
