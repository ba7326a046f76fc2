"""Whether intervals hold what they promise, and gates too: simulated suites, whose truth is known.

    python benchmarks/evals_statistics.py [--quick] [--suites 2000] [--only rates differences ...]

A suite is a sample of tasks. Each task has its own pass rate, and each trial passes by it. Where
suites differ, their true rates are drawn from the range that heads the column. (This file cannot be
called ``statistics.py``: the other benchmarks import the standard library's module of that name.)
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from looplet.errors import StatisticsError
from looplet.evals.statistics import (
    clustered_interval,
    mcnemar_test,
    minimum_detectable_effect,
    noninferiority_test,
    paired_difference,
    paired_interval,
    wilson_interval,
)

RANGES = {"0 to 0.1": (0.0, 0.1), "0.1 to 0.9": (0.1, 0.9), "0.9 to 1": (0.9, 1.0)}
SHAPES = [(tasks, *shape) for tasks in (5, 10, 20, 50) for shape in ((1, 0.5), (5, 0.3), (5, 0.8))]
"""Tasks, trials of each, and how alike the trials of a task are: 0 not at all, 1 wholly."""
GATES = [(0.2, 20), (0.1, 30), (0.1, 60), (0.05, 60), (0.05, 120)]
"""Margin and tasks."""
KINDS = ("a little everywhere", "all of some tasks", "anew")
"""How a candidate is worse: each task's rate is lower, a share of tasks is lost, or each task's
rate is drawn anew."""
ALPHA = 0.05
ONCE = 5
"""How many times as many suites a cell has whose tasks are tried once, at the gate."""
Suite = list[list[int]]


def draw_rates(
    draw: np.random.Generator, rates: np.ndarray, tasks: int, alike: float
) -> np.ndarray:
    """Each task's pass rate, from a beta distribution around its suite's; suites x tasks."""
    spread = (1 - alike) / alike
    mean = np.clip(rates, 1e-6, 1 - 1e-6)[:, None]
    return draw.beta(mean * spread, (1 - mean) * spread, size=(len(rates), tasks))


def change(
    draw: np.random.Generator, rates: np.ndarray, old: np.ndarray, new: np.ndarray, kind: str
) -> np.ndarray:
    """The candidate's rate of each task: ``new`` on average where the baseline's is ``old``."""
    down, old, new = (new <= old)[:, None], old[:, None], new[:, None]
    kept = np.where(down, new / np.maximum(old, 1e-9), (1 - new) / np.maximum(1 - old, 1e-9))
    if kind == KINDS[0]:
        return np.where(down, rates * kept, 1 - (1 - rates) * kept)
    lost = np.where(down, 0.0, 1.0)
    return np.where(draw.random(rates.shape) < kept, rates, lost)


def run(draw: np.random.Generator, rates: np.ndarray, trials: int) -> list[Suite]:
    """Passes and fails: suites of tasks of trials."""
    passed = draw.random((*rates.shape, trials)) < rates[:, :, None]
    return passed.astype(int).tolist()


def pairs(
    draw: np.random.Generator,
    shape: tuple[int, int, float],
    old: np.ndarray,
    new: np.ndarray,
    kind: str,
) -> Iterator[tuple[Suite, Suite]]:
    """Candidates beside baselines, whose true rates are ``new`` and ``old``, suite by suite."""
    tasks, trials, alike = shape
    before = draw_rates(draw, old, tasks, alike)
    if kind == KINDS[2]:
        after = draw_rates(draw, new, tasks, alike)
    else:
        after = change(draw, before, old, new, kind)
    return zip(run(draw, after, trials), run(draw, before, trials), strict=True)


def generator(*cell: object) -> np.random.Generator:
    """Randomness of a cell of its own, the same in every run and whatever else is measured."""
    return np.random.default_rng(zlib.crc32(repr(cell).encode()))


def holds(interval: tuple[float, float], truth: float) -> bool:
    """Whether an interval contains the truth, but for rounding."""
    return interval[0] - 1e-9 <= truth <= interval[1] + 1e-9


def rates_table(suites: int) -> None:
    """Coverage of the interval of a rate, and of one that takes all trials as independent."""
    print("**Rates**\n")
    heads = [f"{name}{other}" for name in RANGES for other in ("", ", pooled")]
    head("95% intervals that hold the true rate", heads)
    for shape in SHAPES:
        cells = []
        for low, high in RANGES.values():
            draw = generator("rates", shape, low)
            truths = draw.uniform(low, high, suites)
            samples = run(draw, draw_rates(draw, truths, shape[0], shape[2]), shape[1])
            known = list(zip(samples, truths, strict=True))
            cells.append(share(holds(clustered_interval(each), truth) for each, truth in known))
            cells.append(share(holds(pooled(each), truth) for each, truth in known))
        row(shape, cells)
    print()


def pooled(suite: Suite) -> tuple[float, float]:
    """The interval that takes every trial as independent."""
    trials = [passed for task in suite for passed in task]
    return wilson_interval(sum(trials), len(trials))


def differences_table(suites: int) -> None:
    """Coverage of the interval of a difference, and of Student's t."""
    print("**Differences**\n")
    heads = [f"{name}{other}" for name in RANGES for other in ("", ", Student's t")]
    head("95% intervals that hold the true difference", heads)
    for shape in SHAPES:
        cells = []
        for low, high in RANGES.values():
            ours: list[bool] = []
            students: list[bool] = []
            for kind, count in zip(KINDS, split(suites), strict=True):
                draw = generator("differences", shape, low, kind)
                old, new = draw.uniform(low, high, (2, count))
                for both, truth in zip(pairs(draw, shape, old, new, kind), new - old, strict=True):
                    ours.append(holds(paired_interval(*both), truth))
                    students.append(student(both, truth))
            cells += [share(ours), share(students)]
        row(shape, cells)
    print()


