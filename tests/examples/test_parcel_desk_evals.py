"""The parcel desk's agent, run by pytest on its cassettes: as it is, and with something broken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import vcr.cassette  # noqa: F401 - loaded here, so that runs inside this process find it loaded
import yaml  # noqa: F401

import looplet.evals.agents
import looplet.evals.scoring
import looplet.evals.statistics
from looplet.examples import parcel_desk
from looplet.trajectory.store import TrajectoryStore

looplet.evals.statistics.wilson_interval(1, 2)

CASSETTES = Path(__file__).parents[2] / "fixtures" / "cassettes" / "parcel_desk"
NAME = "parcel_desk_copy"


@pytest.fixture
def desk(pytester):
    """A copy of the example, with a name of its own."""
    folder = pytester.path / NAME
    shutil.copytree(Path(parcel_desk.__file__).parent, folder)
    for path in folder.rglob("*.py"):
        path.write_text(path.read_text().replace("looplet.examples.parcel_desk", NAME))
    pytester.makeini("[pytest]\npythonpath = .\n")
    return pytester


def score(desk, store, *args):
    return desk.runpytest_inprocess(
        f"{NAME}/evals", "--looplet-cassettes", CASSETTES, "--looplet-out", store,
        "-p", "no:cacheprovider", *args,
    )  # fmt: skip


def change(desk, old, new, name="agent.py"):
    place = desk.path / NAME / name
    text = place.read_text()
    assert text.count(old) == 1
    place.write_text(text.replace(old, new))


def verdicts(desk, store):
    """What each eval says of each run: passed, failed, not evaluable, or that there is no run."""
    found = TrajectoryStore(desk.path / store)
    return {
        (row["eval_name"], row["trajectory_id"].rpartition("-")[0]): row["error"] or row["label"]
        for row in found.scores()
    }


def runs(desk, store):
    return {f"{run.task_id}-{run.trial}": run for run in TrajectoryStore(desk.path / store)}


def test_an_unchanged_agent_does_what_was_recorded(desk):
    result = score(desk, "out", "--looplet-gate=threshold")
    assert result.ret == pytest.ExitCode.OK
    recorded = json.loads((CASSETTES / "digests.json").read_text())
    replayed = runs(desk, "out")
    assert {name: run.digest for name, run in replayed.items()} == recorded
    assert len(verdicts(desk, "out")) == 5 * 24
    one = replayed["pay-b42-1"]
    assert (one.agent, one.dataset, one.expected["answer"]) == (
        "parcel_desk", "parcel_desk", "10.50 euro",
    )  # fmt: skip
    result.stdout.fnmatch_lines(["runs: 24 replayed", "gate: held"])


PRICED = '{"price": desk.price_of(weight, country)}'
BROKEN = {
    "ten too much": '{"price": "1" + desk.price_of(weight, country)}',
    "raises": '{"price": {}[desk.price_of(weight, country)]}',
}


def shown_a_price(replayed):
    """The runs in which the model is shown a price."""
    return {
        name
        for name, run in replayed.items()
        for step in run.steps[:-1]
        if step.tool_call.tool == "shipping_price" and step.tool_result.error is None
    }


def changes(desk):
    """What verdicts are by now that were others when the agent was as it is recorded."""
    before, after = verdicts(desk, "before"), verdicts(desk, "after")
    assert before.keys() == after.keys()
    return {pair: after[pair] for pair in before if after[pair] != before[pair]}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_tool_is_an_error_of_the_runs_that_used_it_and_of_no_other(desk, how):
    score(desk, "before")
    change(desk, PRICED, BROKEN[how])
    result = score(desk, "after", "--looplet-gate=threshold")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    used = shown_a_price(runs(desk, "before"))
    assert 5 < len(used) < 20
    assert changes(desk) == {
        pair: "the run diverged from its cassette"
        for pair in verdicts(desk, "before")
        if pair[1] in used
    }
    assert set(runs(desk, "after")) == set(runs(desk, "before")) - used
    result.stdout.fnmatch_lines([f"runs: {24 - len(used)} replayed, {len(used)} diverged"])


@pytest.mark.parametrize("how", BROKEN)
def test_where_results_are_overlooked_only_evals_that_look_at_the_tool_change(desk, how):
    score(desk, "before")
    change(desk, PRICED, BROKEN[how])
    result = score(desk, "after", "--looplet-tool-results=any", "--looplet-gate=threshold")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    before, recorded = verdicts(desk, "before"), runs(desk, "before")
    used = shown_a_price(recorded)
    expected = {
        ("eval_grounded_answer", name): "fail"
        for name in used
        if before["eval_grounded_answer", name] == "pass" and answers_with_a_price(recorded[name])
    }
    assert len(expected) > 5
    if how == "raises":
        expected |= {
            pair: "fail" for pair in before
            if pair[0] == "eval_no_tool_refused" and pair[1] in used and before[pair] == "pass"
        }  # fmt: skip
    assert changes(desk) == expected
    result.stdout.fnmatch_lines(
        [f"runs: {24 - len(used)} replayed, {len(used)} replayed with other tool results"]
    )
    assert {
        name for name, run in runs(desk, "after").items() if "results_overlooked" in run.metadata
    } == used


def answers_with_a_price(run):
    """Whether the answer is in euro, which only the broken tool tells of."""
    return "eur" in run.final_output["answer"].lower()


def test_a_changed_prompt_leaves_no_run_and_says_what_changed(desk):
    change(desk, "never guess one", "never invent one")
    result = score(desk, "out", "--looplet-gate=threshold")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = verdicts(desk, "out")
    assert len(found) == 5 * 24
    assert set(found.values()) == {"the run diverged from its cassette"}
    assert not (desk.path / "out" / "trajectories").exists()
    assert result.stdout.str().count("never invent one") == 24
    result.stdout.fnmatch_lines(
        [
            "  recorded: * never guess one.'",
            "  asked: * never invent one.'",
            "runs: 24 diverged",
            "  - eval_right_answer: 24 errors",
        ]
    )
