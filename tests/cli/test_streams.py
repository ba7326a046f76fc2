"""Where the command line prints to: terminals, pipes, streams that are closed, small encodings."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import process
from tests.cli.odd import NAME, run_once

LOOPLET = f"{sys.executable} -m looplet"
NOTHING = "nothing"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def shell(command, **environment):
    """What a shell command ends with, prints and complains of, with each process's status."""
    code = f"{command}; echo ${{PIPESTATUS[@]}} >&3"
    read, write = os.pipe()
    ran = subprocess.run(
        ["bash", "-c", f"exec 3>&{write}; {code}"], capture_output=True, text=True, check=False,
        pass_fds=[write], env={**os.environ, "PYTHONUNBUFFERED": "", **environment},
    )  # fmt: skip
    os.close(write)
    with os.fdopen(read) as statuses:
        return [int(each) for each in statuses.read().split()], ran.stdout, ran.stderr


def on_a_terminal(*argv, columns=40, **environment):
    """What a command prints on a terminal of its own, on stdout and stderr."""
    ours, theirs = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    subprocess.run(["stty", "cols", str(columns)], stdin=theirs, check=True)
    command = [sys.executable, "-m", "looplet", *argv]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**env, **environment}
    ) as running:
        os.close(theirs)
        shown = b""
        while piece := _read(ours):
            shown += piece
    os.close(ours)
    return running.returncode, shown.decode().replace("\r\n", "\n")


def _read(file):
    try:
        return os.read(file, 4096)
    except OSError:  # what Linux says when the other side is closed
        return b""


@pytest.fixture
def run(desk):
    """A folder with a run in a cassette, a trace and two stores."""
    run_once(desk, summary="2.30 euro")
    (desk / "runs").mkdir()
    return desk


@pytest.mark.parametrize("command", ["--help", "doctor --no-backend", "store --help", "--version"])
def test_a_reader_that_goes_away_ends_a_command_as_a_shell_would(desk, command):
    # The reader is gone before anything is printed: it is done before the command starts.
    statuses, out, err = shell(f"{{ sleep 0.2; exec {LOOPLET} {command}; }} | true")
    assert (statuses, out, err) == ([141, 0], "", "")


def test_streams_that_are_closed_take_what_is_printed_nowhere(desk):
    statuses, out, err = shell(f"{LOOPLET} doctor --no-backend >&-")
    assert (statuses, out, err) == ([0], "", "")
    for complaint, status in (
        (f"show {NOTHING}", 1),
        (f"diff {NOTHING} {NOTHING}", 2),
        ("show", 2),
    ):
        statuses, out, err = shell(f"{LOOPLET} {complaint} 2>&-")
        assert (statuses, out, err) == ([status], "", ""), complaint
    statuses, out, err = shell(f"{LOOPLET} import {NOTHING} --store s 2>&-")
    assert (statuses, out, err) == ([2], "", "")
    statuses, _, err = shell(f"{LOOPLET} doctor --no-backend <&-")
    assert (statuses, err) == ([0], "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk here")
@pytest.mark.parametrize("command", ["doctor --no-backend", "--help"])
def test_a_full_disk_is_one_line(desk, command):
    statuses, _, err = shell(f"{LOOPLET} {command} > /dev/full")
    assert statuses == [1]
    assert re.fullmatch(r"error: .*No space left on device\n", err)


def test_what_an_encoding_lacks_is_an_escape(run):
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for argv in (["show", NAME], ["doctor", "--no-backend"], ["cassette", "--help"]):
        said = process(*argv, **plain)
        assert (said.status, said.err) == (0, "")
        assert said.out.isascii()
        assert said.out.encode() == process(*argv).out.encode("ascii", "backslashreplace")


def test_what_is_logged_and_warned_of_is_escaped_too(desk):
    root = desk / f"b{NAME}"
    root.mkdir()
    (root / "SKILL.md").write_text("---\n")
    said = process("list-bundles", str(desk))
    assert (said.status, said.out, said.err.count("\n")) == (0, "", 1)
    assert said.err.startswith("warning: a bundle cannot be read: ")
    code = f"import warnings\nwarnings.warn('odd {NAME}')\ndef build(): raise KeyError\n"
    (desk / "agent.py").write_text(code)
    told = process("record", "agent.py:build", "--cassette", "a.yaml")
    assert "agent.py:2: UserWarning: odd od" in told.err
    for text in (said.err, told.err):
        assert text.replace("\n", "").isprintable(), text


def import_odd(run):
    """A command that shows how far it is, and tells of a file that it cannot read."""
    (run / "in").mkdir()
    (run / "in" / "odd.txt").write_text("nothing")
    (run / "in" / "good").mkdir()
    return ["import", "in", "--store", "new"]


@pytest.mark.parametrize(
    ("environment", "is_plain"),
    [({"TERM": "xterm-256color"}, False), ({"TERM": "xterm-256color", "NO_COLOR": "1"}, False),
     ({"TERM": "dumb"}, True)],
    ids=["colours", "NO_COLOR", "dumb"],
)  # fmt: skip
def test_a_terminal_is_sent_no_more_than_it_can(run, environment, is_plain):
    status, shown = on_a_terminal(*import_odd(run), **environment)
    assert status == 2
    assert "no format knows it" in shown
    assert (COLOUR.search(shown) is None) == ("NO_COLOR" in environment or is_plain)
    assert ("\x1b" in shown) != is_plain


def test_in_a_pipe_nothing_counts_and_nothing_is_coloured(run):
    said = process(*import_odd(run), TERM="xterm-256color")
    assert said.status == 2
    assert "\x1b" not in said.out + said.err
    assert "\r" not in said.out + said.err
    assert "reading" not in said.err


def test_help_fits_the_terminal_that_it_is_on(desk):
    status, shown = on_a_terminal("--help", TERM="dumb", NO_COLOR="1")
    assert status == 0
    lines = shown.split("\n\n", 1)[1].splitlines()
    assert 30 < max(map(len, lines)) <= 40
    assert "\x1b" not in shown
