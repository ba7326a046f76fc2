"""The scores that a run is compared with: another store's, or an earlier session's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from looplet.errors import EvalError, StoreError
from looplet.evals.baseline import read_baseline, tasks_of
from looplet.evals.identity import RunKey
from looplet.evals.results import EvalResult, Outcome
from looplet.evals.scored import EvalInfo, Scored
from looplet.trajectory.store import TrajectoryStore

INFO = EvalInfo(key="evals/eval_a.py::eval_a", name="eval_a", source_hash="s", required=True)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def write(path, runs, results, *, session="first", info=INFO, at=NOON):
    """Append the scores of runs; without a result, a run that is not evaluable."""
    rows = []
    for run, result in zip(runs, results, strict=True):
        outcome = Outcome.NOT_EVALUABLE if result is None else result.outcome
        verdict = Scored.of(info, RunKey.of(run), outcome, result or EvalResult(label="skipped"))
        rows.append(verdict.to_row(scored_at=at, session=session, host="h", version="v"))
    TrajectoryStore(path).append_scores(rows)


@pytest.fixture
def runs(run):
    return [run("pears", 0, 2.0), run("pears", 1, 2.0, dataset="shop"), run(None, None, 2.0)]


@pytest.fixture
def store(tmp_path, runs):
    TrajectoryStore(tmp_path / "main").append(runs)
    return tmp_path / "main"


PASS, FAIL = EvalResult(score=1.0), EvalResult(score=0.0)


def values(found, key=INFO.key):
    return {word.trajectory_id: word.value for word in found.sides[key].words}


def test_the_newest_score_of_each_eval_and_run_counts(store, runs):
    write(store, runs, [PASS, PASS, None])
    write(store, runs[:1], [FAIL], session="second")
    found = read_baseline("main", folder=store.parent)
    assert values(found) == {"pears.0": 0.0, "pears.1": 1.0, "None.None": None}
    assert found.tasks == {"pears", "shop/pears", "None.None"}
    assert (found.name, found.runs) == ("main", frozenset())
    (side,) = found.sides.values()
    assert (side.key, side.name, side.required) == (INFO.key, "eval_a", True)
    assert tasks_of(store) == {
        "pears.0": "pears", "pears.1": "shop/pears", "None.None": "None.None",
    }  # fmt: skip


def test_a_word_is_a_score_else_pass_or_fail_and_metrics_are_no_value(store, runs):
    write(store, runs, [EvalResult(label="yes"), EvalResult(score=0.75), FAIL])
    assert [*values(read_baseline(str(store))).values()] == [1.0, 0.75, 0.0]
    write(store, runs[:2], [EvalResult(label="no"), EvalResult(metrics={"n": 1.0})])
    found = read_baseline(str(store))
    assert [*values(found).values()] == [0.0, None, 0.0]
    assert [word.measured for word in found.sides[INFO.key].words] == [False, True, False]


def test_scores_that_others_wrote_count_by_their_names(store):
    TrajectoryStore(store).append_scores(
        [
            {"trajectory_id": "pears.0", "eval_name": "exact", "score": 0.5},
            {"trajectory_id": "pears.1", "eval_name": "exact", "passed": True},
            {"trajectory_id": "None.None", "eval_name": "exact", "error": "no", "score": 1.0},
            {"trajectory_id": "elsewhere", "eval_name": "exact", "score": 1.0},
        ]
    )
    found = read_baseline(str(store))
    assert [*values(found, "exact").values()] == [0.5, 1.0, None]
    assert not found.sides["exact"].required


def test_a_session_is_one_scoring_of_the_scored_store(store, runs):
    write(store, runs[:2], [FAIL, PASS], session="old")
    write(store, runs, [PASS, PASS, PASS], session="new")
    found = read_baseline("old", store=store)
    assert values(found) == {"pears.0": 0.0, "pears.1": 1.0}
    assert found.runs == {"pears.0", "pears.1"}


def test_the_very_runs_of_another_store_are_the_baselines_and_others_of_their_names_are_not(
    store, runs, tmp_path
):
    write(store, runs[:2], [PASS, PASS])
    later = replace(runs[0], started_at=NOON)
    TrajectoryStore(tmp_path / "branch").append([later, *runs[1:]])
    found = read_baseline("main", store=tmp_path / "branch", folder=tmp_path)
    assert found.runs == {"pears.1"}, "one is another run of that name, one has no score"


def test_a_directory_goes_before_a_session_of_its_name(store, runs, tmp_path):
    write(store, runs, [PASS, PASS, PASS])
    other = tmp_path / "other"
    TrajectoryStore(other).append(runs)
    write(other, runs, [FAIL, FAIL, FAIL], session="main")
    assert {*values(read_baseline("main", store=other, folder=tmp_path)).values()} == {1.0}


def test_what_is_no_baseline_is_told_with_what_to_do(store, runs, tmp_path):
    with pytest.raises(EvalError, match=r"there is no directory .*nowhere$"):
        read_baseline("nowhere", folder=tmp_path)
    with pytest.raises(EvalError, match=r"pytest EVALS --looplet-store main$"):
        read_baseline("main", folder=tmp_path)
    with pytest.raises(EvalError, match=r"no session 'x' .*; it holds no scores yet$"):
        read_baseline("x", store=store)
    for number in range(7):
        write(store, runs, [PASS, PASS, PASS], session=f"s{number}", at=NOON + timedelta(number))
    newest = r"s6 \(2026-05-10 12:00\), .*, s2 \(2026-05-06 12:00\)$"
    with pytest.raises(EvalError, match=f"no session 'x' in the scores of {store}.* {newest}"):
        read_baseline("x", store=store)
    with pytest.raises(EvalError, match=f"main is the store that is scored: .* {newest}"):
        read_baseline("main", store=store, folder=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises((EvalError, StoreError)):
        read_baseline("empty", store=store, folder=tmp_path)
