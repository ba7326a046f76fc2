"""What is exported, given to the tools that it is for, which ``make test-ecosystem`` installs."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from looplet.trajectory.exporters.registry import known_targets
from tests.trajectory.conftest import TRAJECTORIES

pytestmark = [pytest.mark.ecosystem, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
MANY = settings(
    max_examples=60, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


def run_in(name, program, *arguments):
    """What a program of an environment prints; the test fails with its words if it fails."""
    place = ROOT / ".bench" / f"ecosystem-{name}" / "bin" / program
    if not place.exists():
        pytest.skip(f"make test-ecosystem installs {name}")
    done = subprocess.run(
        [place, *arguments], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def export(form, folder, runs):
    folder.mkdir(exist_ok=True)
    return known_targets()[form].write(runs, folder, lambda _: None)


@pytest.fixture(scope="module")
def recorded():
    """The recorded runs of the example, replayed."""
    spec = importlib.util.spec_from_file_location("demo", ROOT / "scripts" / "demo.py")
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    return [demo.replay_one(path) for path in sorted(demo.CASSETTES.glob("*.yaml"))]


@pytest.fixture(scope="module")
def any_runs():
    """Runs as strange as they can be stored, each with an id of its own."""
    found = []

    @given(run=TRAJECTORIES)
    @MANY
    def gather(run):
        found.append(replace(run, trajectory_id=f"t{len(found)}"))

    gather()
    return found


def test_harbor_finds_recorded_runs_valid(tmp_path, recorded):
    assert export("atif", tmp_path / "out", recorded) == len(recorded) > 0
    told = run_in("harbor", "python", HERE / "check_harbor.py", tmp_path / "out")
    assert told.strip() == f"{len(recorded)} of {len(recorded)} valid"


def test_harbor_finds_any_run_valid(tmp_path, any_runs):
    count = export("atif", tmp_path / "out", any_runs)
    told = run_in("harbor", "python", HERE / "check_harbor.py", tmp_path / "out")
    assert told.strip() == f"{count} of {count} valid"
    assert count > len(any_runs) / 2


def test_harbor_finds_another_file_invalid(tmp_path, recorded):
    export("atif", tmp_path / "out", recorded[:1])
    (file,) = (tmp_path / "out").iterdir()
    document = json.loads(file.read_text())
    document["steps"][1]["step_id"] = 7
    file.write_text(json.dumps(document))
    with pytest.raises(AssertionError, match=r"(?s)step_id.*0 of 1 valid"):
        run_in("harbor", "python", HERE / "check_harbor.py", tmp_path / "out")


def test_scout_reads_recorded_runs(tmp_path, recorded):
    out = tmp_path / "out"
    recorded[0].reward = 1.0
    assert export("scout", out, recorded) == len(recorded)
    assert "passed" in run_in("scout", "scout", "db", "validate", out)
    told = [
        json.loads(line)
        for line in run_in("scout", "python", HERE / "read_scout.py", out).splitlines()
    ]
    by_id = {each["id"]: each for each in told}
    assert by_id.keys() == {run.trajectory_id for run in recorded}
    for run in recorded:
        found = by_id[run.trajectory_id]
        assert found["task"] == run.task_id
        assert found["tokens"] == run.input_tokens + run.output_tokens
        assert sum(calls for *_, calls in found["messages"]) >= len(run.steps)
        assert found["messages"][1][1] == run.llm_calls[0].messages[1].content
    assert by_id[recorded[0].trajectory_id]["score"] in {1.0, "1.0"}


def test_scout_reads_any_run(tmp_path, any_runs):
    out = tmp_path / "out"
    assert export("scout", out, any_runs) == len(any_runs)
    assert "passed" in run_in("scout", "scout", "db", "validate", out)
    told = run_in("scout", "python", HERE / "read_scout.py", out).splitlines()
    assert len(told) == len(any_runs)
