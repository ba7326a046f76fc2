"""The parcel desk's agent, run by pytest on its cassettes: as it is, and with something broken."""

from __future__ import annotations

import json

import pytest

from tests.examples.copies import Copy


@pytest.fixture
def desk(pytester):
    """A copy of the example, with a name of its own."""
    return Copy(pytester, "parcel_desk")


def test_an_unchanged_agent_does_what_was_recorded(desk):
    result = desk.score("out", "--looplet-gate=threshold")
    assert result.ret == pytest.ExitCode.OK
    recorded = json.loads((desk.cassettes / "digests.json").read_text())
    replayed = desk.runs("out")
    assert {name: run.digest for name, run in replayed.items()} == recorded
    assert len(desk.verdicts("out")) == 5 * 24
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


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_tool_is_an_error_of_the_runs_that_used_it_and_of_no_other(desk, how):
    desk.score("before")
    desk.change(PRICED, BROKEN[how])
    result = desk.score("after", "--looplet-gate=threshold")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    used = shown_a_price(desk.runs("before"))
    assert 5 < len(used) < 20
    assert desk.changes() == {
        pair: "the run diverged from its cassette"
        for pair in desk.verdicts("before")
        if pair[1] in used
    }
    assert set(desk.runs("after")) == set(desk.runs("before")) - used
    result.stdout.fnmatch_lines([f"runs: {24 - len(used)} replayed, {len(used)} diverged"])


@pytest.mark.parametrize("how", BROKEN)
def test_where_results_are_overlooked_only_evals_that_look_at_the_tool_change(desk, how):
    desk.score("before")
    desk.change(PRICED, BROKEN[how])
    result = desk.score("after", "--looplet-tool-results=any", "--looplet-gate=threshold")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    before, recorded = desk.verdicts("before"), desk.runs("before")
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
    assert desk.changes() == expected
    result.stdout.fnmatch_lines(
        [f"runs: {24 - len(used)} replayed, {len(used)} replayed with other tool results"]
    )
    assert {
        name for name, run in desk.runs("after").items() if "results_overlooked" in run.metadata
    } == used


def answers_with_a_price(run):
    """Whether the answer is in euro, which only the broken tool tells of."""
    return "eur" in run.final_output["answer"].lower()


def test_a_changed_prompt_leaves_no_run_and_says_what_changed(desk):
    desk.change("never guess one", "never invent one")
    result = desk.score("out", "--looplet-gate=threshold")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = desk.verdicts("out")
    assert len(found) == 5 * 24
    assert set(found.values()) == {"the run diverged from its cassette"}
    assert not (desk.pytester.path / "out" / "trajectories").exists()
    assert result.stdout.str().count("never invent one") == 24
    result.stdout.fnmatch_lines(
        [
            "  recorded: * never guess one.'",
            "  asked: * never invent one.'",
            "runs: 24 diverged",
            "  - eval_right_answer: 24 errors",
        ]
    )
