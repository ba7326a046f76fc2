"""The dataset: what is appended comes back, whole and in order."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from looplet.core.messages import ChatMessage
from looplet.errors import StoreError
from looplet.trajectory import TrajectoryStore


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_trajectories_come_back_equal_and_in_order(data, trajectories):
    appended = data.draw(st.lists(st.lists(trajectories, max_size=2), max_size=3))
    row_group_bytes = data.draw(st.sampled_from([1, 2**20]))
    with tempfile.TemporaryDirectory() as folder:
        store = TrajectoryStore(folder, row_group_bytes=row_group_bytes)
        for some in appended:
            store.append(some)
        expected = [trajectory for some in appended for trajectory in some]
        found = list(store)
        assert found == expected
        assert repr(found) == repr(expected) or "{" in repr(expected)
        assert len(store) == len(expected)
        assert [each.digest for each in found] == [each.digest for each in expected]


def test_types_come_back_too(store, make):
    odd = {"one": 1, "true": True, "float": 1.0, "tuple": (1,), "list": [1], "none": None}
    store.append(make("a", task=odd, metadata={"n": 2**70}))
    (found,) = store
    assert repr(found.task) == repr(odd)
    assert found.metadata == {"n": 2**70}


def test_nan_is_not_null(store, make):
    store.append([make("a", reward=float("nan")), make("b", reward=None), make("c", reward=0.0)])
    assert [repr(each.reward) for each in store] == ["nan", "None", "0.0"]


def test_times_keep_their_microseconds_and_instant(store, make):
    trajectory = make("a")
    elsewhere = trajectory.started_at.astimezone(timezone(timedelta(hours=5)))
    trajectory.ended_at, trajectory.started_at = datetime(9999, 12, 31, tzinfo=UTC), elsewhere
    store.append(trajectory)
    assert list(store) == [trajectory]


def test_one_append_is_one_part_and_parts_are_in_order(store, make):
    first = store.append([make("a"), make("b")])
    second = store.append(make(str(n)) for n in range(3))
    assert (first.rows, second.rows) == (2, 3)
    assert sorted([Path(second), Path(first)]) == [Path(first), Path(second)]
    assert [each.trajectory_id for each in store] == ["a", "b", "0", "1", "2"]


def test_parts_stay_in_order_when_the_clock_goes_back(store, make):
    store.append(make("a"))
    newest = store.append(make("b")).path
    late = newest.with_name("8" * 16 + newest.name[16:])
    newest.rename(late)
    assert store.append(make("c")).path.name > late.name
    assert [each.trajectory_id for each in store] == ["a", "b", "c"]


def test_row_groups_are_sized_by_bytes(tmp_path, make):
    small = TrajectoryStore(tmp_path, row_group_bytes=5_000)
    commit = small.append(make(str(n), metadata={"text": "x" * 2_000}) for n in range(10))
    groups = pq.ParquetFile(commit.path).num_row_groups
    assert 2 <= groups <= 5
    assert len(list(small)) == 10


def test_an_empty_append_makes_an_empty_store(store):
    assert store.append([]).rows == 0
    assert list(store) == []
    assert len(store) == 0
    assert store.to_arrow("steps").num_rows == 0


def test_a_folder_without_parts_is_an_empty_store(tmp_path):
    store = TrajectoryStore(tmp_path)
    assert list(store) == list(store.scores()) == []
    assert len(store) == 0
    assert store


@pytest.mark.parametrize(
    "read", [list, len, lambda store: list(store.scores()), lambda store: store.to_arrow()]
)
def test_reading_where_there_is_no_store_says_so(tmp_path, read):
    with pytest.raises(StoreError, match=r"no trajectory store at .*nowhere"):
        read(TrajectoryStore(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("wrong", ["text", {"trajectory_id": "x"}, None, 3])
def test_what_is_no_trajectory_is_refused_and_nothing_is_written(store, make, wrong):
    store.append(make("a"))
    with pytest.raises(TypeError):
        store.append([make("b"), wrong])
    with pytest.raises(TypeError):
        store.append(wrong)
    assert [each.trajectory_id for each in store] == ["a"]


def test_a_failure_after_a_written_row_group_leaves_nothing(tmp_path, make):
    store = TrajectoryStore(tmp_path, row_group_bytes=1)

    def breaks():
        yield make("a")
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        store.append(breaks())
    assert list(store) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"started_at": datetime(2026, 1, 1)}, ValueError, "started_at has no time zone"),  # noqa: DTZ001 - the naive time is the case
        ({"trial": 2**40}, StoreError, "trajectory 'a'"),
        ({"agent": 7}, TypeError, "agent is text, not int"),
        ({"reward": "high"}, TypeError, "reward is a number, not str"),
        ({"tags": [None]}, TypeError, "tags is text"),
        ({"tags": "abc"}, TypeError, "tags is a list"),
        ({"trial": True}, TypeError, "trial is an integer, not bool"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(store, make, changes, error, words):
    trajectory = make("a")
    for name, value in changes.items():
        setattr(trajectory, name, value)
    with pytest.raises(error, match=words):
        store.append([make("b"), trajectory])
    assert list(TrajectoryStore(store.path.parent)) == []


def test_messages_are_stored_once_and_inputs_grow_linearly(store, make):
    steps = 60
    commit = store.append(make("long", steps=steps))
    row = pq.ParquetFile(commit.path).read().to_pylist()[0]
    # System and first user message, then a reply and a result for each call; the last reply is
    # the last call's output.
    assert len(row["messages"]) == 2 + 2 * steps - 1
    assert sum(len(call["input"]) for call in row["calls"]) == 2 + 2 * (steps - 1)
    assert len({message["digest"] for message in row["messages"]}) == len(row["messages"])
    (found,) = store
    assert found.llm_calls[-1].messages[0].content == "Be brief."
    assert len(found.llm_calls[-1].messages) == 2 + 2 * (steps - 1)


def test_a_reply_that_thinks_aloud_is_one_message_with_the_one_that_sends_it_back(store, make):
    blocks = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "A pear."}]
    said = ChatMessage(role="assistant", content="A pear.", blocks=tuple(blocks))
    run = make("a", steps=2)
    first, second = run.llm_calls
    first.response = blocks
    second.messages = (*first.messages, said)
    store.append(run)
    assert list(store) == [run]
    kept = store.to_arrow("messages").column("content").to_pylist()
    assert sum("Hm." in content for content in kept) == 1


def test_message_digests_are_those_of_the_messages(store, make):
    trajectory = make("a", steps=3)
    commit = store.append(trajectory)
    row = pq.ParquetFile(commit.path).read().to_pylist()[0]
    sent = trajectory.llm_calls[-1].messages
    assert [message["digest"] for message in row["messages"]][: len(sent)] == [
        message.digest[:32] for message in sent
    ]


def test_rows_can_be_read_with_a_few_columns(store, make):
    store.append([make("a"), make("b", steps=1)])
    rows = list(store.iter_rows(["trajectory_id", "task", "completed", "steps.tool"]))
    assert rows == [
        {
            "trajectory_id": "a",
            "task": {"goal": "a"},
            "completed": True,
            "steps": [{"tool": "price"}, {"tool": "done"}],
        },
        {
            "trajectory_id": "b",
            "task": {"goal": "b"},
            "completed": True,
            "steps": [{"tool": "done"}],
        },
    ]


def test_an_unknown_column_is_refused_by_name(store, make):
    store.append(make("a"))
    with pytest.raises(StoreError, match="stop_raeson"):
        list(store.iter_rows(["stop_raeson"]))
    with pytest.raises(StoreError, match=r"steps\.tol"):
        list(store.iter_rows(["steps.tol"]))


def test_tables_of_some_columns_hold_every_row_as_it_is_stored(tmp_path, make):
    store = TrajectoryStore(tmp_path, row_group_bytes=1)
    store.append([make("a"), make("b")])
    store.append(make("c"))
    whole = [table.to_pylist() for table in store.scan_tables()]
    assert [[row["trajectory_id"] for row in rows] for rows in whole] == [["a"], ["b"], ["c"]]
    tables = list(store.scan_tables(["steps.tool", "task"]))
    assert [sorted(table.column_names) for table in tables] == [["steps", "task"]] * 3
    for (row,), table in zip(whole, tables, strict=True):
        (some,) = table.to_pylist()
        assert some == {
            "task": row["task"],
            "steps": [{"tool": step["tool"]} for step in row["steps"]],
        }
        assert some["steps"]
    with pytest.raises(StoreError, match="no column 'n_step'"):
        list(store.scan_tables(["n_step"]))


def test_writing_and_reading_do_not_import_pandas(store):
    code = (
        "import sys\n"
        "from looplet.trajectory import Trajectory, TrajectoryStore\n"
        f"store = TrajectoryStore({str(store.path)!r})\n"
        "store.append(Trajectory(trajectory_id='a', run_id='r'))\n"
        "store.append_scores([{'trajectory_id': 'a', 'eval_name': 'e'}])\n"
        "list(store), len(store), store.to_arrow('calls'), list(store.iter_rows(['task']))\n"
        "print([name for name in ('pandas', 'pyarrow.dataset') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_scores_come_back_with_every_column(store):
    assert not store.path.exists()
    store.append_scores(
        [
            {
                "trajectory_id": "a",
                "eval_name": "e",
                "score": 1.0,
                "passed": True,
                "label": "\ud800",
            },
            {"trajectory_id": "b", "eval_name": "e", "evaluable": False, "metrics": {"n": (1,)}},
        ]
    )
    store.append_scores([{"trajectory_id": "c", "eval_name": "e", "scored_at": datetime.now(UTC)}])
    first, second, third = store.scores()
    assert (first["score"], first["passed"], first["label"]) == (1.0, True, "\ud800")
    assert (second["score"], second["evaluable"]) == (None, False)
    assert second["metrics"] == {"n": (1,)}
    assert third["scored_at"].tzinfo is not None
    assert list(store) == []


def test_scores_with_unknown_or_missing_columns_are_refused(store):
    with pytest.raises(ValueError, match="did you mean 'passed'"):
        store.append_scores([{"trajectory_id": "a", "eval_name": "e", "pased": True}])
    with pytest.raises(ValueError, match="a score needs eval_name"):
        store.append_scores([{"trajectory_id": "a"}])
    assert not store.path.exists()
