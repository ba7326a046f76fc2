"""``looplet eval`` as a person meets it."""

from __future__ import annotations

import json
import re
import shutil
import sys

import pytest

from looplet import EvalCase, MockLLMBackend, ProvenanceSink, composable_loop, eval_cli, save_cases
from looplet.evals.recorded import read_recorded
from looplet.trajectory.store import TrajectoryStore
from tests.cli.conftest import process
from tests.evals.conftest import make_run
from tests.guarantees.parts import APPLE, call, shop

EVALS = """
from looplet import eval_mark

@eval_mark("verdict")
def eval_names_a_sum(ctx):
    return any(ch.isdigit() for ch in ctx.final_output.get("summary", ""))

@eval_mark("budget")
def eval_ended_by_itself(ctx):
    return ctx.completed             # True exactly when ctx.stop_reason == "done"
"""
OTHERS = """
def eval_judged(ctx, llm):
    return llm.generate("Good?") == "fine"

def eval_label(ctx):
    return "no\\x1b[2J"

def eval_measures(ctx):
    return {"tokens": 12, "note": "x"}

def eval_with_a_name_that_is_longer_than_most_are(ctx):
    return 0.5
"""
JUDGES = """
from looplet import AsyncMockLLMBackend, MockLLMBackend
ready = MockLLMBackend(["fine"])
def make(): return ready
def broken(): raise KeyError("KEY")
class Judge(MockLLMBackend):
    def __init__(self): super().__init__(["fine"])
asynchronous = AsyncMockLLMBackend(["fine"])
nothing = 3
"""


LEFT_OUT = "note: traces/notes is no trace directory, and was left out\n"


@pytest.fixture
def traces(desk):
    """Three runs, one of which names a sum, and the contract's evals."""
    for name, summary in (("run_1", "2.30 euro"), ("run_2", "priced"), ("run_3", "all of it")):
        sink = ProvenanceSink(dir=desk / "traces" / name)
        llm = sink.wrap_llm(MockLLMBackend([APPLE, call("done", summary=summary)]))
        list(composable_loop(llm, "Price.", shop(), hooks=[sink.trajectory_hook()]))
        sink.flush()
    (desk / "eval_my_agent.py").write_text(EVALS)
    (desk / "judges.py").write_text(JUDGES)
    yield desk
    sys.modules.pop("judges", None)


def test_the_output_is_the_contracts_own(traces, looplet):
    said = looplet("eval", "traces/", "--evals", "eval_my_agent.py", "--threshold", "0.7")
    assert said.out == (
        "  ✓ eval_ended_by_itself           avg=1.00  min=1.00  max=1.00  (3 runs)\n"
        "  ✗ eval_names_a_sum               avg=0.33  min=0.00  max=1.00  (3 runs)\n"
        "\n"
        "  overall: 0.67\n"
        "  threshold: 0.70  → FAIL\n"
    )
    assert said.err == "gate: eval_names_a_sum: average 0.333 is below 0.700\n"
    assert said.status == 1


def test_without_a_threshold_what_was_evaluated_passes(traces, looplet):
    said = looplet("eval", "traces")
    assert (said.status, said.err) == (0, "")
    assert said.out.endswith("  overall: 0.67\n  threshold: 0.00  → PASS\n")
    assert looplet("eval", "traces/run_1", "--threshold", "1").status == 0
    assert "(1 run)" in looplet("eval", "traces/run_1").out


def test_verbose_shows_each_run(traces, looplet):
    said = looplet("eval", "traces", "-v", "--include", "verdict")
    lines = [re.sub(r" \[\d+ms\]", "", line) for line in said.out.splitlines()]
    assert lines[1:4] == [
        "      ✓ run_1 score=1.00 label=pass",
        "      ✗ run_2 score=0.00 label=fail",
        "      ✗ run_3 score=0.00 label=fail",
    ]


def test_replays_of_one_recording_are_told(desk, looplet):
    runs = [make_run("pears", trial, 2.0, replay_of="tape") for trial in range(3)]
    TrajectoryStore(desk / "store").append(runs)
    (desk / "eval_shop.py").write_text("def eval_done(ctx): return ctx.completed\n")
    said = looplet("eval", "store")
    assert said.status == 0
    assert said.err.startswith("note: eval_done: 2 of 3 verdicts are on further replays of a ")


def test_labels_metrics_and_skipped_evals_are_shown_and_told(traces, looplet):
    (traces / "eval_others.py").write_text(OTHERS)
    said = looplet("eval", "traces", "--evals", "eval_others.py")
    assert said.status == 1
    assert said.out.splitlines() == [
        "  ✗ eval_judged                                   (3 runs, 3 skipped)",
        "  ✗ eval_label                                    pass=0  fail=3  (3 runs)",
        "  · eval_measures                                 tokens=12.00  (3 runs, metrics only)",
        "  ✓ eval_with_a_name_that_is_longer_than_most_are avg=0.50  min=0.50  max=0.50  (3 runs)",
        "",
        "  overall: 0.50",
        "  threshold: 0.00  → FAIL",
    ]
    assert said.err.splitlines() == [
        "note: eval_judged: it needs a judge (its parameter llm), and none is configured (3)",
        "gate: eval_judged: no run was evaluable",
        "gate: eval_label: 3 runs without a score, and without a passing label",
    ]
    (traces / "eval_others.py").write_text(OTHERS.replace("no\\x1b[2J", "yes"))
    assert looplet("eval", "traces", "--evals", "eval_others.py", "--allow-skipped").status == 0


