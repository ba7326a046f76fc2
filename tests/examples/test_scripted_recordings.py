"""The scripted cassettes are those that the tasks, as they are now, give."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from looplet.replay import read_trajectory, use_cassette
from tests.conftest import ROOT
from tests.examples.replaying import CASSETTES

pytest.importorskip("mcp", reason="the extra 'mcp' is not installed", exc_type=ImportError)

EXAMPLES = ("data_agent", "hello_world", "mcp_agent", "router_agent")


def digests(folder):
    found = {}
    for path in (path for name in EXAMPLES for path in (folder / name).glob("*.yaml")):
        with use_cassette(path) as cassette:
            found[path.parent.name, path.stem] = [run.digest for run in cassette.runs]
    return found


def outlines(folder):
    """The programmer's runs without what tests print, which depends on the Python that runs them.

    No folder of the machine is in the rest.
    """
    found = {}
    for path in (folder / "coding_agent").glob("*.yaml"):
        assert str(Path(sys.prefix)) not in path.read_text("utf-8")
        assert tempfile.gettempdir() not in path.read_text("utf-8")
        found[path.stem] = [
            (call.tool, call.args, result.error, _without_output(result.data))
            for call, result in (
                (step.tool_call, step.tool_result) for step in read_trajectory(path).steps
            )
        ]
    return found


def _without_output(data):
    return {**data, "output": ""} if isinstance(data, dict) and "output" in data else data


def test_recording_them_again_gives_the_same_runs(tmp_path):
    script = ROOT / "recordings" / "record_scripted.py"
    ran = subprocess.run(
        [sys.executable, str(script), "--into", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert digests(tmp_path) == digests(CASSETTES)
    assert len(digests(tmp_path)) == 11
    assert outlines(tmp_path) == outlines(CASSETTES)
    assert len(outlines(tmp_path)) == 2
