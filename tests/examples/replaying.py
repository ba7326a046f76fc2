"""The examples' recorded runs, replayed into a store and scored as a user scores them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from looplet.trajectory import TrajectoryStore
from tests.conftest import ROOT

CASSETTES = ROOT / "fixtures" / "cassettes"


def cassettes_of(example: str) -> dict[str, Path]:
    """The cassettes of an example, by task."""
    return {path.stem: path for path in sorted((CASSETTES / example).glob("*.yaml"))}


def keep(store: Path, results: dict[str, object], tasks) -> None:
    """Put replayed runs into a store, as runs of their tasks."""
    by_id = {task.task_id: task for task in tasks}
    TrajectoryStore(store).append(
        replace(run, trajectory_id=name, task_id=name, expected=dict(by_id[name].expected))
        for name, run in results.items()
    )


def score(store: Path, example: str) -> subprocess.CompletedProcess[str]:
    """Let pytest put the example's evals to a store, in a process of its own."""
    evals = ROOT / "looplet" / "examples" / example / "evals"
    command = [
        sys.executable, "-m", "pytest", str(evals),
        "--looplet-store", str(store), "--looplet-gate=threshold",
        "--override-ini=addopts=", "-p", "no:cacheprovider", "-q", "--tb=short",
    ]  # fmt: skip
    wide = {**os.environ, "COLUMNS": "200"}  # so that no name is cut
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=wide)


def rows_of(said: str) -> dict[str, tuple[int, int]]:
    """Of each eval in the summary: how many runs it was put to, and how many passed."""
    rows = {}
    for line in said.splitlines():
        words = line.split()
        if len(words) > 4 and words[0].startswith("eval_") and words[1].isdigit():
            rows[words[0]] = (int(words[1]), int(words[2]))
    return rows
