"""The gate beside a baseline."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from looplet.evals import gate
from looplet.evals.gate_baseline import Demand
from looplet.evals.results import EvalResult, Outcome
from looplet.evals.scored import EvalInfo
from looplet.evals.summary import summarize
from tests.evals.test_contrast import INFO, contrast, said, say

REQUIRED = replace(INFO, required=True)
OTHER = EvalInfo(key="evals/eval_a.py::eval_b", name="eval_b", source_hash="b")
NO_WORSE, BETTER = Demand.NO_WORSE, Demand.BETTER
ALIKE = [1.0] * 40
"""Enough runs that pass to be no worse than themselves by 0.1."""
LOST = [0.0] * 20 + [1.0] * 20


def judge(ours, theirs, demand=NO_WORSE, *, margin=0.1, threshold=None, expected=(), **fields):
    found = contrast(ours, theirs, margin=margin, **fields)
    infos = {each.eval.key: each.eval for each in ours}
    return gate.judge(
        summarize(ours),
        threshold=threshold,
        demand=demand,
        contrast=found,
        expected=[*infos.values(), *expected],
    )


def causes(*args, **fields):
    return "\n".join(judge(*args, **fields).causes)


def test_no_worse_holds_where_each_eval_is_shown_to_be_no_worse_or_better():
    both = [*said(ALIKE), *said(ALIKE, info=OTHER)]
    assert judge(both, both).held
    assert judge(both, [*said(ALIKE), *said(LOST, info=OTHER)]).held
    assert judge(said(LOST), said(LOST), margin=0.3).held, "it fails as often as it did"


def test_worse_does_not_hold_and_says_by_how_much():
    found = judge(said(LOST), said(ALIKE))
    (cause,) = found.causes
    assert cause.startswith("eval_a: worse than the baseline: -0.500 (-0.")
    assert cause.endswith(" on 40 tasks, margin 0.1")
    assert found.of_evals == {INFO.key}
    assert found.cell(summarize(said(LOST))[0]) == "NOT held"


def test_too_little_data_does_not_hold_and_says_what_would_do():
    few = said([1.0] * 20)
    (cause,) = judge(few, few).causes
    assert cause == (
        "eval_a: not shown to be no worse than the baseline: +0.000 (-0.161 to +0.161) on 20 "
        "tasks, margin 0.1; so many can show one of 0.37, and about 57 tasks would do if it is as "
        "good"
    )
    assert judge(said([1.0] * 57), said([1.0] * 57)).held
    assert "so many can show no difference, and about" in causes(said([1.0] * 2), said([1.0] * 2))


def replayed(values, *, recordings="abcdefgh"):
    return [
        say(value, place, task=f"t{place}", recording=name)
        for place, (value, name) in enumerate(zip(values, recordings, strict=False))
    ]


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=6), st.data())
def test_few_recordings_are_enough_where_each_comes_to_the_same_and_nowhere_else(values, data):
    before = replayed(values)
    assert judge(replayed(values), before).held
    place = data.draw(st.integers(0, len(values) - 1))
    for value in {0.0, 0.5, 1.0} - {values[place]}:
        after = replayed([*values[:place], value, *values[place + 1 :]])
        assert not judge(after, before).held
    assert not judge(replayed(values, recordings="xbcdefgh"), before).held, "recorded anew"
    assert not judge(replayed([*values, 1.0]), before).held, "one more"
    assert not judge(said(values), said(values)).held, "live runs"
    assert not judge(replayed(values), before, BETTER).held


def test_better_wants_one_that_is_better_and_none_that_is_not_no_worse():
    both = [*said(ALIKE), *said(ALIKE, info=OTHER)]
    assert judge(both, [*said(ALIKE), *said(LOST, info=OTHER)], BETTER).held
    assert judge(both, both, BETTER).causes == ("no eval is shown to be better than the baseline",)
    mixed = [*said(LOST), *said(ALIKE, info=OTHER)]
    (cause,) = judge(mixed, [*said(ALIKE), *said(LOST, info=OTHER)], BETTER).causes
    assert cause.startswith("eval_a: worse than the baseline")


@pytest.mark.parametrize("demand", [NO_WORSE, BETTER])
def test_without_a_baseline_such_a_demand_never_holds(demand):
    found = gate.judge(summarize(said(ALIKE)), demand=demand)
    assert found.causes == ("there is no baseline to compare with",)
    assert (
        causes(said(ALIKE), [], demand) == "no eval has a score both here and in the baseline main"
    )


def test_a_threshold_that_was_named_holds_as_well_and_the_usual_one_does_not():
    assert judge(said(LOST), said(LOST), margin=0.3).held
    assert causes(said(LOST), said(LOST), margin=0.3, threshold=0.9) == (
        "eval_a: average 0.500 is below 0.900"
    )
    strict = said(LOST, info=replace(INFO, threshold=0.9))
    assert causes(strict, strict, margin=0.3) == "eval_a: average 0.500 is below 0.900"
    assert not gate.judge(summarize(said(LOST))).held, "a threshold of 1 where nobody names one"


def test_what_was_measured_by_something_else_does_not_hold():
    changed = said(ALIKE, info=replace(INFO, source_hash="other"))
    assert "eval_a: the eval has changed since the baseline was scored" in causes(
        changed, said(ALIKE)
    )
    judged = [say(1.0, n, result=EvalResult(score=1.0, metadata={"judge": "j"})) for n in range(40)]
    assert "eval_a: its judge has changed since" in causes(judged, said(ALIKE))


def test_a_loss_cannot_hide_among_runs_that_are_not_evaluable():
    hidden = [*said([1.0] * 50), *(say(None, n) for n in range(50, 60))]
    assert "by a share of 0.17: a loss of more than 0.1 can hide there" in causes(
        hidden, said([1.0] * 60)
    )
    assert judge(hidden, hidden).held
    few = [*said([1.0] * 54), *(say(None, n) for n in range(54, 60))]
    assert judge(few, said([1.0] * 60)).held, "a share that is the margin itself"


def test_a_loss_cannot_hide_among_runs_of_which_there_are_metrics_alone():
    metrics = {"outcome": Outcome.MEASURED, "result": EvalResult(metrics={"n": 1.0})}

    def measured(count):
        return [replace(say(1.0, n), **metrics) for n in range(count)]

    hidden = [*measured(10), *(say(1.0, n) for n in range(10, 60))]
    told = causes(hidden, said([1.0] * 60))
    assert "by a share of 0.17: a loss of more than 0.1 can hide there" in told
    assert judge(hidden, hidden).held
    told = causes([*measured(60), *said(ALIKE, info=OTHER)], said([1.0] * 60))
    assert "eval_a: it cannot be compared with the baseline: no task has a value" in told
    new = [*said(ALIKE), *said(ALIKE, info=OTHER)]
    assert judge(new, [*measured(60), *said(ALIKE, info=OTHER)]).held, "the baseline has no score"


def test_what_cannot_be_compared_does_not_hold():
    assert "cannot be compared with the baseline: no task" in causes(
        [*said(ALIKE), say(1.0, 0, info=OTHER)], [*said(ALIKE), say(1.0, 1, info=OTHER)]
    )
    assert "cannot be compared with the baseline: has scores that" in causes(
        said([340.0] * 40), said(ALIKE)
    )
    assert "a run beside itself says nothing of the agent" in causes(
        said(ALIKE), said(ALIKE), runs=frozenset(f"r{n}" for n in range(40))
    )


def test_an_eval_of_one_side_alone_is_let_be_unless_it_is_required():
    new = said(ALIKE, info=OTHER)
    assert judge([*said(ALIKE), *new], said(ALIKE)).held
    assert judge(said(ALIKE), [*said(ALIKE), *new]).held
    required = said(ALIKE, info=replace(OTHER, required=True))
    assert causes([*said(ALIKE), *required], said(ALIKE)) == (
        "eval_b: it is required, and the baseline main has no score of it"
    )
    gone = "eval_b: it was required in the baseline, and is no longer there"
    assert causes(said(ALIKE), [*said(ALIKE), *required]) == gone
    elsewhere = replace(OTHER, key="evals/eval_other.py::eval_b", required=True)
    assert judge(said(ALIKE), [*said(ALIKE), *said(ALIKE, info=elsewhere)]).held
    deselected = [replace(OTHER, required=True)]
    assert "eval_b: it is required, and was not run" in causes(
        said(ALIKE), [*said(ALIKE), *required], expected=deselected
    )


@pytest.mark.parametrize("demand", list(Demand))
def test_a_required_eval_must_be_evaluable_on_both_sides(demand):
    whole, lacking = said(ALIKE, info=REQUIRED), said([*ALIKE[1:], None], info=REQUIRED)
    here = causes(lacking, whole, demand)
    assert "eval_a: it is required, and not evaluable on 1 run\n" in here + "\n"
    there = causes(whole, lacking, demand)
    assert ("on 1 run of the baseline" in there) is (demand is not Demand.THRESHOLD)


@pytest.mark.parametrize("demand", list(Demand))
@given(st.lists(st.sampled_from(list(Outcome)), max_size=6))
@settings(max_examples=30)
def test_one_error_never_lets_it_hold(demand, outcomes):
    ours = [
        replace(each, outcome=outcome)
        for each, outcome in zip(said([1.0] * 50), [*outcomes, Outcome.ERROR], strict=False)
    ]
    held = [*said([1.0] * 50)[len(ours) :], *ours]
    assert not judge(held, said(LOST + LOST), demand).held


def suite(generator, tasks, lost):
    """A baseline and a candidate that loses a share of what the baseline passes.

    Some tasks are easy and some are hard, and each is tried twice.
    """
    sides = [], []
    for task in range(tasks):
        rate = 1.0 if generator.random() < 0.7 else generator.random()
        gone = generator.random() < lost
        for trial in range(2):
            place = 2 * task + trial
            for side, chance in zip(sides, (0.0 if gone else rate, rate), strict=True):
                passed = float(generator.random() < chance)
                side.append(say(passed, place, task=f"t{task}"))
    return sides


@pytest.mark.parametrize("lost", [0.13, 0.2])  # of rates of 0.85: more than the margin of 0.1
def test_an_agent_that_is_worse_by_more_than_the_margin_is_hardly_ever_let_through(lost):
    generator = random.Random(20260504)
    held = sum(judge(*suite(generator, 60, lost)).held for _ in range(200))
    assert held <= 0.05 * 200


def test_an_equal_agent_with_enough_data_is_let_through():
    generator = random.Random(7)
    found = [judge(*suite(generator, 300, 0.0)) for _ in range(25)]
    assert sum(each.held for each in found) >= 23
