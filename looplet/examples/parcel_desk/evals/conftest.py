"""How pytest runs the parcel desk's agent on its tasks: ``--looplet-cassettes`` answers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from looplet.evals import EvalCase
from looplet.examples.parcel_desk.agent import build_config, build_tools
from looplet.examples.parcel_desk.tasks import TASKS


def pytest_looplet_cases() -> list[EvalCase]:
    """A case for each task, with the right answer and the way there."""
    return [EvalCase(task.task_id, {"goal": task.goal}, task.expected) for task in TASKS]


@pytest.fixture(scope="session")
def agent() -> Callable[..., dict[str, Any]]:
    """Makes the agent of one run; the trial says which seed it samples with."""
    tasks = {task.task_id: task for task in TASKS}

    def make(case: EvalCase, trial: int) -> dict[str, Any]:
        seed = tasks[case.id].seed(trial)
        return {"tools": build_tools(), "config": build_config(seed=seed), "task": case.task}

    return make
