"""tau-bench results: messages, tool results, rewards."""

from __future__ import annotations

import json
from collections import defaultdict
from math import comb

import pytest

SYSTEM = {"role": "system", "content": "Sell fruit."}
HELLO = {"role": "user", "content": "What is a pear?"}


def call(name, arguments, call_id="c1"):
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": call_id, "type": "function", "function": function}


def asks(*calls, text=None):
    return {"role": "assistant", "content": text, "tool_calls": list(calls)}


def tells(content, call_id="c1", name="price"):
    return {"role": "tool", "tool_call_id": call_id, "name": name, "content": content}


def result(*traj, **more):
    return {"task_id": 3, "trial": 1, "reward": 1.0, "info": {}, "traj": list(traj), **more}


def test_a_run_has_steps_calls_and_messages(write, read, stored):
    info = {
        "task": {"user_id": "u1", "instruction": "Ask.", "actions": [{"name": "price"}]},
        "user_cost": 0.25,
    }
    source = result(
        SYSTEM,
        HELLO,
        asks(call("price", {"fruit": "pear"}), text="I look."),
        tells("0.55"),
        {"role": "assistant", "content": "It costs 0.55."},
        {"role": "user", "content": "###STOP###"},
        info=info,
        note="kept",
    )
    run = read(write([source])).run
    (step,) = run.steps
    assert (step.tool_call.tool, step.tool_call.args) == ("price", {"fruit": "pear"})
    assert (step.tool_call.reasoning, step.tool_call.call_id) == ("I look.", "c1")
    assert (step.tool_result.data, step.tool_result.error) == ("0.55", None)
    assert [len(each.messages) for each in run.llm_calls] == [2, 4]
    assert run.llm_calls[0].response[1]["name"] == "price"
    assert run.llm_calls[1].response == "It costs 0.55."
    assert run.llm_calls[0].system_prompt == "Sell fruit."
    assert (run.task_id, run.trial, run.reward, run.stop_reason) == ("3", 1, 1.0, "done")
    assert run.task == {"user_id": "u1", "instruction": "Ask."}
    assert run.expected == {"actions": [{"name": "price"}]}
    assert run.final_output == "It costs 0.55."
    assert run.metadata["info"] == {"user_cost": 0.25}
    assert run.metadata["note"] == "kept"
    assert run.metadata["messages_after_last_call"] == [{"role": "user", "content": "###STOP###"}]
    assert step.llm_call_indices == [0]
    stored([run])


def test_what_is_not_known_is_null_and_not_zero(write, read):
    run = read(write([result(HELLO, {"role": "assistant", "content": "A fruit."})])).run
    (model_call,) = run.llm_calls
    assert (model_call.input_tokens, model_call.output_tokens) == (None, None)
    assert (model_call.timestamp, model_call.duration_ms, model_call.model) == (None, None, None)
    assert (model_call.temperature, model_call.max_tokens) == (None, None)
    assert (run.input_tokens, run.output_tokens, run.stop_reason) == (None, None, None)
    unknown = {"task_id": 1, "trial": 0, "traj": []}
    assert read(write([unknown])).run.reward is None


def test_agents_that_act_in_text_have_steps(write, read):
    asks_price = 'Thought:\nI look.\nAction:\n{"name": "price", "arguments": {"fruit": "pear"}}'
    says = 'Action:\n{"name": "respond", "arguments": {"content": "0.55"}}'
    traj = [
        SYSTEM,
        HELLO,
        {"role": "assistant", "content": asks_price},
        {"role": "user", "content": "API output: 0.55"},
        {"role": "assistant", "content": asks_price.replace("pear", "fig")},
        {"role": "user", "content": "API output: Error: none"},
        {"role": "assistant", "content": says},
        {"role": "user", "content": "###STOP###"},
    ]
    run = read(write([result(*traj)])).run
    assert [step.tool_call.args for step in run.steps] == [{"fruit": "pear"}, {"fruit": "fig"}]
    assert [step.tool_result.data for step in run.steps] == ["0.55", None]
    assert run.steps[1].tool_result.error == "Error: none"
    assert run.steps[0].tool_call.reasoning == "Thought:\nI look."
    assert (len(run.llm_calls), run.stop_reason) == (3, "done")
    assert run.steps[1].llm_call_indices == [1]


def test_handing_over_to_people_ends_a_run(write, read):
    traj = [HELLO, asks(call("transfer_to_human_agents", {})), tells("Transfer successful")]
    assert read(write([result(*traj)])).run.stop_reason == "done"
    assert read(write([result(*traj[:2], tells("x"), HELLO)])).run.stop_reason is None


def test_errors_of_tools_are_errors(write, read):
    traj = [HELLO, asks(call("price", {})), tells("Error: no such fruit")]
    run = read(write([result(*traj)])).run
    assert run.n_tool_errors == 1
    assert run.steps[0].tool_result.error == "Error: no such fruit"


def test_results_find_their_calls_and_calls_without_result_are_steps(write, read):
    calls = asks(call("price", {"n": 1}, "a"), call("price", {"n": 2}, "b"))
    run = read(write([result(HELLO, calls, tells("two", "b"), tells("lost", "z"))])).run
    one, two, lost = run.steps
    assert (one.tool_result.data, two.tool_result.data) == (None, "two")
    assert "no result" in one.tool_result.warnings[0]
    assert two.tool_result.warnings == []
    assert (lost.tool_call.tool, lost.tool_result.data) == ("price", "lost")
    assert "no call" in lost.tool_result.warnings[0]


def test_a_run_that_ended_in_an_error_says_so(write, read):
    info = {"error": "boom", "traceback": "deep"}
    run = read(write([result(reward=0.0, info=info)])).run
    assert (run.stop_reason, run.error, run.steps) == ("error", "boom", [])
    assert run.metadata["info"] == info


@pytest.mark.parametrize("given", ['{"n": ', "[1]", '"x"', "", None])
def test_arguments_that_are_no_object_are_kept(given, write, read):
    asked = {"id": "a", "function": {"name": "price", "arguments": given}}
    run = read(write([result(asks(asked))])).run
    assert run.steps[0].tool_call.args == ({"_raw_arguments": given} if given else {})


def test_the_published_figures_come_out(shared, read, stored):
    found = read(shared("tau-bench/gpt-4o-airline.json"))
    assert found.problems == []
    runs = stored(found.runs)
    raw = json.loads(shared("tau-bench/gpt-4o-airline.json").read_text())
    roles = [message["role"] for record in raw for message in record["traj"]]
    assert len(runs) == len(raw) == 200
    assert sum(len(run.steps) for run in runs) == roles.count("tool") == 1164
    assert sum(run.n_tool_errors for run in runs) == 73
    assert sum(len(run.llm_calls) for run in runs) == roles.count("assistant")
    assert sum(map(said, runs)) == len(roles)
    assert sum(run.reward == 1.0 for run in runs) == 84
    assert [round(pass_hat(runs, k), 4) for k in (1, 2, 3, 4)] == [0.42, 0.2733, 0.22, 0.2]


def said(run):
    """How many messages a run has: those of the last call, its reply, and those after."""
    last = run.llm_calls[-1]
    return len(last.messages) + 1 + len(run.metadata.get("messages_after_last_call", ()))


def pass_hat(runs, k):
    """Mean over tasks of C(c, k) / C(n, k)."""
    tasks = defaultdict(list)
    for run in runs:
        tasks[run.task_id].append(run.reward == 1.0)
    assert {len(trials) for trials in tasks.values()} == {4}
    assert len(tasks) == 50
    return sum(comb(sum(won), k) / comb(len(won), k) for won in tasks.values()) / len(tasks)
