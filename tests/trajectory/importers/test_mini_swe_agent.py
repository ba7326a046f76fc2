"""mini-swe-agent: a list of messages, and the versions that tell more."""

from __future__ import annotations

import json

import pytest

from tests.trajectory.importers.counting import messages_of

SYSTEM = {"role": "system", "content": "Use bash."}
TASK = {"role": "user", "content": "Mend it. End: echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"}


def acts(command, text="THOUGHT: look"):
    return {"role": "assistant", "content": f"{text}\n\n```bash\n{command}\n```"}


def gives(output, code=0):
    content = f"<returncode>{code}</returncode>\n<output>\n{output}</output>"
    return {"role": "user", "content": content}


def native(command, call_id, **extra):
    function = {"name": "bash", "arguments": json.dumps({"command": command})}
    calls = [{"id": call_id, "type": "function", "function": function}]
    return {"role": "assistant", "content": "Look.", "tool_calls": calls, "extra": extra}


def test_a_list_of_messages_is_a_run(write, read, stored):
    messages = [SYSTEM, TASK, acts("ls"), gives("a\n"), acts("grep x a"), gives("", 1)]
    end = [acts("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"), {"role": "user", "content": "diff"}]
    run = read(write(messages + end, "repo-1.traj.json")).run
    assert [each.tool_call.args["command"] for each in run.steps[:2]] == ["ls", "grep x a"]
    assert run.steps[0].tool_result.data == gives("a\n")["content"]
    assert [each.tool_result.metadata.get("returncode") for each in run.steps] == [0, 1, None]
    assert run.steps[0].tool_call.reasoning == "THOUGHT: look"
    assert (len(run.llm_calls), messages_of(run)) == (3, 8)
    assert (run.stop_reason, run.final_output, run.task_id) == ("done", "diff", "repo-1")
    assert run.task == {"prompt": TASK["content"]}
    stored([run])


def test_a_reply_with_no_action_or_several_makes_no_step(write, read):
    several = {"role": "assistant", "content": acts("ls")["content"] * 2}
    wrong = {"role": "user", "content": "Give one action."}
    run = read(write([SYSTEM, TASK, several, wrong, acts("ls"), gives("a")])).run
    assert [each.tool_call.args["command"] for each in run.steps] == ["ls"]
    assert [each.llm_call_indices for each in run.steps] == [[1]]


def test_the_newer_form_tells_tokens_costs_times_and_the_end(write, read, stored):
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    response = {
        "id": "r1",
        "created": 100,
        "model": "some-model-1",
        "choices": [{"finish_reason": "tool_calls", "message": {"content": "Look."}}],
        "usage": usage,
    }
    result = {
        "role": "tool",
        "tool_call_id": "c1",
        "content": "<output>a</output>",
        "extra": {"raw_output": "a", "returncode": 0, "timestamp": 104.5, "exception_info": ""},
    }
    messages = [
        SYSTEM,
        TASK,
        native("ls", "c1", response=response, cost=0.25, actions=[{"command": "ls"}]),
        result,
        native("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT", "c2"),
        {
            "role": "exit",
            "content": "diff",
            "extra": {"exit_status": "Submitted", "submission": "diff"},
        },
    ]
    info = {
        "mini_version": "2.3.0",
        "exit_status": "Submitted",
        "submission": "diff",
        "model_stats": {"instance_cost": 0.5, "api_calls": 2},
        "config": {"model": {"model_name": "maker/some-model"}},
    }
    source = {"info": info, "messages": messages, "trajectory_format": "mini-swe-agent-1.1"}
    run = read(write(source | {"instance_id": "repo-2"})).run
    first, second = run.llm_calls
    assert (first.input_tokens, first.output_tokens, first.cached_tokens) == (10, 3, 4)
    assert (first.model, first.finish_reason, first.timestamp) == (
        "some-model-1",
        "tool_calls",
        100.0,
    )
    assert (second.input_tokens, second.model) == (None, "maker/some-model")
    assert first.metadata["cost"] == 0.25
    one, two = run.steps
    assert (one.tool_result.data, one.timestamp) == ("<output>a</output>", 104.5)
    assert one.tool_result.metadata == {"returncode": 0}
    assert two.tool_result.data == "diff"
    assert (run.stop_reason, run.final_output, run.cost_usd) == ("done", "diff", 0.5)
    assert (run.task_id, run.model) == ("repo-2", "maker/some-model")
    assert run.metadata["info"]["mini_version"] == "2.3.0"
    stored([run])


