"""Record the examples whose model is a script, from the tasks as they are now.

    .venv/bin/python recordings/record_scripted.py [--into DIR]

No model is asked: the replies are the scripts of each example's tasks, and the tools are real.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from looplet import composable_loop
from looplet.examples.data_agent.agent import Analyst
from looplet.examples.data_agent.tasks import TASKS as DATA_TASKS
from looplet.examples.scripted import Task
from looplet.replay import use_cassette

CASSETTES = Path(__file__).resolve().parent.parent / "fixtures" / "cassettes"


def main() -> None:
    """Record every task of every scripted example."""
    parser = argparse.ArgumentParser(description="Record the scripted examples again.")
    parser.add_argument("--into", type=Path, default=CASSETTES, help="directory of the cassettes")
    into = parser.parse_args().into
    for task in DATA_TASKS:
        with tempfile.TemporaryDirectory() as folder:
            record(into / "data_agent", task, Analyst(Path(folder)).agent(task.goal))


def record(directory: Path, task: Task, agent: dict[str, Any]) -> None:
    """One run into one cassette."""
    directory.mkdir(parents=True, exist_ok=True)
    about = {"agent": directory.name, "task_id": task.task_id, "model": "a script, no model"}
    path = directory / f"{task.task_id}.yaml"
    with use_cassette(path, record_mode="all", metadata=about) as cassette, cassette.ambient():
        for step in composable_loop(task.model(), **agent):
            print(f"{path.stem}: {step.pretty()}")


if __name__ == "__main__":
    main()
