"""Chat messages that are exported and imported again: runs of the loop, and imported ones.

Real runs, native and by text, go through export and import; what OpenAI's fine-tuning asks of a
line is checked by the rules that its page states.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from looplet import LoopConfig, MockLLMBackend, ToolSpec, composable_loop, tools_from
from looplet.core.messages import CallRequest, ChatMessage
from looplet.core.records import is_dunder
from looplet.core.show import json_text
from looplet.testing import ScriptedToolBackend
from looplet.trajectory import TrajectoryRecorder
from looplet.trajectory.exporters import export_trajectories
from looplet.trajectory.importers import import_trajectories
from tests.trajectory.conftest import make_trajectory

WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
TURNS = st.lists(st.lists(DATA, min_size=1, max_size=3), max_size=4)
"""Values that the model has echoed: in a run turns, and in a turn calls."""
NAMES = WORDS.filter(lambda word: not is_dunder(word))
"""Names of arguments; those between double underscores are looplet's own, and no arguments."""
CALLS = st.tuples(WORDS, st.dictionaries(NAMES, DATA, max_size=2), WORDS)
"""A tool, its arguments and its result."""
QUICK = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])


def recorded(turns, *, native, done=True):
    """A run of the loop in which a tool gives back what it is given."""
    registry = tools_from([], include_done=True)
    schema = {"type": "object", "properties": {"value": {}}, "required": ["value"]}
    registry.register(
        ToolSpec(name="echo", description="Echo.", parameters=schema, execute=lambda value: value)
    )
    replies = replies_of(turns, native=native, done=done)
    llm = (ScriptedToolBackend if native else MockLLMBackend)(replies)
    recorder = TrajectoryRecorder(task_id="echo")
    config = LoopConfig(
        max_steps=sum(map(len, turns)) + done, use_native_tools=native, system_prompt="Echo."
    )
    hooks = [recorder]
    list(composable_loop(recorder.wrap_llm(llm), {"goal": "Echo."}, registry, hooks=hooks,
                         config=config))  # fmt: skip
    return recorder.trajectory


def replies_of(turns, *, native, done):
    calls = [[{"tool": "echo", "args": {"value": value}} for value in turn] for turn in turns]
    calls += [[{"tool": "done", "args": {"summary": "it is done"}}]] * done
    if not native:
        return [json.dumps(call) for turn in calls for call in turn]
    return [
        [
            {"type": "tool_use", "id": f"c{number}.{place}", "name": call["tool"],
             "input": call["args"]}
            for place, call in enumerate(turn)
        ]
        for number, turn in enumerate(calls)
    ]  # fmt: skip


def again(run):
    """The lines that a run is exported as, and what is imported from them."""
    with tempfile.TemporaryDirectory() as folder:
        out, losses, problems = Path(folder, "out"), [], []
        count = export_trajectories(run, out, format="openai-messages", on_loss=losses.append)
        assert count == 1
        (line,) = (out / "runs.jsonl").read_text("utf-8").splitlines()
        (found,) = import_trajectories(out, on_problem=problems.append)
        assert problems == []
        return json.loads(line), found, [loss.message for loss in losses]


def check_line(line):
    """What OpenAI asks of a line for fine-tuning."""
    assert line.keys() <= {"messages", "tools"}
    waiting, ids = [], []
    for message in line["messages"]:
        assert message["role"] in {"system", "user", "assistant", "tool"}
        if message["role"] == "tool":
            assert message.keys() == {"role", "content", "tool_call_id"}
            waiting.remove(message["tool_call_id"])
            continue
        assert waiting == []
        for call in message.get("tool_calls", ()):
            assert call.keys() == {"id", "type", "function"}
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
            waiting.append(call["id"])
        ids += waiting
        assert message["content"] is not None or waiting
    assert line["messages"][-1]["role"] == "assistant"
    assert len(set(ids)) == len(ids)
    assert all(0 < len(each) <= 40 for each in ids)
    for tool in line.get("tools", ()):
        assert tool["type"] == "function"
        assert tool["function"]["parameters"]["type"] == "object"


def did(run):
    return [(step.tool_call.tool, step.tool_call.args) for step in run.steps]


def told(run):
    """Results as a model is told them."""
    results = [step.tool_result for step in run.steps]
    return [
        f"ERROR: {each.error}" if each.error is not None
        else each.data if isinstance(each.data, str) else json_text(each.data)
        for each in results
    ]  # fmt: skip


@pytest.mark.parametrize("native", [True, False])
@given(turns=TURNS)
@example(turns=[[{"$looplet": None}, {"$looplet": "tuple", "value": [1]}]])
@QUICK
def test_runs_of_the_loop_keep_steps_arguments_results_and_answer(native, turns):
    run = recorded(turns, native=native)
    assert run.completed
    line, found, losses = again(run)
    check_line(line)
    assert did(found) == did(run)
    assert told(found)[:-1] == told(run)[:-1]  # the answer to a done-call is not sent
    assert found.final_output == run.final_output == {"summary": "it is done"}
    assert line["messages"][0] == {"role": "system", "content": "Echo."}
    if native:
        assert losses == []
        assert {tool["function"]["name"] for tool in line["tools"]} == {"echo", "done"}
        assert said(found) == said(run)
    else:
        assert len(losses) == 1
        assert losses[0].startswith("there are no schemas of tools: done")


def said(run):
    """The conversation of a run up to its last reply."""
    return [*run.llm_calls[-1].messages, run.llm_calls[-1].response]


