"""What was said, in the conventions' shapes."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from looplet.core.messages import ChatMessage, ModelRequest
from looplet.otel import content

TEXTS = st.text(max_size=20)
BLOCKS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS}),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": TEXTS}),
    st.fixed_dictionaries(
        {"type": st.just("tool_use"), "id": TEXTS, "name": TEXTS, "input": st.just({"a": 1})}
    ),
    st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": TEXTS}),
)
NEEDED = {
    "text": {"content"},
    "reasoning": {"content"},
    "tool_call": {"id", "name", "arguments"},
    "tool_call_response": {"id", "response"},
    "redacted_thinking": {"data"},
}


def checked(told):
    """The messages of an attribute, after a look at what the schema wants of every part."""
    messages = json.loads(told)
    for message in messages:
        assert message["role"] in {"system", "user", "assistant", "tool"}
        for part in message["parts"]:
            assert NEEDED[part["type"]] == part.keys() - {"type"}
    return messages


@given(st.one_of(TEXTS, st.lists(BLOCKS, max_size=4)), st.none() | TEXTS)
def test_every_reply_is_one_message_with_a_reason_and_its_parts_in_order(reply, stop_reason):
    (told,) = content.of_reply(reply, stop_reason).values()
    (message,) = checked(told)
    assert message["finish_reason"] is not None
    texts = (
        [reply]
        if isinstance(reply, str)
        else [block["text"] for block in reply if block["type"] == "text"]
    )
    assert [part["content"] for part in message["parts"] if part["type"] == "text"] == texts


@given(st.lists(BLOCKS, max_size=3), TEXTS)
def test_every_request_is_told_in_the_order_of_its_messages(blocks, text):
    messages = (
        ChatMessage(role="user", content=text),
        ChatMessage(role="system", content=text),
        ChatMessage(role="assistant", content=text, blocks=tuple(blocks)),
        ChatMessage(role="tool", content=text, call_id="a"),
    )
    request = ModelRequest(
        method="generate", prompt="", system_prompt="Be brief.", messages=messages
    )
    told = content.of_request(request)
    roles = [message["role"] for message in checked(told["gen_ai.input.messages"])]
    assert roles == ["user", "system", "assistant", "tool"]
    assert json.loads(told["gen_ai.system_instructions"])[0]["content"] == "Be brief."


def test_a_thought_keeps_what_its_provider_wants_back():
    block = {"type": "thinking", "thinking": "hm", "signature": "s"}
    ((message,),) = [json.loads(told) for told in content.of_reply([block], None).values()]
    assert message["parts"] == [{"type": "reasoning", "content": "hm", "signature": "s"}]


def test_a_task_is_told_by_its_words_and_an_answer_by_its_only_text():
    def words(told):
        ((text,),) = [[part["content"] for part in each["parts"]] for each in checked(told)]
        return text

    name = "gen_ai.input.messages"
    assert words(content.of_task("buy")[name]) == "buy"
    assert words(content.of_task({"description": "buy"})[name]) == "buy"
    assert words(content.of_task({"goal": 1})[name]) == '{"goal": 1}'
    name = "gen_ai.output.messages"
    assert words(content.of_answer({"summary": "x", "__theory__": "t"})[name]) == "x"
    assert words(content.of_answer({"a": 1, "b": 2})[name]) == '{"a": 1, "b": 2}'


def test_a_lone_surrogate_is_escaped_and_the_text_stays_json():
    told = content.as_json({"said": "a\ud800b"})
    assert json.loads(told.encode()) == {"said": "a\ud800b"}
