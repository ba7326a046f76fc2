"""ATIF out: by the format's rules, and so that a run comes back from it as it was."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from looplet.core.messages import CallRequest, ChatMessage
from looplet.trajectory import LLMCall, Trajectory
from looplet.trajectory.exporters.registry import known_targets
from looplet.trajectory.importers import import_trajectories
from tests.trajectory.exporters.atif_rules import check

NOT_KEPT = {"spans", "source_format", "source_uri"}
MANY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def export(folder, *runs):
    """The files' contents as they are checked to be ATIF, and what was told."""
    folder.mkdir(parents=True, exist_ok=True)
    losses = []
    count = known_targets()["atif"].write(iter(runs), folder, losses.append)
    files = sorted(folder.iterdir())
    assert count == len(files)
    return [check(path.read_bytes()) for path in files], [loss.message for loss in losses]


def again(folder):
    """The runs that the files give."""
    problems = []
    found = list(import_trajectories(folder, on_problem=problems.append))
    assert problems == []
    return found


def is_same(run, other):
    for each in fields(run):
        if each.name not in NOT_KEPT:
            assert getattr(other, each.name) == getattr(run, each.name), each.name


def chat(number, sent, response, **more):
    return LLMCall(
        number, 100.0 + number, 5.0, "generate", sent[-1].content, "", response,
        input_tokens=10, output_tokens=2, model="m", messages=tuple(sent), **more,
    )  # fmt: skip


@given(data=st.data())
@MANY
def test_any_run_is_atif_and_comes_back_as_it_was(data, tmp_path_factory, trajectories):
    folder = tmp_path_factory.mktemp("atif")
    run = data.draw(trajectories)
    documents, losses = export(folder, run)
    for back in again(folder) if documents else []:
        is_same(run, back)
    assert documents or any("left out" in loss for loss in losses)


def test_a_chat_is_told_as_harbor_tells_it(tmp_path, make, step):
    ask = ChatMessage(role="user", content="Price a pear.")
    asks = [
        {"type": "thinking", "thinking": "a pear"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "call1", "name": "price", "input": {"fruit": "pear"}},
    ]
    call = CallRequest(id="call1", name="price", input={"fruit": "pear"})
    reply = ChatMessage(role="assistant", content="I look.", calls=(call,), blocks=tuple(asks))
    told = ChatMessage(role="tool", content='{"euro": 0.5}', call_id="call1")
    tool = {"name": "price", "description": "d", "input_schema": {"type": "object"}}
    looked = step(1, "price", {"fruit": "pear"}, {"euro": 0.5})
    looked.llm_call_indices = [0]
    run = replace(
        make("a", steps=1),
        steps=[looked],
        llm_calls=[
            chat(0, [ask], asks, tools=[tool], cached_tokens=3),
            chat(1, [ask, reply, told], "0.5 euro", tools=[tool]),
        ],
        reward=1.0,
        cost_usd=0.25,
        agent="shop",
    )
    (document,), losses = export(tmp_path, run)
    assert losses == []
    steps = [strip(each) for each in document["steps"]]
    assert steps == [
        {"step_id": 1, "source": "user", "message": "Price a pear."},
        {
            "step_id": 2, "source": "agent", "timestamp": "1970-01-01T00:01:40+00:00",
            "model_name": "m", "message": "I look.", "reasoning_content": "a pear",
            "tool_calls": [{"tool_call_id": "call1", "function_name": "price",
                            "arguments": {"fruit": "pear"}}],
            "observation": {"results": [
                {"source_call_id": "call1", "content": '{"euro": 0.5}'}
            ]},
            "llm_call_count": 1,
            "metrics": {"prompt_tokens": 10, "completion_tokens": 2, "cached_tokens": 3},
        },
        {
            "step_id": 3, "source": "agent", "timestamp": "1970-01-01T00:01:41+00:00",
            "model_name": "m", "message": "0.5 euro", "llm_call_count": 1,
            "metrics": {"prompt_tokens": 10, "completion_tokens": 2},
        },
    ]  # fmt: skip
    assert document["final_metrics"] == {
        "total_prompt_tokens": 20, "total_completion_tokens": 4, "total_cached_tokens": 3,
        "total_cost_usd": 0.25, "total_steps": 3,
    }  # fmt: skip
    function = {"name": "price", "description": "d", "parameters": {"type": "object"}}
    assert document["agent"]["tool_definitions"] == [{"type": "function", "function": function}]
    assert (document["agent"]["name"], document["trajectory_id"]) == ("shop", "a")
    (back,) = again(tmp_path)
    is_same(run, back)
    assert back.source_format == "atif"


