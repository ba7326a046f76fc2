"""``looplet diff``: two runs compared, wherever they are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from looplet import ProvenanceSink, composable_loop
from looplet.replay import read_trajectory, use_cassette
from looplet.testing import MockLLMBackend
from looplet.trajectory import TrajectoryStore
from tests.cli.conftest import process


@pytest.fixture
def runs(looplet, monkeypatch):
    """Cassettes a and b of two runs that part at step 1, and a store with both."""
    looplet("record", "agent:build", "--cassette", "a.yaml")
    monkeypatch.setenv("EURO", "0.5")
    looplet("record", "agent:build", "--cassette", "b.yaml")
    store = TrajectoryStore("store")
    for name in ("aaaa1", "aaaa2"):
        trajectory = read_trajectory(f"{name[0]}.yaml")
        trajectory.trajectory_id = name
        store.append(trajectory)
    other = read_trajectory("b.yaml")
    other.trajectory_id = "bbbb"
    store.append(other)
    return looplet


def test_runs_that_differ_are_shown_down_to_the_argument(runs):
    said = runs("diff", "a.yaml", "b.yaml")
    assert said.status == 1
    assert said.out.splitlines()[0] == "step 1 (price): result.euro: 0.4 → 0.5"
    assert "step 2: price(fruit='fig')" in said.out
    as_json = runs("diff", "a.yaml", "b.yaml", "--json")
    told = json.loads(as_json.out)
    assert (as_json.status, told["compared"], told["equal"], told["step"]) == (
        1, "steps", False, 1,
    )  # fmt: skip
    assert told["changes"][0] == {
        "path": "result.euro", "text": "0.4 → 0.5", "step": 1, "tool": "price",
    }  # fmt: skip


def test_equal_runs_are_equal(runs):
    said = runs("diff", "a.yaml", "a.yaml")
    assert (said.status, said.out) == (0, "the runs are equal, with 3 steps\n")
    assert json.loads(runs("diff", "a.yaml", "a.yaml", "--json").out)["equal"] is True


def test_a_stored_run_is_named_by_its_id_or_how_it_begins(runs):
    assert runs("diff", "a.yaml", "store#aaaa1").status == 0
    assert runs("diff", "store#bb", "b.yaml").status == 0
    assert runs("diff", "store#aaaa1", "store#bbbb").status == 1
    for which, said in (
        ("store#aaaa", "store has 2 runs whose id begins with 'aaaa'"),
        ("store#c", "store has no run whose id begins with 'c'"),
        ("store", "store has 3 runs; name one as store#ID, of: aaaa1, aaaa2, bbbb"),
    ):
        given = runs("diff", "a.yaml", which)
        assert (given.status, given.err.count("\n")) == (2, 1)
        assert said in given.err


def test_a_store_of_one_run_needs_no_id_and_an_exact_id_counts_before_a_beginning(runs, desk):
    one = TrajectoryStore("one")
    trajectory = read_trajectory("a.yaml")
    trajectory.trajectory_id = "run"
    one.append(trajectory)
    assert runs("diff", "one", "a.yaml").status == 0
    longer = read_trajectory("b.yaml")
    longer.trajectory_id = "run-2"
    one.append(longer)
    assert runs("diff", "one#run", "a.yaml").status == 0
    assert runs("diff", "one#run-", "a.yaml").status == 1


def test_one_of_several_runs_of_a_cassette_is_named_by_its_number(looplet):
    looplet("record", "script.py", "--cassette", "run.yaml", "--", "pear", "fig")
    said = looplet("diff", "run.yaml", "run.yaml#1")
    assert (said.status, said.out.splitlines()[0]) == (1, "task.goal: 'pear' → 'fig'")
    assert looplet("diff", "run.yaml#1", "run.yaml#1").status == 0
    for which, words in (("#2", "has 2 runs, none of number 2"), ("#x", "by its number")):
        given = looplet("diff", "run.yaml", f"run.yaml{which}")
        assert (given.status, words in given.err) == (2, True)


def test_a_path_with_a_mark_in_its_name_is_a_path(runs):
    Path("a.yaml").rename("a#1.yaml")
    assert runs("diff", "a#1.yaml", "a#1.yaml").status == 0


def test_a_trace_directory_is_a_run_too(runs, monkeypatch):
    import agent

    monkeypatch.setenv("EURO", "0.4")
    sink = ProvenanceSink("trace")
    built = agent.build()
    llm, hooks = sink.wrap_llm(built.pop("llm")), [sink.trajectory_hook()]
    list(composable_loop(llm, hooks=hooks, **built))
    sink.flush()
    assert runs("diff", "trace", "a.yaml").status == 0
    said = runs("diff", "b.yaml", "trace")
    assert (said.status, said.out.splitlines()[0]) == (1, "step 1 (price): result.euro: 0.5 → 0.4")
    named = runs("diff", "trace#0", "a.yaml")
    assert (named.status, "a trace directory has one run" in named.err) == (2, True)
    Path("trace", "trajectory.json").write_text("{")
    damaged = runs("diff", "trace", "a.yaml")
    assert (damaged.status, damaged.err.count("\n"), "trajectory.json" in damaged.err) == (
        2,
        1,
        True,
    )


def model_calls(path, *replies):
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(MockLLMBackend([*replies]))
        for n, _ in enumerate(replies):
            llm.generate(f"question {n}")


def test_cassettes_without_steps_are_compared_by_their_model_calls_which_is_said(runs):
    model_calls("c.yaml", "one", "two")
    model_calls("d.yaml", "one", "2")
    said = runs("diff", "c.yaml", "d.yaml")
    assert (said.status, said.out) == (1, "lane main, call 2: reply: 'two' → '2'\n")
    assert said.err.startswith("no steps are in c.yaml and d.yaml: model calls are compared")
    same = runs("diff", "c.yaml", "c.yaml")
    assert (same.status, same.out) == (0, "the model calls are equal, 2 of them\n")
    told = json.loads(runs("diff", "c.yaml", "d.yaml", "--json").out)
    assert (told["compared"], told["different"], told["changes"][0]["call"]) == ("calls", 1, 2)
    mixed = runs("diff", "a.yaml", "c.yaml")
    assert (mixed.status, mixed.err.startswith("no steps are in c.yaml:")) == (1, True)


def test_what_has_neither_steps_nor_calls_in_common_is_unusable(runs):
    model_calls("c.yaml", "one")
    trajectory = read_trajectory("a.yaml")
    trajectory.llm_calls = []
    for step in trajectory.steps:
        step.llm_call_indices = []
    TrajectoryStore("bare").append(trajectory)
    said = runs("diff", "c.yaml", "bare")
    assert (said.status, "bare has no model call" in said.err) == (2, True)


def test_what_is_no_run_is_unusable(runs, desk):
    (desk / "folder").mkdir()
    (desk / "cut.yaml").write_bytes(Path("a.yaml").read_bytes()[:-1])
    for name, said in (
        ("none.yaml", "there is no cassette none.yaml"),
        ("none#1", "there is no cassette none"),
        ("folder", "folder is neither a cassette, nor a trace directory, nor a trajectory store"),
        ("cut.yaml", "cut short"),
        ("agent.py", "no looplet cassette"),
    ):
        for given in (runs("diff", "a.yaml", name), runs("diff", name, "a.yaml")):
            assert (given.status, given.err.count("\n"), given.out) == (2, 1, "")
            assert said in given.err


def test_in_a_process(runs):
    said = process("diff", "a.yaml", "b.yaml", NO_COLOR="1", COLUMNS="40")
    assert (said.status, said.err) == (1, "")
    assert "\x1b" not in said.out
    assert process("diff", "a.yaml", "a.yaml").status == 0
    assert process("diff", "a.yaml", "none").status == 2
