"""How pytest runs the programmer on its tasks: ``--looplet-cassettes`` answers it.

What tests print depends on the Python that runs them. So the tools' results are the recorded ones,
unless ``--looplet-tool-results=any`` lets them differ: then tools run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from looplet import AgentPreset
from looplet.evals import EvalCase
from looplet.examples.coding_agent.agent import build, redact
from looplet.examples.coding_agent.tasks import TASKS


def pytest_looplet_cases() -> list[EvalCase]:
    """A case for each task, with what is to stand in which file."""
    return [task.case() for task in TASKS]


@pytest.fixture(scope="session")
def looplet_cassette_config(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Whether tools run, and what a new recording says of itself."""
    differ = request.config.getoption("looplet_tool_results") == "any"
    about = {"agent": "coding_agent", "model": "a script"}
    return {"tools": "live" if differ else "recorded", "redact": redact, "metadata": about}


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Makes the programmer of one run, in an empty folder of its own."""
    tasks = {task.task_id: task for task in TASKS}

    def make(case: EvalCase, *, live: bool) -> dict[str, Any]:
        preset: AgentPreset = build(tmp_path_factory.mktemp(case.id), alone=True)
        return {
            "llm": tasks[case.id].model() if live else None,
            "tools": preset.tools,
            "config": preset.config,
            "hooks": preset.hooks,
            "task": case.task,
        }

    return make
