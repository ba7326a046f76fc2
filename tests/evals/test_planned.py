"""Which runs there are to be, from cases, trials and what is recorded."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import EvalCase, MockLLMBackend
from looplet.errors import EvalError
from looplet.evals.planned import Recording, file_name, plan_runs, recordings_in, suite_folder
from looplet.replay import use_cassette

FOLDER = Path("cassettes")
IDS = st.text(min_size=1, max_size=8) | st.sampled_from(["a", "A", "a b", "a_b", "a-1", "../a"])
CASES = st.lists(IDS, unique=True, max_size=5).map(lambda ids: [EvalCase(each) for each in ids])


def recording(case_id, trial):
    return Recording(path=FOLDER / f"{case_id}.{trial}.yaml", case_id=case_id, trial=trial)


RECORDINGS = st.lists(st.tuples(IDS, st.none() | st.integers(0, 5)), unique=True, max_size=8).map(
    lambda pairs: [recording(*pair) for pair in pairs]
)


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("examples/desk/evals/eval_x.py", "desk"),
        ("desk/shop/evals/eval_x.py", "shop"),  # the nearest
        ("desk/judges/eval_x.py", "desk"),  # of what judges said
        ("desk/eval_x.py", "desk"),
        ("desk.py", "."),
        ("elsewhere/eval_x.py", "."),
        ("eval_x.py", "."),  # the root's own name, which a checkout chooses, is none
    ],
)
def test_the_nearest_folder_around_an_eval_says_where_its_cassettes_are(tmp_path, file, folder):
    root, cassettes = tmp_path / "root", tmp_path / "root" / "fixtures"
    for name in ("desk", "shop", "judges", "root", tmp_path.name):
        (cassettes / name).mkdir(parents=True)
    (cassettes / "desk.py").touch()
    assert suite_folder(cassettes, root / file, root) == cassettes / folder
    assert suite_folder(cassettes / "none", root / file, root) == cassettes / "none"
    assert suite_folder(cassettes, tmp_path / "desk" / "eval_x.py", root) == cassettes


@given(cases=st.none() | CASES, recordings=RECORDINGS, trials=st.none() | st.integers(1, 4))
def test_every_case_has_its_trials_and_every_cassette_is_used_or_left_out(
    cases, recordings, trials
):
    plan = plan_runs(FOLDER, recordings, cases, trials=trials)
    known = {(each.case_id, each.trial): each.path for each in recordings}
    labels = [run.label for run in plan.runs]
    assert len(set(labels)) == len(labels)
    assert all(not set(label) & set(" []/:") for label in labels)
    for run in plan.runs:
        named = known.get((run.case.id, run.trial), FOLDER / file_name(run.case.id, run.trial))
        assert run.cassette == named
    by_case = {}
    for run in plan.runs:
        by_case.setdefault(run.case.id, []).append(run.trial)
    named = cases if cases is not None else [EvalCase(each.case_id) for each in recordings]
    assert list(by_case) == list(dict.fromkeys(case.id for case in named))
    for case_id, found in by_case.items():
        assert len(set(found)) == len(found)
        there = [trial for each, trial in known if each == case_id]
        assert len(found) == (trials or len(there) or 1)
        assert set(there) <= set(found) or set(found) <= set(there)
    gone = {each.path for each in recordings if each.case_id not in by_case}
    assert set(plan.left_out) == gone


@given(ids=st.lists(IDS, unique=True, max_size=6), trials=st.integers(1, 3))
def test_no_two_runs_are_recorded_into_one_file(ids, trials):
    plan = plan_runs(FOLDER, [], [EvalCase(each) for each in ids], trials=trials)
    names = [run.cassette.name.casefold() for run in plan.runs]
    assert len(set(names)) == len(names)
    assert all(run.cassette.parent == FOLDER for run in plan.runs)


def test_trials_that_are_not_recorded_take_the_free_numbers():
    recordings = [recording("a", 2), recording("a", 10), recording("a", 1)]
    numbers = [
        [run.trial for run in plan_runs(FOLDER, recordings, trials=count).runs]
        for count in (2, 3, 5)
    ]
    assert numbers == [[1, 2], [1, 2, 10], [1, 2, 10, 3, 4]]


def record(path, about):
    with use_cassette(path, record_mode="all", metadata=about) as cassette:
        cassette.wrap_llm(MockLLMBackend(["Hello!"])).generate("Say hello.")


def test_a_cassette_that_names_no_case_is_one_by_its_name(tmp_path):
    record(tmp_path / "named.yaml", {"task_id": "pears", "trial": 3, "expected": {"euro": 1}})
    record(tmp_path / "plain.yaml", {})
    found = recordings_in(tmp_path)
    assert [(each.case_id, each.trial) for each in found] == [("pears", 3), ("plain", None)]
    plan = plan_runs(tmp_path, found)
    assert [run.label for run in plan.runs] == ["pears-3", "plain"]
    assert plan.runs[0].case.expected == {"euro": 1}


@pytest.mark.parametrize(
    ("about", "text"),
    [
        ({"task_id": 7}, "a.yaml: the task_id in its metadata is text, not 7"),
        ({"trial": "x"}, "a.yaml: the trial in its metadata is a whole number, not 'x'"),
        ({"trial": True}, "whole number, not True"),
    ],
)
def test_a_cassette_with_other_names_is_refused(tmp_path, about, text):
    record(tmp_path / "a.yaml", about)
    with pytest.raises(EvalError, match=text):
        recordings_in(tmp_path)
