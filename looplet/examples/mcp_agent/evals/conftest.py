"""How pytest runs the clerk on its tasks: ``--looplet-cassettes`` answers it.

The tools are as the cassettes remember them, and no server is needed. With WAREHOUSE=live in the
environment, and where runs are recorded, each run has a warehouse of its own, whose tools run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from looplet import MCPToolAdapter, ToolSpec
from looplet.evals import EvalCase
from looplet.examples.mcp_agent.agent import SERVER, build, described, remembered, seed_of
from looplet.examples.mcp_agent.tasks import TASKS
from looplet.replay import use_cassette

RUNS = os.environ.get("WAREHOUSE") == "live"


def pytest_looplet_cases() -> list[EvalCase]:
    """A case for each task, with what is to be reserved."""
    return [task.case() for task in TASKS]


@pytest.fixture(scope="session")
def looplet_cassette_config(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Whether the tools' results are the recorded ones, and what a new recording says of itself."""
    about: dict[str, Any] = {"agent": "mcp_agent", "model": "a script"}
    if request.config.getoption("looplet_record") not in (None, "none"):
        with MCPToolAdapter.connect_stdio(SERVER) as adapter:
            about["tools"] = described(adapter.list_tools())
    return {"tools": "live" if RUNS else "recorded", "metadata": about}


@pytest.fixture(scope="session")
def agent() -> Iterator[Callable[..., dict[str, Any]]]:
    """Makes the clerk of one run."""
    tasks = {task.task_id: task for task in TASKS}
    with ExitStack() as servers:

        def make(
            case: EvalCase, *, trial: int | None, live: bool, cassette: Path
        ) -> dict[str, Any]:
            task = tasks[case.id]
            if live or RUNS:
                adapter = servers.enter_context(MCPToolAdapter.connect_stdio(SERVER))
                tools = adapter.list_tools()
            else:
                tools = _remembered_in(cassette)
            given = build(tools, task.goal, seed=seed_of(case.id, trial))
            return {"llm": task.model() if live else None, **given}

        yield make


def _remembered_in(path: Path) -> list[ToolSpec]:
    """The server's tools, as a cassette describes them."""
    with use_cassette(path) as cassette:
        return remembered(cassette.metadata["tools"])
