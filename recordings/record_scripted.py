"""Record the examples whose model is a script, from the tasks as they are now.

    .venv/bin/python recordings/record_scripted.py [--into DIR]

No model is asked: the replies are the scripts of each example's tasks, and the tools are real.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from looplet import MCPToolAdapter, composable_loop
from looplet.core.codec import JSON
from looplet.examples.coding_agent import agent as coding_agent
from looplet.examples.coding_agent.tasks import TASKS as CODING_TASKS
from looplet.examples.data_agent.agent import Analyst
from looplet.examples.data_agent.tasks import TASKS as DATA_TASKS
from looplet.examples.hello_world import agent as hello_world
from looplet.examples.hello_world.tasks import TASKS as HELLO_TASKS
from looplet.examples.hello_world.tasks import Task as HelloTask
from looplet.examples.mcp_agent import agent as mcp_agent
from looplet.examples.mcp_agent.tasks import TASKS as MCP_TASKS
from looplet.examples.router_agent.agent import Helper
from looplet.examples.router_agent.tasks import TASKS as ROUTER_TASKS
from looplet.examples.router_agent.tasks import Task as RouterTask
from looplet.examples.scripted import Task
from looplet.redaction import Given
from looplet.replay import use_cassette

CASSETTES = Path(__file__).resolve().parent.parent / "fixtures" / "cassettes"


def main() -> None:
    """Record every task of every scripted example."""
    parser = argparse.ArgumentParser(description="Record the scripted examples again.")
    parser.add_argument("--into", type=Path, default=CASSETTES, help="directory of the cassettes")
    into = parser.parse_args().into
    for greeting in HELLO_TASKS:
        record(into / "hello_world", greeting, hello_world.build(greeting.names))
    for task in CODING_TASKS:
        with tempfile.TemporaryDirectory() as folder:
            preset = coding_agent.build(folder, alone=True)
            agent = {"tools": preset.tools, "config": preset.config, "hooks": preset.hooks}
            agent["task"] = task.case().task
            record(into / "coding_agent", task, agent, redact=coding_agent.redact)
    for task in DATA_TASKS:
        with tempfile.TemporaryDirectory() as folder:
            record(into / "data_agent", task, Analyst(Path(folder)).agent(task.goal))
    for task in MCP_TASKS:
        with MCPToolAdapter.connect_stdio(mcp_agent.SERVER) as adapter:
            tools = adapter.list_tools()
            agent = mcp_agent.build(tools, task.goal)
            record(into / "mcp_agent", task, agent, tools=mcp_agent.described(tools))
    for question in ROUTER_TASKS:
        record_two_models(into / "router_agent", question)


def record(
    directory: Path,
    task: Task | HelloTask,
    agent: Mapping[str, Any],
    *,
    redact: Given | None = None,
    **about: JSON,
) -> None:
    """One run into one cassette, with the results of its tools."""
    directory.mkdir(parents=True, exist_ok=True)
    about = {"agent": directory.name, "task_id": task.task_id, "model": "a script", **about}
    path = directory / f"{task.task_id}.yaml"
    opened = use_cassette(path, record_mode="all", tools="recorded", redact=redact, metadata=about)
    with opened as cassette, cassette.ambient():
        for step in composable_loop(task.model(), **agent):
            print(f"{path.stem}: {step.pretty()}")


def record_two_models(directory: Path, task: RouterTask) -> None:
    """The same for an agent with two models, each in a lane of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    about = {"agent": directory.name, "task_id": task.task_id, "model": "two scripts"}
    path = directory / f"{task.task_id}.yaml"
    with use_cassette(path, record_mode="all", tools="recorded", metadata=about) as cassette:
        agent = Helper(task.models(), cassette=cassette).agent(task.goal)
        for step in composable_loop(**agent):
            print(f"{path.stem}: {step.pretty()}")


if __name__ == "__main__":
    main()
