"""Exports: the folder, what a killed one leaves, and looplet's own directories."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.errors import ExporterError, FolderTaken, UnknownTarget
from looplet.trajectory import Trajectory
from looplet.trajectory.exporters import export_trajectories, targets
from looplet.trajectory.trace_reading import read_trace
from tests.trajectory.conftest import TRAJECTORIES, make_trajectory

UNENDED = 4
"""Runs that the worker exports before it stands still."""
WORKER = f"""
import sys, time
from looplet.trajectory.exporters import export_trajectories
from tests.trajectory.conftest import make_trajectory

def runs():
    yield from (make_trajectory(f"run{{number}}") for number in range({UNENDED}))
    print("all but the last", flush=True)
    time.sleep(60)

export_trajectories(runs(), sys.argv[1], format=sys.argv[2], on_loss=lambda loss: None)
"""


def export(runs, folder, name):
    """Export, whatever is lost."""
    return export_trajectories(runs, folder, format=name, on_loss=lambda loss: None)


def listed(folder):
    return sorted(each.name for each in folder.iterdir())


def as_recorded(run: Trajectory) -> Trajectory:
    """The same run with steps and calls numbered, digests, and an end, as a recorder leaves it."""
    run.steps = [replace(each, step_num=n, digest="d") for n, each in enumerate(run.steps, 1)]
    run.llm_calls = [replace(call, index=index) for index, call in enumerate(run.llm_calls)]
    run.ended_at = run.ended_at or run.started_at
    return run


def test_an_unknown_format_and_a_folder_that_is_taken_are_refused(tmp_path):
    run = make_trajectory("a")
    with pytest.raises(UnknownTarget, match=r"'parquet'.*looplet.*openai-messages"):
        export_trajectories(run, tmp_path / "new", format="parquet")
    assert listed(tmp_path) == []
    (tmp_path / "file").write_text("mine")
    for place, words in ((tmp_path, "is not empty"), (tmp_path / "file", "is a file")):
        with pytest.raises(FolderTaken, match=words):
            export_trajectories(run, place, format="looplet")
    with pytest.raises(ExporterError, match="cannot be made"):
        export_trajectories(run, tmp_path / "file" / "new", format="looplet")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", targets())
def test_a_new_folder_is_made_and_an_empty_one_is_taken(name, tmp_path):
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "a" / "b"):
        assert export([make_trajectory("a")], place, name) == 1
        assert listed(place) != []
    assert export([], tmp_path / "none", name) == 0
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", targets())
@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("started_at", datetime(2026, 1, 1), "it is left out: its started_at has no time zone"),  # noqa: DTZ001
        ("trial", 2**31, "it is left out: its trial is no number of 32 bits"),
        ("reward", 10**400, "it is left out: its reward is too large a number"),
    ],
)
def test_a_run_that_no_store_takes_is_told_and_the_others_are_written(
    name, field, value, told, tmp_path
):
    runs = [make_trajectory(each) for each in ("a", "odd", "c")]
    setattr(runs[1], field, value)
    losses = []
    count = export_trajectories(runs, tmp_path / "out", format=name, on_loss=losses.append)
    assert count == 2
    (odd,) = [loss for loss in losses if loss.trajectory_id == "odd"]
    assert odd.message.startswith(told)


@pytest.mark.parametrize("name", ["looplet", "openai-messages"])
def test_a_run_that_cannot_be_read_ends_the_export_with_whole_files_only(name, tmp_path):
    def runs():
        yield make_trajectory("a")
        raise ValueError("a damaged part")

    with pytest.raises(ValueError, match="a damaged part"):
        export(runs(), tmp_path / "out", name)
    out = tmp_path / "out"
    assert (listed(out) if out.exists() else []) == (["a"] if name == "looplet" else [])


@pytest.mark.parametrize("name", ["looplet", "openai-messages"])
def test_a_killed_export_leaves_nothing_half_under_a_final_name(name, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-c", WORKER, str(out), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout.readline() == "all but the last\n"
        worker.send_signal(signal.SIGKILL)
    names = [each for each in listed(out) if not each.startswith(".")]
    if name == "openai-messages":
        assert names == []
        assert listed(out) == [".runs.jsonl.tmp"]
    else:
        assert names == [f"run{number}" for number in range(UNENDED)]
        assert [read_trace(out / each).trajectory_id for each in names] == names


@given(st.lists(TRAJECTORIES.map(as_recorded), max_size=3))
def test_any_recorded_run_comes_back_from_its_directory(runs):
    with tempfile.TemporaryDirectory() as folder:
        losses = []
        count = export_trajectories(runs, folder, format="looplet", on_loss=losses.append)
        assert (count, losses) == (len(runs), [])
        found = [read_trace(place) for place in Path(folder).iterdir()]
        assert all(found.count(run) == runs.count(run) for run in runs)
        assert len(found) == len(runs)


def test_what_a_directory_cannot_tell_is_told(tmp_path):
    began = make_trajectory("began")
    began.stop_reason = began.ended_at = None
    twice = make_trajectory("twice")
    twice.llm_calls[1].index = 0
    losses = []
    count = export_trajectories([began, twice], tmp_path, format="looplet", on_loss=losses.append)
    assert (count, listed(tmp_path)) == (2, ["began", "twice"])
    assert [str(loss) for loss in losses] == [
        "began: a trace directory gives back another stop_reason",
        "twice: a trace directory gives back another llm_calls",
    ]
    with pytest.warns(UserWarning, match="twice: a trace directory gives back another llm_calls"):
        export_trajectories(twice, tmp_path / "again", format="looplet")


def test_ids_that_are_no_names_and_ids_that_are_alike_have_directories(tmp_path):
    ids = ["../x", "a\x00b", "\ud800", "a b", "a/b", "A_B", "", ".", "x" * 300]
    runs = [replace(make_trajectory("r"), trajectory_id=each) for each in ids]
    assert export_trajectories(runs, tmp_path / "out", format="looplet") == len(ids)
    assert listed(tmp_path) == ["out"]
    found = [read_trace(tmp_path / "out" / name) for name in listed(tmp_path / "out")]
    assert sorted(run.trajectory_id for run in found) == sorted(ids)
    assert len({name.lower() for name in listed(tmp_path / "out")}) == len(ids)
