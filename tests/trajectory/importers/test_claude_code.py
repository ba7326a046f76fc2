"""Claude Code's session files: replies over several lines, sub-agents, going back, odd lines."""

from __future__ import annotations

import json

import pytest

SESSION = "5a6b"


class Lines:
    """Writes lines as Claude Code does, each after the one before."""

    def __init__(self, **envelope):
        self.values = []
        self.last = None
        self.envelope = {
            "sessionId": SESSION, "version": "2.1.0", "cwd": "/shop", "gitBranch": "main",
            "isSidechain": False, "userType": "external", **envelope,
        }  # fmt: skip

    def add(self, kind, message=None, *, after=..., **more):
        name = f"{self.envelope.get('agentId', 'u')}{len(self.values)}"
        parent = self.last if after is ... else after
        line = {"type": kind, "uuid": name, "parentUuid": parent, **self.envelope}
        line["timestamp"] = f"2026-01-02T03:04:{len(self.values):02d}.000Z"
        if message is not None:
            line["message"] = message
        self.values.append(line | more)
        self.last = name
        return name

    def user(self, content, **more):
        return self.add("user", {"role": "user", "content": content}, **more)

    def says(self, name, *blocks, **more):
        message = {
            "id": name, "type": "message", "role": "assistant", "model": "claude-x",
            "content": list(blocks), "stop_reason": more.pop("stop", None),
            "usage": {"input_tokens": 3, "cache_read_input_tokens": 7, "output_tokens": 2},
        }  # fmt: skip
        return self.add("assistant", message, requestId=f"req_{name}", **more)

    def gives(self, call_id, content, result=None, **more):
        block = {"type": "tool_result", "tool_use_id": call_id, "content": content}
        given = {} if result is None else {"toolUseResult": result}
        block |= {"is_error": True} if more.pop("failed", False) else {}
        return self.user([block], **given, **more)


def text(words):
    return {"type": "text", "text": words}


def use(name, call_id, **given):
    return {"type": "tool_use", "id": call_id, "name": name, "input": given}


def jsonl(*parts):
    values = [line for part in parts for line in (part.values if isinstance(part, Lines) else part)]
    return "".join(json.dumps(line) + "\n" for line in values)


def roles(call):
    return [message.role for message in call.messages]


def said(call):
    return [message.content for message in call.messages]


def test_a_session_is_a_run_and_a_reply_over_several_lines_is_one_call(write, read, stored):
    lines = Lines()
    lines.user("Price fruit.")
    lines.says("m1", {"type": "thinking", "thinking": "Two.", "signature": "s"})
    lines.says("m1", use("Bash", "a", command="pear"))
    lines.gives("a", "0.55", {"stdout": "0.55", "durationMs": 12})  # before the reply is over
    lines.says("m1", use("Bash", "b", command="fig"), stop="tool_use")
    lines.gives("b", "no such fruit", "Error: no such fruit", failed=True)
    lines.says("m2", text("A pear is 0.55."), stop="end_turn")
    head = [{"type": "summary", "summary": "Fruit", "leafUuid": "x"}]
    run = read(write(jsonl(head, lines), "a.jsonl")).run
    stored([run])
    assert (run.source_format, run.run_id, run.model) == ("claude-code", SESSION, "claude-x")
    pear, fig = run.steps
    assert (pear.tool_call.args, pear.tool_result.data) == ({"command": "pear"}, "0.55")
    assert (pear.duration_ms, pear.tool_result.metadata["toolUseResult"]["stdout"]) == (12, "0.55")
    assert (fig.tool_result.error, fig.tool_result.data) == ("no such fruit", None)
    assert [step.llm_call_indices for step in run.steps] == [[0], [0]]
    one, two = run.llm_calls
    assert [block["type"] for block in one.response] == ["thinking", "tool_use", "tool_use"]
    assert (one.finish_reason, one.input_tokens, one.cached_tokens) == ("tool_use", 10, 7)
    assert (roles(two), run.final_output) == (
        ["user", "assistant", "tool", "tool"],
        "A pear is 0.55.",
    )
    assert one.metadata["requestId"] == "req_m1"
    assert run.task == {"prompt": "Price fruit."}
    assert (run.metadata["titles"], run.metadata["version"]) == (["Fruit"], "2.1.0")
    assert run.duration_ms == 6000
    assert one.timestamp + 5 == two.timestamp == run.started_at.timestamp() + 6


