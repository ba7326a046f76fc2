"""SWE-agent trajectories: steps, history, what the model was sent, how it ended."""

from __future__ import annotations

import json

import pytest

from tests.trajectory.importers.counting import messages_of, shared_files

SYSTEM = {"role": "system", "content": "Mend it.", "agent": "main", "message_type": "system_prompt"}
ISSUE = {"role": "user", "content": "It is broken.", "agent": "main"}


def step(action, observation="ok", **more):
    return {"action": action, "observation": observation, "thought": "hm", **more}


def native(name, args, text="Look.", call_id="c1", action="open x"):
    function = {"name": name, "arguments": json.dumps(args)}
    call = {"id": call_id, "type": "function", "function": function}
    return {
        "role": "assistant",
        "content": text,
        "thought": text,
        "action": action,
        "agent": "main",
        "tool_calls": [call],
    }


def told(content="ok", call_id="c1"):
    return {"role": "tool", "content": content, "agent": "main", "tool_call_ids": [call_id]}


def traj(trajectory, history, **more):
    return {"environment": "swe_main", "trajectory": trajectory, "history": history, **more}


def test_steps_take_tools_from_native_calls_and_results_from_observations(write, read, stored):
    info = {
        "exit_status": "submitted",
        "submission": "diff",
        "model_stats": {"instance_cost": 0.5, "tokens_sent": 9},
    }
    config = {
        "agent": {"model": {"name": "some-model"}},
        "problem_statement": {"id": "repo-1", "text": "It is broken."},
    }
    source = traj(
        [
            step("open x", "[x]", response="Look.", execution_time=0.25, state={"file": "x"}),
            step("submit", "diff", response="Done."),
        ],
        [SYSTEM, ISSUE, native("open", {"path": "x"}), told("[x]\n(cwd)")],
        info=info,
        replay_config=json.dumps(config),
    )
    run = read(write(source, "repo-9.traj")).run
    first, last = run.steps
    assert (first.tool_call.tool, first.tool_call.args) == ("open", {"path": "x"})
    assert (first.tool_result.data, first.duration_ms) == ("[x]", 250.0)
    assert first.metadata == {"action": "open x", "state": {"file": "x"}}
    assert (last.tool_call.tool, last.tool_call.args) == ("submit", {"command": "submit"})
    assert [len(call.messages) for call in run.llm_calls] == [2, 4]
    assert run.llm_calls[1].response == "Done."
    assert [each.llm_call_indices for each in run.steps] == [[0], [1]]
    assert (run.task_id, run.model, run.agent) == ("repo-1", "some-model", "SWE-agent")
    assert run.task == config["problem_statement"]
    assert (run.stop_reason, run.final_output, run.cost_usd) == ("done", "diff", 0.5)
    assert run.metadata["info"]["model_stats"]["tokens_sent"] == 9
    assert run.metadata["environment"] == "swe_main"
    assert run.input_tokens is None
    stored([run])


def test_actions_in_text_are_commands_of_the_agent_or_of_the_shell(write, read):
    steps = [step("edit 1:1\nx\nend_of_edit\n"), step("ls -a"), step("  "), step("")]
    run = read(write(traj(steps, [SYSTEM, ISSUE]), "a__b-3.traj")).run
    assert [each.tool_call.tool for each in run.steps] == ["edit", "bash", "no_action", "no_action"]
    assert run.steps[1].tool_call.args == {"command": "ls -a"}
    assert (run.task_id, run.task) == ("a__b-3", {"prompt": "It is broken."})


def test_demonstrations_are_no_turns_of_the_model(write, read):
    demo = [{**native("ls", {}), "is_demo": True}, {**told(), "is_demo": True}]
    history = [SYSTEM, *demo, ISSUE, native("ls", {"a": 1}, text="Now."), told()]
    run = read(write(traj([step("open x", response="Now.")], history))).run
    assert [each.tool_call.args for each in run.steps] == [{"a": 1}]
    assert [len(call.messages) for call in run.llm_calls] == [4]
    assert run.task == {"prompt": "It is broken."}


def test_attempts_that_the_history_leaves_out_are_steps_and_calls(write, read):
    steps = [
        step("", "wrong form", response="Hmm."),
        step("ls", "a b", response="List."),
        step("submit", "", response="Done."),
    ]
    said = {"role": "assistant", "content": "List.", "action": "ls", "agent": "main"}
    seen = {"role": "user", "content": "a b", "agent": "main"}
    run = read(write(traj(steps, [SYSTEM, ISSUE, said, seen]))).run
    assert [call.response for call in run.llm_calls] == ["Hmm.", "List.", "Done."]
    assert [len(call.messages) for call in run.llm_calls] == [2, 2, 4]
    assert [each.llm_call_indices for each in run.steps] == [[0], [1], [2]]


