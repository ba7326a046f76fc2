"""Stores to score, and pytest runs that score them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tests.loaded  # noqa: F401 - first: runs inside this process find it loaded
from looplet.core.records import ToolCall, ToolResult
from looplet.trajectory.model import StepRecord, Trajectory, chain
from looplet.trajectory.store import TrajectoryStore

EVALS = """
    from looplet import eval_mark

    @eval_mark("verdict")
    def eval_right_price(ctx):
        return ctx.final_output.get("euro") == ctx.expected["euro"]

    def eval_ended_by_itself(ctx):
        return ctx.completed
"""


def make_run(
    task_id: str | None, trial: int | None, euro: float, *, expected: float = 2.0, **fields: Any
) -> Trajectory:
    """A run that was asked for a price, looked one up, and answered ``euro``."""
    call = ToolCall("price", {"fruit": "pear"}, call_id="c1")
    done = ToolCall("done", {"euro": euro}, call_id="c2")
    steps = [
        StepRecord(step_num=1, tool_call=call, tool_result=ToolResult("price", "", {"euro": euro})),
        StepRecord(step_num=2, tool_call=done, tool_result=ToolResult("done", "", {"ok": True})),
    ]
    task = {"goal": f"Price of {task_id}"}
    for record, link in zip(steps, chain(task, steps), strict=True):
        record.digest = link
    name = f"{task_id}.{trial}"
    known: dict[str, Any] = {
        "trajectory_id": name,
        "run_id": f"run-{name}",
        "stop_reason": "done",
        "expected": {"euro": expected},
        "final_output": {"euro": euro},
    }
    return Trajectory(task=task, steps=steps, task_id=task_id, trial=trial, **{**known, **fields})


@pytest.fixture(autouse=True)
def _summary_of_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs in here are none of the job that runs these tests."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture
def run() -> Callable[..., Trajectory]:
    return make_run


@pytest.fixture
def make_store(pytester: pytest.Pytester) -> Callable[..., Path]:
    """Write runs into ``store``; without any, three of which the second has a wrong price."""

    def make(*runs: Trajectory) -> Path:
        path = pytester.path / "store"
        TrajectoryStore(path).append(
            runs
            or [make_run("pears", 0, 2.0), make_run("pears", 1, 1.5), make_run("plums", 0, 2.0)]
        )
        return path

    return make


@pytest.fixture
def project(pytester: pytest.Pytester, make_store: Callable[..., Path]) -> pytest.Pytester:
    """A project with a store of three runs and the file ``evals/eval_price.py``."""
    make_store()
    write_evals(pytester, EVALS)
    return pytester


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where ``main`` holds 20 runs with a wrong price and their scores, and ``store`` right ones.

    There are an ``empty`` store and a ``damaged`` one, too.
    """
    path = tmp_path_factory.mktemp("compared")
    (path / "evals").mkdir()
    (path / "evals" / "eval_price.py").write_text(textwrap.dedent(EVALS))
    for name, euro in (("main", 1.5), ("store", 2.0), ("damaged", 2.0)):
        TrajectoryStore(path / name).append(make_run(f"task-{n}", 0, euro) for n in range(20))
    (path / "empty").mkdir()
    for part in (path / "damaged").rglob("*.parquet"):
        part.write_bytes(part.read_bytes()[:-40])
    command = [sys.executable, "-m", "pytest", "evals", "--looplet-store", "main", "-q"]
    scored = subprocess.run(command, cwd=path, capture_output=True, text=True, check=False)
    assert "scores: 40 appended" in scored.stdout, scored.stdout + scored.stderr
    return path


@pytest.fixture
def desk(pytester: pytest.Pytester, compared: Path) -> pytest.Pytester:
    """A project with the stores of ``compared`` and the file ``evals/eval_price.py``."""
    shutil.copytree(compared, pytester.path, dirs_exist_ok=True)
    return pytester


@pytest.fixture
def write(pytester: pytest.Pytester) -> Callable[..., Path]:
    return lambda source, name="eval_price.py": write_evals(pytester, source, name)


def write_evals(pytester: pytest.Pytester, source: str, name: str = "eval_price.py") -> Path:
    path = pytester.path / "evals" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    return path
