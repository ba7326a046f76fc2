"""What is asked of a model, and the key of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from looplet.core.messages import CallRequest, ChatMessage, ModelRequest, request_key

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