@pytest.mark.parametrize("judge", ["judges:ready", "judges:make", "judges:Judge", "judges.py:make"])
def test_a_judge_is_named_as_a_backend_or_what_makes_one(traces, looplet, judge):
    (traces / "eval_others.py").write_text(OTHERS)
    said = looplet("eval", "traces", "--evals", "eval_others.py", "--judge", judge)
    assert "✓ eval_judged" in said.out


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        ("judges", "names no backend"),
        ("judges:redy", "no redy; did you mean ready?"),
        ("nowhere_at_all:x", "cannot be imported"),
        ("nowhere.py:x", "no file nowhere.py"),
        ("judges:broken", "cannot be made: KeyError: 'KEY'"),
        ("judges:nothing", "is a int, and no backend"),
        ("judges:asynchronous", "is async"),
    ],
)
def test_a_judge_that_is_none_is_one_message(traces, looplet, judge, message):
    said = looplet("eval", "traces", "--judge", judge)
    assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)
    assert message in said.err


def test_a_folder_that_is_no_trace_is_told_and_one_that_is_damaged_fails(traces, looplet):
    (traces / "traces" / "notes").mkdir()
    (traces / "traces" / ".git").mkdir()
    (traces / "traces" / "readme.md").write_text("")
    said = looplet("eval", "traces")
    assert (said.status, said.err) == (
        0,
        "note: traces/notes is no trace directory, and was left out\n",
    )
    (traces / "traces" / "notes" / "call_00_prompt.txt").write_text("")
    said = looplet("eval", "traces")
    assert said.status == 1
    assert "gate: traces/notes is not a trace directory" in said.err
    assert "(3 runs)" in said.out
    shutil.rmtree(traces / "traces")
    assert "traces does not exist" in looplet("eval", "traces").err


def test_a_run_that_was_killed_is_evaluated(traces, looplet):
    (traces / "traces" / "run_1" / "trajectory.json").unlink()
    said = looplet("eval", "traces", "--include", "budget")
    assert said.out.splitlines()[0].endswith("avg=0.67  min=0.00  max=1.00  (3 runs)")


def test_a_mistake_is_no_traceback(traces):
    (traces / "eval_broken.py").write_text("def (")
    for arguments, message in (
        (("traces",), "eval_broken.py cannot be imported"),
        (("traces", "--evals", "nowhere"), "there are no evals at nowhere"),
        (("eval_my_agent.py", "--evals", "eval_my_agent.py"), "is not a directory"),
    ):
        said = process("eval", *arguments)
        assert (said.status, said.out) == (1, "")
        assert said.err.startswith("error: ")
        assert message in said.err
        assert "Traceback" not in said.err
    assert process("eval", "traces", "--threshold", "nan").status == 2


def test_evals_of_installed_packages_are_not_taken(traces, looplet):
    for folder in ("env/lib", "web/node_modules/x", ".hidden"):
        (traces / folder).mkdir(parents=True)
        (traces / folder / "eval_theirs.py").write_text("raise AssertionError")
    (traces / "env" / "pyvenv.cfg").write_text("")
    assert looplet("eval", "traces").status == 0


def test_the_function_is_the_command(traces, capsys, monkeypatch):
    assert eval_cli(["traces", "--threshold", "0.7"]) == 1
    assert capsys.readouterr().out.endswith("→ FAIL\n")
    monkeypatch.setattr(sys, "argv", ["mine", "traces"])
    assert eval_cli() == 0


def test_names_of_recorded_runs_are_their_folders(traces):
    for path, names in ((".", ["run_1", "run_2", "run_3"]), ("run_2", ["run_2"])):
        assert [name for name, _ in read_recorded(traces / "traces" / path).runs] == names


# Cases


def test_cases_are_listed_and_shown(desk, looplet):
    cases = [
        EvalCase("pears", {"goal": "Price two\n pears."}, {"euro": 1.1}, ["smoke", "fruit"]),
        EvalCase("plums", "Price plums.", notes="ripe ones\x1b[2J"),
        EvalCase("figs"),
    ]
    save_cases(cases, "cases.json")
    said = looplet("eval", "cases", "ls", "cases.json")
    assert (said.status, said.err) == (0, "")
    assert said.out.splitlines() == [
        "pears [smoke, fruit] Price two pears.",
        r"plums ripe ones\x1b[2J",
        "figs",
        "3 cases",
    ]
    said = looplet("eval", "cases", "show", "cases.json", "pears")
    assert json.loads(said.out) == cases[0].to_dict()
    save_cases(cases[:1], "one.json")
    assert json.loads(looplet("eval", "cases", "show", "one.json").out)["id"] == "pears"


def test_a_case_that_cannot_be_shown_is_one_message(desk, looplet):
    save_cases([EvalCase("pears"), EvalCase("plums")], "cases.json")
    save_cases([], "none.json")
    for arguments, message in (
        (("ls", "nowhere"), "no cases at nowhere"),
        (("show", "nowhere"), "no cases at nowhere"),
        (("show", "cases.json"), "2 cases; name one of them: pears, plums"),
        (("show", "cases.json", "pear"), "no case 'pear'; did you mean 'pears'?"),
        (("show", "none.json"), "0 cases; nothing to show"),
    ):
        said = looplet("eval", "cases", *arguments)
        assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)
        assert message in said.err


def test_a_directory_of_traces_may_be_called_cases(traces, looplet):
    (traces / "traces").rename("cases")
    assert looplet("eval", "cases", "--threshold", "0.3").status == 0