def test_commands_that_could_not_run_are_errors(write, read):
    failed = {
        "role": "tool",
        "tool_call_id": "c1",
        "content": "<exception>timed out</exception>",
        "extra": {"exception_info": "timed out", "returncode": -1},
    }
    source = {"info": {"mini_version": "2"}, "messages": [SYSTEM, TASK, native("ls", "c1"), failed]}
    run = read(write(source)).run
    assert run.n_tool_errors == 1
    assert run.steps[0].tool_result.error.startswith("timed out")


def test_an_output_that_was_cut_for_the_model_is_kept_whole(write, read):
    cut = {
        "role": "tool",
        "tool_call_id": "c1",
        "content": "<output_head>a</output_head>",
        "extra": {"raw_output": "a" * 99, "returncode": 0},
    }
    source = {"info": {"mini_version": "2"}, "messages": [SYSTEM, TASK, native("ls", "c1"), cut]}
    run = read(write(source)).run
    assert run.steps[0].tool_result.metadata["raw_output"] == "a" * 99


def test_items_of_the_responses_api_are_turns(write, read, stored):
    call = {
        "type": "function_call",
        "call_id": "c1",
        "name": "bash",
        "arguments": json.dumps({"command": "ls"}),
    }
    response = {
        "object": "response",
        "id": "r1",
        "model": "m",
        "created_at": 7,
        "status": "completed",
        "output": [{"type": "reasoning", "id": "rs1", "summary": []}, call],
        "usage": {"input_tokens": 5, "output_tokens": 2},
        "extra": {"actions": [{"command": "ls", "tool_call_id": "c1"}], "cost": 0.1},
    }
    given = {
        "type": "function_call_output",
        "call_id": "c1",
        "output": "a",
        "extra": {"returncode": 0},
    }
    source = {
        "info": {"mini_version": "2", "exit_status": "LimitsExceeded"},
        "messages": [SYSTEM, TASK, response, given],
        "trajectory_format": "mini-swe-agent-1.1",
    }
    run = read(write(source)).run
    assert [(each.tool_call.args, each.tool_result.data) for each in run.steps] == [
        ({"command": "ls"}, "a")
    ]
    (only,) = run.llm_calls
    assert (only.input_tokens, only.timestamp) == (5, 7.0)
    assert only.response[0]["type"] == "reasoning"
    assert only.metadata["cost"] == 0.1
    assert run.stop_reason == "budget_exhausted"
    stored([run])


def test_actions_that_the_agent_read_count_more_than_blocks(write, read):
    message = {"role": "assistant", "content": "No block.", "extra": {"actions": ["ls", "pwd"]}}
    source = {
        "info": {"mini_version": "2"},
        "messages": [SYSTEM, TASK, message, gives("a"), gives("b")],
    }
    run = read(write(source)).run
    assert [each.tool_call.args["command"] for each in run.steps] == ["ls", "pwd"]
    assert [each.tool_result.data for each in run.steps] == [
        gives("a")["content"],
        gives("b")["content"],
    ]


def test_a_run_that_broke_says_so(write, read):
    info = {"mini_version": "1", "exit_status": "KeyError", "traceback": "Traceback: KeyError"}
    run = read(write({"info": info, "messages": [SYSTEM, TASK]})).run
    assert (run.stop_reason, run.error) == ("error", "Traceback: KeyError")


def test_other_chats_are_not_taken_for_its_runs(write, read):
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "```bash\nls\n```"}]
    for value in (chat, {"messages": chat}):
        assert read(write(value)).run.source_format == "openai-messages"


@pytest.mark.parametrize("given", [[], {}, {"messages": 3}, {"messages": [4]}, "null"])
def test_what_is_no_run_is_told_whoever_insists(given, write, read):
    found = read(write(given), format="mini-swe-agent")
    assert found.runs == []
    assert found.problems or given == []


@pytest.mark.parametrize("name", ["github_issue", "local"])
def test_real_files_have_as_many_steps_calls_and_messages_as_they_say(name, shared, read, stored):
    path = shared(f"swe-agent-traj/mini/tests/test_data/{name}.traj.json")
    (run,) = stored([read(path).run])
    raw = json.loads(path.read_text())
    turns = [each["content"] for each in raw if each["role"] == "assistant"]
    assert len(run.steps) == sum("```mswea_bash_command\n" in text for text in turns)
    assert len(run.llm_calls) == len(turns)
    assert messages_of(run) == len(raw)
    answers = [raw[place + 1]["content"] for place in range(2, len(raw), 2)]
    assert [each.tool_result.data for each in run.steps] == answers
    assert (run.stop_reason, run.final_output) == ("done", raw[-1]["content"])
