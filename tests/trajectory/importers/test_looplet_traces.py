"""looplet's own trace directories: taken whole, equal to what was recorded, damage told."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from looplet.trajectory.exporters import export_trajectories
from looplet.trajectory.importers import import_trajectories
from looplet.trajectory.trace_dir import TraceDir
from tests.trajectory.conftest import TRAJECTORIES, make_trajectory


def storable(run):
    """The run with steps, calls and an end as a recorder leaves them."""
    run.steps = [replace(each, step_num=n, digest="d") for n, each in enumerate(run.steps, 1)]
    run.llm_calls = [replace(call, index=index) for index, call in enumerate(run.llm_calls)]
    run.ended_at = run.ended_at or run.started_at
    return run


@pytest.fixture
def traces(tmp_path):
    """A folder with the directories of three runs, and a file that is none."""
    runs = [make_trajectory(name) for name in "abc"]
    assert export_trajectories(runs, tmp_path / "traces", format="looplet") == len(runs)
    return tmp_path / "traces"


@given(TRAJECTORIES.map(storable))
def test_any_recorded_run_is_imported_as_it_was(run):
    with tempfile.TemporaryDirectory() as folder:
        export_trajectories(run, folder, format="looplet")
        problems = []
        assert list(import_trajectories(folder, on_problem=problems.append)) == [run]
        assert problems == []


def test_directories_are_known_and_taken_whole(traces, read, stored):
    found = read(traces)
    assert found.problems == []
    assert [run.trajectory_id for run in stored(found.runs)] == ["a", "b", "c"]
    assert read(traces / "b").run == make_trajectory("b")


def test_a_damaged_directory_is_told_and_the_rest_imported(traces, read):
    place = traces / "b" / "trajectory.json"
    place.write_bytes(place.read_bytes()[:-40])
    changed = json.loads((traces / "c" / "trajectory.json").read_text())
    changed["about"]["trial"] = "second"
    (traces / "c" / "trajectory.json").write_text(json.dumps(changed))
    found = read(traces)
    assert [run.trajectory_id for run in found.runs] == ["a"]
    assert [problem.file for problem in found.problems] == [str(traces / "b"), str(traces / "c")]
    assert "trajectory.json cannot be read" in found.told[0]
    assert found.told[1].startswith("$.trial: is not of the kind int | None: 'second'")


def test_a_directory_that_a_killed_process_left_is_a_run(tmp_path, read):
    run = make_trajectory("a")
    trace = TraceDir(tmp_path / "trace", run_id=run.run_id)
    trace.write_call(run.llm_calls[0])
    for name in ("run.json", "manifest.jsonl", "messages.jsonl"):
        (tmp_path / "trace" / name).unlink(missing_ok=True)
    (tmp_path / "trace" / "manifest.jsonl").write_text('{"index": 0}\n')
    assert len(read(tmp_path).run.llm_calls) == 1
    trace = TraceDir(tmp_path / "steps", run_id=run.run_id)
    trace.begin(run)
    trace.write_step(run.steps[0])
    found = read(tmp_path / "steps").run
    assert (found.stop_reason, found.steps) == ("interrupted", run.steps[:1])


def test_files_of_others_that_have_such_names_are_read_one_by_one(write, read, tmp_path):
    write([{"role": "user", "content": "Go."}, {"role": "assistant", "content": "Gone."}],
          "in/messages.jsonl")  # fmt: skip
    write({"schema_version": "other-1", "run_id": "x", "steps": []}, "in/trajectory.json")
    write("{", "in/run.json")
    found = read(tmp_path / "in")
    assert [run.source_format for run in found.runs] == ["openai-messages"]
    assert [Path(problem.file).name for problem in found.problems] == [
        "run.json",
        "trajectory.json",
    ]


def test_what_is_no_directory_of_a_trace_is_told(traces, read, write):
    found = read(write("{}", "x.json"), format="looplet")
    assert found.told == [": it is no trace directory, but a file; name the directory"]
    assert "no trace directory" in read(traces / "a" / "steps", format="looplet").told[0]


@pytest.mark.parametrize("value", ["1e999", "-1e999", "1" + "0" * 30])
def test_numbers_that_no_field_takes_are_told(traces, read, value):
    for name in ("started_at", "ended_at"):
        place = traces / "a" / "trajectory.json"
        text = place.read_text()
        start = text.index(f'"{name}": ')
        place.write_text(text[:start] + f'"{name}": {value}' + text[text.index(",", start) :])
        assert "trajectory.json cannot be read" in read(traces / "a").told[0]
        place.write_text(text)
