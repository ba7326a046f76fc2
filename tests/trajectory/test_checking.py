"""Checking: everything is verified, and what is wrong is told by its part's name."""

from __future__ import annotations

import shutil
import tempfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from looplet.errors import StoreError
from looplet.trajectory import TrajectoryStore


@pytest.fixture
def three(store, make):
    """A store of three parts, and their paths."""
    paths = [store.append([make(f"{n}a"), make(f"{n}b", steps=3)]).path for n in range(3)]
    store.append_scores([{"trajectory_id": "0a", "eval_name": "e", "passed": True}])
    return store, paths


def rewrite(path, change):
    """The part with other values, as a writer that computes no digest would leave it."""
    file = pq.ParquetFile(path)
    rows = file.read().to_pylist()
    change(rows)
    other = path.with_name("other.parquet")
    pq.write_table(pa.Table.from_pylist(rows, schema=file.schema_arrow), other)
    path.unlink()
    return other.name


def test_a_store_as_it_was_written_is_all_right(three):
    store, _ = three
    check = store.check()
    assert check.ok
    assert (check.parts, check.rows, check.problems, check.damaged) == (4, 7, [], [])


def test_damaged_parts_are_named_and_the_others_are_still_checked(three, flip):
    store, paths = three
    flip(paths[0], 0, "steps.list.element.result")
    paths[2].write_bytes(paths[2].read_bytes()[:-30])
    check = store.check()
    assert not check.ok
    assert check.damaged == [paths[0].name, paths[2].name]
    assert all("is damaged" in problem.text for problem in check.problems)
    assert check.rows == 2 + 1


def test_damaged_scores_are_named(three, flip):
    store, _ = three
    (path,) = (store.path / "scores").glob("*.parquet")
    flip(path, 0, "eval_name")
    assert store.check().damaged == [path.name]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[0]["steps"][0].update(args='{"fruit":"x"}'), "step 1 is not what"),
        (lambda rows: rows[0]["steps"][1].update(error="made up"), "step 2 is not what"),
        (lambda rows: rows[0].update(task='"another"'), "step 1 is not what its digest tells"),
        (lambda rows: rows[0].update(stop_reason="other"), "completed is True, and False follows"),
        (lambda rows: rows[0].update(digest="0" * 64), "digest is '000"),
        (lambda rows: rows[0].update(n_steps=7), "n_steps is 7, and 2 follows"),
        (lambda rows: rows[0].update(input_tokens=1), "input_tokens is 1, and 20 follows"),
        (lambda rows: rows[0]["calls"].pop(), "n_calls is 2, and 1 follows"),
        (lambda rows: rows[0]["calls"][0].update(output=99), "there is no message 99"),
        (lambda rows: rows[0]["messages"][2].update(content='"x"'), "message 2 is not what its"),
        (lambda rows: rows[0]["messages"][0].update(digest="0" * 32), "message 0 is not what its"),
        (lambda rows: rows[0].update(metadata="{"), "is damaged"),
    ],
)
def test_a_row_that_is_not_what_its_digests_tell_is_named(three, change, words):
    store, paths = three
    name = rewrite(paths[1], change)
    problems = store.check().problems
    assert {problem.part for problem in problems} == {name}
    assert any(words in problem.text for problem in problems), problems


@settings(max_examples=40)
@given(data=st.data())
def test_any_row_as_it_was_written_is_all_right(data, trajectories):
    run = data.draw(trajectories)
    for step in run.steps:
        step.digest = ""
    with tempfile.TemporaryDirectory() as folder:
        store = TrajectoryStore(folder)
        store.append(run)
        assert store.check().problems == []


def test_a_run_without_digests_of_its_steps_is_all_right(store, make):
    run = make("a", steps=3)
    for step in run.steps:
        step.digest = ""
    store.append(run)
    assert store.check().ok


def test_nan_and_what_is_not_known_are_all_right(store, make):
    run = make("a", reward=float("nan"))
    run.started_at = run.ended_at = None
    store.append(run)
    assert store.check().ok


def test_a_foreign_version_is_a_problem_of_its_part(three):
    store, paths = three
    table = pq.ParquetFile(paths[0]).read().replace_schema_metadata({"looplet.schema_version": "9"})
    pq.write_table(table, paths[0].with_name("foreign.parquet"))
    (problem,) = store.check().problems
    assert problem.part == "foreign.parquet"
    assert "schema version '9'" in problem.text


def test_each_part_is_told_before_it_is_read(three):
    store, paths = three
    told = []
    store.check(on_part=lambda name, count: told.append((name, count)))
    assert told[:3] == [(path.name, 4) for path in paths]
    assert len(told) == 4


def test_info_tells_how_much_there_is(three):
    store, paths = three
    shutil.copy(paths[0], paths[0].with_name(".left.tmp"))
    info = store.info()
    runs = info.trajectories
    assert (runs.parts, runs.rows, runs.row_groups, runs.temporary, runs.replaced) == (
        3,
        6,
        3,
        1,
        0,
    )
    assert runs.bytes == sum(path.stat().st_size for path in paths)
    assert (info.scores.parts, info.scores.rows) == (1, 1)
    assert info.path == str(store.path)


@pytest.mark.parametrize("ask", ["check", "info", "compact"])
def test_where_there_is_no_store_they_say_so(tmp_path, ask):
    with pytest.raises(StoreError, match="no trajectory store"):
        getattr(TrajectoryStore(tmp_path / "nowhere"), ask)()
