"""What to know of verdicts before they are believed. Knows summaries; decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from looplet.core.records import escape_controls
from looplet.core.wording import counted
from looplet.evals.statistics import mean_over_tasks, pass_hat_k
from looplet.evals.summary import EvalSummary

EVALS = 10
"""How many flaky evals are named."""
TASKS = 3
"""How many flaky tasks of each."""


def caveat_lines(summaries: Sequence[EvalSummary]) -> list[str]:
    """Judges that nobody validated, scores of another scale, and flaky evals, the worst first."""
    lines = [*_judge_lines(summaries), *_scale_lines(summaries), *_flaky_lines(summaries)]
    return [escape_controls(line) for line in lines]


def _scale_lines(summaries: Iterable[EvalSummary]) -> Iterator[str]:
    for each in summaries:
        low, high = min(each.scores, default=0), max(each.scores, default=0)
        if not 0 <= low <= high <= 1:
            yield (
                f"{each.eval.name}: scores from {low:g} to {high:g}; thresholds are averages from "
                "0 to 1, and one high score makes up for many of 0: scale them"
            )


def _judge_lines(summaries: Iterable[EvalSummary]) -> Iterator[str]:
    for each in summaries:
        for reason, count in each.unvalidated:
            runs = counted(count, "run")
            yield f"{each.eval.name}: unvalidated judge, on {runs}: {reason}"


def _flaky_lines(summaries: Iterable[EvalSummary]) -> Iterator[str]:
    flaky = sorted(
        ((*_pass_hat(each), each) for each in summaries if each.flaky),
        key=lambda found: (found[1], -len(found[2].flaky)),
    )
    for k, chance, each in flaky[:EVALS]:
        repeated = sum(len(trials) > 1 for trials in each.trials)
        named = [f"{one.task_id} {one.passed} of {one.trials}" for one in each.flaky[:TASKS]]
        more = len(each.flaky) - len(named)
        yield (
            f"{each.eval.name}: flaky, pass^{k} {chance:.2f}; trials differ on {len(each.flaky)} "
            f"of {repeated} tasks (passed: {', '.join(named)}"
            + (f" and {more} more)" if more else ")")
        )
    if len(flaky) > EVALS:
        yield f"... and {len(flaky) - EVALS} more flaky evals"


def _pass_hat(summary: EvalSummary) -> tuple[int, float]:
    """The most trials that every repeated task had, and the chance that as many all pass."""
    counts = [(sum(trials), len(trials)) for trials in summary.trials if len(trials) > 1]
    k = min(n for _, n in counts)
    return k, mean_over_tasks(pass_hat_k, counts, k)
