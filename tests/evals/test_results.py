"""What an eval's return value stands for."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.errors import EvalError
from looplet.evals.results import EvalResult, Outcome

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(("value", "score", "label"), [(True, 1.0, "pass"), (False, 0.0, "fail")])
def test_a_bool_is_score_and_label(value, score, label):
    result = EvalResult.from_return(value, name="eval_x")
    assert (result.name, result.score, result.label) == ("eval_x", score, label)
    assert result.passed is value


@given(FINITE | st.integers(-1000, 1000) | st.fractions())
def test_a_number_is_the_score_and_passes_from_one_half_on(value):
    result = EvalResult.from_return(value)
    assert result.score == float(value)
    assert result.label is None
    assert result.passed is (float(value) >= 0.5)


@pytest.mark.parametrize("kind", ["bool_", "int64", "float32"])
def test_a_scalar_of_numpy_counts_as_python_s_own(kind):
    numpy = pytest.importorskip("numpy")
    assert EvalResult.from_return(getattr(numpy, kind)(1)).score == 1.0


@given(st.text())
def test_text_is_the_label_and_no_score(text):
    result = EvalResult.from_return(text)
    assert (result.label, result.score) == (text, None)


@pytest.mark.parametrize("label", ["pass", "PASS", "Correct", "yes"])
def test_a_passing_label_passes(label):
    assert EvalResult.from_return(label).outcome is Outcome.PASS


@pytest.mark.parametrize("label", ["fail", "", "passed maybe", "no"])
def test_any_other_label_fails(label):
    assert EvalResult.from_return(label).outcome is Outcome.FAIL


def test_a_score_outweighs_a_label():
    assert not EvalResult(score=0.2, label="pass").passed
    assert EvalResult(score=0.5, label="fail").passed


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, 10**400, -(10**400)])
def test_nothing_and_what_is_not_finite_are_errors(value):
    with pytest.raises(EvalError, match="eval_x"):
        EvalResult.from_return(value, name="eval_x")


@pytest.mark.parametrize(
    "value",
    [
        {"score": math.nan},
        {"score": 1.0, "loss": math.inf},
        {"score": None},
        {"f1": "high"},
        EvalResult(score=math.nan),
        EvalResult(score="1"),
        EvalResult(score=1.0, metrics={"loss": math.nan}),
    ],
)
def test_a_number_that_is_none_is_an_error_wherever_it_hides(value):
    with pytest.raises(EvalError):
        EvalResult.from_return(value, name="eval_x")


def test_an_async_eval_is_refused_with_a_remedy():
    async def eval_x(ctx):
        return True

    with pytest.raises(EvalError, match="plain function"):
        EvalResult.from_return(eval_x(None), name="eval_x")


def test_an_eval_that_yields_is_refused_with_a_remedy():
    def eval_x(ctx):
        yield True

    with pytest.raises(EvalError, match=r"eval_x is a generator\. Return once"):
        EvalResult.from_return(eval_x(None), name="eval_x")


def test_a_score_of_zero_in_a_dict_is_a_score():
    result = EvalResult.from_return({"f1": 0.9, "score": 0, "note": "empty"})
    assert result.score == 0.0
    assert result.metrics == {"f1": 0.9, "score": 0.0}
    assert result.details == ["note: empty"]
    assert result.outcome is Outcome.FAIL


@given(st.dictionaries(st.text(), FINITE | st.text() | st.booleans()))
def test_a_dict_loses_nothing(value):
    present = [key for key in ("score", "f1", "accuracy", "overall") if key in value]
    if present and isinstance(value[present[0]], str):
        with pytest.raises(EvalError):
            EvalResult.from_return(value)
        return
    result = EvalResult.from_return(value)
    assert len(result.metrics) + len(result.details) == len(value)
    assert result.score == (float(value[present[0]]) if present else None)


def test_metrics_alone_are_neither_pass_nor_fail():
    assert EvalResult.from_return({"tokens": 12}).outcome is Outcome.MEASURED


def test_an_explanation_alone_is_a_fail():
    result = EvalResult.from_return(["a", "b"])
    assert result.explanation == "['a', 'b']"
    assert result.outcome is Outcome.FAIL


def test_a_result_is_itself_with_its_name_filled_in():
    given_result = EvalResult(score=1, explanation="fine")
    assert EvalResult.from_return(given_result, name="eval_x") == EvalResult(
        "eval_x", score=1.0, explanation="fine"
    )
    assert EvalResult.from_return(EvalResult("own"), name="eval_x").name == "own"
    assert given_result.name == ""


def test_what_is_said_is_text_whatever_an_eval_gave():
    odd = EvalResult(7, score=0.0, explanation=["late", 3])
    result = EvalResult.from_return(odd)
    assert (result.name, result.explanation) == ("7", "['late', 3]")
    assert EvalResult.from_return(EvalResult(score=1.0, explanation=None)).explanation == ""
    with pytest.raises(EvalError, match="eval_x gave 7 as label, which is no text"):
        EvalResult.from_return(EvalResult(score=1.0, label=7), name="eval_x")


def test_exact_numbers_count():
    assert EvalResult.from_return(Fraction(1, 4)).score == 0.25
    assert EvalResult.from_return(Decimal("0.75")).score == 0.75


def test_a_result_as_a_dict_has_no_empty_fields_but_keeps_zero():
    result = EvalResult("eval_x", score=0.0, metrics={"n": 0.0})
    assert result.to_dict() == {"name": "eval_x", "score": 0.0, "metrics": {"n": 0.0}}


def test_a_result_is_one_line_for_a_person():
    result = EvalResult("eval_x", 0.0, "fail", {"n": 2}, ["second"], "first\n", 1234)
    line = result.pretty()
    assert line == r"✗ eval_x score=0.00 label=fail n=2: first\n; second [1234ms]"
