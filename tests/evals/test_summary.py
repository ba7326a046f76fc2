"""Verdicts added up: what the interval counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.evals.identity import RunKey
from looplet.evals.results import EvalResult, Outcome
from looplet.evals.scored import EvalInfo, Scored
from looplet.evals.statistics import clustered_interval, wilson_interval
from looplet.evals.summary import FAILING, summarize, trial_lines
from tests.evals.conftest import make_run

INFO = EvalInfo(key="eval_x.py::eval_x", name="eval_x")
SAID = (Outcome.PASS, Outcome.FAIL)
RUNS = st.lists(
    st.tuples(
        st.sampled_from(["pears", "plums", ""]),
        st.sampled_from([None, None, "tape-1", "tape-2"]),
        st.sampled_from([Outcome.PASS, Outcome.FAIL, Outcome.NOT_EVALUABLE]),
    ),
    max_size=12,
)


def verdicts(runs):
    return [
        Scored(
            eval=INFO,
            trajectory_id=f"t{place}",
            outcome=outcome,
            result=EvalResult("eval_x", score=float(outcome is Outcome.PASS)),
            task=task,
            recording=recording,
        )
        for place, (task, recording, outcome) in enumerate(runs)
    ]


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_where_each_task_has_one_trial_the_interval_is_wilsons(passes):
    runs = [(f"task-{n}", None, Outcome.PASS if p else Outcome.FAIL) for n, p in enumerate(passes)]
    (summary,) = summarize(verdicts(runs))
    assert summary.interval == pytest.approx(wilson_interval(sum(passes), len(passes)))


@given(RUNS)
def test_replays_of_a_recording_are_one_trial_of_the_interval_and_counted_elsewhere(runs):
    judged = [(place, *run) for place, run in enumerate(runs) if run[2] in SAID]
    trials: dict[tuple[str, str], list[bool]] = {}
    for place, task, tape, outcome in judged:
        trial = (task or f"t{place}", tape or f"run {place}")
        trials.setdefault(trial, []).append(outcome is Outcome.PASS)
    tasks: dict[str, list[bool]] = {}
    for (task, _), passes in trials.items():
        tasks.setdefault(task, []).append(all(passes))
    for summary in summarize(verdicts(runs)):
        assert summary.interval == (clustered_interval([*tasks.values()]) if tasks else None)
        assert summary.n == len(judged)
        assert summary.repeats == len(judged) - len(trials)


def test_what_the_intervals_count_is_said_where_it_is_not_each_verdict_once():
    once = summarize(verdicts([("pears", "tape", Outcome.PASS), ("plums", "tape", Outcome.PASS)]))
    assert trial_lines(once) == []
    again = summarize(verdicts([("pears", "tape", Outcome.PASS)] * 3))
    (line,) = trial_lines(again)
    assert line.startswith("eval_x: 2 of 3 verdicts are on further replays of a recording: ")
    trials = summarize(verdicts([("pears", None, Outcome.PASS)] * 2))
    assert trial_lines(trials) == [
        "intervals are by task: trials of one are alike, and every task weighs the same"
    ]


def test_a_run_is_a_trial_of_its_task_in_its_dataset_and_repeats_its_recording():
    assert RunKey.of(make_run("pears", 0, 2.0)).task == "pears"
    assert RunKey.of(make_run("pears", 0, 2.0, dataset="shop")).task == "shop/pears"
    assert RunKey.of(make_run(None, 0, 2.0, trajectory_id="t7")).task == "t7"
    again = [make_run(None, n, 2.0, trajectory_id=f"t{n}", cassette_hash="tape") for n in range(9)]
    assert {RunKey.of(each).task for each in again} == {"tape"}, "what they replay is one run"
    replay = make_run("pears", 0, 2.0, cassette_hash="tape", replay_of="tape")
    fork = make_run("pears", 0, 2.0, cassette_hash="fork", replay_of="tape")
    foreign = make_run("pears", 0, 2.0, replay_of="tape")
    assert [RunKey.of(each).recording for each in (replay, fork, foreign)] == [
        "tape",
        "fork",
        "tape",
    ]


def test_the_first_that_fail_are_kept_and_all_are_counted():
    (summary,) = summarize(verdicts([("", None, Outcome.FAIL)] * (FAILING + 5)))
    assert [each.trajectory_id for each in summary.failing] == [f"t{n}" for n in range(FAILING)]
    assert summary.failed == FAILING + 5


def test_a_rate_of_runs_that_is_not_that_of_tasks_is_told_with_both():
    easy = [("easy", None, Outcome.PASS)] * 8
    hard = [(f"hard-{n}", None, Outcome.FAIL) for n in range(3)]
    (summary,) = summarize(verdicts([*easy, *hard]))
    low, high = summary.interval
    assert not low <= summary.rate <= high, "the interval is that of tasks"
    assert low <= summary.task_rate == 0.25 <= high
    _, told = trial_lines([summary])
    assert told == (
        "eval_x: the rate of runs is 0.73, that of tasks is 0.25: some tasks have more verdicts "
        "than others"
    )
    (nothing,) = summarize(verdicts([("easy", None, Outcome.NOT_EVALUABLE)]))
    assert (nothing.task_rate, trial_lines([nothing])) == (None, [])
