"""What the pytest plugin's options say of a baseline. Imports nothing heavy until one is read."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from looplet.evals.baseline import Baseline
    from looplet.evals.contrast import Contrast
    from looplet.evals.scored import Scored

MARGIN = 0.05
ALPHA = 0.05
GATES = ("threshold", "no-worse", "better")
BESIDE = GATES[1:]
"""Those that look at a baseline."""


def add_options(group: pytest.OptionGroup) -> None:
    """Declare the options."""
    group.addoption(
        "--looplet-baseline",
        metavar="STORE_OR_SESSION",
        help="compare with the scores of another store, or of an earlier session in the scored one",
    )
    group.addoption(
        "--looplet-margin",
        metavar="M",
        type=_share,
        help=f"the difference from the baseline that does not matter (default: {MARGIN})",
    )
    group.addoption(
        "--looplet-alpha",
        metavar="A",
        type=_share,
        help="how likely an agent that is worse by the margin may be called no worse, and one that "
        f"is alike better or worse (default: {ALPHA})",
    )


def check_options(config: pytest.Config) -> None:
    """Raise ``UsageError`` for options without what they belong to."""
    gate = config.getoption("looplet_gate")
    if config.getoption("looplet_baseline") is not None:
        if all(config.getoption(f"looplet_{name}") is None for name in ("store", "cassettes")):
            raise pytest.UsageError(
                "--looplet-baseline is compared with: add --looplet-store DIR, or "
                "--looplet-cassettes DIR"
            )
        return
    if gate in BESIDE:
        raise pytest.UsageError(
            f"--looplet-gate={gate} looks at a baseline: add --looplet-baseline STORE_OR_SESSION"
        )
    for name in ("margin", "alpha"):
        if config.getoption(f"looplet_{name}") is not None:
            raise pytest.UsageError(
                f"--looplet-{name} is of a comparison: add --looplet-baseline STORE_OR_SESSION"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """The baseline that was asked for, read."""

    baseline: Baseline
    margin: float
    alpha: float

    def contrast(self, scored: Iterable[Scored]) -> Contrast:
        """Verdicts beside the baseline."""
        from looplet.evals.contrast import contrast_with

        return contrast_with(self.baseline, scored, margin=self.margin, alpha=self.alpha)


def read_against(config: pytest.Config) -> Against | None:
    """The baseline, if one was asked for, before anything is scored.

    Raises ``UsageError`` if it cannot be read, or if no run to be scored has a task of it.
    """
    name = config.getoption("looplet_baseline")
    if name is None:
        return None
    from looplet.errors import LoopletError
    from looplet.evals.baseline import read_baseline, tasks_of

    store = config.getoption("looplet_store")
    kept = store or config.getoption("looplet_out")
    try:
        tasks = {} if store is None else tasks_of(store)
    except (LoopletError, OSError):  # which is said of the store, where it is scored
        return None
    try:
        baseline = read_baseline(
            name,
            store=kept if kept and Path(kept).is_dir() else None,
            folder=config.invocation_params.dir,
        )
    except (LoopletError, OSError) as error:
        raise pytest.UsageError(f"--looplet-baseline: {error}") from error
    new = {task for run, task in tasks.items() if run not in baseline.runs}
    if new and not new & baseline.tasks:
        raise pytest.UsageError(
            f"--looplet-baseline: {name} and the runs to be scored share no task, so there is "
            "nothing to compare them on: runs are paired by task_id (and dataset)"
        )
    margin, alpha = (config.getoption(f"looplet_{each}") for each in ("margin", "alpha"))
    return Against(
        baseline=baseline,
        margin=MARGIN if margin is None else margin,
        alpha=ALPHA if alpha is None else alpha,
    )


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return share
