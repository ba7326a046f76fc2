"""How pytest runs the greeter: ``--looplet-cassettes`` answers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from looplet.evals import EvalCase
from looplet.examples.hello_world.agent import build
from looplet.examples.hello_world.tasks import TASKS


def pytest_looplet_cases() -> list[EvalCase]:
    """A case for each task, with who is greeted in which order."""
    return [task.case() for task in TASKS]


@pytest.fixture(scope="session")
def looplet_cassette_config() -> dict[str, Any]:
    """What a new recording says of itself."""
    return {"metadata": {"agent": "hello_world", "model": "a script"}}


@pytest.fixture(scope="session")
def agent() -> Callable[..., dict[str, Any]]:
    """Makes the greeter of one run."""
    tasks = {task.task_id: task for task in TASKS}

    def make(case: EvalCase, *, live: bool) -> dict[str, Any]:
        task = tasks[case.id]
        return {"llm": task.model() if live else None, **build(task.names)}

    return make
