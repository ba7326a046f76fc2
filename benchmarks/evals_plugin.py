"""Evals under pytest: an item beside pytest's own, the plugin's start, and a store of many runs.

    python benchmarks/evals_plugin.py [--quick] [--items 10000] [--runs 100000] [--only items ...]

Everything is a process of its own, whose CPU seconds, of all threads, and peak memory the system
tells when it ends. This process stays small, since a child's peak begins with its parent's.

"items" gives one eval 10,000 runs of no steps, an item each, and pytest 10,000 parameters of one
test, in a quiet terminal, each in a file one folder below the root. "start" is a project with one
test and no evals. "sweeps" puts three evals to stored runs of ``runs_made.py``, an item each: one
that reads a scalar, one that reads each step's error, and a vectorized one; the plain loop asks the
same of each line of JSONL.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ITEMS, RUNS, ROUNDS, STARTS = 10_000, 100_000, 7, 15
QUICK_ITEMS, QUICK_RUNS, QUICK_STARTS = 1_000, 2_000, 3
QUIET = ("-q", "-p", "no:cacheprovider")
TRIVIAL_EVAL = "def eval_trivial(ctx):\n    return True\n"
TRIVIAL_TEST = """
import pytest

@pytest.mark.parametrize("number", range({items}))
def test_trivial(number):
    assert True
"""
EVALS = """
from looplet import eval_mark

def eval_completed(ctx):
    return ctx.completed

def eval_no_error(ctx):
    return all(step.tool_result.error is None for step in ctx.steps)

@eval_mark(vectorized=True, columns=("output_tokens",))
def eval_brief(runs):
    import pyarrow.compute as pc

    return pc.less_equal(runs["output_tokens"], 700)
"""
PLAIN_LOOP = """
import json, sys

completed = no_error = brief = 0
with open(sys.argv[1], "rb") as lines:
    for line in lines:
        run = json.loads(line)
        completed += run["stop_reason"] == "done"
        no_error += all(step["error"] is None for step in run["steps"])
        brief += sum(call["output_tokens"] for call in run["calls"]) <= 700
print(json.dumps({"eval_completed": completed, "eval_no_error": no_error, "eval_brief": brief}))
"""


class Ran(NamedTuple):
    """A process that has ended."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds, of all threads."""
    peak: float
    """MiB."""
    out: str


def run(arguments: Sequence[str], folder: Path, *, statuses: tuple[int, ...] = (0,)) -> Ran:
    """Run Python on these arguments."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    environment.pop("GITHUB_STEP_SUMMARY", None)
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        out = process.stdout.read()  # type: ignore[union-attr] # it is a pipe
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in statuses:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}:\n{out[-3000:]}")
    return Ran(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, out)


def alternate(
    candidates: dict[str, Callable[[], Ran]], rounds: int
) -> dict[str, tuple[float, float]]:
    """Median seconds of wall and CPU of each, after a round that only warms up."""
    seen: dict[str, list[Ran]] = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name, candidate in candidates.items():
            ran = candidate()
            if number:
                seen[name].append(ran)
    return {
        name: (
            statistics.median(each.wall for each in found),
            statistics.median(each.cpu for each in found),
        )
        for name, found in seen.items()
    }


def items(folder: Path, given: argparse.Namespace) -> str:
    """An eval item beside a parametrized test."""
    count = given.items
    (folder / "evals").mkdir()
    (folder / "evals" / "eval_trivial.py").write_text(TRIVIAL_EVAL)
    (folder / "tests").mkdir()
    (folder / "tests" / "test_trivial.py").write_text(TRIVIAL_TEST.format(items=count))
    run([__file__, "--make-small", str(count), str(folder / "store")], folder)
    pytest = ("-m", "pytest", *QUIET)
    own = (*pytest, "evals", "--looplet-store=store", "--looplet-items=trajectory")
    found = alternate(
        {
            "pytest's own, parametrized": lambda: run((*pytest, "tests"), folder),
            "evals": lambda: run((*own, "--looplet-no-scores"), folder),
            "evals, and their scores written": lambda: run(own, folder),
        },
        1 if given.quick else ROUNDS,
    )
    floor = found["pytest's own, parametrized"]
    rows = [
        [name, f"{wall / count * 1e6:,.0f}", f"{cpu / count * 1e6:,.0f}", f"{cpu / floor[1]:.2f}x"]
        for name, (wall, cpu) in found.items()
    ]
    return table([f"{count:,} items", "µs an item", "of CPU", "of pytest's own"], rows)


def start(folder: Path, given: argparse.Namespace) -> str:
    """What the plugin adds to every project's pytest."""
    (folder / "test_one.py").write_text("def test_one():\n    assert True\n")
    pytest = ("-m", "pytest", *QUIET, "test_one.py")
    found = alternate(
        {
            "-p no:looplet": lambda: run((*pytest, "-p", "no:looplet"), folder),
            "with the plugin": lambda: run(pytest, folder),
        },
        QUICK_STARTS if given.quick else STARTS,
    )
    bare = found["-p no:looplet"]
    rows = [
        [name, f"{wall * 1e3:,.1f}", f"{cpu * 1e3:,.1f}", f"{(cpu - bare[1]) * 1e3:+,.1f}"]
        for name, (wall, cpu) in found.items()
    ]
    return table(["pytest on a project without evals", "ms", "of CPU", "more"], rows)


