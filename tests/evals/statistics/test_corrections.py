"""Corrected p-values, against statsmodels and by their laws."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from looplet.errors import StatisticsError
from looplet.evals.statistics import benjamini_hochberg, correct, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@settings(max_examples=25)  # theirs takes a tenth of a second
@given(P_VALUES)
def test_corrections_are_those_of_statsmodels(p_values):
    for method, name in (("holm", "holm"), ("benjamini-hochberg", "fdr_bh")):
        theirs = multipletests(p_values, method=name)[1]
        assert correct(p_values, method) == pytest.approx(list(theirs), abs=1e-9)


@given(P_VALUES, st.randoms())
def test_corrections_only_raise_and_keep_to_the_order_given(p_values, random):
    strict, lax = holm(p_values), benjamini_hochberg(p_values)
    for raw, found, least in zip(p_values, strict, lax, strict=True):
        assert raw <= least + 1e-15
        assert least <= found + 1e-15
        assert found <= 1
    places = list(range(len(p_values)))
    random.shuffle(places)
    assert holm([p_values[place] for place in places]) == [strict[place] for place in places]


def test_no_correction_changes_nothing_and_none_is_needed_without_evals():
    assert correct([0.3, 0.01], "none") == [0.3, 0.01]
    assert holm([]) == benjamini_hochberg([]) == []


@pytest.mark.parametrize("method", ["holm", "benjamini-hochberg", "none"])
def test_what_is_no_p_value_is_refused(method):
    with pytest.raises(StatisticsError, match=r"1\.5"):
        correct([0.1, 1.5], method)


def test_an_unknown_correction_is_refused_by_name():
    with pytest.raises(StatisticsError, match=r"'bonferoni'.*holm"):
        correct([0.1], "bonferoni")
