"""Whether evals are good enough beside a baseline. Knows what was compared; in doubt, it is not.

A part of ``gate``, which alone asks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

from looplet.core.wording import counted
from looplet.evals.contrast import Beside, Contrast
from looplet.evals.scored import EvalInfo
from looplet.evals.statistics import EvalComparison, Finding

ROUNDING = 1e-12
"""How far above the margin a share may be by the rounding of floats alone."""

_SHOWN = (Finding.BETTER, Finding.NO_WORSE)


class Demand(str, Enum):
    """What the gate asks of evals, beside that nothing went wrong."""

    THRESHOLD = "threshold"
    """Each reaches its threshold."""
    NO_WORSE = "no-worse"
    """Each that both sides have is shown to be no worse than the baseline, within the margin."""
    BETTER = "better"
    """The same, and at least one is shown to be better."""

    @property
    def threshold(self) -> float:
        """The average that it asks of evals where nobody named one."""
        return 1.0 if self is Demand.THRESHOLD else 0.0


def causes_beside(
    contrast: Contrast, demand: Demand, *, expected: Iterable[EvalInfo] = ()
) -> Iterator[tuple[EvalInfo | None, str]]:
    """Why the gate does not hold, and of which eval it is the cause, if of one.

    ``expected`` are the evals that were collected.
    """
    if contrast.same_runs:
        yield (
            None,
            (
                f"every run is one of the baseline {contrast.baseline}: a run beside itself says "
                "nothing of the agent"
            ),
        )
    for each in contrast.evals:
        yield from ((each.eval, text) for text in _causes(each, contrast.margin))
    yield from _missing(contrast, expected)
    if not contrast.evals:
        yield None, f"no eval has a score both here and in the baseline {contrast.baseline}"
    elif demand is Demand.BETTER and not any(map(_is_better, contrast.evals)):
        yield None, "no eval is shown to be better than the baseline"


def _causes(each: Beside, margin: float) -> Iterator[str]:
    if each.changed:
        yield f"{each.changed} has changed since the baseline was scored: score the baseline again"
    if each.eval.required and each.unevaluable_baseline:
        yield (
            f"it is required, and not evaluable on {counted(each.unevaluable_baseline, 'run')} of "
            "the baseline"
        )
    if each.less_evaluable > margin + ROUNDING:
        yield (
            f"more of its runs than of the baseline's are not evaluable, by a share of "
            f"{each.less_evaluable:.2f}: a loss of more than {margin:g} can hide there"
        )
    if each.found is None:
        yield f"it cannot be compared with the baseline: {each.why_not}"
    elif each.found.finding is Finding.WORSE:
        yield f"worse than the baseline: {_difference(each.found)}"
    elif each.found.finding not in _SHOWN and not each.same:
        yield f"not shown to be no worse than the baseline: {_too_little(each.found)}"


def _missing(
    contrast: Contrast, expected: Iterable[EvalInfo]
) -> Iterator[tuple[EvalInfo | None, str]]:
    """Required evals of one side only. A file that is not collected now is not asked about."""
    for info in contrast.only_here:
        if info.required:
            yield info, f"it is required, and the baseline {contrast.baseline} has no score of it"
    known = {info.key: info for info in expected}
    files = {_file(key) for key in known}
    for side in contrast.only_baseline:
        if side.key not in known and side.required and _file(side.key) in files:
            yield None, f"{side.name}: it was required in the baseline, and is no longer there"
        elif side.key in known and side.required and known[side.key].required:
            yield known[side.key], "it is required, and has no score beside the baseline's"


def _file(key: str) -> str:
    return key.rpartition("::")[0]


def _is_better(each: Beside) -> bool:
    return each.found is not None and each.found.finding is Finding.BETTER


def _difference(found: EvalComparison) -> str:
    if found.difference is None or found.interval is None:
        return counted(len(found.tasks), "task")
    low, high = found.interval
    tasks = counted(len(found.tasks), "task")
    return (
        f"{found.difference:+.3f} ({low:+.3f} to {high:+.3f}) on {tasks}, margin {found.margin:g}"
    )


def _too_little(found: EvalComparison) -> str:
    least = "no difference" if found.detectable is None else f"one of {found.detectable:.2g}"
    text = f"{_difference(found)}; so many can show {least}"
    if found.enough is None:
        return f"{text}, and no number of tasks shows a margin of 0"
    return f"{text}, and about {found.enough} tasks would do if it is as good"
