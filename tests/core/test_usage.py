"""Tokens of a call."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.core.messages import CallRequest, ChatMessage, ModelRequest
from looplet.core.usage import count_tokens


@given(st.text(max_size=50), st.text(max_size=50), st.text(max_size=50))
def test_an_estimate_is_a_quarter_of_the_characters_rounded_up(prompt, system_prompt, reply):
    request = ModelRequest(method="generate", prompt=prompt, system_prompt=system_prompt)
    usage = count_tokens(request, reply, None)
    assert usage.input_tokens == math.ceil(len(prompt + system_prompt) / 4)
    assert usage.output_tokens == math.ceil(len(reply) / 4)
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.estimated


def test_the_providers_count_wins_and_zero_is_a_count():
    request = ModelRequest(method="generate", prompt="some words")
    usage = count_tokens(request, "words", {"input_tokens": 0, "output_tokens": 9})
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (0, 9, False)


@pytest.mark.parametrize("wrong", [None, -1, "9", True, 2.5])
def test_a_side_that_is_no_count_is_estimated_alone(wrong):
    request = ModelRequest(method="generate", prompt="eight ch")
    usage = count_tokens(request, "words", {"input_tokens": wrong, "output_tokens": 9})
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (2, 9, True)


def test_calls_tools_and_blocks_are_counted_too():
    call = CallRequest(id="1", name="abcd", input={"a": 1})
    message = ChatMessage(role="assistant", content="1234", calls=(call,))
    bare = ModelRequest(method="generate_with_tools", prompt="", messages=(message,))
    block = {"type": "tool_use", "id": "1", "name": "abcd", "input": {"a": 1}}
    usage = count_tokens(bare, [{"type": "text", "text": "1234"}, block], None)
    assert (usage.input_tokens, usage.output_tokens) == (4, 4)  # 4 + 4 + len('{"a":1}') = 15
    tools = [{"name": "abcd", "description": "d" * 100}]
    more = ModelRequest(method="generate_with_tools", prompt="", messages=(message,), tools=tools)
    assert count_tokens(more, "", None).input_tokens > 25


def test_what_the_model_thought_counts_where_it_comes_and_where_it_goes():
    thought = {"type": "thinking", "thinking": "t" * 100}
    call = CallRequest(id="1", name="abcd", input={})
    block = {"type": "tool_use", "id": "1", "name": "abcd", "input": {}}

    def tokens(*blocks):
        sent = ChatMessage(role="assistant", calls=(call,), blocks=blocks)
        asked = ModelRequest(method="generate_with_tools", prompt="", messages=(sent,))
        return count_tokens(asked, [*blocks, *([] if blocks else [block])], None)

    plain, thoughtful = tokens(), tokens(thought, block)
    assert plain.input_tokens == plain.output_tokens
    assert thoughtful.input_tokens == thoughtful.output_tokens > plain.input_tokens + 25


def test_a_call_that_failed_received_nothing():
    request = ModelRequest(method="generate", prompt="eight ch")
    assert count_tokens(request, None, {"input_tokens": 5}).output_tokens == 0
    assert not count_tokens(request, None, {"input_tokens": 5}).estimated
