"""A run of evals beside its baseline: what is paired, what is compared, what is said of it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.evals.baseline import Baseline
from looplet.evals.contrast import APART, UNBOUNDED, contrast_with
from looplet.evals.contrast_table import contrast_lines
from looplet.evals.results import EvalResult, Outcome
from looplet.evals.scored import EvalInfo, Scored
from looplet.evals.sides import sides_of, words_of
from looplet.evals.statistics import Finding, Observation, compare

INFO = EvalInfo(key="evals/eval_a.py::eval_a", name="eval_a", source_hash="s")


def say(value, place=0, *, task=None, info=INFO, **fields):
    """A verdict: a score, a bool for a label alone, ``None`` for what is not evaluable."""
    if value is None:
        outcome, result = Outcome.NOT_EVALUABLE, EvalResult(label="not_evaluable")
    elif isinstance(value, bool):
        outcome = Outcome.PASS if value else Outcome.FAIL
        result = EvalResult(label="yes" if value else "no")
    else:
        result = EvalResult(score=value)
        outcome = result.outcome
    given = {"trajectory_id": f"r{place}", "task": f"t{place}" if task is None else task}
    return Scored(eval=info, outcome=outcome, **{"result": result, **given, **fields})


def said(values, **fields):
    return [say(value, place, **fields) for place, value in enumerate(values)]


def baseline(scored, **fields):
    sides = sides_of(words_of(scored))
    tasks = frozenset(word.task for side in sides.values() for word in side.words)
    return Baseline(**{"name": "main", "sides": sides, "tasks": tasks, **fields})


def contrast(ours, theirs, margin=0.1, **fields):
    return contrast_with(baseline(theirs, **fields), ours, margin=margin)


def one(ours, theirs, **fields):
    (row,) = contrast(ours, theirs, **fields).evals
    return row


NO_WORSE = "no worse (margin 0.05)"
VALUES = st.lists(st.one_of(st.none(), st.booleans(), st.floats(0, 1, width=16)), max_size=12)


@given(VALUES, VALUES)
def test_it_is_the_comparison_of_scores_paired_by_task(ours, theirs):
    found = contrast(said(ours), said(theirs))
    if not ours or not theirs:
        assert found.evals == ()
        return
    (row,) = found.evals
    plain = [
        {
            "e": [
                Observation(f"t{place}", 0, None if value is None else float(value))
                for place, value in enumerate(values)
            ]
        }
        for values in (ours, theirs)
    ]
    (expected,) = compare(*plain, margin=0.1).evals
    if expected.tasks:
        assert replace(row.found, eval="e") == expected
        assert math.isclose(row.candidate - row.baseline, expected.difference, abs_tol=1e-9)
    else:
        assert (row.found, row.why_not) == (None, APART)
    assert found.tasks_only_here == max(0, len(ours) - len(theirs))
    assert found.tasks_only_baseline == max(0, len(theirs) - len(ours))


def test_a_mean_that_falls_is_seen_although_every_run_still_passes():
    row = one(said([0.6] * 40), said([1.0] * 40))
    assert (row.candidate, row.baseline) == (0.6, 1.0)
    assert row.found.finding is Finding.WORSE


def test_trials_of_a_task_are_paired_with_the_task_and_weigh_together():
    ours = [say(value, n, task="a") for n, value in enumerate([1.0, 0.0])] + [say(1.0, 9, task="b")]
    row = one(ours, [say(0.0, 0, task="a"), say(1.0, 1, task="b"), say(1.0, 2, task="c")])
    assert row.found.tasks == ("a", "b")
    assert (row.candidate, row.baseline) == (0.75, 0.5)


def test_replays_of_a_recording_are_one_trial_as_low_as_the_lowest():
    ours = [say(value, n, task="a", recording="r") for n, value in enumerate([1.0, None, 0.0])]
    row = one([*ours, say(1.0, 3, task="a")], [say(1.0, 0, task="a", recording="r")])
    assert row.candidate == 0.5
    assert row.found.same_recording == ("a",)
    lines = contrast_lines(contrast(ours, [say(0.5, 0, task="a", recording="r")]))
    assert "1 of 1 tasks replay one recording on both sides" in "\n".join(lines)
    lines = contrast_lines(contrast(ours, ours))
    assert "the same on each recording" in "\n".join(lines)


@given(st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=5))
def test_replays_of_a_recording_are_worth_the_lowest_that_has_a_value(values):
    replays = [say(value, n, task="a", recording="r") for n, value in enumerate(values)]
    (side,) = sides_of(words_of(replays)).values()
    known = [value for value in values if value is not None]
    assert [word.value for word in side.words] == [min(known, default=None)]


def test_scores_without_bounds_are_not_compared():
    row = one(said([1.0, 340.0]), said([1.0, 1.0]))
    assert (row.found, row.why_not) == (None, UNBOUNDED)
    assert one(said([1.0, 1.0]), said([1.0, -0.1])).why_not == UNBOUNDED


def test_an_eval_is_found_by_its_key_else_by_a_name_that_only_one_has():
    elsewhere = replace(INFO, key="other/eval_a.py::eval_a")
    assert one(said([1.0]), said([1.0], info=elsewhere)).eval is INFO
    both = [*said([1.0]), *said([0.0], info=elsewhere)]
    (row,) = (found := contrast(said([1.0]), both)).evals
    assert (row.baseline, [side.key for side in found.only_baseline]) == (1.0, [elsewhere.key])
    (row,) = (found := contrast(both, said([1.0]))).evals
    assert (row.eval, found.only_here) == (INFO, (elsewhere,)), "the one side is not given twice"
    third = replace(INFO, key="third.py::eval_a")
    found = contrast(said([1.0], info=third), both)
    assert found.evals == ()
    assert found.only_here == (third,)
    assert "  scores of the candidate alone: eval_a" in contrast_lines(found)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"info": replace(INFO, source_hash="t")}, "the eval"),
        (
            {"result": EvalResult(score=1.0, metadata={"judge": "j", "rubric_hash": "r"})},
            "its judge",
        ),
        ({}, ""),
    ],
)
def test_what_was_measured_by_something_else_is_told(changes, what):
    found = contrast([say(1.0, **changes)], [say(1.0)])
    assert found.evals[0].changed == what
    told = "\n".join(contrast_lines(found))
    assert ("has changed since the baseline was scored" in told) is bool(what)


def test_a_run_that_was_not_judged_has_no_other_judge():
    judged = EvalResult(score=1.0, metadata={"judge": "j"})
    ours, theirs = [say(1.0, result=judged), say(None, 1)], [say(1.0, result=judged)]
    assert one(ours, theirs).changed == ""


@given(st.lists(st.booleans(), min_size=1), st.lists(st.booleans(), min_size=1))
def test_how_much_less_often_it_is_evaluable_is_counted_on_tasks_that_both_tried(ours, theirs):
    def values(known):
        return said([1.0 if each else None for each in known])

    row = one(values(ours), values(theirs))
    both = min(len(ours), len(theirs))
    expected = (sum(theirs[:both]) - sum(ours[:both])) / both
    assert row.less_evaluable == pytest.approx(expected)
    assert row.unevaluable_baseline == theirs.count(False)


def test_the_runs_of_a_session_are_not_the_candidates_too():
    theirs = said([0.0, 0.0])
    new = [say(1.0, place, task="t0") for place in (7, 8)]
    found = contrast([*theirs, *new], theirs, runs=frozenset({"r0", "r1"}))
    assert (found.evals[0].candidate, found.left_out, found.same_runs) == (1.0, 2, False)
    again = contrast(said([1.0, 1.0]), theirs, runs=frozenset({"r0", "r1"}))
    assert (again.evals[0].candidate, again.left_out, again.same_runs) == (1.0, 0, True)
    assert "what can differ is the scoring alone" in contrast_lines(again)[-1]


def test_the_table_is_aligned_and_names_that_do_not_fit_stand_alone():
    infos = {name: EvalInfo(key=name, name=f"eval_{name}") for name in "bn"}
    alike, other = ({"info": info} for info in infos.values())
    ours = [*said([0.0] * 60), *said([1.0] * 60, **alike), *said([340.0], **other)]
    theirs = [*said([1.0] * 61), *said([1.0] * 60, **alike), *said([1.0], **other)]
    found = contrast(ours, theirs, margin=0.05)
    assert contrast_lines(found, width=120) == [
        "beside the baseline main (margin 0.05)",
        "eval    tasks  baseline  candidate  difference    95% interval       p  verdict",
        "eval_a     60      1.00       0.00       -1.00  -1.00 to -0.88  <0.001  worse",
        "eval_b     60      1.00       1.00       +0.00  -0.06 to +0.06   1.000  " + NO_WORSE,
        "eval_n      0         -          -           -               -       -  not compared",
        f"  eval_n: not compared: {UNBOUNDED}",
        "  1 task of the baseline alone: not compared",
    ]
    assert contrast_lines(found, width=70)[2] == "eval_a"
    other_level = contrast_with(baseline(theirs), ours, margin=0.2, alpha=0.1)
    assert "  90% interval  " in contrast_lines(other_level)[1]
