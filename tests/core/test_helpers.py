"""Small questions about a run, and excerpts."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import DefaultState, Step, ToolCall, ToolResult, tools_from
from looplet.core.helpers import (
    excerpt_around_match,
    is_rejected_done,
    iter_done_steps,
    last_accepted_done,
    last_rejected_done,
)


def call(name: str, **args: Any) -> str:
    return json.dumps({"tool": name, "args": args})


def step(number: int, tool: str = "done", data: Any = None, error: str | None = None) -> Step:
    return Step(number, ToolCall(tool), ToolResult(tool, "", data, error=error))


REJECTED = {"rejected": True, "reason": "no source"}
COMPLETED = {"status": "completed"}


def test_done_steps_come_newest_first_and_alone():
    state = DefaultState(steps=[step(1), step(2, "price"), step(3, "submit"), step(4)])
    assert [each.number for each in iter_done_steps(state)] == [4, 1]
    assert [each.number for each in iter_done_steps(state, tool_name="submit")] == [3]


def test_a_run_that_was_rejected_once_has_a_rejected_and_an_accepted_done(drive):
    verdicts = iter(["no source", None])
    judge = type("Judge", (), {"check_done": lambda self, *args: next(verdicts)})
    ran = drive(
        drive.text([call("done", summary="a"), call("done", summary="b")]),
        tools=tools_from([], include_done=True),
        hooks=[judge()],
    )
    rejected, accepted = last_rejected_done(ran.state), last_accepted_done(ran.state)
    assert rejected is ran.steps[0]
    assert accepted is ran.steps[1]
    assert is_rejected_done(rejected)
    assert not is_rejected_done(accepted)


def test_a_done_with_an_error_is_neither_accepted_nor_rejected():
    state = DefaultState(steps=[step(1, error="Unknown tool 'done'")])
    assert last_accepted_done(state) is None
    assert last_rejected_done(state) is None


def test_the_newest_of_each_kind_is_found():
    data = [COMPLETED, REJECTED, COMPLETED, REJECTED]
    state = DefaultState(steps=[step(number, data=each) for number, each in enumerate(data)])
    found = (last_accepted_done(state), last_rejected_done(state))
    assert [each.number for each in found if each] == [2, 3]


def test_a_run_without_done_has_neither():
    state = DefaultState(steps=[step(1, "price", REJECTED)])
    assert (last_accepted_done(state), last_rejected_done(state)) == (None, None)


@pytest.mark.parametrize("data", [None, [], "rejected", {}, {"rejected": "no"}, COMPLETED])
def test_other_data_is_no_rejection(data):
    assert not is_rejected_done(step(1, data=data))


def test_an_excerpt_has_its_context_and_marks_its_cuts():
    text = "a" * 50 + "MATCH" + "b" * 50
    assert excerpt_around_match(text, "MATCH", context=3) == "…aaaMATCHbbb…"
    assert excerpt_around_match("one match", "match") == "one match"


def test_without_a_match_there_is_no_excerpt():
    assert excerpt_around_match("abc", "z") is None


def test_case_counts_only_if_asked_or_if_the_pattern_was_compiled_so():
    assert excerpt_around_match("Refund", "refund") == "Refund"
    assert excerpt_around_match("Refund", "refund", case_insensitive=False) is None
    assert excerpt_around_match("Refund", re.compile("refund")) is None


def test_newlines_are_collapsed_unless_they_are_wanted():
    text = "one \n\n  match\r\ntwo"
    assert excerpt_around_match(text, "match") == "one match two"
    assert excerpt_around_match(text, "match", collapse_newlines=False) == text


@given(st.text(), st.text(min_size=1), st.text(), st.integers(0, 10))
def test_an_excerpt_holds_the_match_and_no_more_than_its_context(before, word, after, context):
    excerpt = excerpt_around_match(
        before + word + after,
        re.escape(word),
        context=context,
        case_insensitive=False,
        collapse_newlines=False,
    )
    assert excerpt is not None
    assert word in excerpt
    assert len(excerpt) <= len(word) + 2 * context + 2
