"""Labels of runs."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from looplet.evals.runs import label_of, with_labels
from looplet.trajectory.model import Trajectory

NAMES = st.none() | st.text(max_size=8) | st.sampled_from(["a", "a b", "a/b", "a-1"])
TRAJECTORIES = st.builds(
    Trajectory,
    trajectory_id=st.text(max_size=4) | st.sampled_from(["a", "a-1", "1"]),
    run_id=st.just("r"),
    task_id=NAMES,
    trial=st.none() | st.integers(0, 3),
)


def labels(trajectories):
    return [label for label, _ in with_labels(trajectories)]


def test_a_label_is_task_and_trial_or_the_runs_own_id(run):
    assert label_of(run("pears", 1, 2.0)) == "pears-1"
    assert label_of(run("pears", None, 2.0)) == "pears"
    assert label_of(run(None, 1, 2.0, trajectory_id="t 7")) == "t_7"


@given(st.lists(TRAJECTORIES, max_size=12))
def test_labels_are_unique_and_safe_for_a_shell(trajectories):
    made = labels(trajectories)
    assert len(set(made)) == len(trajectories)
    assert all(re.fullmatch(r"[A-Za-z0-9_.+-]+", label) for label in made)


@given(st.lists(TRAJECTORIES, max_size=8), st.lists(TRAJECTORIES, max_size=4))
def test_appending_runs_changes_no_label(before, after):
    assert labels([*before, *after])[: len(before)] == labels(before)


def test_a_second_run_of_a_trial_is_told_by_its_id(run):
    again = run("pears", 0, 2.0, trajectory_id="second")
    assert labels([run("pears", 0, 2.0), again]) == ["pears-0", "pears-0-second"]


def test_runs_whose_long_ids_begin_alike_are_numbered(run):
    alike = [run(None, None, 2.0, trajectory_id="x" * 200 + end) for end in "abc"]
    assert labels(alike) == ["x" * 80, f"{'x' * 80}-2", f"{'x' * 80}-3"]
