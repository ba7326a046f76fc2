"""The gate and the summaries that it judges."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.evals import gate
from looplet.evals.identity import RunKey
from looplet.evals.items import properties
from looplet.evals.results import SKIPPED, EvalResult, Outcome
from looplet.evals.scored import EvalInfo, Scored
from looplet.evals.summary import summarize, table
from looplet.evals.verdicts import Verdicts, to_text

PLAIN = EvalInfo(key="eval_x.py::eval_x", name="eval_x")


SCORES = {Outcome.PASS: 1.0, Outcome.FAIL: 0.0}


def scored(*outcomes, info=PLAIN):
    return [
        Scored(
            eval=info,
            trajectory_id=f"t{index}",
            outcome=outcome,
            result=EvalResult(info.name, score=SCORES.get(outcome)),
        )
        for index, outcome in enumerate(outcomes)
    ]


def verdict(*outcomes, info=PLAIN, threshold=0.0, **more):
    return gate.judge(summarize(scored(*outcomes, info=info)), threshold=threshold, **more)


P, F, N, E, M = (
    Outcome.PASS,
    Outcome.FAIL,
    Outcome.NOT_EVALUABLE,
    Outcome.ERROR,
    Outcome.MEASURED,
)


def test_it_holds_where_everything_reaches_its_threshold():
    assert verdict(P, P, F, threshold=0.6).held
    assert verdict(F, F).held
    assert verdict(P, N).held
    assert gate.judge(summarize(scored(P, P))).held, "where nobody names one, it is 1"
    assert not gate.judge(summarize(scored(*[P] * 99, F))).held


@pytest.mark.parametrize(
    ("outcomes", "cause"),
    [
        ((P, E), "1 error"),
        ((N, N), "no run was evaluable"),
        ((M, M), "nothing but metrics"),
        ((), "no evals were run"),
    ],
)
def test_it_fails_closed_at_any_threshold(outcomes, cause):
    word = verdict(*outcomes)
    assert not word.held
    assert any(cause in text for text in word.causes)


def test_a_rate_below_the_threshold_is_a_cause_with_both_numbers():
    assert verdict(P, F, threshold=0.9).causes == ("eval_x: average 0.500 is below 0.900",)


def test_the_marks_own_threshold_goes_before_the_runs():
    lenient = EvalInfo(key="a", name="a", threshold=0.5)
    assert verdict(P, F, info=lenient, threshold=1.0).held
    strict = EvalInfo(key="a", name="a", threshold=1.0)
    assert not verdict(P, F, info=strict, threshold=0.0).held


def test_a_required_eval_must_be_evaluable_everywhere():
    required = EvalInfo(key="a", name="a", required=True)
    assert verdict(P, P, info=required).held
    assert not verdict(P, N, info=required).held


def test_a_required_eval_must_be_run():
    required = EvalInfo(key="b", name="eval_b", required=True)
    word = verdict(P, expected=[PLAIN, required])
    assert word.causes == ("eval_b: it is required, and was not run",)


def test_metrics_beside_verdicts_count_neither_way():
    assert verdict(P, M, threshold=1.0).held


@pytest.mark.parametrize("result", [EvalResult(label="no"), EvalResult(explanation="odd")])
def test_a_fail_without_a_score_never_lets_it_hold(result):
    (one,) = scored(F)
    summaries = summarize([*scored(P, P), replace(one, result=result)])
    assert gate.judge(summaries, threshold=0).causes == (
        "eval_x: 1 run without a score, and without a passing label",
    )


def test_what_was_skipped_may_be_allowed_but_not_all_of_it_nor_what_is_required():
    skip = EvalResult(label=SKIPPED, explanation="it needs a judge")
    required = EvalInfo(key="r", name="eval_r", required=True)
    for info, others, allowed in ((PLAIN, (P,), True), (PLAIN, (), False), (required, (P,), False)):
        (one,) = scored(N, info=info)
        both = [replace(one, result=skip), *scored(*others, info=EvalInfo(key="o", name="eval_o"))]
        assert gate.judge(summarize(both), threshold=0, allow_skipped=True).held is allowed
        assert not gate.judge(summarize(both), threshold=0).held
        assert gate.causes_of(summarize(both)[0], 0), "nothing is allowed that nobody allowed"
    assert not verdict(N, threshold=0, allow_skipped=True).held, "it was asked, and had no data"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.floats(0, 1))
def test_it_holds_exactly_where_the_average_reaches_the_threshold(values, threshold):
    (one,) = scored(P)
    results = (EvalResult(score=value) for value in values)
    summaries = summarize(replace(one, result=each, outcome=each.outcome) for each in results)
    average = sum(map(Fraction, values)) / len(values)
    held = gate.judge(summaries, threshold=threshold).held
    assert held or average < threshold
    assert not held or average >= threshold - 1e-11, "but for the rounding of floats"
    assert gate.judge(summaries, threshold=values[0]).held or min(values) < values[0]
    assert not gate.judge(summaries, threshold=math.nan).held


def test_its_word_on_one_eval_is_short():
    for outcomes, word in (((P,), "held"), ((P, E), "NOT held"), ((M,), "-")):
        summaries = summarize(scored(*outcomes))
        assert gate.judge(summaries, threshold=0).cell(summaries[0]) == word


def test_troubles_are_causes():
    assert verdict(P, troubles=["the run was cut short"]).causes == ("the run was cut short",)


@given(st.lists(st.sampled_from(list(Outcome)), max_size=12), st.floats(0, 1))
def test_one_more_error_never_lets_it_hold(outcomes, threshold):
    assert not verdict(*outcomes, E, threshold=threshold).held


@given(st.lists(st.sampled_from(list(Outcome)), min_size=1, max_size=12))
def test_every_run_is_counted_once(outcomes):
    (summary,) = summarize(scored(*outcomes))
    counts = (
        summary.passed,
        summary.failed,
        summary.not_evaluable,
        summary.errors,
        summary.measured,
    )
    assert sum(counts) == len(outcomes)
    assert summary.scores == tuple(SCORES[each] for each in outcomes if each in SCORES)


def test_a_verdict_travels_unchanged():
    result = EvalResult("eval_x", 0.5, "pass", {"n": 1.0}, ["a"], "odd \ud800 text", 2.0)
    info = EvalInfo(key="k", name="eval_x", tags=("a",), threshold=0.5, required=True)
    one = Scored(eval=info, trajectory_id="t\udc00", outcome=P, result=result)
    assert to_text([one]).isascii()
    assert [*Verdicts.from_text(to_text([one]))] == [one]
    run = RunKey(trajectory_id=one.trajectory_id, task="")
    assert dict(properties("eval_x", run, P, result)) == {
        "eval": "eval_x",
        "trajectory_id": "t\\udc00",
        "outcome": "pass",
        "score": 0.5,
        "label": "pass",
        "explanation": "odd \\ud800 text",
    }


def test_the_table_is_aligned_and_fits_eighty_columns():
    long = EvalInfo(key="l", name="eval_" + "long" * 20)
    summaries = summarize([*scored(P, F), *scored(P, N, info=long)])
    lines = table(summaries, lambda _: "NOT held", width=80)
    assert lines == [
        "eval    n  passed  rate  95% interval  not evaluable  gate",
        "eval_x  2       1  0.50  0.09 to 0.91              0  NOT held",
        long.name,
        "        1       1  1.00  0.21 to 1.00              1  NOT held",
    ]


def test_an_eval_without_a_verdict_has_no_rate_in_the_table():
    lines = table(summarize(scored(N)), lambda _: "-")
    assert lines[1].split() == ["eval_x", "0", "0", "-", "-", "1", "-"]
