"""Scout's transcript database out: columns, messages in Inspect's form, and what is told as lost.

``make test-ecosystem`` gives the database to Scout itself.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from looplet.core.messages import CallRequest, ChatMessage
from looplet.trajectory import LLMCall, Trajectory
from looplet.trajectory.exporters import export_trajectories, scout
from looplet.trajectory.exporters.registry import known_targets

MANY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXTS = (
    "transcript_id", "source_type", "source_id", "source_uri", "date", "task_set", "task_id",
    "agent", "model", "model_options", "score", "error", "messages", "events",
)  # fmt: skip
"""Columns that Scout wants as texts; those below it wants as these types."""
TYPES = {
    "task_repeat": pa.int64(), "success": pa.bool_(), "message_count": pa.int64(),
    "total_time": pa.float64(), "total_tokens": pa.int64(),
}  # fmt: skip


def export(folder, *runs):
    """The rows of the file, and what was told."""
    folder.mkdir(exist_ok=True)
    losses = []
    count = export_trajectories(iter(runs), folder, format="scout", on_loss=losses.append)
    files = list(folder.iterdir())
    assert len(files) == (1 if count else 0)
    rows = pq.ParquetFile(files[0]).read().to_pylist() if files else []
    assert len(rows) == count
    return rows, [str(loss) for loss in losses]


def chat(number, sent, response, **more):
    return LLMCall(
        number, 100.0, 5.0, "generate", "", "", response, input_tokens=10, output_tokens=2,
        model="m", messages=tuple(sent), **more,
    )  # fmt: skip


@given(data=st.data())
@MANY
def test_any_run_is_a_row_with_the_columns_of_scout(data, tmp_path_factory, trajectories):
    folder = tmp_path_factory.mktemp("scout")
    run = data.draw(trajectories)
    (row,), _ = export(folder, run)
    schema = pq.read_schema(folder / scout.FILE)
    assert {name: schema.field(name).type for name in TEXTS} == dict.fromkeys(
        TEXTS, pa.large_string()
    )
    assert {name: schema.field(name).type for name in TYPES} == TYPES
    messages = json.loads(row["messages"])
    assert row["message_count"] == len(messages)
    results = [each for each in messages if "function" in each]
    assert len(results) >= len(run.steps)
    for message in messages:
        assert message["role"] in {"system", "user", "assistant", "tool"}
        assert isinstance(message["content"], str | list)
        for call in message.get("tool_calls", ()):
            assert isinstance(call["arguments"], dict)


def test_a_chat_is_told_as_inspect_tells_it(tmp_path, make, step):
    ask = ChatMessage(role="user", content="Price a pear.")
    asks = [
        {"type": "thinking", "thinking": "a pear"},
        {"type": "tool_use", "id": "call1", "name": "price", "input": {"fruit": "pear"}},
    ]
    call = CallRequest(id="call1", name="price", input={"fruit": "pear"})
    reply = ChatMessage(role="assistant", calls=(call,), blocks=tuple(asks))
    told = ChatMessage(role="tool", content="no pear", call_id="call1")
    looked = step(1, "price", {"fruit": "pear"}, None, error="no pear")
    looked.llm_call_indices = [0]
    calls = [chat(0, [ask], asks, params={"seed": 1}), chat(1, [ask, reply, told], "None left.")]
    run = replace(
        make("a", steps=1), steps=[looked], llm_calls=calls, reward=0.0, trial=2, task_id="t",
        dataset="d", agent="shop", final_output="None left.", tags=["x"],
    )  # fmt: skip
    (row,), losses = export(tmp_path, run)
    assert losses == []
    asked = {"id": "call1", "function": "price", "arguments": {"fruit": "pear"}, "type": "function"}
    thought = [{"type": "reasoning", "reasoning": "a pear"}, {"type": "text", "text": ""}]
    assert json.loads(row["messages"]) == [
        {"role": "user", "content": "Price a pear."},
        {"role": "assistant", "content": thought, "source": "generate", "tool_calls": [asked],
         "model": "m"},
        {"role": "tool", "tool_call_id": "call1", "function": "price", "content": "no pear",
         "error": {"type": "unknown", "message": "no pear"}},
        {"role": "assistant", "content": "None left.", "source": "generate", "model": "m"},
    ]  # fmt: skip
    known = {
        "transcript_id": "a", "source_type": "looplet", "source_id": "run-a", "task_set": "d",
        "task_id": "t", "task_repeat": 2, "agent": "shop", "model": "scripted", "score": "0.0",
        "success": False, "total_tokens": 24, "model_options": '{"seed":1}', "reward": 0.0,
        "date": "2026-01-02T03:04:05.678901+00:00", "total_time": pytest.approx(1.321099),
        "final_output": '"None left."', "tags": '["x"]', "stop_reason": "done", "n_steps": 1,
    }  # fmt: skip
    assert {name: row[name] for name in known} == known


def test_what_a_call_was_sent_again_is_told_once(tmp_path, make):
    head = ChatMessage(role="system", content="Be brief.")
    one, two = (ChatMessage(role="user", content=text) for text in ("Go.", "Go. You did a."))
    kept = ChatMessage(role="assistant", content="a")
    calls = [chat(0, [head, one], "a"), chat(1, [head, kept, two], "b")]
    (row,), _ = export(tmp_path, replace(make("a", steps=1), steps=[], llm_calls=calls))
    told = [(each["role"], each["content"]) for each in json.loads(row["messages"])]
    assert told == [
        ("system", "Be brief."), ("user", "Go."), ("assistant", "a"),
        ("user", "Go. You did a."), ("assistant", "b"),
    ]  # fmt: skip


def test_a_reward_that_is_neither_all_nor_nothing_is_no_success(tmp_path, make):
    runs = [replace(make(f"r{reward}"), reward=reward) for reward in (1.0, 0.5, None)]
    rows, _ = export(tmp_path, *runs)
    assert [row["success"] for row in rows] == [True, None, None]
    assert [row["score"] for row in rows] == ["1.0", "0.5", None]


def test_what_is_not_in_it_is_told_and_the_rest_is_written(tmp_path, make):
    picture = ChatMessage(role="user", content="See.", blocks=({"type": "image"},))
    within = chat(1, [picture], "x", scope="tool:think")
    seen = replace(make("seen", steps=1), llm_calls=[chat(0, [picture], "a pear"), within])
    broken = replace(make("broken"), started_at=seen.started_at.replace(tzinfo=None))
    rows, losses = export(tmp_path, broken, seen)
    assert [row["transcript_id"] for row in rows] == ["seen"]
    assert losses[0].startswith("broken: it is left out")
    assert any("tool:think" in loss for loss in losses)
    assert any("image" in loss for loss in losses)


def test_many_runs_are_written_a_group_at_a_time(tmp_path, make, monkeypatch):
    monkeypatch.setattr(scout, "GROUP_CHARS", 10_000)
    runs = (make(f"r{number}") for number in range(40))
    rows, _ = export(tmp_path, *runs)
    assert [row["transcript_id"] for row in rows] == [f"r{number}" for number in range(40)]
    assert pq.ParquetFile(tmp_path / scout.FILE).num_row_groups > 2


def test_no_run_is_no_file_and_a_broken_off_export_leaves_none(tmp_path, make, monkeypatch):
    monkeypatch.setattr(scout, "GROUP_CHARS", 1)
    assert export(tmp_path, *[]) == ([], [])

    def runs():
        yield make("a")
        raise OSError("the store is gone")

    with pytest.raises(OSError, match="gone"):
        known_targets()["scout"].write(runs(), tmp_path, print)
    assert list(tmp_path.iterdir()) == []


def test_text_that_utf8_lacks_is_escaped(tmp_path):
    run = Trajectory(trajectory_id="a\ud800", run_id="r", task="\udc00")
    (row,), _ = export(tmp_path, run)
    assert (row["transcript_id"], row["task"]) == ("a\x1ad800", '"\\u001adc00"')


def test_a_count_of_too_many_bits_is_not_known(tmp_path, make):
    run = make("a")
    run.llm_calls[0].input_tokens = run.llm_calls[1].input_tokens = 2**62
    (row,), _ = export(tmp_path, run)
    assert (row["input_tokens"], row["total_tokens"], row["output_tokens"]) == (None, None, 4)


@pytest.mark.parametrize(
    ("given", "told"),
    [(2**63, "9223372036854775808"), (-(2**63), "-9223372036854775808"), (2**63 - 1, 2**63 - 1)],
)
def test_numbers_that_scout_cannot_read_are_texts(given, told, tmp_path, make, step):
    run = replace(make("a"), steps=[step(1, "price", {"n": [given, True]}, 1)], llm_calls=[])
    (row,), losses = export(tmp_path, run)
    (call,) = json.loads(row["messages"])[0]["tool_calls"]
    assert call["arguments"] == {"n": [told, True]}
    assert len(losses) == (told != given)
