"""What is asked of a model, and the key of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.core.messages import (
    CallRequest,
    ChatMessage,
    ModelRequest,
    RequestKeys,
    request_key,
)

CALL = CallRequest(id="c", name="price", input={"b": 1, "a": 2})
REQUEST = ModelRequest(
    method="generate_with_tools",
    prompt="p",
    system_prompt="s",
    messages=(ChatMessage(role="assistant", content="x", calls=(CALL,)),),
    tools=[{"name": "price"}],
    extra={"top_p": 1},
)


@pytest.mark.parametrize(
    "message",
    [
        ChatMessage(role="user", content="hi"),
        ChatMessage(role="assistant", calls=(CALL,)),
        ChatMessage(role="tool", content="\ud800", call_id="c"),
    ],
)
def test_a_message_comes_back_from_its_dict(message):
    back = ChatMessage.from_dict(message.to_dict())
    assert back == message
    assert back.digest == message.digest


def test_the_order_of_arguments_does_not_change_a_message():
    other = replace(CALL, input={"a": 2, "b": 1})
    assert ChatMessage(role="assistant", calls=(CALL,)).digest == (
        ChatMessage(role="assistant", calls=(other,)).digest
    )


@pytest.mark.parametrize(
    "change",
    [
        {"method": "generate"},
        {"system_prompt": "t"},
        {"system_prompt": ""},
        {"messages": (ChatMessage(role="assistant", content="x"),)},
        {"messages": REQUEST.messages * 2},
        {"tools": []},
        {"temperature": 0.3},
        {"max_tokens": 3},
        {"extra": {}},
        {"extra": {"top_p": 2}},
    ],
)
def test_every_part_of_a_request_is_in_its_key(change):
    assert request_key(replace(REQUEST, **change), model="m") != request_key(REQUEST, model="m")


def test_equal_requests_have_equal_keys_and_models_differ():
    assert request_key(replace(REQUEST), model="m") == request_key(REQUEST, model="m")
    assert request_key(REQUEST, model="m") != request_key(REQUEST, model=None)


def test_without_messages_the_prompt_is_the_conversation():
    request = replace(REQUEST, messages=(), system_prompt="")
    assert request.conversation() == (ChatMessage(role="user", content="p"),)


MESSAGES = [ChatMessage(role="user", content=text) for text in ("a", "a", "b", "c")]
CHANGES = st.fixed_dictionaries(
    {
        "messages": st.lists(st.sampled_from(MESSAGES), max_size=4).map(tuple),
        "system_prompt": st.sampled_from(["", "s", "t"]),
        "max_tokens": st.sampled_from([1, 2]),
    }
)


@given(st.lists(CHANGES, max_size=8))
def test_keys_of_requests_that_follow_one_another_are_those_of_each_alone(changes):
    keys = RequestKeys()
    for change in changes:
        request = replace(REQUEST, **change)
        assert keys.key(request, model="m") == request_key(request, model="m")


def test_a_conversation_that_grows_is_not_hashed_again():
    hashed = []

    class Counting(ChatMessage):
        @property
        def digest(self):
            hashed.append(self.content)
            return super().digest

    messages = [Counting(role="user", content=str(number)) for number in range(30)]
    keys = RequestKeys()
    for length in range(1, 31):
        keys.key(replace(REQUEST, messages=tuple(messages[:length])), model="m")
    assert hashed == [str(number) for number in range(30)]
    keys.key(replace(REQUEST, messages=tuple(messages[:3])), model="m")
    assert hashed[30:] == ["0", "1", "2"]
