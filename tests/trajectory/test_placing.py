"""Model calls as columns: each message once, and JSON put together from its parts."""

from __future__ import annotations

import json
from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st

from looplet.core.messages import CallRequest, ChatMessage
from looplet.trajectory.model import LLMCall
from looplet.trajectory.placing import to_columns
from looplet.trajectory.text import to_json_text

TEXT = st.text(st.characters(exclude_categories=()) | st.sampled_from('\x1a\ud83d\ude00\x7f"\\'))
INPUTS = st.dictionaries(
    TEXT | st.just("$looplet"),
    TEXT | st.integers() | st.booleans() | st.lists(st.floats(allow_nan=False), max_size=2),
    max_size=3,
)
ASKED = st.builds(CallRequest, id=TEXT, name=TEXT, input=INPUTS)


def call_of(messages, response):
    return LLMCall(0, None, None, "generate", "", "", response, messages=messages)


def reply_of(message):
    text = [{"type": "text", "text": message.content}] if message.content else []
    return text + [{"type": "tool_use", **call.to_dict()} for call in message.calls]


@given(TEXT, st.lists(ASKED, max_size=3))
def test_calls_are_stored_as_their_json_would_be(text, asked):
    message = ChatMessage(role="assistant", content=text, calls=tuple(asked))
    messages, calls = to_columns([call_of([message], None), call_of((), reply_of(message))])
    whole = to_json_text([each.to_dict() for each in asked]) if asked else None
    assert list(messages["tool_calls"]) == [whole]
    assert [json.loads(each) for each in messages["content"]] == [json.loads(to_json_text(text))]
    assert messages["digest"] == [message.digest[:32]]
    assert calls["output"] == [None, 0]


@given(TEXT, st.lists(ASKED, max_size=2))
def test_a_reply_is_the_message_that_repeats_it(text, asked):
    message = ChatMessage(role="assistant", content=text, calls=tuple(asked))
    goal = ChatMessage(role="user", content="go")
    first = call_of((goal,), reply_of(message))
    messages, calls = to_columns([first, call_of((goal, message), "done")])
    assert len(messages["role"]) == 3
    assert (calls["input"], calls["input_kept"]) == ([[0], [1]], [0, 1])
    assert calls["output"] == [1, 2]
    assert messages["digest"][1] == message.digest[:32]


def test_inputs_that_are_equal_and_not_alike_are_two():
    one, other = ({"n": 1}, {"n": True})
    replies = [
        [{"type": "tool_use", "id": "c", "name": "t", "input": each}] for each in (one, other)
    ]
    messages, calls = to_columns([call_of((), each) for each in replies])
    assert calls["output"] == [0, 1]
    assert len(set(messages["tool_calls"])) == 2


def test_an_input_that_is_a_mapping_and_no_dict_is_stored_as_one():
    asked = CallRequest(id="c", name="t", input=MappingProxyType({"n": 1}))
    messages, _ = to_columns([call_of([ChatMessage(role="assistant", calls=(asked,))], None)])
    assert json.loads(messages["tool_calls"][0]) == [{"id": "c", "name": "t", "input": {"n": 1}}]


def test_a_conversation_that_begins_anew_keeps_what_is_the_same():
    said = [ChatMessage(role="user", content=text) for text in "abcd"]
    calls = [call_of(sent, None) for sent in (said[:3], said[:2], [*said[:2], said[3]], said[:4])]
    _, columns = to_columns(calls)
    assert columns["input_kept"] == [0, 2, 2, 2]
    assert columns["input"] == [[0, 1, 2], [], [3], [2, 3]]
