"""``looplet export`` and ``looplet show`` of a store: exit codes, what is told, what is written."""

from __future__ import annotations

import json

import pytest

from looplet.__main__ import main
from looplet.cli import progress
from looplet.trajectory import Trajectory, TrajectoryStore
from looplet.trajectory.trace_dir import TraceDir
from looplet.trajectory.trace_reading import read_trace
from tests.trajectory.conftest import make_trajectory


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "store"
    TrajectoryStore(path).append([make_trajectory(name) for name in ("ab1", "ab2", "c")])
    return path


def export(store, out, *more, name="looplet"):
    return main(["export", str(store), "--format", name, "--out", str(out), *more])


def test_all_runs_are_exported_and_exit_zero(store, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 2)
    assert export(store, tmp_path / "out") == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == (f"{tmp_path / 'out'}: 3 runs exported\n", "2 runs\n")
    kept = {run.trajectory_id: run for run in TrajectoryStore(store)}
    assert {run.trajectory_id: run for run in map(read_trace, (tmp_path / "out").iterdir())} == kept


def test_runs_are_chosen_by_the_beginnings_of_their_ids(store, tmp_path, capsys):
    assert export(store, tmp_path / "one", "--id", "ab2") == 0
    assert export(store, tmp_path / "two", "--id", "c", "--id", "ab1") == 0
    names = [sorted(each.name for each in (tmp_path / out).iterdir()) for out in ("one", "two")]
    assert names == [["ab2"], ["ab1", "c"]]
    capsys.readouterr()
    assert export(store, tmp_path / "no", "--id", "c", "--id", "x") == 2
    assert "no run whose id begins with 'x'" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_runs_that_a_format_cannot_hold_are_told_and_exit_one(store, tmp_path, capsys):
    silent = [Trajectory(trajectory_id=f"s{n}\x1b[31m", run_id="r") for n in range(5)]
    TrajectoryStore(store).append(silent)
    assert export(store, tmp_path / "out", name="openai-messages") == 1
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'out'}: 3 runs exported; 5 not\n"
    lines = told.err.splitlines()
    assert [line[:2] for line in lines if line.startswith("s")] == ["s0", "s1", "s2"]
    assert lines[-1].startswith("2 more runs: no model said anything")
    assert "\x1b" not in told.err
    lines = (tmp_path / "out" / "runs.jsonl").read_text().splitlines()
    assert len([json.loads(line)["messages"] for line in lines]) == 3


@pytest.mark.parametrize(
    ("where", "more", "name", "words"),
    [
        ("store", [], "parquet", "known are looplet"),
        ("nowhere", [], "looplet", "there is no trajectory store at"),
        ("empty", [], "looplet", "there is no run in"),
        ("store", [], "taken", "is not empty"),
    ],
)
def test_where_nothing_can_be_exported_exit_two(where, more, name, words, store, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    if name == "taken":
        out.mkdir()
        (out / "mine").write_text("mine")
        name = "looplet"
    assert export(tmp_path / where, out, *more, name=name) == 2
    told = capsys.readouterr()
    assert (words in told.err, told.out) == (True, "")
    assert [each.name for each in out.iterdir()] == ["mine"] if out.exists() else True


def test_a_run_in_a_store_is_shown_as_its_directory_is(store, tmp_path, capsys):
    run = next(iter(TrajectoryStore(store)))
    TraceDir(tmp_path / "trace", run_id=run.run_id).complete(run, calls=run.llm_calls)
    assert main(["show", str(tmp_path / "trace")]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("run-ab1  ✓ done  2 steps  2 LLM calls")
    for command in (["show", str(store), "--id", "ab1"], ["show", f"{store}#ab1"]):
        assert main(command) == 0
        assert capsys.readouterr().out == shown


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "name one as"),
        (["--id", "ab"], "has 2 runs whose id begins with 'ab'"),
        (["--id", "x"], "has no run whose id begins with 'x'"),
    ],
)
def test_a_run_that_is_not_told_apart_is_one_message_and_exit_one(more, words, store, capsys):
    assert main(["show", str(store), *more]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert words in told.err
    assert len(told.err.splitlines()) == 1
