"""ATIF in: conversations, tools, metrics, sub-agents, and what agents of harbor write."""

from __future__ import annotations

import pytest

CALL = {"tool_call_id": "c1", "function_name": "price", "arguments": {"fruit": "pear"}}
USER = {"source": "user", "message": "What does a pear cost?"}


def agent(message="", *calls, results=(), **more):
    step = {"source": "agent", "message": message, **more}
    step |= {"tool_calls": list(calls)} if calls else {}
    return step | ({"observation": {"results": list(results)}} if results else {})


def atif(*steps, version="1.7", **more):
    numbered = [{"step_id": number, **step} for number, step in enumerate(steps, 1)]
    about = {"name": "shop", "version": "2", "model_name": "m"}
    return {"schema_version": f"ATIF-v{version}", "agent": about, "steps": numbered, **more}


def tell(content, call_id=None, **more):
    named = {} if call_id is None else {"source_call_id": call_id}
    return {**named, "content": content, **more}


@pytest.mark.parametrize("minor", range(9))
def test_a_run_has_steps_calls_and_messages(minor, write, read, stored):
    asks = agent(
        "I look.", {**CALL, "extra": {"timeout": 3}},
        results=[tell("0.55", "c1", extra={"score": 1})],
        timestamp="2026-01-01T00:00:01Z", model_name="n", reasoning_effort="high",
        reasoning_content="a pear", llm_call_count=1, extra={"note": "x"},
        metrics={"prompt_tokens": 9, "completion_tokens": 2, "cached_tokens": 4, "cost_usd": 0.1,
                 "logprobs": [-0.5], "extra": {"m": 1}},
    )  # fmt: skip
    source = atif(
        {"source": "system", "message": "Sell fruit."},
        USER | {"timestamp": "2026-01-01T00:00:00Z"},
        asks,
        agent("It costs 0.55.", metrics={"cost_usd": 0.2}, timestamp="2026-01-01T00:00:09Z"),
        version=f"1.{minor}",
        session_id="s1",
        trajectory_id="t1",
        notes="kept",
        final_metrics={"total_steps": 4},
    )
    source["agent"]["tool_definitions"] = [{"type": "function", "function": {"name": "price"}}]
    run = read(write(source)).run
    (step,) = run.steps
    assert (step.tool_call.tool, step.tool_call.args) == ("price", {"fruit": "pear"})
    assert (step.tool_call.reasoning, step.tool_call.metadata) == ("I look.", {"timeout": 3})
    assert (step.tool_result.data, step.tool_result.metadata) == ("0.55", {"score": 1})
    first, last = run.llm_calls
    assert [message.role for message in last.messages] == ["system", "user", "assistant", "tool"]
    assert [block["type"] for block in first.response] == ["thinking", "text", "tool_use"]
    assert (first.model, last.model, last.response) == ("n", "m", "It costs 0.55.")
    assert (first.input_tokens, first.output_tokens, first.cached_tokens) == (9, 2, 4)
    assert (last.input_tokens, last.timestamp) == (None, 1767225609.0)
    assert first.params == {"reasoning_effort": "high"}
    assert first.tools == source["agent"]["tool_definitions"]
    assert first.metadata == {
        "extra": {"note": "x"}, "llm_call_count": 1, "cost_usd": 0.1, "logprobs": [-0.5],
        "metrics_extra": {"m": 1},
    }  # fmt: skip
    assert (run.run_id, run.agent, run.model) == ("s1", "shop", "m")
    assert run.task == {"prompt": "What does a pear cost?"}
    assert (run.final_output, run.reward, run.stop_reason) == ("It costs 0.55.", None, None)
    assert run.cost_usd == pytest.approx(0.3)
    assert run.duration_ms == 9000
    kept = {name: run.metadata[name] for name in ("trajectory_id", "notes", "agent")}
    assert kept == {"trajectory_id": "t1", "notes": "kept", "agent": {"version": "2"}}
    stored([run])


def test_results_without_a_name_answer_the_last_calls_that_have_none(write, read):
    calls = [{**CALL, "tool_call_id": name} for name in "abcd"]
    results = [tell("named", "d"), tell("seen at the end")]
    run = read(write(atif(USER, agent("", *calls, results=results)))).run
    assert [step.tool_result.data for step in run.steps] == [None, None, "seen at the end", "named"]
    assert [bool(step.tool_result.warnings) for step in run.steps] == [True, True, False, False]