def test_versions_that_write_a_reply_again_and_again_have_it_once(write, read):
    lines = Lines()
    lines.user("Go.")
    lines.says("m1", text("I look."))
    lines.says("m1", text("I look."), use("Read", "a", path="x"))
    lines.says("m1", text("I look."), use("Read", "a", path="x"), use("Read", "b", path="y"))
    lines.gives("a", "1")
    lines.gives("b", "2")
    run = read(write(jsonl(lines, lines))).run  # a resume repeats all of it
    assert [step.tool_result.data for step in run.steps] == ["1", "2"]
    assert len(run.llm_calls) == 1
    assert [block["type"] for block in run.llm_calls[0].response] == [
        "text",
        "tool_use",
        "tool_use",
    ]
    assert run.metadata["other_lines"] == {"repeated": 6}


def test_sub_agents_are_runs_of_their_own(write, read):
    main, one, old = Lines(), Lines(isSidechain=True, agentId="ag1"), Lines(isSidechain=True)
    main.user("Ask around.")
    asked = main.says("m1", use("Task", "t", prompt="Look."), use("Task", "o", prompt="Look, too."))
    one.user("Look.", after=asked)
    one.says("s1", use("Grep", "g", pattern="x"))
    one.gives("g", "found")
    one.says("s2", text("It is there."))
    old.envelope["sessionId"] = SESSION
    old.values = [{"type": "progress", "sessionId": SESSION}]  # so that names are its own
    old.user("Look, too.", uuid="v1", after=None)
    old.says("s3", text("Nothing."), uuid="v2", after="v1")
    main.gives("t", [text("It is there.")], {"agentId": "ag1", "totalDurationMs": 5})
    main.gives("o", "Nothing.")
    main.says("m2", text("Found."))
    found = read(write(jsonl(main, one, old)))
    assert found.problems == []
    session, named, nameless = found.runs
    assert [len(run.llm_calls) for run in found.runs] == [2, 2, 1]
    assert [run.final_output for run in found.runs] == ["Found.", "It is there.", "Nothing."]
    assert [run.run_id for run in found.runs] == [SESSION, f"{SESSION}/ag1", f"{SESSION}/v1"]
    assert (named.metadata["is_sidechain"], named.metadata["agent_id"]) == (True, "ag1")
    assert "is_sidechain" not in session.metadata
    assert session.steps[0].duration_ms == 5
    assert said(nameless.llm_calls[0]) == ["Look, too."]


def test_a_time_that_is_none_is_told_and_its_line_is_kept(write, read):
    lines = Lines()
    lines.user("Go.")
    lines.says("m1", use("Read", "a", path="x"), timestamp="yesterday")
    lines.gives("a", "1", timestamp=None)
    lines.says("m2", text("Done."), timestamp=[2026])
    found = read(write(jsonl(lines)))
    (run,) = found.runs
    assert [problem.message for problem in found.problems] == [
        "is not a time: 'yesterday'", "is not a number: a list of 1",
    ]  # fmt: skip
    assert all(problem.place.endswith("timestamp") for problem in found.problems)
    assert [call.timestamp for call in run.llm_calls] == [None, None]
    assert (run.steps[0].tool_result.data, run.final_output) == ("1", "Done.")
    assert run.started_at == run.ended_at


def test_going_back_takes_back_what_was_said(write, read):
    lines = Lines()
    lines.user("Start.")
    ready = lines.says("m1", text("Ready."))
    lines.user("One way.")
    first = lines.says("m2", text("So."))
    lines.add("system", subtype="turn_duration", durationMs=1, after=ready)
    lines.user("Another way.")
    lines.says("m3", text("Thus."))
    lines.user("On.")
    lines.says("m4", text("Done."))
    lines.user("Rather one way on.", after=first)
    lines.says("m5", text("Well."))
    run = read(write(jsonl(lines))).run
    sent = [said(call) for call in run.llm_calls]
    assert sent[1] == ["Start.", "Ready.", "One way."]
    assert sent[2] == ["Start.", "Ready.", "Another way."]
    assert sent[3] == ["Start.", "Ready.", "Another way.", "Thus.", "On."]
    assert sent[4] == ["Start.", "Ready.", "One way.", "So.", "Rather one way on."]
    assert run.metadata["system"] == [{"subtype": "turn_duration", "durationMs": 1}]
    assert "messages_after_last_call" not in run.metadata


def test_results_of_calls_side_by_side_are_no_going_back(write, read):
    lines = Lines()
    lines.user("Go.")
    one = lines.says("m1", use("Read", "a"))
    two = lines.says("m1", use("Read", "b"))
    lines.gives("a", "1", after=one)
    lines.gives("b", "2", after=two)
    lines.says("m2", text("Both."))
    run = read(write(jsonl(lines))).run
    assert roles(run.llm_calls[1]) == ["user", "assistant", "tool", "tool"]


