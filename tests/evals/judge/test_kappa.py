"""Cohen's kappa, beside figures that other programs computed, and where it is undefined."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.errors import EvalError
from looplet.evals import EvalResult
from looplet.evals.judge import YES_NO, Scale, agreement, kappa_of

FIVE = [[11, 2, 1, 0, 0], [3, 14, 4, 1, 0], [0, 5, 20, 6, 1], [0, 1, 7, 18, 4], [0, 0, 2, 3, 17]]
THREE = [[4, 1, 0], [2, 6, 3], [0, 1, 8]]
# kappa, standard error and both bounds by statsmodels 0.15.0 (cohens_kappa); scikit-learn 1.9.1
# (cohen_kappa_score) gives the same kappas.
KNOWN = [
    ([[20, 5], [10, 15]], "none", 0.4, 0.1269960629, 0.1510922905, 0.6489077095),
    ([[40, 9], [6, 45]], "none", 0.6995192308, 0.0713936027, 0.5595903407, 0.8394481208),
    (FIVE, "none", 0.5755217545, 0.0556246436, 0.4664994564, 0.6845440526),
    (FIVE, "linear", 0.7289866457, 0.0410775154, 0.6484761950, 0.8094970964),
    (FIVE, "quadratic", 0.8478488982, 0.0304977826, 0.7880743427, 0.9076234538),
    (THREE, "none", 0.5710784314, 0.1361488560, 0.3042315771, 0.8379252856),
    (THREE, "linear", 0.6615087041, 0.1140339471, 0.4380062747, 0.8850111334),
    (THREE, "quadratic", 0.7619047619, 0.0876577048, 0.5900988175, 0.9337107063),
]


@pytest.mark.parametrize(("table", "weights", "value", "error", "low", "high"), KNOWN)
def test_kappa_is_what_other_programs_compute(table, weights, value, error, low, high):
    kappa = kappa_of(table, weights=weights)
    assert kappa.value == pytest.approx(value, abs=1e-9)
    assert kappa.standard_error == pytest.approx(error, abs=1e-9)
    assert kappa.interval == pytest.approx((low, high), abs=1e-9)


tables = st.integers(2, 4).flatmap(
    lambda k: st.lists(
        st.lists(st.integers(0, 9), min_size=k, max_size=k), min_size=k, max_size=k
    ).filter(lambda table: sum(map(sum, table)) > 0)
)


@given(tables, st.sampled_from(["none", "linear", "quadratic"]))
def test_kappa_lies_in_its_interval_and_does_not_depend_on_who_is_who(table, weights):
    kappa = kappa_of(table, weights=weights)
    swapped = kappa_of([list(column) for column in zip(*table, strict=True)], weights=weights)
    assert swapped == kappa
    if kappa.value is None:
        cells = [count for row in table for count in row if count]
        assert len(cells) == 1
        assert "same label" in kappa.undefined
    else:
        assert -1 <= kappa.interval.low <= kappa.value <= kappa.interval.high <= 1


@given(tables)
def test_more_of_the_same_labels_narrow_the_interval_and_leave_kappa(table):
    few, many = kappa_of(table), kappa_of([[count * 100 for count in row] for row in table])
    assert many.value == few.value
    if few.value is not None:
        width, narrow = (each.interval.high - each.interval.low for each in (few, many))
        assert narrow < width


def test_full_agreement_on_a_few_runs_claims_no_certainty():
    found = agreement([True, False] * 5, [True, False] * 5)
    assert found.kappa.value == 1
    assert found.kappa.interval.high == 1
    assert 0.4 < found.kappa.interval.low < 0.5
    assert found.notes == ("10 pairs are few; the interval is a large-sample one",)


def test_one_label_alone_leaves_kappa_undefined_and_says_why():
    found = agreement([True] * 40, [True] * 40)
    assert found.raw == 1
    assert found.kappa.value is found.kappa.interval is None
    assert "undefined (judge and humans gave one and the same label" in str(found)


def test_a_judge_that_says_the_same_every_time_is_told_of():
    found = agreement([True] * 40, [True] * 30 + [False] * 10)
    assert found.kappa.value == 0
    assert found.notes == ("the judge said 'yes' every time, so kappa tells nothing of the rest",)


def test_the_table_the_weights_and_what_was_left_out():
    judged = [EvalResult(label=label) for label in ("1", "3", "3", "5")] + [EvalResult(), None]
    found = agreement(judged, [1, 3, "4", None, 2, 2], scale=Scale(1, 5), weights="linear")
    assert (found.n, found.left_out) == (3, 3)
    assert found.labels == ("1", "2", "3", "4", "5")
    assert found.table[2] == (0, 0, 1, 1, 0)
    assert found.main is found.weighted
    assert found.weighted == kappa_of(found.table, weights="linear")
    assert found.kappa == kappa_of(found.table)
    assert "3 left out; raw agreement 0.67" in str(found)


def test_two_verdicts_have_no_near_miss():
    found = agreement([True, False, True], [True, False, False], scale=YES_NO)
    assert found.weighted is None
    assert found.main is found.kappa


@pytest.mark.parametrize(
    ("judged", "humans", "options", "said"),
    [
        ([True], [True, False], {}, "1 verdicts and 2 human labels"),
        ([None, True], [True, None], {}, "of 2 pairs none has"),
        ([7], [1], {"scale": Scale(1, 5)}, "the scale has no '7'; its labels are 1, 2, 3, 4, 5"),
        ([True], [True], {"confidence": 1.0}, "confidence"),
        ([1, 2], [1, 3], {"scale": Scale(1, 5), "weights": "cubic"}, "not 'cubic'"),
    ],
)
def test_what_cannot_be_compared_is_refused(judged, humans, options, said):
    with pytest.raises(EvalError, match=said):
        agreement(judged, humans, **options)


def test_results_of_two_models_are_not_compared_as_one():
    def result(model):
        about = {"judge": "polite", "rubric_hash": "ab", "judge_model": model}
        return EvalResult(label="yes", metadata=about)

    assert agreement([result("m1")] * 2, [True, False]).model == "m1"
    with pytest.raises(EvalError, match="polite ab m1; polite ab m2"):
        agreement([result("m1"), result("m2")], [True, False])
