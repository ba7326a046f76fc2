"""The examples as commands: in a pipe, on any stream, with bad input."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ALONE = ("hello_world", "coding_agent", "data_agent", "router_agent", "mcp_agent")


def example(name, *argv, stdout=subprocess.PIPE, cwd, **environment):
    """An example in a process of its own; its status, and what it printed."""
    ran = subprocess.run(
        [sys.executable, "-m", f"looplet.examples.{name}", *argv], stdin=subprocess.DEVNULL,
        stdout=stdout, stderr=subprocess.PIPE, cwd=cwd, check=False, env=os.environ | environment,
    )  # fmt: skip
    return ran.returncode, (ran.stdout or b"").decode(), ran.stderr.decode()


@pytest.mark.parametrize("name", ALONE)
def test_a_reader_that_goes_away_ends_an_example_quietly(tmp_path, name):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        status, _, err = example(name, "--scripted", stdout=pipe, cwd=tmp_path)
    assert (status, err) == (141, "")


@pytest.mark.parametrize("name", ALONE)
def test_what_an_encoding_lacks_is_an_escape(tmp_path, name):
    status, out, err = example(name, "--scripted", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (status, err) == (0, "")
    assert r"#1 \u2713 " in out


@pytest.mark.parametrize("name", ALONE)
def test_an_address_that_is_none_is_one_line(tmp_path, name):
    status, _, err = example(name, "--base-url", "http://[::1\n\x1b[2J", cwd=tmp_path)
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("error: ")
    assert err.strip().isprintable()


@pytest.mark.parametrize(
    ("argv", "told"),
    [(("--workspace", "nowhere"), "no folder nowhere"), (("--trace", "taken"), "taken")],
)
def test_a_folder_that_cannot_be_used_is_one_line(tmp_path, argv, told):
    (tmp_path / "taken").touch()
    status, _, err = example("coding_agent", "--scripted", *argv, cwd=tmp_path)
    assert (status, err.count("\n")) == (1, 1)
    assert told in err
    assert [each.name for each in tmp_path.iterdir()] == ["taken"]


def test_a_variable_that_is_empty_is_one_that_is_not_set():
    empty = dict.fromkeys(("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"), "")
    code = (
        "from looplet.examples.hello_world.cli import _arguments; given = _arguments([]);"
        "print(given.base_url, given.model)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | empty, capture_output=True, check=True
    )
    assert ran.stdout.split() == [b"http://localhost:11434/v1", b"qwen3:8b"]
