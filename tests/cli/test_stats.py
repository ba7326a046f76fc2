"""``looplet stats`` and ``looplet compare``: figures of stored runs, checked by other libraries."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.core.records import ToolCall, ToolResult
from looplet.evals.measuring import Spread, measure
from looplet.trajectory import StepRecord, Trajectory, TrajectoryStore
from tests.conftest import SHARED


def run(number, *, task="t", error=None, steps=2, **fields):
    records = [
        StepRecord(
            step_num=place + 1,
            tool_call=ToolCall("look", {}),
            tool_result=ToolResult("look", "", None, error=error if place == 0 else None),
        )
        for place in range(steps)
    ]
    return Trajectory(
        trajectory_id=f"r{number}", run_id=f"r{number}", task_id=task, steps=records, **fields
    )


def store(path, *runs):
    made = TrajectoryStore(path)
    made.append(runs)
    return made


def test_tasks_weigh_the_same_and_trials_make_pass_k(looplet, tmp_path):
    runs = [run(n, task=f"t{n // 4}", reward=float(n in (0, 1, 2, 3, 4, 5))) for n in range(8)]
    store(tmp_path / "s", *runs)
    said = looplet("stats", str(tmp_path / "s"))
    lines = said.out.splitlines()
    assert said.status == 0
    assert lines[0] == "8 runs"
    assert lines[1].startswith("  success   0.7500 (")
    assert lines[1].endswith("6 of 8 runs, 2 tasks, by reward")
    assert lines[2] == "  pass^k    0.7500 0.5833 0.5000 0.5000  (k = 1 to 4)"
    assert lines[3] == "  steps     mean 2.0, median 2.0, p90 2.0"
    assert "not known of any run" in lines[4]
    assert lines[6] == "  errors    0.0000  0 of 16 calls of tools"


def test_groups_metrics_and_what_is_not_known(looplet, tmp_path):
    store(
        tmp_path / "s",
        run(1, task="a", model="m2", reward=1.0, cost_usd=0.5, error="late"),
        run(2, task="b", model="m2", reward=None, cost_usd=None),
        run(3, task="c", model=None, stop_reason="done"),
        run(4, task="c", model="m1", stop_reason="done"),
    )
    said = looplet("stats", str(tmp_path / "s"), "--by", "model", "--metric", "success", "--metric",
                   "cost", "--metric", "errors")  # fmt: skip
    assert [line.split(" (")[0] for line in said.out.splitlines()] == [
        "model m1: 1 run", "  success   1.0000", "  cost      not known of any run",
        "  errors    0.0000  0 of 2 calls of tools",
        "model m2: 2 runs", "  success   1.0000",
        "  cost      mean $0.5000, median $0.5000, p90 $0.5000; 1 not known",
        "  errors    0.2500  1 of 4 calls of tools",
        "model -: 1 run", "  success   1.0000", "  cost      not known of any run",
        "  errors    0.0000  0 of 2 calls of tools",
    ]  # fmt: skip
    assert "by completed" in said.out
    assert "1 of 1 run, 1 task, by reward; 1 not known" in said.out


def test_replays_of_a_recording_count_once(looplet, tmp_path):
    same = [run(n, reward=1.0, cassette_hash="h") for n in range(5)]
    store(tmp_path / "s", *same, run(9, reward=0.0, cassette_hash="g"))
    (group,) = measure(TrajectoryStore(tmp_path / "s"))
    assert (group.runs, group.replays) == (2, 4)
    assert (group.success.passed, group.success.runs) == (1, 2)
    assert looplet("stats", str(tmp_path / "s")).out.startswith("2 runs, 4 replays left out\n")


def test_one_name_of_a_task_in_two_datasets_is_two_tasks(tmp_path):
    (group,) = measure(
        store(
            tmp_path / "s",
            run(1, task="1", dataset="a", reward=1.0), run(2, task="1", dataset="b", reward=0.0),
        )
    )  # fmt: skip
    assert group.success.tasks == 2


@given(st.lists(st.floats(-1e6, 1e6) | st.none(), max_size=30))
def test_a_spread_is_that_of_numpy(values):
    spread = Spread.of(values)
    there = [value for value in values if value is not None]
    assert (spread.n, spread.missing) == (len(there), len(values) - len(there))
    if there:
        for found, wanted in (
            (spread.mean, np.mean(there)),
            (spread.median, np.quantile(there, 0.5)),
            (spread.p90, np.quantile(there, 0.9)),
        ):
            assert math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-6)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded runs of other projects are not here")
@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("tau-bench", "pass^k    0.4200 0.2733 0.2200 0.2000  (k = 1 to 4)"),
        ("tau-bench", "errors    0.0627  73 of 1,164 calls of tools"),
        ("intercode-bash", "success   0.4850 ("),
        ("intercode-bash", "97 of 200 runs"),
    ],
)
def test_published_figures_come_out(looplet, tmp_path, source, shown):
    looplet("import", str(SHARED / source), "--store", str(tmp_path / "s"))
    assert shown in looplet("stats", str(tmp_path / "s")).out


def test_a_store_beside_a_better_one(looplet, tmp_path):
    tasks = range(40)
    before = store(tmp_path / "a", *[run(n, task=f"t{n}", reward=float(n < 10)) for n in tasks])
    after = store(
        tmp_path / "b",
        *[run(n, task=f"t{n}", reward=float(n < 30), steps=2 + n % 3) for n in tasks],
        run(99, task="new", reward=1.0),
    )
    for each, good in ((before, 10), (after, 30)):
        each.append_scores(
            {"trajectory_id": f"r{n}", "eval_name": "eval_said", "passed": n < good,
             "evaluable": n != 39} for n in tasks
        )  # fmt: skip
    after.append_scores([{"trajectory_id": "r1", "eval_name": "eval_new", "passed": True}])
    said = looplet("compare", str(tmp_path / "a"), str(tmp_path / "b"))
    success, scored, steps, sent, *_, only = said.out.splitlines()
    assert said.status == 0
    assert success.startswith("success        +0.5000 (")
    assert "better, 40 tasks, 1 task of one side only" in success
    assert scored.startswith("eval_said      +0.51")
    assert "better, 39 tasks" in scored
    assert steps.startswith("n_steps        +0.975 (")
    assert "not known of any task" in sent
    assert only == "scores in STORE_B alone: eval_new"
    found = json.loads(looplet("compare", str(tmp_path / "b"), str(tmp_path / "a"), "--json").out)
    assert found["verdicts"] == {"success": "worse", "eval_said": "worse"}
    assert found["only_baseline"] == ["eval_new"]


@pytest.mark.parametrize(("scale", "difference"), [(1, -0.2), (10, 0.0)])
def test_grades_are_compared_where_they_are_from_0_to_1_and_passes_elsewhere(
    looplet, tmp_path, scale, difference
):
    for name, grade in (("a", 0.9), ("b", 0.7)):
        made = store(tmp_path / name, *[run(n, task=f"t{n}") for n in range(12)])
        made.append_scores(
            {"trajectory_id": f"r{n}", "eval_name": "eval_graded", "passed": True,
             "score": (grade + n / 1000) * scale} for n in range(12)
        )  # fmt: skip
    said = looplet("compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json")
    (graded,) = [each for each in json.loads(said.out)["evals"] if each["eval"] == "eval_graded"]
    assert graded["difference"] == pytest.approx(difference)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("stats", "none"), "there is no trajectory store at"),
        (("stats", "empty"), "holds no runs"),
        (("stats", "s", "--by", "colour"), "not grouped by 'colour'"),
        (("compare", "s", "s", "--by", "colour"), "not paired by 'colour'"),
        (("compare", "s", "other"), "share no task_id"),
        (("compare", "s", "s", "--margin", "-1"), "margin"),
    ],
)
def test_a_user_s_mistake_is_one_line(looplet, desk, argv, told):
    store(desk / "s", run(1, reward=1.0))
    store(desk / "other", run(2, task="o", reward=1.0))
    (desk / "empty").mkdir()
    said = looplet(*argv)
    assert (said.status, said.out) == (1, "")
    assert told in said.err
    assert said.err.count("\n") == 1
