"""The parcel desk's committed baseline: what its script makes, and what later runs are held to."""

from __future__ import annotations

import subprocess
import sys

import pytest

from looplet.trajectory import TrajectoryStore
from tests.conftest import ROOT
from tests.examples.copies import Copy

BASELINE = ROOT / "fixtures" / "baselines" / "parcel_desk"
AGAINST = ("--looplet-baseline", BASELINE, "--looplet-gate=no-worse")
MOST_BYTES = 200_000


def told(store):
    """What the runs of a store came to, and what each eval, as it is written, says of them."""
    found = TrajectoryStore(store)
    names = {run.trajectory_id: f"{run.task_id}-{run.trial}" for run in found}
    digests = {names[run.trajectory_id]: run.digest for run in found}
    scores = {
        (row["eval_name"], names[row["trajectory_id"]]): (row["label"], row["eval_hash"])
        for row in found.scores()
    }
    return digests, scores


def test_the_baseline_is_what_its_script_makes_today(tmp_path):
    script = ROOT / "recordings" / "make_baseline.py"
    ran = subprocess.run(
        [sys.executable, str(script), "--into", str(tmp_path / "made")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    digests, scores = told(BASELINE)
    assert (digests, scores) == told(tmp_path / "made")
    assert (len(digests), len(scores)) == (24, 5 * 24)
    files = [path for path in BASELINE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    assert not [path for path in files if str(ROOT).encode() in path.read_bytes()]


@pytest.fixture
def desk(pytester, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")  # so that no row is broken
    return Copy(pytester, "parcel_desk")


def test_an_unchanged_agent_is_no_worse(desk):
    result = desk.score("out", *AGAINST)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "beside the baseline *",
            "eval_right_answer * +0.00 * the same on each recording",
            "eval_grounded_answer * +0.00 * the same on each recording",
            "eval_took_the_right_tools * +0.00 * the same on each recording",
            "eval_no_tool_refused * +0.00 * the same on each recording",
            "eval_ended_by_itself * +0.00 * the same on each recording",
            "gate: held",
        ]
    )


def test_an_agent_whose_prices_are_wrong_is(desk):
    priced = "desk.price_of(weight, country)}"
    desk.change(priced, f'"1" + {priced}')
    result = desk.score("out", *AGAINST, "--looplet-tool-results=any")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    said = result.stdout.str()
    gate = said[said.index("gate: NOT held") :]
    assert "eval_grounded_answer: not shown to be no worse than the baseline: -0.667" in gate
    assert "  - eval_right_answer" not in gate, (
        "the recorded answers are right, whatever the tool says"
    )
    assert said.count("the same on each recording") == 4

    result = desk.score("diverged", *AGAINST)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["runs: * replayed, * diverged", "gate: NOT held"])