def test_an_observation_of_a_step_without_calls_is_told_to_the_model(write, read):
    steps = [USER, agent("<ls>", results=[tell("a.txt")]), agent("One file.")]
    run = read(write(atif(*steps))).run
    assert run.steps == []
    told = [(message.role, message.content) for message in run.llm_calls[1].messages]
    assert told[1:] == [("assistant", "<ls>"), ("user", "a.txt")]


def test_a_result_of_no_call_of_the_step_is_a_step_with_a_warning(write, read):
    run = read(
        write(atif(USER, agent("", CALL, results=[tell("lost", "z"), tell("ok", "c1")])))
    ).run
    assert [step.tool_result.data for step in run.steps] == ["ok", "lost"]
    assert "no call" in run.steps[1].tool_result.warnings[0]


def test_copied_steps_are_messages_and_no_calls_of_this_run(write, read, stored):
    old = agent("old", CALL, results=[tell("0.5", "c1")], is_copied_context=True,
                metrics={"prompt_tokens": 7})  # fmt: skip
    run = read(write(atif(USER, old, agent("new")))).run
    assert run.steps == []
    (call,) = run.llm_calls
    assert [message.role for message in call.messages] == ["user", "assistant", "tool"]
    assert run.metadata["message_extras"]["1"]["metrics"] == {"prompt_tokens": 7}
    stored([run])


def test_a_step_that_no_model_led_to_is_no_call(write, read):
    run = read(write(atif(USER, agent("", CALL, llm_call_count=0, results=[tell("1", "c1")])))).run
    assert run.llm_calls == []
    assert (run.steps[0].tool_result.data, run.steps[0].llm_call_indices) == ("1", [])


@pytest.mark.parametrize("mark", ["is_error", "tool_result_is_error"])
def test_errors_that_adapters_tell_are_errors(mark, write, read):
    results = [tell("no such fruit", "c1", extra={mark: True})]
    run = read(write(atif(USER, agent("", CALL, results=results)))).run
    assert (run.steps[0].tool_result.error, run.n_tool_errors) == ("no such fruit", 1)


def test_embedded_sub_agents_are_lanes_before_what_they_led_to(write, read, stored):
    inner = atif(USER, agent("0.55", metrics={"prompt_tokens": 3}), trajectory_id="i", notes="n")
    lone = atif(USER, agent("alone"), trajectory_id="i")
    reference = [{"trajectory_id": "i"}]
    asks = agent("", CALL, results=[tell(None, "c1", subagent_trajectory_ref=reference)])
    source = atif(USER, asks, agent("done"), subagent_trajectories=[inner, lone])
    run = read(write(source)).run
    assert [call.lane for call in run.llm_calls] == ["main", "sub:i", "main", "sub:i#2"]
    assert [call.index for call in run.llm_calls] == [0, 1, 2, 3]
    assert run.input_tokens == 3
    assert run.steps[0].tool_result.metadata == {"subagent_trajectory_ref": reference}
    assert run.metadata["subagent_trajectories"][0]["notes"] == "n"
    stored([run])


def test_parts_of_messages_are_kept(write, read):
    source = {"media_type": "image/png", "path": "a.png"}
    parts = [{"type": "text", "text": "See."}, {"type": "image", "source": source}]
    told = agent("", CALL, results=[tell(parts, "c1")])
    run = read(
        write(atif({"source": "user", "message": parts}, told, agent("Seen."), version="1.6"))
    )
    first, _, result = run.run.llm_calls[1].messages
    assert (first.content, result.content) == ("See.", "See.")
    assert first.blocks == result.blocks == tuple(parts)
    assert run.run.steps[0].tool_result.data == parts


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": "1.9"}, "$.schema_version: is not a known version: 'ATIF-v1.9'"),
        ({"source": "robot"}, "$.steps[0].source: is not 'system', 'user' or 'agent': 'robot'"),
        ({"source": ["user"]}, "$.steps[0].source: is not 'system', 'user' or 'agent': "),
        ({"timestamp": "noon"}, "$.steps[0].timestamp: is not a time: 'noon'"),
    ],
)
def test_what_is_not_atif_is_told(change, told, write, read):
    version = change.pop("version", "1.7")
    found = read(write(atif(USER | change, version=version)))
    assert found.runs == []
    assert found.told[0].startswith(told)