@pytest.mark.parametrize("native", [True, False])
def test_what_no_model_was_told_is_left_out_and_said(native):
    run = recorded(
        [["a"], ["b", "c"]] if native else [["a"], ["b"], ["c"]], native=native, done=False
    )
    line, found, losses = again(run)
    check_line(line)
    assert did(found) == did(run)
    assert "what came after the model's last reply is left out" in losses
    assert found.steps[0].tool_result.data == "a"
    assert found.steps[-1].tool_result.warnings == ["the source has no result of this call"]


@given(
    turns=st.lists(
        st.tuples(
            WORDS, st.lists(st.tuples(WORDS, st.dictionaries(NAMES, DATA), WORDS), max_size=2)
        ),
        min_size=1,
        max_size=4,
    ),
    answer=WORDS.filter(bool),
)
@example(turns=[("", [("", {"__": None, "$looplet": {}}, "")])], answer="0")
@QUICK
def test_imported_conversations_come_back_equal(turns, answer):
    messages = [{"role": "user", "content": "Go."}]
    for number, (text, calls) in enumerate(turns):
        asked = [
            {"id": f"c{number}.{place}", "type": "function",
             "function": {"name": f"t{name}", "arguments": json.dumps(args)}}
            for place, (name, args, _) in enumerate(calls)
        ]  # fmt: skip
        messages.append({"role": "assistant", "content": text, "tool_calls": asked})
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": result}
            for call, (_, _, result) in zip(asked, calls, strict=True)
        ]
    messages.append({"role": "assistant", "content": answer})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.json")
        path.write_text(json.dumps({"messages": messages}))
        (run,) = import_trajectories(path)
    line, found, _ = again(run)
    check_line(line)
    names = ("trajectory_id", "run_id", "source_uri")
    same = {name: getattr(run, name) for name in names}
    assert replace(found, **same) == run


def test_a_history_that_was_shortened_is_put_together_from_the_steps():
    run = recorded([["a"], ["b"]], native=True)
    last = run.llm_calls[-1]
    last.messages = (*last.messages[:2], *last.messages[-2:])
    line, found, losses = again(run)
    check_line(line)
    assert (did(found), losses) == (did(run), [])
    assert line["messages"][1] == {"role": "user", "content": "goal: Echo."}


@pytest.mark.parametrize("odd", ["no id", "no answer"])
def test_a_conversation_that_openai_would_refuse_is_put_together_from_the_steps(odd, tmp_path):
    asks = {"name": "price", "arguments": '{"fruit": "pear"}'}
    call = {"function_call": asks} if odd == "no id" else {"tool_calls": [{"id": "a", **asks}]}
    messages = [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": "I look.", **call},
        {"role": "function", "name": "price", "content": "0.55"},
        {"role": "assistant", "content": "It is 0.55."},
    ]
    if odd == "no answer":
        del messages[2]
    (tmp_path / "a.json").write_text(json.dumps(messages))
    (run,) = import_trajectories(tmp_path / "a.json")
    line, found, _ = again(run)
    check_line(line)
    assert (did(found), found.final_output) == (did(run), "It is 0.55.")
    assert [message["role"] for message in line["messages"]] == [
        "user", "assistant", "tool", "assistant",
    ]  # fmt: skip


def test_ids_that_are_missing_alike_or_long_are_made_anew():
    run = make_trajectory("a", steps=4)
    for step, name in zip(run.steps, ["", "x" * 50, "c", "c"], strict=True):
        step.tool_call.call_id = name
    line, found, _ = again(run)
    check_line(line)
    assert did(found) == did(run)


def test_steps_that_are_no_call_and_parts_that_have_no_place_are_left_out_and_said():
    run = recorded([["a"]], native=True)
    odd = replace(run.steps[0].tool_call, tool="__parse_error__")
    run.steps.insert(1, replace(run.steps[0], tool_call=odd))
    thought = {"type": "thinking", "thinking": "Hm."}
    picture = {"type": "image_url", "image_url": {"url": "x"}}
    call = run.llm_calls[-1]
    parts = ({"type": "text", "text": "See."}, picture)
    seen = ChatMessage(role="user", content="See.", blocks=parts)
    head = [replace(call.messages[0], content="\ud800"), seen]
    call.messages = (*head, *call.messages[2:])
    call.response = [thought, *call.response]
    line, found, losses = again(run)
    check_line(line)
    assert did(found) == [each for each in did(run) if each[0] != "__parse_error__"]
    assert line["messages"][0]["content"] == "?"
    assert line["messages"][1]["content"] == [*parts]
    assert losses == [
        "steps that are no tool call are left out",
        "parts of messages are left out: thinking",
        "lone surrogates, which UTF-8 lacks, became question marks",
    ]


def test_names_that_openai_does_not_take_are_said():
    run = make_trajectory("a")
    run.steps[0].tool_call.tool = "shop.price"
    _, found, losses = again(run)
    assert did(found)[0][0] == "shop.price"
    assert losses[0] == "OpenAI takes no tool of such a name: 'shop.price'"


def test_a_text_that_ends_a_run_is_its_last_message():
    run = make_trajectory("a", steps=2)
    run.steps.pop()
    run.final_output, run.llm_calls = "0.25", []
    line, found, _ = again(run)
    assert line["messages"][-1] == {"role": "assistant", "content": "0.25"}
    assert (found.final_output, did(found)) == ("0.25", did(run))
    assert CallRequest(id="call1", name="price", input={"fruit": "f1"}) in said(found)[1].calls
