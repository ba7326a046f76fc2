"""Files to import: written by hand, read from the shared data, or broken on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from looplet.trajectory import Trajectory, TrajectoryStore
from looplet.trajectory.importers import Problem, import_trajectories
from tests.conftest import SHARED


@dataclass
class Imported:
    """What came of a source."""

    runs: list[Trajectory] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def run(self) -> Trajectory:
        """The one run, imported without a problem."""
        assert self.problems == []
        (run,) = self.runs
        return run

    @property
    def told(self) -> list[str]:
        """Places and messages of the problems."""
        return [f"{each.place}: {each.message}" for each in self.problems]


def read(path: Path, **options: Any) -> Imported:
    """Everything in a source."""
    found = Imported()
    found.runs = list(import_trajectories(path, on_problem=found.problems.append, **options))
    return found


def through_store(runs: list[Trajectory], folder: Path) -> list[Trajectory]:
    """What a store gives back of these runs; the same, or the test fails."""
    store = TrajectoryStore(folder / "store")
    store.append(runs)
    kept = list(store)
    assert kept == runs
    return kept


@pytest.fixture(name="read")
def read_fixture():
    return read


@pytest.fixture
def stored(tmp_path):
    return lambda runs: through_store(runs, tmp_path)


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """Writes a value as JSON, or text or bytes as they are, to a file of that name."""

    def write(value: Any, name: str = "runs.json") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(value, str | bytes):
            value = json.dumps(value)
        path.write_bytes(value if isinstance(value, bytes) else value.encode())
        return path

    return write


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """A file or folder of the shared data; the test is skipped where it is missing."""

    def find(name: str) -> Path:
        if not (SHARED / name).exists():
            pytest.skip(f"needs the shared data: {name}")
        return SHARED / name

    return find