def test_what_the_model_was_sent_is_what_the_step_says(write, read, stored):
    query = [{"role": "system", "content": "Mend it."}, {"role": "user", "content": "short"}]
    history = [SYSTEM, ISSUE, native("open", {"path": "x"}), told()]
    run = read(write(traj([step("open x", response="Look.", query=query)], history))).run
    (call,) = run.llm_calls
    assert [message.content for message in call.messages] == ["Mend it.", "short"]
    assert "query" not in run.steps[0].metadata
    stored([run])


def test_marks_for_a_cache_make_no_other_message_of_one(write, read):
    mark = {"cache_control": {"type": "ephemeral"}}
    text = [{"type": "text", "text": "It is broken.", **mark}]
    steps = [
        step("open x", response="Look.", query=[SYSTEM, {**ISSUE, "content": text}]),
        step("submit", response="Done.", query=[SYSTEM, ISSUE]),
    ]
    run = read(write(traj(steps, [SYSTEM, ISSUE, native("open", {"path": "x"}), told()]))).run
    one, two = run.llm_calls
    assert one.messages == two.messages
    assert one.messages[1].content == "It is broken."


def test_attempts_of_which_none_was_chosen_are_runs(write, read):
    tries = [traj([step("ls")], [SYSTEM, ISSUE]), traj([step("pwd")], [SYSTEM, ISSUE])]
    found = read(write({"attempts": tries}))
    assert found.problems == []
    assert [run.steps[0].tool_call.args["command"] for run in found.runs] == ["ls", "pwd"]
    best = traj([step("pwd")], [SYSTEM, ISSUE], attempts=tries)
    assert len(read(write(best)).run.metadata["attempts"]) == 2


def test_thoughts_of_a_model_are_kept_and_stand_once(write, read, stored):
    thought = {"type": "thinking", "thinking": "so", "signature": "s"}
    first = {**native("open", {"path": "x"}), "thinking_blocks": [thought]}
    history = [SYSTEM, ISSUE, first, told(), {**native("submit", {}, "End."), "agent": "main"}]
    steps = [step("open x", response="Look."), step("submit", response="End.")]
    run = read(write(traj(steps, history))).run
    assert run.llm_calls[0].response[0] == thought
    assert run.llm_calls[1].messages[2].blocks[0] == thought
    stored([run])


def test_a_history_alone_has_steps_too(write, read):
    history = [SYSTEM, ISSUE, native("open", {"path": "x"}), told("[x]")]
    run = read(write({"history": history})).run
    assert [(each.tool_call.tool, each.tool_result.data) for each in run.steps] == [("open", "[x]")]
    said = {"role": "assistant", "content": "List.", "action": "ls", "agent": "a"}
    seen = {"role": "user", "content": "a b", "agent": "a"}
    run = read(write({"history": [SYSTEM, ISSUE, said, seen]})).run
    assert [(each.tool_call.tool, each.tool_result.data) for each in run.steps] == [("bash", "a b")]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("submitted", "done"),
        ("exit_cost", "budget_exhausted"),
        ("exit_api", "llm_error"),
        ("submitted (exit_cost)", None),
        (None, None),
    ],
)
def test_how_it_ended_in_looplets_words_where_they_are_clear(status, reason, write, read):
    run = read(write(traj([step("ls")], [SYSTEM], info={"exit_status": status}))).run
    assert run.stop_reason == reason
    assert (run.metadata.get("info") or {}).get("exit_status") == status


def test_a_run_that_never_began_has_no_steps(write, read):
    run = read(write(traj([], [SYSTEM, ISSUE], info={"exit_status": "exit_error"}))).run
    assert (run.steps, run.llm_calls, run.stop_reason) == ([], [], "error")
    assert len(run.metadata["messages_after_last_call"]) == 2


def test_what_is_wrong_is_told_with_its_place(write, read):
    found = read(write(traj([step("ls"), {"action": 3, "observation": ""}], [SYSTEM])))
    assert found.told == ["$.trajectory[1].action: is not a text: 3"]
    found = read(write(traj([step("ls")], [SYSTEM, {"role": "robot", "content": ""}])))
    assert found.told == ["$.history[1].role: is not a role: 'robot'"]


@pytest.mark.parametrize("name", shared_files("swe-agent-traj/**/*.traj"))
def test_real_files_have_as_many_steps_calls_and_messages_as_they_say(name, shared, read, stored):
    path = shared(name)
    (run,) = stored([read(path).run])
    raw = json.loads(path.read_text())
    turns = [each for each in raw["history"] if each["role"] == "assistant"]
    steps = raw.get("trajectory", turns)
    untold = len(steps) - len(turns)  # the last response is not in every history
    assert untold in {0, 1}
    assert len(run.steps) == len(steps)
    assert len(run.llm_calls) == len(turns) + untold
    assert messages_of(run) == len(raw["history"]) + untold
    named = [call["function"]["name"] for each in turns for call in each.get("tool_calls", ())]
    assert [each.tool_call.tool for each in run.steps][: len(named)] == named
    observed = [each["observation"] for each in raw.get("trajectory", ())]
    assert not observed or [each.tool_result.data for each in run.steps] == observed
    assert not any(each.tool_result.warnings for each in run.steps)
