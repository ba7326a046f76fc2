"""Where scores vary, against statsmodels, textbook formulas and made-up sources."""

from __future__ import annotations

from itertools import product
from statistics import fmean, variance

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from looplet.errors import StatisticsError
from looplet.evals.statistics import Rating, split_variance

NAMES = ("task", "environment", "agent", "judge")


def make(sizes, spreads, seed=0, keep=1.0):
    """Ratings whose sources vary by known standard deviations, some of them left out."""
    draw = np.random.default_rng(seed)
    ratings = []
    offsets: dict[tuple[int, ...], float] = {}
    for key in product(*map(range, sizes)):
        for depth, spread in enumerate(spreads, 1):
            offsets.setdefault((depth, *key[:depth]), draw.normal(0, spread))
        score = sum(offsets[depth, *key[:depth]] for depth in range(1, 5))
        if draw.random() <= keep:
            task, environment, trial, judgement = key
            ratings.append(
                Rating(
                    task_id=str(task),
                    environment=environment,
                    trial=trial,
                    judgement=judgement,
                    score=score,
                )
            )
    return ratings


@pytest.mark.parametrize("keep", [1.0, 0.6])
def test_known_sources_are_found_again(keep):
    found = split_variance(make((150, 5, 4, 3), (1.0, 1.5, 0.7, 0.4), keep=keep))
    expected = {"task": 1.0, "environment": 2.25, "agent": 0.49, "judge": 0.16}
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, rel=0.25), name
    assert found.together == ()
    assert found.total == pytest.approx(sum(expected.values()), rel=0.15)


def test_equal_numbers_of_trials_give_the_mixed_model_of_statsmodels():
    ratings = make((12, 1, 5, 1), (1.0, 0, 0.7, 0), seed=3)
    found = split_variance(ratings)
    frame = pd.DataFrame({"task": [each.task_id for each in ratings]})
    scores = np.array([each.score for each in ratings])
    fit = sm.MixedLM(scores, np.ones((len(frame), 1)), groups=frame["task"]).fit(reml=True)
    assert found.task == pytest.approx(np.asarray(fit.cov_re)[0, 0], rel=1e-4)
    assert found.agent == pytest.approx(fit.scale, rel=1e-4)


@given(st.lists(st.lists(st.floats(-9, 9), min_size=1, max_size=5), min_size=2, max_size=6))
def test_unequal_numbers_of_trials_give_the_one_way_formula(tasks):
    counts = [len(trials) for trials in tasks]
    if max(counts) == 1:
        return
    found = split_variance(
        Rating(task_id=str(task), trial=trial, score=score)
        for task, trials in enumerate(tasks)
        for trial, score in enumerate(trials)
    )
    n, k = sum(counts), len(tasks)
    within = sum((len(each) - 1) * variance(each) for each in tasks if len(each) > 1) / (n - k)
    mean = fmean(score for trials in tasks for score in trials)
    between = sum(len(each) * (fmean(each) - mean) ** 2 for each in tasks) / (k - 1)
    share = (n - sum(count**2 for count in counts) / n) / (k - 1)
    assert found.agent == pytest.approx(within, abs=1e-9)
    assert found.task == pytest.approx(max(0.0, (between - within) / share), abs=1e-9)


@pytest.mark.parametrize(
    ("sizes", "together", "unknown"),
    [
        ((3, 2, 2, 2), (), ()),
        ((3, 1, 2, 2), (("task", "environment"),), ("environment",)),
        ((3, 2, 2, 1), (("agent", "judge"),), ("judge",)),
        ((3, 2, 1, 1), (("environment", "agent", "judge"),), ("agent", "judge")),
        ((1, 1, 4, 2), (), ("task", "environment")),
        ((1, 1, 1, 4), (), ("task", "environment", "agent")),
        ((4, 1, 1, 1), (NAMES,), NAMES[1:]),
    ],
)
def test_what_was_not_repeated_is_not_told_apart(sizes, together, unknown):
    found = split_variance(make(sizes, (1, 1, 1, 1)))
    assert found.together == together
    assert tuple(name for name in NAMES if getattr(found, name) is None) == unknown


def test_ratings_that_say_nothing_are_refused():
    one = Rating(task_id="a", trial=0, score=0.5)
    with pytest.raises(StatisticsError, match="twice"):
        split_variance([one, one])
    with pytest.raises(StatisticsError, match="nothing was repeated"):
        split_variance([one])
    with pytest.raises(StatisticsError, match="nan"):
        split_variance([one, Rating(task_id="a", trial=1, score=float("nan"))])
