"""Messages and replies in Anthropic's form."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.backends.anthropic_messages import (
    api_messages,
    api_tools,
    outcome_of,
    refused_parameter,
    reply_blocks,
    system_text,
)
from looplet.core.messages import CallRequest, ChatMessage, ModelRequest
from looplet.errors import BackendError


def request(*messages, **fields):
    return ModelRequest(method="generate", prompt="", messages=messages, **fields)


def user(text):
    return ChatMessage(role="user", content=text)


@st.composite
def conversations(draw):
    """Turns of an agent: what was said, calls, an answer to each, and remarks between them."""
    messages, ids = [user("begin")], iter(range(1000))
    for _ in range(draw(st.integers(0, 4))):
        called = [str(next(ids)) for _ in range(draw(st.integers(0, 3)))]
        calls = tuple(CallRequest(id=each, name="f", input={}) for each in called)
        messages.append(ChatMessage(role="assistant", content=draw(st.text()), calls=calls))
        answers = [ChatMessage(role="tool", content="r", call_id=each) for each in called]
        remarks = [user(draw(st.text())) for _ in range(draw(st.integers(0, 2)))]
        messages += draw(st.permutations(answers + remarks))
    return messages


@given(conversations())
def test_roles_take_turns_and_every_call_is_answered_first_in_the_next_message(messages):
    sent = api_messages(request(*messages))
    assert all(one["role"] != other["role"] for one, other in pairwise(sent))
    assert sum(len(blocks_in(each, "tool_use")) for each in sent) == sum(
        len(each.calls) for each in messages
    )
    for here, after in zip(sent, [*sent[1:], {"content": []}], strict=True):
        called = {block["id"] for block in blocks_in(here, "tool_use")}
        answered = [block["tool_use_id"] for block in blocks_in(after, "tool_result")]
        assert called == set(answered)
        first = after["content"][: len(answered)]
        assert not answered or all(block["type"] == "tool_result" for block in first)


@given(conversations())
def test_no_text_that_is_sent_is_empty(messages):
    for each in api_messages(request(*messages)):
        content = each["content"]
        texts = [content] if isinstance(content, str) else blocks_in(each, "text")
        assert content
        assert all((text if isinstance(text, str) else text["text"]).strip() for text in texts)


def blocks_in(message, kind):
    content = message["content"]
    return [] if isinstance(content, str) else [b for b in content if b["type"] == kind]


def test_the_systems_messages_at_the_head_join_the_system_prompt():
    asked = request(ChatMessage(role="system", content="Two."), user("hi"), system_prompt="One.")
    assert system_text(asked) == "One.\n\nTwo."
    assert api_messages(asked) == [{"role": "user", "content": "hi"}]


def test_a_systems_message_in_the_middle_keeps_its_place_and_is_said_by_the_user():
    asked = request(user("hi"), ChatMessage(role="system", content="Now stop."))
    texts = [block["text"] for block in api_messages(asked)[0]["content"]]
    assert (system_text(asked), texts) == ("", ["hi", "Now stop."])


def test_a_result_without_a_call_is_refused():
    with pytest.raises(BackendError, match="needs the call_id"):
        api_messages(request(ChatMessage(role="tool", content="x")))


def test_another_providers_ids_are_put_in_the_apis_characters_on_both_sides():
    call = CallRequest(id="functions.f:0", name="f", input={})
    sent = api_messages(
        request(
            ChatMessage(role="assistant", calls=(call,)),
            ChatMessage(role="tool", content="r", call_id="functions.f:0"),
        )
    )
    assert sent[0]["content"][0]["id"] == sent[1]["content"][0]["tool_use_id"] == "functions_f_0"


def test_text_and_arguments_that_utf8_cannot_carry_are_sent_all_the_same():
    call = CallRequest(id="c", name="f", input={"a\udcff": ["\udcff", 1]})
    assistant = ChatMessage(role="assistant", content="b\udcff", calls=(call,))
    text, use = api_messages(request(assistant))[0]["content"]
    assert (text["text"], use["input"]) == ("b?", {"a?": ["?", 1]})


THOUGHT = {"type": "thinking", "thinking": "a pear, then", "signature": "c2ln"}
HIDDEN = {"type": "redacted_thinking", "data": "RG9u"}


def use(call_id, name="f", **arguments):
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def reply(*blocks, text="", ids=()):
    calls = tuple(CallRequest(id=each, name="f", input={}) for each in ids)
    return ChatMessage(role="assistant", content=text, calls=calls, blocks=blocks)


def test_what_was_thought_goes_back_in_its_order_and_as_it_came():
    blocks = (THOUGHT, {"type": "text", "text": "hm"}, use("a"), HIDDEN, use("b"))
    (sent,) = api_messages(request(reply(*blocks, text="hm", ids=("a", "b"))))
    assert sent == {"role": "assistant", "content": list(blocks)}


def test_ids_beside_a_thought_are_put_in_the_apis_characters_on_both_sides():
    told = reply(THOUGHT, use("f.f:0"), ids=("f.f:0",))
    answer = ChatMessage(role="tool", content="r", call_id="f.f:0")
    first, second = api_messages(request(told, answer))
    assert first["content"] == [THOUGHT, use("f_f_0")]
    assert second["content"][0]["tool_use_id"] == "f_f_0"


def test_a_call_beside_a_thought_has_the_id_that_its_result_answers():
    blocks = (THOUGHT, use("", name=""), use(""))  # neither came with an id, the first is no call
    (sent,) = api_messages(request(reply(*blocks, ids=("made up",))))
    assert sent["content"] == [THOUGHT, use("made_up")]


def test_a_call_that_is_not_among_the_blocks_is_sent_all_the_same():
    (sent,) = api_messages(request(reply(THOUGHT, ids=("a",))))
    assert sent["content"] == [THOUGHT, use("a")]


def test_an_empty_text_beside_a_thought_is_left_out():
    (sent,) = api_messages(request(reply(THOUGHT, {"type": "text", "text": ""}, use("a"))))
    assert sent["content"] == [THOUGHT]


def test_what_another_providers_model_thought_is_left_out():
    reasoning = {"type": "reasoning", "id": "rs_1", "encrypted_content": "x"}
    odd = {"type": "unknown", "value": 7}
    (sent,) = api_messages(request(reply(reasoning, odd, use("a"), text="hm", ids=("a",))))
    assert sent["content"] == [{"type": "text", "text": "hm"}, use("a")]
    (sent,) = api_messages(request(reply(THOUGHT, reasoning, use("a"), ids=("a",))))
    assert sent["content"] == [THOUGHT, use("a")]


def test_what_the_apis_own_tools_did_goes_back():
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    (sent,) = api_messages(request(reply(search, found, use("a"), ids=("a",))))
    assert sent["content"] == [search, found, use("a")]


def test_a_tool_without_a_schema_takes_an_object():
    assert api_tools([{"name": "f"}]) == [
        {"name": "f", "description": "", "input_schema": {"type": "object", "properties": {}}}
    ]


def test_a_call_without_an_id_or_with_another_calls_is_given_its_own():
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    blocks = reply_blocks({"content": [use, use, {**use, "id": None}]})
    assert blocks[0]["id"] == "a"
    assert len({block["id"] for block in blocks}) == 3


def test_arguments_that_are_no_object_arrive_raw():
    use = {"type": "tool_use", "id": "a", "name": "f", "input": '{"fruit": pe'}
    assert reply_blocks({"content": [use]})[0]["input"] == {"_raw_arguments": '{"fruit": pe'}


def test_a_block_of_an_unknown_kind_is_kept_as_it_is():
    given_blocks = [{"type": "container_upload", "file_id": "f"}, 7]
    assert reply_blocks({"content": given_blocks}) == [
        given_blocks[0],
        {"type": "unknown", "value": 7},
    ]


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": "7"}, 3])
def test_usage_that_is_no_usage_is_none(usage):
    assert outcome_of({"usage": usage}).usage is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("`temperature` is deprecated for this model.", "temperature"),
        ("temperature is not supported with this model", "temperature"),
        ("temperature: range: 0..1", None),
        ("messages: roles must alternate", None),
        (None, None),
    ],
)
def test_a_refused_parameter_is_read_from_the_errors_words(text, name):
    assert refused_parameter({"message": text}) == name
