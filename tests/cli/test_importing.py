"""``looplet import``: exit codes, what is told, and what is in the store after it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from looplet.__main__ import main
from looplet.cli import progress
from looplet.trajectory import TrajectoryStore

RUN = {"task_id": 1, "trial": 0, "reward": 1.0, "info": {}, "traj": []}


def runs(count):
    return json.dumps([{**RUN, "trial": trial} for trial in range(count)])


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in" / "runs.json"
    path.parent.mkdir()
    path.write_text(runs(3))
    return path


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


def test_all_is_imported_and_exit_zero(source, store, capsys):
    assert main(["import", str(source), "--store", str(store)]) == 0
    told = capsys.readouterr()
    assert told.out == f"{store}: 3 runs, 0 steps, 0 calls imported\n"
    assert told.err == ""
    assert [run.trial for run in TrajectoryStore(store)] == [0, 1, 2]
    assert len(list((store / "trajectories").iterdir())) == 1


def test_problems_are_told_the_rest_is_imported_and_exit_one(source, store, capsys):
    (source.parent / "odd.txt").write_text("nothing\x1b[31m")
    (source.parent / "half.json").write_text(runs(2)[:-10])
    assert main(["import", str(source.parent), "--store", str(store)]) == 1
    told = capsys.readouterr()
    assert told.out.endswith("4 runs, 0 steps, 0 calls imported; 2 problems\n")
    lines = told.err.splitlines()
    assert lines[0].startswith(f"{source.parent / 'half.json'}: $[1]: ")
    assert lines[1].startswith(f"{source.parent / 'odd.txt'}: no format knows it")
    assert len(TrajectoryStore(store)) == 4


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("odd.txt", [], "there is no run in"),
        ("none.json", [], "there is nothing to import at"),
        ("runs.json", ["--format", "tau"], "known are auto, looplet, "),
        ("runs.json", ["--format", "inspect"], "it is no log of an evaluation"),
    ],
)
def test_where_nothing_can_be_imported_exit_two_and_no_store(
    name, more, words, source, store, capsys
):
    (source.parent / "odd.txt").write_text("nothing")
    assert main(["import", str(source.parent / name), *more, "--store", str(store)]) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert (told.out, store.exists()) == ("", False)


def test_importing_twice_appends_twice(source, store):
    for _ in range(2):
        assert main(["import", str(source), "--format", "tau-bench", "--store", str(store)]) == 0
    kept = list(TrajectoryStore(store))
    assert kept[:3] == kept[3:]


def test_a_line_now_and_then_tells_how_far_it_is(source, store, capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 2)
    assert main(["import", str(source), "--store", str(store)]) == 0
    assert capsys.readouterr().err == "2 runs\n"


def on_a_terminal(command):
    """Run a command whose stderr is a terminal; its exit code and what the terminal was sent."""
    ours, theirs = pty.openpty()
    env = os.environ | {"TERM": "xterm", "COLUMNS": "60"}
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.DEVNULL, env=env) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # what Linux says when the other side is closed
                break
            if not piece:
                break
            shown += piece
    os.close(ours)
    return process.returncode, shown.decode()


def test_on_a_terminal_a_line_counts_and_problems_stay_above_it(source, store):
    pytest.importorskip("rich")
    odd = source.parent / f"{'long-name-' * 9}.txt"
    odd.write_text("nothing")
    command = [sys.executable, "-m", "looplet", "import", str(source.parent), "--store", str(store)]
    code, shown = on_a_terminal(command)
    assert code == 1
    assert "reading" in shown
    assert f"{odd}: no format knows it" in shown  # in one line, whatever the terminal's width


def test_on_a_terminal_without_rich_lines_are_plain(source, store, tmp_path):
    (source.parent / "odd.txt").write_text("nothing")
    code = (
        "import sys; sys.modules['rich'] = None; sys.modules['rich.console'] = None; "
        "from looplet.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "import", str(source.parent), "--store", str(store)]
    exit_code, shown = on_a_terminal(command)
    assert exit_code == 1
    assert shown.splitlines() == [
        f"{source.parent / 'odd.txt'}: no format knows it; name its format if it is of one"
    ]
