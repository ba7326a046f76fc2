"""A run that goes round in circles is told so, through both drivers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from looplet import DefaultState, ToolCall, ToolResult, tools_from
from looplet.control import StagnationHook, result_size_fingerprint, tool_call_fingerprint


def call(name: str, **args: Any) -> str:
    return json.dumps({"tool": name, "args": args})


def find(word: str) -> list:
    return []


def think(thought: str) -> str:
    return thought


DONE = call("done", summary="x")


def nudges(hook: StagnationHook, words: str, *, state: Any = None) -> list[int]:
    """Places, from 1, of the calls after which the hook nudged; a ``-`` is a thought."""
    found = []
    for place, word in enumerate(words, start=1):
        made = ToolCall("think", {}) if word == "-" else ToolCall("find", {"word": word})
        if hook.post_dispatch(state, None, made, ToolResult(made.tool, "", []), place):
            found.append(place)
    return found


def test_the_model_is_nudged_when_it_repeats_itself(drive):
    llm = drive.text([call("find", word="a")] * 3 + [DONE])
    tools = tools_from([find], include_done=True)
    drive(llm, tools=tools, hooks=[StagnationHook()])
    assert "The last 3 calls of find brought nothing new" in llm.last_prompt


def test_the_model_is_not_nudged_when_it_does_not(drive):
    llm = drive.text([call("find", word=word) for word in "aabb"] + [DONE])
    tools = tools_from([find], include_done=True)
    drive(llm, tools=tools, hooks=[StagnationHook()])
    assert "brought nothing new" not in llm.last_prompt


def test_a_call_that_is_denied_again_and_again_is_stagnation_too(drive):
    never = type("Never", (), {"check_permission": staticmethod(lambda call, state: False)})
    llm = drive.text([call("find", word="a")] * 3 + [DONE])
    tools = tools_from([find], include_done=True)
    drive(llm, tools=tools, hooks=[never(), StagnationHook()])
    assert "brought nothing new" in llm.last_prompt


def test_each_run_begins_anew(drive):
    hook = StagnationHook()
    tools = tools_from([find], include_done=True)
    for _ in range(2):
        llm = drive.text([call("find", word="a")] * 2)
        drive(llm, tools=tools, hooks=[hook], max_steps=2)
    assert hook._count == 2


@pytest.mark.parametrize(
    ("words", "places"),
    [("aaa", [3]), ("aab", []), ("aabaaa", [6]), ("aaaaaa", [3, 6]), ("aaaaa", [3])],
)
def test_it_takes_a_whole_row_for_each_nudge(words, places):
    assert nudges(StagnationHook(threshold=3), words) == places


def test_without_reset_every_further_step_of_the_row_is_nudged():
    hook = StagnationHook(threshold=2, reset_after_nudge=False)
    assert nudges(hook, "aaaab") == [2, 3, 4]


def test_ignored_tools_neither_count_nor_break_a_row():
    assert nudges(StagnationHook(threshold=2, ignore_tools=["think"]), "a-a---") == [3]
    assert nudges(StagnationHook(threshold=2), "a-a") == []


def test_progress_breaks_a_row():
    state = DefaultState()
    hook = StagnationHook(threshold=2, progress=lambda state: state.queries_used)
    assert nudges(hook, "a", state=state) == []
    state.queries_used += 1
    assert nudges(hook, "a", state=state) == []
    assert nudges(hook, "a", state=state) == [1]


def test_the_nudge_names_tool_and_count_and_leaves_other_braces():
    hook = StagnationHook(threshold=2, nudge='{tool} x{count}, or {"a": 1}')
    made, result = ToolCall("find"), ToolResult("find", "", [])
    hook.post_dispatch(None, None, made, result, 1)
    decision = hook.post_dispatch(None, None, made, result, 2)
    assert decision is not None
    assert decision.additional_context == 'find x2, or {"a": 1}'


@pytest.mark.parametrize("threshold", [1, 0, -3])
def test_a_threshold_that_no_repetition_reaches_is_refused(threshold):
    with pytest.raises(ValueError, match="at least 2"):
        StagnationHook(threshold=threshold)


def test_a_calls_fingerprint_is_its_tool_and_arguments_alone():
    one = ToolCall("find", {"a": 1, "b": 2, "__theory__": "x"}, reasoning="why")
    other = ToolCall("find", {"b": 2, "a": 1})
    assert tool_call_fingerprint(one) == tool_call_fingerprint(other)
    assert tool_call_fingerprint(one) != tool_call_fingerprint(ToolCall("find", {"a": 1}))
    assert tool_call_fingerprint(ToolCall("a")) != tool_call_fingerprint(ToolCall("b"))


def test_a_results_fingerprint_is_its_size_whatever_was_asked():
    hook = StagnationHook(threshold=3, fingerprint=result_size_fingerprint)
    assert nudges(hook, "abc") == [3]
    made = ToolCall("find")
    short, long = ToolResult("find", "", [1]), ToolResult("find", "", [1, 2])
    failed = ToolResult("find", "", None, error="no such index")
    marks = {result_size_fingerprint(made, result) for result in (short, long, failed)}
    assert len(marks) == 3
