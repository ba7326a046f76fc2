"""Messages and replies in OpenAI's form."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.backends.answers import parse_arguments, provider_words, retry_after
from looplet.backends.openai_messages import (
    blocks_of,
    chat_message,
    chat_messages,
    chat_tools,
    choice_of,
    refused_parameter,
)
from looplet.core.messages import CallRequest, ChatMessage, ModelRequest
from looplet.errors import BackendError

names = st.text("abcdef_", min_size=1, max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
inputs = st.dictionaries(names, json_values, max_size=3)


@st.composite
def conversations(draw):
    """Turns of an agent: what was said, calls with ids of their own, and an answer to each."""
    messages, ids = [ChatMessage(role="user", content=draw(st.text()))], iter(range(1000))
    for _ in range(draw(st.integers(0, 4))):
        count = draw(st.integers(0, 3))
        calls = tuple(
            CallRequest(id=f"call-{next(ids)}", name=draw(names), input=draw(inputs))
            for _ in range(count)
        )
        messages.append(ChatMessage(role="assistant", content=draw(st.text()), calls=calls))
        messages += [
            ChatMessage(role="tool", content=draw(st.text()), call_id=call.id) for call in calls
        ]
    return tuple(messages)


@given(conversations(), st.text())
def test_translation_keeps_every_call_paired_with_its_answer(messages, system_prompt):
    request = ModelRequest(
        method="generate", prompt="", system_prompt=system_prompt, messages=messages
    )
    translated = chat_messages(request)
    assert [m["role"] for m in translated] == [m.role for m in request.conversation()]
    open_calls = []
    for message in translated:
        if message["role"] == "tool":
            assert message["tool_call_id"] == open_calls.pop(0)
        else:
            assert open_calls == []
            open_calls = [call["id"] for call in message.get("tool_calls", ())]
    assert open_calls == []


@given(conversations())
def test_arguments_come_back_as_they_were_sent(messages):
    for message in messages:
        sent = chat_message(message).get("tool_calls", ())
        back = [parse_arguments(call["function"]["arguments"]) for call in sent]
        assert back == [call.input for call in message.calls]


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b"]), names, inputs), max_size=5))
def test_each_call_of_a_reply_has_an_id_of_its_own(calls):
    message = {
        "tool_calls": [
            {"id": id_, "function": {"name": name, "arguments": json.dumps(arguments)}}
            for id_, name, arguments in calls
        ]
    }
    blocks = blocks_of(message)
    assert [(b["name"], b["input"]) for b in blocks] == [(name, args) for _, name, args in calls]
    assert len({block["id"] for block in blocks}) == len(blocks)
    assert all(block["id"] for block in blocks)
    for (given_id, *_), block in zip(calls, blocks, strict=True):
        first = [id_ for id_, *_ in calls].index(given_id) == blocks.index(block)
        if given_id and first:
            assert block["id"] == given_id


@given(st.text())
def test_arguments_are_an_object_whatever_the_text(text):
    assert isinstance(parse_arguments(text), dict)


@pytest.mark.parametrize("text", ["{", "[1]", '"a"', "3", '{"a": NaN}', "[" * 100_000, "null"])
def test_what_is_no_object_is_kept_raw(text):
    assert parse_arguments(text) == {"_raw_arguments": text}


def test_no_text_is_no_arguments_and_an_object_is_taken_as_it_is():
    assert [parse_arguments(each) for each in ("", " ", None)] == [{}, {}, {}]
    assert parse_arguments({"a": 1}) == {"a": 1}


def test_raw_arguments_are_sent_back_as_json():
    call = CallRequest(id="c", name="price", input={"_raw_arguments": '{"fruit": pe'})
    sent = chat_message(ChatMessage(role="assistant", calls=(call,)))
    assert sent["content"] is None
    assert json.loads(sent["tool_calls"][0]["function"]["arguments"]) == call.input


def test_a_result_without_a_call_is_refused():
    with pytest.raises(BackendError, match="call_id"):
        chat_message(ChatMessage(role="tool", content="0.55"))


def test_a_tool_without_a_schema_takes_an_empty_object():
    function = chat_tools([{"name": "now"}])[0]["function"]
    assert function["parameters"] == {"type": "object", "properties": {}}


def test_objects_and_dicts_are_read_alike():
    as_object = SimpleNamespace(choices=[SimpleNamespace(message={"content": "hi"})])
    assert choice_of(as_object).message == {"content": "hi"}
    assert choice_of({"choices": "no"}) is None
    assert choice_of("text") is None
    assert choice_of(None) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"message": "Slow.", "code": "rate_limit"}, "Slow. [rate_limit]"),
        ({"message": "Slow.", "type": "busy", "code": None}, "Slow. [busy]"),
        ({"message": "rate_limit hit", "code": "rate_limit"}, "rate_limit hit"),
        ({"detail": "Not Found"}, "Not Found"),
        ("plain", "otherwise"),
        (None, "otherwise"),
        ({"message": "a\n  b" + "c" * 3000}, ("a b" + "c" * 3000)[:2000]),
    ],
)
def test_a_providers_words_are_found_where_it_puts_them(body, words):
    assert provider_words(body, "otherwise") == words


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT"}, None),
        (
            {
                "retry-after": "Wed, 21 Oct 2015 07:28:30 GMT",
                "date": "Wed, 21 Oct 2015 07:28:00 GMT",
            },
            30.0,
        ),
        (
            {
                "retry-after": "Wed, 21 Oct 2015 07:28:00 GMT",
                "date": "Wed, 21 Oct 2015 07:28:30 GMT",
            },
            0.0,
        ),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(headers, seconds):
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"code": "unsupported_parameter", "param": "max_tokens"}, "max_tokens"),
        ({"message": "Unsupported value: 'temperature' does not support 0.2"}, "temperature"),
        ({"code": "invalid_value", "param": "max_tokens", "message": "too large"}, None),
        ({"message": "max_tokens is too large"}, None),
        (None, None),
    ],
)
def test_only_an_unsupported_parameter_counts_as_refused(body, parameter):
    assert refused_parameter(body) == parameter


def test_what_a_model_thought_is_not_sent():
    call = CallRequest(id="a", name="f", input={})
    plain = ChatMessage(role="assistant", content="hm", calls=(call,))
    thought = {"type": "thinking", "thinking": "so", "signature": "s"}
    assert chat_message(replace(plain, blocks=(thought,))) == chat_message(plain)
