"""How pytest runs the helper on its questions: ``--looplet-cassettes`` answers both its models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from looplet.evals import EvalCase
from looplet.examples.router_agent.agent import CHEAP, STRONG, Helper
from looplet.examples.router_agent.tasks import TASKS


def pytest_looplet_cases() -> list[EvalCase]:
    """A case for each question, with the right amount."""
    return [EvalCase(task.task_id, {"goal": task.goal}, dict(task.expected)) for task in TASKS]


@pytest.fixture(scope="session")
def looplet_cassette_config() -> dict[str, Any]:
    """What a new recording says of itself."""
    return {"metadata": {"agent": "router_agent", "model": "two scripts"}}


@pytest.fixture(scope="session")
def agent() -> Callable[..., dict[str, Any]]:
    """Makes the helper of one run, each of whose models has a lane of its own."""
    tasks = {task.task_id: task for task in TASKS}

    def make(case: EvalCase, *, live: bool, wrap_llm: Callable[..., Any]) -> dict[str, Any]:
        task = tasks[case.id]
        models = task.models() if live else dict.fromkeys((CHEAP, STRONG))
        helper = Helper({name: wrap_llm(each, lane=name) for name, each in models.items()})
        return helper.agent(task.goal)

    return make
