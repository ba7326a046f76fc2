"""Quantiles that the standard library gives against scipy's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from looplet.evals.statistics.special import normal_quantile


@given(st.floats(0, 1, exclude_min=True, exclude_max=True) | st.floats(1e-300, 1e-5))
def test_the_normal_quantile_is_scipy_s(probability):
    assert math.isclose(
        normal_quantile(probability), ndtri(probability), rel_tol=1e-9, abs_tol=1e-9
    )


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_the_ends_are_infinite(probability):
    assert normal_quantile(probability) == ndtri(probability)
