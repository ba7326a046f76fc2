"""``looplet store`` as a person meets it."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys

import pytest

from looplet.__main__ import main
from looplet.trajectory import Trajectory, TrajectoryStore


@pytest.fixture
def store(tmp_path):
    store = TrajectoryStore(tmp_path / "runs")
    for number in range(3):
        store.append(Trajectory(trajectory_id=f"t{number}\x1b[31m", run_id="r"))
    return store


def run(store, part, capsys):
    code = main(["store", part, str(store.path)])
    printed = capsys.readouterr()
    assert printed.err == ""
    return code, printed.out


def parts(store):
    return sorted((store.path / "trajectories").glob("[!.]*.parquet"))


def test_info_says_how_much_there_is(store, capsys):
    store.append_scores([{"trajectory_id": "t0", "eval_name": "e"}])
    code, out = run(store, "info", capsys)
    assert code == 0
    assert "trajectories: 3 rows in 3 parts, 3 row groups, " in out
    assert "scores: 1 row in 1 part, 1 row group, " in out
    assert " KB" in out


def test_info_tells_what_killed_processes_left(store, tmp_path, capsys):
    kept = shutil.copytree(store.path / "trajectories", tmp_path / "kept")
    store.compact()
    for path in kept.iterdir():
        shutil.copy(path, store.path / "trajectories")
    (store.path / "trajectories" / ".x.tmp").touch()
    _, out = run(store, "info", capsys)
    assert "3 rows in 1 part" in out
    assert "3 joined parts are still there; compact it" in out
    assert "1 temporary file, of writers" in out


def test_compact_joins(store, capsys):
    code, out = run(store, "compact", capsys)
    assert code == 0
    assert out.startswith("3 parts, now 1; ")
    assert len(parts(store)) == 1


def test_check_says_that_all_is_verified(store, capsys):
    assert run(store, "check", capsys) == (0, "3 rows in 3 parts: all verified\n")


def test_check_names_what_is_damaged_and_exits_with_one(store, capsys):
    damaged = parts(store)[1]
    damaged.write_bytes(damaged.read_bytes()[:-10])
    code, out = run(store, "check", capsys)
    assert code == 1
    assert out.startswith(f"{damaged.name}: ")
    assert out.endswith("2 rows in 3 parts: 1 part with problems\n")


def test_check_shows_a_limited_number_of_problems_without_control_characters(store, capsys):
    runs = [Trajectory(trajectory_id=f"\x1b[31m{n}", run_id="r") for n in range(30)]
    TrajectoryStore(store.path).append(runs)
    import pyarrow.parquet as pq

    last = parts(store)[-1]
    table = pq.ParquetFile(last).read()
    wrong = table.set_column(
        table.schema.get_field_index("digest"), table.schema.field("digest"), table["run_id"]
    )
    pq.write_table(wrong, last.with_name("wrong.parquet"))
    code, out = run(store, "check", capsys)
    assert code == 1
    assert "... and 10 more" in out
    assert "\x1b" not in out


def test_info_and_compact_tell_of_damage_and_exit_with_one(store, capsys):
    damaged = parts(store)[1]
    damaged.write_bytes(damaged.read_bytes()[:-10])
    for part in ("info", "compact"):
        assert main(["store", part, str(store.path)]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.startswith("error: ")
        assert damaged.name in told.err
    assert len(parts(store)) == 3


def test_each_part_says_it_as_json(store, capsys):
    def answer(part):
        code = main(["store", part, str(store.path), "--json"])
        return code, json.loads(capsys.readouterr().out)

    code, info = answer("info")
    assert code == 0
    assert info["trajectories"]["rows"] == info["trajectories"]["parts"] == 3
    assert info["path"] == str(store.path)
    assert answer("check") == (0, {"ok": True, "parts": 3, "rows": 3, "problems": []})
    code, done = answer("compact")
    assert (code, done["parts_before"], done["parts_after"]) == (0, 3, 1)
    (joined,) = parts(store)
    joined.write_bytes(b"PAR1")
    code, found = answer("check")
    assert (code, found["ok"], found["problems"][0]["part"]) == (1, False, joined.name)


@pytest.mark.parametrize("part", ["info", "check", "compact"])
def test_a_store_that_is_not_there_is_one_message_and_exit_two(tmp_path, part, capsys):
    assert main(["store", part, str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("error: there is no trajectory store at ")


@pytest.mark.parametrize("part", ["check", "compact"])
def test_on_a_terminal_parts_are_counted(store, part):
    pytest.importorskip("rich")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "looplet", "store", part, str(store.path)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    ran = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=theirs, env=environment, text=True, check=True
    )
    os.close(theirs)
    shown = os.read(ours, 100_000)
    os.close(ours)
    assert b"3 parts" in shown
    assert "3 parts" in ran.stdout
