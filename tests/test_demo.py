"""The demo replays honestly: what changed is named, and what did not comes out the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from looplet.__main__ import main
from looplet.trajectory import TrajectoryStore
from tests.conftest import ROOT, run_demo

CASSETTES = ROOT / "fixtures" / "cassettes" / "parcel_desk"


@pytest.fixture
def cassettes(tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(CASSETTES, tmp_path / "cassettes"))


def digests(store):
    return {each.trajectory_id: each.digest for each in TrajectoryStore(store)}


def passed(output: str, name: str) -> int:
    row = re.search(rf"^{name}\s+\d+\s+(\d+)", output, re.MULTILINE)
    assert row, output
    return int(row[1])


def test_the_demo_ends_well_and_a_second_one_gives_the_same_trajectories(demo_store, tmp_path):
    again = run_demo("--store", str(tmp_path / "again"))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "24 runs replayed, 24 equal to their recordings" in again.stdout
    assert "gate: held" in again.stdout
    assert re.search(r"#3 ✓ done\(answer=", again.stdout)
    assert digests(tmp_path / "again") == digests(demo_store)
    assert len(digests(demo_store)) == 24


def test_one_changed_word_of_the_system_prompt_is_named(tmp_path):
    change = (
        "import looplet.examples.parcel_desk.agent as agent; "
        "agent.SYSTEM_PROMPT = agent.SYSTEM_PROMPT.replace('never', 'always')"
    )
    ran = run_demo("--store", str(tmp_path / "store"), before=change)
    assert ran.returncode == 1
    assert "parcel_desk/pay-b42-1.yaml" in ran.stderr
    assert "message 0 (system)" in ran.stderr
    assert "'never' → 'always'" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "store").exists()


def test_a_changed_recorded_reply_is_refused_and_once_accepted_changes_an_eval(
    cassettes, tmp_path, capsys
):
    path = cassettes / "weigh-a17-1.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count("answer: 2.5 kg") == 1
    path.write_text(text.replace("answer: 2.5 kg", "answer: 9.5 kg"), encoding="utf-8")
    options = ("--store", str(tmp_path / "store"), "--cassettes", str(cassettes))
    refused = run_demo(*options)
    assert refused.returncode == 1
    assert "weigh-a17-1.yaml" in refused.stderr
    assert "looplet cassette accept" in refused.stderr
    assert main(["cassette", "accept", str(path)]) == 0
    assert "2 calls, sealed" in capsys.readouterr().out
    ran = run_demo(*options)
    assert "23 equal to their recordings" in ran.stdout
    assert "not as recorded: weigh-a17-1" in ran.stdout
    assert passed(ran.stdout, "eval_right_answer") == 15
    assert passed(ran.stdout, "eval_grounded_answer") == 15


def test_a_tool_that_answers_otherwise_is_named(tmp_path):
    change = (
        "import looplet.examples.parcel_desk.desk as desk; "
        "desk.ORDERS['B42'] = desk.Order(weight_kg='4.1', country='Italy')"
    )
    ran = run_demo("--store", str(tmp_path / "store"), before=change)
    assert ran.returncode == 1
    assert "(tool)" in ran.stderr
    assert "4.1" in ran.stderr


def test_a_missing_cassette_is_named(cassettes, tmp_path):
    (cassettes / "pay-e55-1.yaml").unlink()
    ran = run_demo("--store", str(tmp_path / "store"), "--cassettes", str(cassettes))
    assert ran.returncode == 1
    assert "pay-e55-1" in ran.stderr


def test_the_demo_needs_no_network(tmp_path):
    change = (
        "import socket, looplet.examples.parcel_desk.tasks; "
        "import looplet.examples.parcel_desk.desk as desk; real = desk.weight_of; "
        "desk.weight_of = lambda order: socket.create_connection(('127.0.0.1', 9)) or real(order)"
    )
    ran = run_demo("--store", str(tmp_path / "store"), before=change)
    assert ran.returncode == 1
    assert "SocketBlockedError" in ran.stderr


def test_the_scores_are_kept_beside_the_runs(demo_store):
    rows = list(TrajectoryStore(demo_store).scores())
    assert len(rows) == 24 * 5
    assert {row["evaluable"] for row in rows} == {True, False}


def test_the_demos_evals_run_in_two_workers_too(demo_store):
    command = [
        sys.executable, "-m", "pytest", "looplet/examples/parcel_desk/evals", "-n", "2", "-q",
        "--looplet-store", str(demo_store), "--looplet-gate=threshold", "--looplet-no-scores",
        "--override-ini=addopts=", "-p", "no:cacheprovider",
    ]  # fmt: skip
    ran = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=100
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert passed(ran.stdout, "eval_right_answer") == 16
