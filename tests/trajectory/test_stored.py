"""Runs from a store: equal to the live ones, and read no more than they are asked for."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from looplet.core.records import Step
from looplet.errors import StoreDamaged, StoreError
from looplet.evals.context import EvalContext
from looplet.trajectory import StepRecord, Trajectory, TrajectoryStore
from looplet.trajectory.columns import Kept
from looplet.trajectory.parts import OpenParts

DERIVED = [
    name for name, value in vars(Trajectory).items() if isinstance(value, property)
]  # completed, digest, tokens, ...
FIELDS = [field.name for field in dataclasses.fields(Trajectory)]


def stored(trajectory, folder):
    store = TrajectoryStore(folder)
    store.append(trajectory)
    (found,) = store.scan()
    return found


@settings(max_examples=40)
@given(data=st.data())
def test_fields_are_equal_in_whatever_order_they_are_read(data, trajectories):
    live = data.draw(trajectories)
    with tempfile.TemporaryDirectory() as folder:
        found = stored(live, folder)
        for name in data.draw(st.permutations(FIELDS + DERIVED)):
            assert repr(getattr(found, name)) == repr(getattr(live, name)) or "{" in repr(live)
            assert getattr(found, name) == getattr(live, name), name
        for kept, step in zip(found.steps, live.steps, strict=True):
            assert kept.to_step() == step.to_step()
            assert step.to_step() == kept.to_step()


@settings(max_examples=20)
@given(data=st.data())
def test_equality_copies_and_pickles_are_those_of_the_live_object(data, trajectories):
    live = data.draw(trajectories)
    with tempfile.TemporaryDirectory() as folder:
        for use in (copy.copy, copy.deepcopy, lambda run: pickle.loads(pickle.dumps(run))):
            made = use(stored(live, Path(folder, repr(use)[:20].strip("<"))))
            assert made == live
            assert type(made) is Trajectory or use is copy.deepcopy
        found = stored(live, Path(folder, "eq"))
        assert found == live
        assert live == found
        assert found == stored(live, Path(folder, "again"))
        assert repr(found) == repr(live) or "{" in repr(live)
        assert found != dataclasses.replace(live, run_id=live.run_id + "x")
        assert dataclasses.replace(found, run_id="x") == dataclasses.replace(live, run_id="x")
        for run in (found, live):
            for call in run.llm_calls:
                call.messages = tuple(call.messages)  # asdict goes into tuples alone
        assert dataclasses.asdict(found) == dataclasses.asdict(live)


ODD = st.recursive(
    st.sampled_from([float("nan"), float("inf"), -0.0, 2**64, -(2**200), 10**4_000, "\ud800", "\0"])
    | st.text(st.characters(exclude_categories=()), max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.integers() | st.text(max_size=2) | st.none(), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60)
@given(value=ODD)
def test_odd_values_come_back_as_they_were_wherever_they_stand(value, make):
    live = make("a", metadata={"value": value}, reward=float("nan"))
    live.steps[0].tool_call.args["value"] = value
    live.steps[0].tool_result.data = value
    live.steps[0].pretty = live.steps[0].to_step().pretty()
    live.llm_calls[0].params = {"value": value}
    live.final_output = live.expected = value
    with tempfile.TemporaryDirectory() as folder:
        found = stored(live, folder)
        assert repr(found) == repr(live)
        assert found.digest == live.digest


def test_an_integer_of_more_digits_than_python_shows_comes_back(tmp_path, make):
    live = make("a", metadata={"value": [10**5_000, {10**5_000: -(10**9_000)}]})
    assert stored(live, tmp_path).metadata == live.metadata


def test_a_result_of_ten_megabytes_comes_back(tmp_path, make):
    live = make("a", steps=3)
    live.steps[1].tool_result.data = {"text": "é\0\n" * 2_500_000}
    live.llm_calls[1].response = "x" * 10_000_000
    found = stored(live, tmp_path)
    assert found.steps[1].tool_result.data == live.steps[1].tool_result.data
    assert found == live


def test_a_run_of_ten_thousand_steps_comes_back(tmp_path, make):
    live = make("a", steps=10_000)
    live.llm_calls = live.llm_calls[:300]
    found = stored(live, tmp_path)
    assert found.n_steps == len(found.steps) == 10_000
    assert found.steps[9_999].tool_call.args == {"summary": "a"}
    assert found == live


def test_empty_runs_come_back(tmp_path):
    live = [Trajectory(trajectory_id="", run_id="") for _ in range(3)]
    store = TrajectoryStore(tmp_path)
    store.append(live)
    for run in store:
        assert (run.steps, run.llm_calls, run.digest) == ([], [], live[0].digest)
        assert (run.cached_tokens, run.input_tokens, run.duration_ms) == (None, None, None)
    assert list(store) == live


def test_objects_are_of_the_live_classes(tmp_path, make):
    found = stored(make("a"), tmp_path)
    assert isinstance(found, Trajectory)
    assert isinstance(found.steps, list)
    assert isinstance(found.steps[0], StepRecord)
    assert isinstance(found.steps[0].to_step(), Step)
    assert found != "a"
    assert found.steps[0] != found.llm_calls[0]
    with pytest.raises(AttributeError, match="'Trajectory' object has no attribute 'stepz'"):
        found.stepz  # noqa: B018 - the access is the test
    with pytest.raises(TypeError, match="unhashable"):
        hash(found)


def test_a_loaded_object_can_be_changed(tmp_path, make):
    live, found = make("a", steps=3), stored(make("a", steps=3), tmp_path)
    for run in (live, found):
        run.steps[0].tool_call.args["more"] = 1
        run.steps[1].tool_result.error = "broken"
        del run.steps[2]
        run.steps.append(run.steps[0])
        run.stop_reason = "other"
        run.metadata["x"] = [1]
        run.llm_calls[0].input_tokens = 7
        run.tags.append("changed")
    assert found == live
    for name in DERIVED:
        assert getattr(found, name) == getattr(live, name), name
    assert found.n_tool_errors == 1
    assert not found.completed
    assert found.input_tokens == 27
    again = TrajectoryStore(tmp_path / "again")
    again.append(found)
    assert list(again) == [live]


def test_what_one_run_changes_no_other_run_sees(tmp_path, make):
    store = TrajectoryStore(tmp_path)
    store.append(make("a", tags=["one"]))
    (first,), (second,) = store, store
    group = first.group
    first.tags.append("two")
    first.steps[0].llm_call_indices.append(9)
    assert group.value("tags", 0) == ["one"]
    assert second.tags == ["one"]
    assert second.steps[0].llm_call_indices == []


def test_a_deep_copy_reads_for_itself_and_shares_nothing(tmp_path, make, flip):
    live = make("a", steps=3)
    store = TrajectoryStore(tmp_path)
    path = store.append(live).path
    flip(path, 0, RESULT)
    (found,) = store.scan()
    found.steps[0].tool_call.args["more"] = 1
    found.stop_reason = "other"
    copied = copy.deepcopy(found)  # reads no result, which would be told as damage
    assert (copied.stop_reason, copied.steps[0].tool_call.args["more"]) == ("other", 1)
    copied.steps[0].tool_call.args.clear()
    copied.steps.pop()
    copied.metadata["x"] = 1
    assert found.steps[0].tool_call.args["more"] == 1
    assert len(found.steps) == 3
    assert found.metadata == live.metadata


ARGS, RESULT = "steps.list.element.args", "steps.list.element.result"


def test_only_what_is_touched_is_read(tmp_path, make, flip):
    store = TrajectoryStore(tmp_path)
    path = store.append([make("a", steps=3), make("b", steps=2)]).path
    flip(path, 0, ARGS)  # from here on, whoever reads arguments hears of it
    runs = list(store.scan())
    for run in runs:
        context = EvalContext.from_trajectory(run)
        assert context.completed
        assert context.tool_sequence[-1] == "done"
        assert [step.tool_call.tool for step in context.steps] == context.tool_sequence
        assert context.errors == []
        assert [step.tool_result.data for step in context.steps][-1] == {"status": "completed"}
        assert len(run.llm_calls[-1].messages) == 2 * len(run.steps)
    with pytest.raises(StoreDamaged, match=path.name):
        runs[1].steps[0].tool_call.args  # noqa: B018 - the access is the test


def test_counts_are_read_from_columns_of_their_own(tmp_path, make, flip):
    store = TrajectoryStore(tmp_path)
    path = store.append(make("a", steps=3)).path
    for column in ("steps.list.element.tool", "steps.list.element.index", ARGS, RESULT):
        flip(path, 0, column)
    (found,) = store.scan()
    assert EvalContext.from_trajectory(found).step_count == 3
    assert found.n_tool_errors == 0
    assert found.digest == make("a", steps=3).digest
    with pytest.raises(StoreDamaged, match=path.name):
        found.steps  # noqa: B018 - the access is the test


def test_where_takes_rows_for_which_it_is_true(store, make):
    rewards = [None, 0.0, 0.5, 1.0, float("nan")]
    store.append(make(str(n), reward=reward) for n, reward in enumerate(rewards))
    found = store.scan(where=(pc.field("reward") < 1) & (pc.field("model") == "scripted"))
    assert [run.trajectory_id for run in found] == ["1", "2"]
    assert list(store.scan(where=pc.field("reward") > 5)) == []
    missing = store.scan(where=pc.field("reward").is_null())
    assert [run.trajectory_id for run in missing] == ["0"]


@settings(max_examples=30)
@given(
    trials=st.lists(st.none() | st.integers(0, 5), max_size=12),
    size=st.sampled_from([1, 10_000, 2**20]),
    limit=st.integers(-1, 6),
)
def test_where_agrees_with_python(trials, size, limit, make):
    with tempfile.TemporaryDirectory() as folder:
        store = TrajectoryStore(folder, row_group_bytes=size)
        store.append(make(str(n), trial=trial) for n, trial in enumerate(trials))
        found = [run.trajectory_id for run in store.scan(where=pc.field("trial") >= limit)]
    assert found == [
        str(n) for n, trial in enumerate(trials) if trial is not None and trial >= limit
    ]


NUMBERS = st.lists(st.none() | st.sampled_from([0.0, 0.5, 1.0, math.nan, math.inf]), min_size=1)
ABOUT_REWARDS = {
    "is_nan": pc.is_nan(pc.field("reward")),
    "!=": pc.field("reward") != 1.0,
    "not <=": ~(pc.field("reward") <= 0.5),
    "<": pc.field("reward") < 1.0,
}


@pytest.mark.parametrize("where", ABOUT_REWARDS)
@given(rewards=NUMBERS)
@example(rewards=[1.0, math.nan])
@settings(deadline=None, max_examples=30)
def test_where_finds_numbers_that_are_none_as_arrow_does(rewards, where, make, tmp_path_factory):
    store = TrajectoryStore(tmp_path_factory.mktemp("store"))
    store.append(make(str(number), reward=each) for number, each in enumerate(rewards))
    found = [run.trajectory_id for run in store.scan(where=ABOUT_REWARDS[where])]
    table = store.to_arrow().filter(ABOUT_REWARDS[where])
    assert found == table.column("trajectory_id").to_pylist()


def test_where_reads_no_row_group_whose_statistics_rule_it_out(tmp_path, make, flip):
    store = TrajectoryStore(tmp_path, row_group_bytes=1)
    path = store.append(make(str(n), trial=n) for n in range(4)).path
    assert pq.ParquetFile(path).num_row_groups == 4
    flip(path, 1, "trial")
    assert [run.trial for run in store.scan(where=pc.field("trial") > 1)] == [2, 3]
    with pytest.raises(StoreDamaged, match=path.name):
        list(store.scan(where=pc.field("trial") > 0))


def test_where_reads_the_columns_that_it_names_and_no_others(tmp_path, make, flip):
    store = TrajectoryStore(tmp_path)
    path = store.append([make("a", trial=1), make("b", trial=2)]).path
    flip(path, 0, "reward")
    flip(path, 0, "task")
    assert [run.trajectory_id for run in store.scan(where=pc.field("trial") == 2)] == ["b"]


@pytest.mark.parametrize(
    ("where", "error", "words"),
    [
        (pc.field("reword") < 1, StoreError, "column 'reword': did you mean 'reward'"),
        (pc.field("nothing") < 1, StoreError, "column 'nothing': see docs"),
        (pc.field("steps").is_valid(), StoreError, "column 'steps': it is a list"),
        (pc.field("model") < 1, StoreError, "cannot be evaluated"),
        (pc.field(0) == "a", StoreError, "names a column by its place; use its name"),
        (pc.field("trial") + 1, StoreError, "is int32, not true or false"),
        ("reward < 1", TypeError, "where is an expression of pyarrow.compute"),
    ],
)
def test_an_expression_that_cannot_be_evaluated_is_refused(store, make, where, error, words):
    store.append(make("a"))
    with pytest.raises(error, match=words):
        store.scan(where=where)


def test_scanning_where_there_is_no_store_says_so_at_once(tmp_path):
    with pytest.raises(StoreError, match="no trajectory store"):
        TrajectoryStore(tmp_path / "nowhere").scan()


def test_runs_that_are_kept_are_read_again_where_they_had_to_go(tmp_path, make):
    store = TrajectoryStore(tmp_path, row_group_bytes=5_000)
    live = [make(str(n), metadata={"text": "x" * 2_000}) for n in range(12)]
    store.append(live)
    store._kept = Kept(limit=3_000)
    runs = list(store)
    assert [run.steps for run in runs] == [run.steps for run in live]
    assert len({id(run.group) for run in runs}) > 3
    assert len({id(run.group) for run in runs if run.group._columns}) == 1
    assert runs == live


def test_few_files_stay_open_however_many_parts_there_are(tmp_path, make):
    store = TrajectoryStore(tmp_path)
    live = [make(str(n)) for n in range(12)]
    for run in live:
        store.append(run)
    store._open_parts = OpenParts(limit=3)
    runs = list(store)
    assert sum(run.group._part._file is not None for run in runs) <= 3
    assert runs[::-1] == live[::-1]


def test_a_part_that_went_away_is_told_when_it_is_read(tmp_path, make):
    store = TrajectoryStore(tmp_path)
    path = store.append(make("a")).path
    (run,) = store
    run.group._part.close()
    path.unlink()
    with pytest.raises(StoreError, match=f"{path.name} went away"):
        run.steps  # noqa: B018 - the access is the test


MEMORY = """
import sys
from pathlib import Path
from looplet.trajectory import Trajectory, TrajectoryStore

folder, count = sys.argv[1], int(sys.argv[2])
store = TrajectoryStore(folder)
text = "".join(map(chr, range(32, 127)))

def run(number):
    metadata = {"text": f"{number} " + text * 1_000}
    return Trajectory(trajectory_id=str(number), run_id="r", metadata=metadata)

store.append(map(run, range(200)))
Path("/proc/self/clear_refs").write_text("5")
seen = sum(len(each.metadata["text"]) > 90_000 for _ in range(count) for each in store.scan())
lines = Path("/proc/self/status").read_text().splitlines()
print(seen, next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_scanning_ten_times_as_much_takes_the_same_memory(tmp_path):
    def peak(count):
        command = [sys.executable, "-c", MEMORY, str(tmp_path / str(count)), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seen, kib = map(int, done.stdout.split())
        assert seen == 200 * count
        return kib / 1024

    few, many = peak(1), peak(10)
    assert many - few < 200 * 95_000 * 9 / 2**20 / 2  # half of what keeping it would take
