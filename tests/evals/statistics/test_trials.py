"""What may be counted as a trial, and tasks whose trials differ."""

from __future__ import annotations

import pytest

from looplet.errors import ReplaysCounted, StatisticsError
from looplet.evals.statistics import FlakyTask, Observation, flaky_tasks, group_trials


def test_replays_of_one_recording_are_refused_as_trials():
    trials = [Observation("pears", trial, True, "ab12") for trial in range(3)]
    with pytest.raises(ReplaysCounted, match=r"'pears' has 3 trials .*'ab12'.*record the task"):
        group_trials(trials)
    with pytest.raises(ReplaysCounted):
        flaky_tasks(trials)
    assert group_trials(trials[:1]).values == {"pears": (1.0,)}


def test_a_recording_of_its_own_for_each_trial_counts_each():
    trials = [
        Observation("pears", 0, True, "ab12"),
        Observation("pears", 1, False, "cd34"),
        Observation("pears", 2, True),
        Observation("pears", 3, True),
        Observation("plums", 0, True, "ab12"),
    ]
    found = group_trials(trials)
    assert found.values == {"pears": (1.0, 0.0, 1.0, 1.0), "plums": (1.0,)}
    assert found.recordings == {"pears": {"ab12", "cd34"}, "plums": {"ab12"}}


def test_what_is_not_evaluable_is_counted_and_is_no_zero():
    trials = [
        Observation("pears", 0, None),
        Observation("pears", 1, 0.75),
        Observation("plums", 0, None),
    ]
    found = group_trials(trials)
    assert found.values == {"pears": (0.75,)}
    assert found.not_evaluable == {"pears": 1, "plums": 1}
    assert not found.pass_fail


def test_a_trial_that_is_there_twice_or_is_no_number_is_refused():
    with pytest.raises(StatisticsError, match="'pears' has trial 4 more than once"):
        group_trials([Observation("pears", 4, True), Observation("pears", 4, None)])
    with pytest.raises(StatisticsError, match="nan is no score"):
        group_trials([Observation("pears", 4, float("nan"))])


def test_flaky_tasks_are_those_whose_verdict_differs():
    verdicts = {"never": [0.0, 0.25, 0.49], "half": [True, False], "once": [False], "most": [1] * 7}
    verdicts["most"].append(0.5 - 1e-9)
    verdicts["most"].append(None)
    found = flaky_tasks(
        Observation(task, trial, value)
        for task, values in verdicts.items()
        for trial, value in enumerate(values)
    )
    assert found == [
        FlakyTask(task_id="half", passed=1, trials=2),
        FlakyTask(task_id="most", passed=7, trials=8),
    ]
    assert [each.pass_hat_k(2) for each in found] == [0.0, 0.75]
