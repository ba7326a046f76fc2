"""The parcel desk's agent, run by pytest on its cassettes: as it is, and with something broken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import vcr.cassette  # noqa: F401 - loaded here, so that runs inside this process find it loaded
import yaml  # noqa: F401

import looplet.evals.agents
import looplet.evals.scoring
import looplet.evals.statistics
from looplet.examples import parcel_desk
from looplet.trajectory.store import TrajectoryStore

looplet.evals.statistics.wilson_interval(1, 2)

CASSETTES = Path(__file__).parents[2] / "fixtures" / "cassettes" / "parcel_desk"
NAME = "parcel_desk_copy"


@pytest.fixture
def desk(pytester):
    """A copy of the example, with a name of its own."""
    folder = pytester.path / NAME
    shutil.copytree(Path(parcel_desk.__file__).parent, folder)
    for path in folder.rglob("*.py"):
        path.write_text(path.read_text().replace("looplet.examples.parcel_desk", NAME))
    pytester.makeini("[pytest]\npythonpath = .\n")
    return pytester


def score(desk, store, *args):
    return desk.runpytest_inprocess(
        f"{NAME}/evals", "--looplet-cassettes", CASSETTES, "--looplet-out", store,
        "-p", "no:cacheprovider", *args,
    )  # fmt: skip


def change(desk, old, new, name="agent.py"):
    place = desk.path / NAME / name
    text = place.read_text()
    assert text.count(old) == 1
    place.write_text(text.replace(old, new))


def verdicts(desk, store):
    """What each eval says of each run: passed, failed, not evaluable, or that there is no run."""
    found = TrajectoryStore(desk.path / store)
    return {
        (row["eval_name"], row["trajectory_id"].rpartition("-")[0]): row["error"] or row["label"]
        for row in found.scores()
    }


def runs(desk, store):
    return {f"{run.task_id}-{run.trial}": run for run in TrajectoryStore(desk.path / store)}


def test_an_unchanged_agent_does_what_was_recorded(desk):
    result = score(desk, "out", "--looplet-gate=threshold")
    assert result.ret == pytest.ExitCode.OK
    recorded = json.loads((CASSETTES / "digests.json").read_text())
    replayed = runs(desk, "out")
    assert {name: run.digest for name, run in replayed.items()} == recorded
    assert len(verdicts(desk, "out")) == 5 * 24
    one = replayed["pay-b42-1"]
    assert (one.agent, one.dataset, one.expected["answer"]) == (
        "parcel_desk", "parcel_desk", "10.50 euro",
    )  # fmt: skip
    result.stdout.fnmatch_lines(["runs: 24 replayed", "gate: held"])
