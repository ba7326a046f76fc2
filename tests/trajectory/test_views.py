"""Flat tables over the dataset."""

from __future__ import annotations

import pandas as pd
import pytest


@pytest.fixture
def filled(store, make):
    store.append([make("a", steps=3, task_id="t1", trial=0), make("b", steps=1)])
    store.append(make("c", steps=2, tags=["x", "y"], reward=0.5))
    return store


@pytest.mark.parametrize(
    ("view", "rows"),
    [("trajectories", 3), ("steps", 6), ("calls", 6), ("messages", 7 + 3 + 5), ("scores", 0)],
)
def test_a_view_has_a_row_for_each_of_its_things(filled, view, rows):
    assert filled.to_arrow(view).num_rows == rows
    assert len(filled.to_pandas(view)) == rows


def test_steps_and_calls_tell_whose_they_are(filled):
    steps = filled.to_pandas("steps")
    assert list(steps["trajectory_id"]) == ["a", "a", "a", "b", "c", "c"]
    assert list(steps["index"]) == [0, 1, 2, 0, 0, 1]
    assert steps["task_id"].isna().sum() == 3
    calls = filled.to_pandas("calls")
    assert list(calls["trajectory_id"]) == ["a", "a", "a", "b", "c", "c"]
    assert list(calls["n_messages"]) == [2, 4, 6, 2, 2, 4]
    assert set(calls["model"]) == {"scripted"}


def test_numbers_stay_numbers_beside_nulls(filled):
    frame = filled.to_pandas()
    assert str(frame["trial"].dtype) == "int32[pyarrow]"
    assert str(frame["n_steps"].dtype) == "int32[pyarrow]"
    assert str(frame["reward"].dtype) == "double[pyarrow]"
    assert str(frame["completed"].dtype) == "bool[pyarrow]"
    assert frame["started_at"].dtype == pd.ArrowDtype(
        filled.to_arrow().schema.field("started_at").type
    )
    assert frame["completed"].mean() == 1.0
    assert frame["duration_ms"].iloc[0] == pytest.approx(1321.099)
    assert frame["input_tokens"].tolist() == [30, 10, 20]
    assert frame["reward"].isna().tolist() == [True, True, False]


def test_times_of_steps_are_times(filled):
    started = filled.to_pandas("steps")["started_at"]
    assert started.iloc[0] == pd.Timestamp(100.25, unit="s", tz="UTC")


def test_a_time_that_cannot_be_is_null_and_its_seconds_stay(store, make):
    trajectory = make("a", steps=3)
    for record, seconds in zip(trajectory.steps, (1e300, float("nan"), None), strict=True):
        record.timestamp = seconds
    store.append(trajectory)
    steps = store.to_arrow("steps")
    assert steps["started_at"].to_pylist() == [None, None, None]
    assert [repr(each) for each in steps["timestamp"].to_pylist()] == ["1e+300", "nan", "None"]


def test_an_unknown_view_is_refused_by_name(filled):
    with pytest.raises(ValueError, match="no view 'step'"):
        filled.to_pandas("step")


def test_scores_are_a_view(filled):
    filled.append_scores([{"trajectory_id": "a", "eval_name": "e", "passed": True}])
    frame = filled.to_pandas("scores")
    assert frame[["trajectory_id", "passed"]].values.tolist() == [["a", True]]


def test_a_view_of_an_empty_store_has_its_columns(store):
    store.append([])
    assert "tool" in store.to_pandas("steps").columns
    assert len(store.to_pandas("calls")) == 0
