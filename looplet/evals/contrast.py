"""A run of evals beside its baseline, eval by eval. Knows sides and statistics; decides nothing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from looplet.evals.baseline import Baseline
from looplet.evals.scored import EvalInfo, Scored
from looplet.evals.sides import Side, Word, sides_of, words_of
from looplet.evals.statistics import EvalComparison, compare, group_trials

UNBOUNDED = "has scores that are not from 0 to 1, of which no margin can be taken"
APART = "no task has a value on both sides"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One eval of which both sides have words."""

    eval: EvalInfo
    baseline: float | None = None
    """Mean over the tasks that are compared, each weighing the same; of passes the rate."""
    candidate: float | None = None
    found: EvalComparison | None = None
    why_not: str = ""
    """Why there is no comparison; then ``found`` is ``None``."""
    changed: str = ""
    """What the two sides were not measured by alike: ``the eval``, or ``its judge``."""
    less_evaluable: float = 0.0
    """By what share of trials more the candidate has no value, on tasks that both tried."""
    unevaluable_baseline: int = 0
    """Runs of the baseline that were not evaluable."""
    same: bool = False
    """Whether both sides replay the same recordings, and the eval says the same of each of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """All evals."""

    baseline: str
    """The baseline's name."""
    margin: float
    alpha: float
    evals: tuple[Beside, ...]
    only_here: tuple[EvalInfo, ...] = ()
    """Evals that the baseline has no score of."""
    only_baseline: tuple[Side, ...] = ()
    """Evals of the baseline that gave no word here."""
    tasks_only_here: int = 0
    tasks_only_baseline: int = 0
    left_out: int = 0
    """Runs that are the baseline's, and not the candidate's too."""
    same_runs: bool = False
    """Whether the candidate's runs are the baseline's own: what can differ is the scoring alone."""


def contrast_with(
    baseline: Baseline, scored: Iterable[Scored], *, margin: float = 0.05, alpha: float = 0.05
) -> Contrast:
    """Compare verdicts with a baseline, paired by task.

    Scores are compared by their means, passes and fails by their rates. An eval is paired with the
    one of its key, else with the only one of its name. Raises what ``statistics.compare`` raises
    for a margin or an alpha that there is not.
    """
    verdicts = list(scored)
    every = list(words_of(verdicts))
    words = [word for word in every if word.trajectory_id not in baseline.runs]
    same_runs = bool(every) and not words
    sides = sides_of(every if same_runs else words)
    infos = {each.eval.key: each.eval for each in verdicts}
    other = {key: side for key, side in baseline.sides.items() if not side.is_measured}
    pairs = _paired(sides, other)
    measurable = {
        key: (sides[key], theirs)
        for key, theirs in pairs.items()
        if sides[key].is_bounded and theirs.is_bounded
    }
    found = compare(
        {key: ours.observations for key, (ours, _) in measurable.items()},
        {key: theirs.observations for key, (_, theirs) in measurable.items()},
        margin=margin,
        alpha=alpha,
    )
    compared = {each.eval: each for each in found.evals}
    tasks = {word.task for side in sides.values() for word in side.words}
    partners = {theirs.key for theirs in pairs.values()}
    return Contrast(
        baseline=baseline.name,
        margin=margin,
        alpha=alpha,
        evals=tuple(
            _beside(infos[key], sides[key], theirs, compared.get(key))
            for key, theirs in pairs.items()
        ),
        only_here=tuple(
            infos[key] for key, s in sides.items() if key not in pairs and not s.is_measured
        ),
        only_baseline=tuple(s for s in other.values() if s.key not in partners),
        tasks_only_here=len(tasks - baseline.tasks),
        tasks_only_baseline=len(baseline.tasks - tasks),
        left_out=0 if same_runs else len({each.trajectory_id for each in every} & baseline.runs),
        same_runs=same_runs,
    )


def _paired(ours: Mapping[str, Side], theirs: Mapping[str, Side]) -> dict[str, Side]:
    """The baseline's side for each of ours that has one; none is given twice."""
    pairs = {key: theirs[key] for key in ours if key in theirs}
    names = Counter(side.name for key, side in ours.items() if key not in pairs)
    rest = [side for key, side in theirs.items() if key not in pairs]
    for key, side in ours.items():
        alike = [each for each in rest if each.name == side.name]
        if key not in pairs and names[side.name] == 1 == len(alike):
            pairs[key] = alike[0]
    return {key: pairs[key] for key in ours if key in pairs}


def _beside(info: EvalInfo, ours: Side, theirs: Side, found: EvalComparison | None) -> Beside:
    return Beside(
        eval=info,
        why_not=UNBOUNDED if found is None else "" if found.tasks else APART,
        found=found if found is not None and found.tasks else None,
        baseline=None if found is None else _mean(theirs, found.tasks),
        candidate=None if found is None else _mean(ours, found.tasks),
        changed=_changed(ours, theirs),
        less_evaluable=_less_evaluable(ours.words, theirs.words),
        unevaluable_baseline=sum(w.value is None and not w.measured for w in theirs.words),
        same=_same(ours, theirs),
    )


def _same(ours: Side, theirs: Side) -> bool:
    """Whether nothing differs where nothing is left to chance, which replies alone are."""
    here, there = (
        {(word.task, word.recording): (word.value, word.measured) for word in side.words}
        for side in (ours, theirs)
    )
    return here == there and all(recording is not None for _, recording in here)


def _mean(side: Side, tasks: Iterable[str]) -> float | None:
    values = group_trials(side.observations).values
    means = [math.fsum(values[task]) / len(values[task]) for task in tasks]
    return math.fsum(means) / len(means) if means else None


def _changed(ours: Side, theirs: Side) -> str:
    """Words that were not judged do not tell of a judge."""
    sources = [{word.yardstick[0] for word in side.words} for side in (ours, theirs)]
    judges = [
        {word.yardstick[1:] for word in side.words if word.value is not None}
        for side in (ours, theirs)
    ]
    if sources[0] != sources[1]:
        return "the eval"
    return "its judge" if all(judges) and judges[0] != judges[1] else ""


def _less_evaluable(ours: Iterable[Word], theirs: Iterable[Word]) -> float:
    here, there = _missing(ours), _missing(theirs)
    shared = [here[task] - there[task] for task in here if task in there]
    return math.fsum(shared) / len(shared) if shared else 0.0


def _missing(words: Iterable[Word]) -> dict[str, float]:
    """The share of each task's trials without a value."""
    by_task: dict[str, list[bool]] = {}
    for word in words:
        by_task.setdefault(word.task, []).append(word.value is None)
    return {task: sum(missing) / len(missing) for task, missing in by_task.items()}
