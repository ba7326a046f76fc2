"""The scripted cassettes are those that the tasks, as they are now, give."""

from __future__ import annotations

import subprocess
import sys

import pytest

from looplet.replay import use_cassette
from tests.conftest import ROOT
from tests.examples.replaying import CASSETTES

pytest.importorskip("mcp", reason="the extra 'mcp' is not installed", exc_type=ImportError)

EXAMPLES = ("data_agent", "mcp_agent", "router_agent")


def digests(folder):
    found = {}
    for path in (path for name in EXAMPLES for path in (folder / name).glob("*.yaml")):
        with use_cassette(path) as cassette:
            found[path.parent.name, path.stem] = [run.digest for run in cassette.runs]
    return found


def test_recording_them_again_gives_the_same_runs(tmp_path):
    script = ROOT / "recordings" / "record_scripted.py"
    ran = subprocess.run(
        [sys.executable, str(script), "--into", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert digests(tmp_path) == digests(CASSETTES)
    assert len(digests(tmp_path)) == 9
