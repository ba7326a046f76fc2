"""The main job on recorded real runs: replay, store, score. No key, no model, no network.

    make demo

Replays the cassettes of the parcel desk through the agent as it is now, compares each run with
its recording, writes the trajectories to a Parquet store, and lets pytest score them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_socket import disable_socket

from looplet.core.codec import digest
from looplet.errors import LoopletError
from looplet.examples import parcel_desk
from looplet.examples.parcel_desk.agent import NAME, run_task
from looplet.examples.parcel_desk.tasks import TASKS
from looplet.replay import Divergence, use_cassette
from looplet.trajectory import Trajectory, TrajectoryRecorder, TrajectoryStore

ROOT = Path(__file__).resolve().parent.parent
CASSETTES = ROOT / "fixtures" / "cassettes" / NAME
STORE = ROOT / ".looplet" / "demo"
EVALS = Path(parcel_desk.__file__).parent / "evals"
DIGESTS = "digests.json"


class NotTheSame(LoopletError):
    """A replay did not come out as its recording."""


def main(argv: Sequence[str] | None = None) -> int:
    """Replay, store, score; the exit status is the gate's verdict."""
    given = arguments(argv)
    disable_socket()
    try:
        trajectories, others = replay_all(given.cassettes)
    except (LoopletError, Divergence) as error:
        print(f"The replay stopped.\n\n{error}", file=sys.stderr)
        return 1
    shutil.rmtree(given.store, ignore_errors=True)
    store = TrajectoryStore(given.store)
    store.append(trajectories)
    show_one(trajectories)
    together = digest("".join(trajectory.digest for trajectory in trajectories))
    equal = len(trajectories) - len(others)
    print(
        f"\n{len(trajectories)} runs replayed, {equal} equal to their recordings; digest {together}"
    )
    for other in others:
        print(f"  not as recorded: {shown(other)}")
    status = score(given.store)
    show_what_next(given.store, given.cassettes)
    return status


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Where to read and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--cassettes", type=Path, default=CASSETTES, help="recorded runs")
    parser.add_argument("--store", type=Path, default=STORE, help="written anew")
    return parser.parse_args(argv)


def replay_all(directory: Path) -> tuple[list[Trajectory], list[Trajectory]]:
    """Every recorded run, replayed; and those that did not come to what they were recorded as.

    The same requests with another end: a reply was edited, or the last tool gives something else.
    """
    recorded = json.loads((directory / DIGESTS).read_text(encoding="utf-8"))
    paths = sorted(directory.glob("*.yaml"))
    missing = set(recorded) ^ {path.stem for path in paths}
    if missing:
        raise NotTheSame(f"cassettes and {DIGESTS} do not list the same runs: {sorted(missing)}")
    trajectories = [replay_one(path) for path in paths]
    others = [each for each in trajectories if each.digest != recorded[each.trajectory_id]]
    return trajectories, others


def replay_one(path: Path) -> Trajectory:
    """One run: the agent as it is now, answered by the cassette."""
    tasks = {task.task_id: task for task in TASKS}
    with use_cassette(path) as cassette:
        about = cassette.metadata
        task, trial = tasks[about["task_id"]], about["trial"]
        recorder = TrajectoryRecorder(
            trajectory_id=path.stem,
            task_id=task.task_id,
            trial=trial,
            dataset=NAME,
            agent=NAME,
            expected=task.expected,
            metadata=dict(about),
            cassette=os.path.relpath(path, ROOT),
            cassette_hash=cassette.content_hash,
            replay_of=cassette.content_hash,
        )
        llm = recorder.wrap_llm(cassette.wrap_llm(None))
        for _ in run_task(llm, task, trial=trial, hooks=[recorder]):
            pass
        if cassette.unplayed:
            raise NotTheSame(
                f"{path}: the run ended with {cassette.unplayed} recorded calls not asked for; "
                "the agent now stops earlier than it did"
            )
    return recorder.trajectory


def shown(trajectory: Trajectory) -> str:
    """How a run ended, in a line."""
    last = trajectory.steps[-1].pretty if trajectory.steps else "without a step"
    return f"{trajectory.trajectory_id}: {trajectory.stop_reason}, {last}"


def show_one(trajectories: Sequence[Trajectory]) -> None:
    """The longest run in which nothing went wrong, step by step."""
    shown = max(
        trajectories, key=lambda each: (each.completed, -each.n_tool_errors, len(each.steps))
    )
    print(f"{shown.trajectory_id}: {shown.task['goal']}\n")
    for record in shown.steps:
        print(f"  {record.to_step().pretty()}")


def score(store: Path) -> int:
    """Let pytest collect the evals and score the store."""
    command = [
        sys.executable, "-m", "pytest", str(EVALS),
        "--looplet-store", str(store), "--looplet-gate=threshold",
        "--override-ini=addopts=", "--disable-socket", "-p", "no:cacheprovider",
        "-q", "--no-header", "--tb=no", "-rN",
    ]  # fmt: skip
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def show_what_next(store: Path, cassettes: Path) -> None:
    """Where things lie, and what to type."""
    there, agent = os.path.relpath(store), os.path.relpath(EVALS.parent / "agent.py")
    print(
        f"""
trajectories and scores   {there}/ (Parquet)
recorded model calls      {os.path.relpath(cassettes)}/ (YAML)
agent and evals           {os.path.relpath(EVALS.parent)}/

Next
  why did a run fail?       .venv/bin/pytest {os.path.relpath(EVALS)} \\
                              --looplet-store {there} -k weigh-d31-1
  the runs as data frames   notebooks/01_trajectories.ipynb
  is the replay honest?     change a word of SYSTEM_PROMPT in {agent}
                            and run make demo again"""
    )


if __name__ == "__main__":
    sys.exit(main())