def sweeps(folder: Path, given: argparse.Namespace) -> str:
    """Three evals over many stored runs beside a plain loop over JSONL."""
    (folder / "evals").mkdir()
    (folder / "evals" / "eval_runs.py").write_text(EVALS)
    (folder / "plain.py").write_text(PLAIN_LOOP)
    run([__file__, "--make-runs", str(given.runs), str(folder)], folder)
    plain = run(("plain.py", "runs.jsonl"), folder)
    own = ("-m", "pytest", *QUIET, "evals", "--looplet-store=store", "--looplet-items=eval")
    bare = run((*own, "--looplet-no-scores"), folder, statuses=(1,))
    whole = run(own, folder, statuses=(1,))
    for ran in (bare, whole):
        passed = dict(re.findall(r"^(eval_\w+) +\d+ +(\d+) ", ran.out, re.MULTILINE))
        if {name: int(count) for name, count in passed.items()} != json.loads(plain.out):
            raise SystemExit(f"the evals found {passed}, the plain loop {plain.out}")
    rows = [
        [name, *(f"{each:,.1f}" for each in (ran.wall, ran.cpu, plain.cpu / ran.cpu, ran.peak))]
        for name, ran in (
            ("plain Python over JSONL", plain),
            ("pytest over the store", bare),
            ("the same, and scores written", whole),
        )
    ]
    heads = [
        f"3 evals on {given.runs:,} runs",
        "seconds",
        "of CPU",
        "times faster",
        "MiB at the peak",
    ]
    return table(heads, rows)


def make_small(count: int, path: str) -> None:
    """A store of runs without steps."""
    from looplet.trajectory import Trajectory, TrajectoryStore

    TrajectoryStore(path).append(
        Trajectory(trajectory_id=f"t{n}", run_id=f"r{n}", task_id=f"task-{n}", stop_reason="done")
        for n in range(count)
    )


def make_runs(count: int, folder: Path) -> None:
    """The same runs as a store and as JSONL."""
    import store as forms
    from runs_made import make_runs as made

    from looplet.trajectory import TrajectoryStore

    with (folder / "runs.jsonl").open("wb") as lines:

        def written() -> Iterable[Any]:
            for each in made(count):
                lines.write(json.dumps(forms.plain(each)).encode() + b"\n")
                yield each

        TrajectoryStore(folder / "store").append(written())


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as Markdown."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


PARTS = {"items": items, "start": start, "sweeps": sweeps}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Evals under pytest.")
    parser.add_argument("--quick", action="store_true", help="few items, runs and rounds")
    parser.add_argument("--items", type=int)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--make-small", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--make-runs", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make_small:
        make_small(int(given.make_small[0]), given.make_small[1])
        return
    if given.make_runs:
        make_runs(int(given.make_runs[0]), Path(given.make_runs[1]))
        return
    given.items = given.items or (QUICK_ITEMS if given.quick else ITEMS)
    given.runs = given.runs or (QUICK_RUNS if given.quick else RUNS)
    for name in given.only:
        with tempfile.TemporaryDirectory() as folder:
            print(PARTS[name](Path(folder), given), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