def student(both: tuple[Suite, Suite], truth: float) -> bool:
    """Whether Student's t holds the truth; where nothing varies it claims to know it exactly."""
    try:
        return holds(paired_difference(*both).interval, truth)
    except StatisticsError:
        new, old = (sum(map(sum, side)) / sum(map(len, side)) for side in both)
        return holds((new - old, new - old), truth)


def split(suites: int) -> list[int]:
    """As many suites of each kind, and all of them together."""
    each = suites // len(KINDS)
    return [*[each] * (len(KINDS) - 1), suites - each * (len(KINDS) - 1)]


def gate_table(suites: int) -> None:
    """Candidates that are worse by just the margin, and such as are equal, that pass the gate."""
    print("**Gate**\n")
    ranges = {"low": None, "0.3 to 0.7": (0.3, 0.7), "0.9 to 1": (0.9, 1.0)}
    heads = [f"{name}, {kind}" for name in ranges for kind in KINDS]
    head(
        "let through as no worse", [*heads, "equal ones, 0.9 to 1"], "margin, tasks, trials, alike"
    )
    for margin, tasks in GATES:
        for trials, alike in ((1, 0.5), (5, 0.3), (20, 0.8)):
            # Tasks tried once come nearest to alpha, and many of their samples are equal.
            count = suites * ONCE if trials == 1 else suites
            shape = (tasks, trials, alike)
            cells = []
            for name, between in ranges.items():
                for kind in KINDS:
                    draw = generator("gate", margin, shape, name, kind)
                    old = draw.uniform(*(between or (margin, margin + 0.1)), count)
                    cells.append(passing(pairs(draw, shape, old, old - margin, kind), margin))
            draw = generator("gate", margin, shape)
            old = draw.uniform(0.9, 1, count)
            cells.append(passing(pairs(draw, shape, old, old, KINDS[0]), margin))
            row((margin, *shape), cells)
    print()


def passing(samples: Iterator[tuple[Suite, Suite]], margin: float) -> str:
    """The share of candidates that the gate lets through."""
    known = counted(margin)
    return share(known(*both) for both in samples)


def counted(margin: float) -> Callable[[Suite, Suite], bool]:
    """The gate; equal samples, of which there are many among suites of few trials, once."""

    @cache
    def verdict(rows: tuple[tuple[int, int], ...], trials: int) -> bool:
        new = [[1] * ours + [0] * (trials - ours) for ours, _ in rows]
        old = [[1] * theirs + [0] * (trials - theirs) for _, theirs in rows]
        return noninferiority_test(new, old, margin=margin) <= ALPHA

    def gate(new: Suite, old: Suite) -> bool:
        rows = sorted((sum(a), sum(b)) for a, b in zip(new, old, strict=True))
        return verdict(tuple(rows), len(new[0]))

    return gate


def detectable_table(suites: int) -> None:
    """How often a difference that is said to be detectable is found."""
    print("**Detectable**\n")
    head("", ["detectable difference", "found"], "tasks, share that differs")
    for tasks, discordance in ((10, 0.1), (20, 0.1), (50, 0.1), (100, 0.1), (100, 0.3), (300, 0.1)):
        effect = minimum_detectable_effect(tasks, discordance)
        if effect is None:
            print(f"| {tasks}, {discordance} | none | - |")
            continue
        share_of = max(discordance, effect)
        chances = [(share_of + effect) / 2, (share_of - effect) / 2, 1 - share_of]
        draw = generator("detectable", tasks, discordance)
        counts = draw.multinomial(tasks, np.clip(chances, 0, 1), size=suites)
        found = (a > b and mcnemar_test(int(a), int(b)) <= ALPHA for a, b, _ in counts)
        print(f"| {tasks}, {discordance} | {effect:.3f} | {share(found)} |")
    print()


def share(found: Iterator[bool] | list[bool]) -> str:
    """A share in percent."""
    values = list(found)
    return f"{100 * sum(values) / len(values):.1f}"


def head(corner: str, columns: list[str], first: str = "tasks, trials, alike") -> None:
    """The head of a table; what its figures are stands above it."""
    if corner:
        print(f"In percent: {corner}.\n")
    print(f"| {first} | {' | '.join(columns)} |\n| --- |{' ---: |' * len(columns)}")


def row(shape: tuple[float, ...], cells: list[str]) -> None:
    """One row, as soon as it is known."""
    print(f"| {', '.join(map(str, shape))} | {' | '.join(cells)} |", flush=True)


TABLES = {
    "rates": rates_table,
    "differences": differences_table,
    "gate": gate_table,
    "detectable": detectable_table,
}


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description="Coverage and errors of looplet.evals.statistics.")
    parser.add_argument("--suites", type=int, default=2_000, help="simulated suites a cell")
    parser.add_argument("--quick", action="store_true", help="a hundred suites a cell")
    parser.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES))
    given = parser.parse_args()
    for name in given.only:
        TABLES[name](100 if given.quick else given.suites)


if __name__ == "__main__":
    main()