def test_a_summary_of_what_was_said_takes_its_place(write, read):
    lines = Lines()
    lines.user("Start.")
    lines.says("m1", text("Ready."))
    before = {"logicalParentUuid": lines.last, "after": None}
    lines.add("system", subtype="compact_boundary", content="Compacted", **before)
    lines.user("So far: ready.", isCompactSummary=True)
    lines.user("On.")
    lines.says("m2", text("Done."))
    run = read(write(jsonl(lines))).run
    assert said(run.llm_calls[1]) == ["So far: ready.", "On."]
    assert run.metadata["system"] == [{"subtype": "compact_boundary", "content": "Compacted"}]
    assert run.task == {"prompt": "Start."}


def test_what_the_api_failed_with_is_a_failed_call_and_words_of_nobody_are_no_call(write, read):
    lines = Lines()
    lines.user("<command-name>/clear</command-name>", isMeta=True)
    lines.user("Go.")
    nobody = {"role": "assistant", "model": "<synthetic>", "content": [text("No response needed.")]}
    lines.add("assistant", nobody)
    failure = {"role": "assistant", "model": "<synthetic>", "content": [text("API Error: 529")]}
    lines.add("assistant", failure, isApiErrorMessage=True)
    run = read(write(jsonl(lines))).run
    (failed,) = run.llm_calls
    assert (failed.error, failed.response) == ("API Error: 529", None)
    assert (run.stop_reason, run.error) == ("llm_error", "API Error: 529")
    assert run.task == {"prompt": "Go."}
    lines.says("m1", text("Here."))
    run = read(write(jsonl(lines))).run
    assert (run.stop_reason, run.error, run.final_output) == (None, None, "Here.")


def test_lines_of_unknown_types_are_counted_and_malformed_ones_told(write, read):
    lines = Lines()
    lines.user("Go.")
    lines.add("attachment", attachment={"type": "hook"})
    lines.add("user", {"role": "user", "content": 3})
    lines.says("m1", text("Yes."))
    lines.add("assistant", 7)
    odd = [
        {"type": "file-history-snapshot", "messageId": "x", "snapshot": {}},
        {"type": "unheard-of", "sessionId": SESSION},
        {"type": 7, "sessionId": SESSION},
        {"type": "unheard-of", "sessionId": "another"},
    ]
    found = read(write(jsonl(lines, odd) + "half a li"))
    (run,) = found.runs
    assert run.metadata["other_lines"] == {
        "attachment": 1, "file-history-snapshot": 1, "unheard-of": 2,
    }  # fmt: skip
    assert [told.split(": ")[0] for told in found.told] == [
        "line 8.type", "line 10", "line 3.message.content", "line 5.message",
    ]  # fmt: skip
    assert (run.final_output, said(run.llm_calls[0])) == ("Yes.", ["Go."])


@pytest.mark.parametrize("value", [[], [{"type": "summary", "summary": "x", "leafUuid": "y"}]])
def test_a_file_without_a_message_has_no_run(value, write, read):
    found = read(write(jsonl(value)), format="claude-code")
    assert found.runs == []


def test_the_sdks_stream_is_read(write, read):
    def line(kind, **more):
        return {"type": kind, "session_id": "s", "parent_tool_use_id": None, **more}

    def message(role, *content):
        return {"role": role, "id": f"m{content[0].get('id', 'x')}", "content": list(content)}

    result = {"type": "tool_result", "tool_use_id": "a", "content": "seen"}
    value = [
        line("system", subtype="init", tools=["Task"]),
        line("assistant", message=message("assistant", use("Task", "a", prompt="Look."))),
        line("user", message=message("user", text("Look.")), parent_tool_use_id="a"),
        line("assistant", message=message("assistant", text("seen")), parent_tool_use_id="a"),
        line("user", message=message("user", result)),
        line("assistant", message=message("assistant", text("Done."))),
        line("result", subtype="success", total_cost_usd=0.25, result="Done."),
    ]
    session, agent = read(write(jsonl(value))).runs
    assert (session.run_id, agent.run_id) == ("s", "s/a")
    assert (session.final_output, agent.final_output) == ("Done.", "seen")
    assert (session.cost_usd, session.steps[0].tool_result.data) == (0.25, "seen")
    assert session.metadata["result"]["subtype"] == "success"