def strip(value):
    """Without looplet's own extras."""
    if isinstance(value, list):
        return [strip(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: strip(each) for name, each in value.items() if name != "extra"}


def test_prompts_made_anew_are_steps_and_come_back_as_they_were_sent(tmp_path, make):
    head = ChatMessage(role="system", content="Be brief.")
    one, two = (ChatMessage(role="user", content=text) for text in ("Go.", "Go. You did a."))
    kept = ChatMessage(role="assistant", content="a")
    calls = [chat(0, [head, one], "a"), chat(1, [head, two], "b"), chat(2, [head, kept, two], "c")]
    run = replace(make("a", steps=1), steps=[], llm_calls=calls)
    (document,), _ = export(tmp_path, run)
    told = [
        (each["source"], each["message"], each.get("is_copied_context", False))
        for each in document["steps"]
    ]
    assert told == [
        ("system", "Be brief.", False), ("user", "Go.", False), ("agent", "a", False),
        ("user", "Go. You did a.", False), ("agent", "b", False),
        ("agent", "a", True), ("user", "Go. You did a.", False), ("agent", "c", False),
    ]  # fmt: skip
    (back,) = again(tmp_path)
    assert [list(call.messages) for call in back.llm_calls] == [
        list(call.messages) for call in calls
    ]


def test_calls_within_a_tool_are_trajectories_of_their_own(tmp_path, make, step):
    ask = ChatMessage(role="user", content="Think.")
    within = chat(1, [ask], "thought", scope="tool:think", step_num=1)
    looked = step(1, "think", {}, "thought")
    looked.llm_call_indices = [0]
    use = [{"type": "tool_use", "id": "call1", "name": "think", "input": {}}]
    run = replace(make("a", steps=1), steps=[looked], llm_calls=[chat(0, [ask], use), within])
    (document,), _ = export(tmp_path, run)
    (result,) = document["steps"][1]["observation"]["results"]
    assert result["subagent_trajectory_ref"] == [{"trajectory_id": "tool:think"}]
    (inner,) = document["subagent_trajectories"]
    assert [each["message"] for each in inner["steps"]] == ["Think.", "thought"]
    assert document["final_metrics"]["total_prompt_tokens"] == 20
    is_same(run, again(tmp_path)[0])


def test_a_run_without_calls_tells_its_task_and_that_nobody_counted(tmp_path, make):
    run = replace(make("a/b"), llm_calls=[])
    (document,), _ = export(tmp_path, run)
    assert [path.name for path in tmp_path.iterdir()] == ["000001-a_b.json"]
    assert document["steps"][0]["message"] == "goal: a/b"
    assert all("llm_call_count" not in each for each in document["steps"])
    is_same(run, again(tmp_path)[0])


def test_what_cannot_be_told_is_a_loss_and_the_rest_is_written(tmp_path, make):
    picture = ChatMessage(role="user", content="See.", blocks=({"type": "image", "data": "x"},))
    seen = replace(make("seen", steps=1), llm_calls=[chat(0, [picture], "a pear")])
    broken = replace(seen, started_at=seen.started_at.replace(tzinfo=None))
    runs = [Trajectory(trajectory_id="none", run_id="r"), broken, seen]
    documents, losses = export(tmp_path, *runs)
    assert [each["trajectory_id"] for each in documents] == ["seen"]
    assert all("left out" in loss for loss in losses[:2])
    assert "image" in losses[2]


@pytest.mark.parametrize("number", [float("inf"), 1e300])
def test_numbers_that_json_or_a_calendar_lacks_come_back(number, tmp_path, make):
    run = replace(make("a"), cost_usd=number)
    run.llm_calls[0].timestamp = number
    (document,), _ = export(tmp_path, run)
    assert "timestamp" not in document["steps"][2]
    is_same(run, again(tmp_path)[0])


def test_a_run_without_a_name_has_no_session(tmp_path, make):
    run = replace(make("a"), run_id=None)
    (document,), _ = export(tmp_path, run)
    assert "session_id" not in document
    is_same(run, again(tmp_path)[0])
