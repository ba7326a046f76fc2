"""Every example's evals, for which pytest runs the agent as it is now on its recordings."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.examples.copies import EXAMPLES, Copy
from tests.examples.replaying import CASSETTES, rows_of

RUNS = {
    "hello_world": 2,
    "coding_agent": 2,
    "data_agent": 3,
    "mcp_agent": 3,
    "parcel_desk": 24,
    "router_agent": 3,
}
"""How many runs of each are recorded."""


def score(example, cassettes, *args):
    command = [
        sys.executable, "-m", "pytest", str(EXAMPLES / example / "evals"),
        "--looplet-cassettes", str(CASSETTES / cassettes), "--looplet-gate=threshold",
        "--override-ini=addopts=", "-p", "no:cacheprovider", "-q", "--tb=short", *args,
    ]  # fmt: skip
    wide = {**os.environ, "COLUMNS": "200"}  # so that no name is cut
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=wide)


@pytest.mark.parametrize("example", RUNS)
def test_the_agent_as_it_is_now_holds_the_gate_on_its_recordings(example):
    said = score(example, example)
    assert "\ngate: held\n" in said.stdout, said.stdout
    assert f"\nruns: {RUNS[example]} replayed\n" in said.stdout
    assert len(rows_of(said.stdout)) >= 3
    recorded = {path.name for path in (CASSETTES / example).glob("*.yaml")}
    assert len(recorded) == RUNS[example]


def test_the_small_models_clerk_does_not_hold_it():
    said = score("mcp_agent", "mcp_agent_smollm2")
    assert said.returncode == pytest.ExitCode.TESTS_FAILED
    assert "\nruns: 6 replayed\ngate: NOT held\n" in said.stdout
    assert rows_of(said.stdout) == {
        "eval_reserved_what_was_asked": (6, 4),
        "eval_figures_come_from_the_server": (2, 2),
        "eval_looked_before_it_reserved": (6, 6),
        "eval_ended_by_itself": (6, 2),
    }


BLIND = """spec = preset.tools._specs["bash"]
    run = spec.execute
    spec.execute = lambda **given: {**run(**given), "exit_code": 0}
    return replace(
        preset,"""
BROKEN = {
    "coding_agent": (
        "agent.py", "return replace(\n        preset,", BLIND,
        {("eval_saw_a_test_fail_first", task): "fail" for task in ("basket", "units")},
    ),
    "data_agent": (
        "agent.py", "rows[:MAX_ROWS]", "rows[1:MAX_ROWS]",
        {("eval_figures_come_from_the_tables", f"best-{what}"): "fail"
         for what in ("shop", "country")},
    ),
    "mcp_agent": (
        "server.py", '"left": STOCK[item]', '"left": STOCK[item] + 1',
        {("eval_figures_come_from_the_server", task): "fail"
         for task in ("reserve-figs", "all-olives")},
    ),
    "router_agent": (
        "agent.py", "GRAMS[to], 1)", "GRAMS[to] + 1, 1)",
        {("eval_amount_comes_from_a_tool", task): "fail" for task in ("bread", "jam", "soup")},
    ),
}  # fmt: skip
"""File, what stands there, what breaks a tool, and what that changes."""


@pytest.mark.parametrize("example", BROKEN)
def test_a_broken_tool_turns_those_evals_red_that_look_at_it(example, pytester, monkeypatch):
    if example == "mcp_agent":
        pytest.importorskip("mcp", reason="the extra 'mcp' is not installed", exc_type=ImportError)
    monkeypatch.setenv("WAREHOUSE", "live")
    copy = Copy(pytester, example)
    copy.score("before", "--looplet-tool-results=any")
    name, old, new, expected = BROKEN[example]
    copy.change(old, new, name)
    result = copy.score("after", "--looplet-tool-results=any", "--looplet-gate=threshold")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert copy.changes() == expected


def test_a_greeter_that_fails_leaves_no_run_since_results_are_part_of_its_text(pytester):
    copy = Copy(pytester, "hello_world")
    copy.score("before")
    copy.change("Hello, {name}!", "Goodbye, {name}!")
    result = copy.score("after", "--looplet-tool-results=any", "--looplet-gate=threshold")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert copy.changes() == dict.fromkeys(
        copy.verdicts("before"), "the run diverged from its cassette"
    )
    result.stdout.fnmatch_lines(["*asked:*Goodbye*", "runs: 2 diverged"])
