"""How pytest runs the analyst on its questions: ``--looplet-cassettes`` answers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from looplet.evals import EvalCase
from looplet.examples.data_agent.agent import Analyst
from looplet.examples.data_agent.tasks import TASKS


def pytest_looplet_cases() -> list[EvalCase]:
    """A case for each question, with the right answer."""
    return [task.case() for task in TASKS]


@pytest.fixture(scope="session")
def looplet_cassette_config() -> dict[str, Any]:
    """What a new recording says of itself."""
    return {"metadata": {"agent": "data_agent", "model": "a script"}}


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Makes the analyst of one run, with tables and reports of its own."""
    tasks = {task.task_id: task for task in TASKS}

    def make(case: EvalCase, *, live: bool) -> dict[str, Any]:
        task = tasks[case.id]
        analyst = Analyst(tmp_path_factory.mktemp(case.id))
        return {"llm": task.model() if live else None, **analyst.agent(task.goal)}

    return make
