"""The scripted models that ship with looplet."""

from __future__ import annotations

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor

import pytest

from looplet.core.backend import is_async, takes
from looplet.core.messages import ChatMessage
from looplet.core.protocols import AsyncLLMBackend, LLMBackend, NativeToolBackend
from looplet.errors import LoopletError
from looplet.testing import (
    AsyncMockLLMBackend,
    AsyncScriptedToolBackend,
    LLMResponsesExhausted,
    MockLLMBackend,
    ScriptedToolBackend,
)

CALL = {"type": "tool_use", "id": "c1", "name": "price", "input": {"fruit": "pear"}}
TEXT = {"type": "text", "text": "Let me see."}


def ask(backend, prompt="hi", *, method="generate", **keywords):
    """One call of a sync or an async backend."""
    answer = getattr(backend, method)(prompt, **keywords)
    return asyncio.run(answer) if inspect.iscoroutine(answer) else answer


@pytest.fixture(params=[MockLLMBackend, AsyncMockLLMBackend])
def mock(request):
    return request.param


@pytest.fixture(params=[ScriptedToolBackend, AsyncScriptedToolBackend])
def scripted(request):
    return request.param


def test_a_model_without_responses_gives_the_mock_response_for_ever(mock):
    llm = mock()
    assert [ask(llm) for _ in range(3)] == ["mock response"] * 3
    assert ask(mock(responses=[], cycle=False)) == "mock response"


def test_responses_come_in_turn_and_begin_again(mock):
    llm = mock(responses=["a", "b"])
    assert [ask(llm) for _ in range(5)] == ["a", "b", "a", "b", "a"]


def test_without_cycle_the_end_is_an_error_that_says_how_many_there_were(mock):
    llm = mock(responses=["a"], cycle=False)
    ask(llm)
    with pytest.raises(LLMResponsesExhausted, match=r"has 1 replies .* number 2") as caught:
        ask(llm)
    assert isinstance(caught.value, LoopletError)
    assert llm.calls == 2


def test_the_last_prompts_are_kept_and_reset_forgets_them(mock):
    llm = mock(responses=["a", "b"])
    assert (llm.calls, llm.last_prompt, llm.last_system_prompt) == (0, "", "")
    ask(llm, "one", system_prompt="be brief")
    ask(llm, "two")
    assert (llm.calls, llm.last_prompt, llm.last_system_prompt) == (2, "two", "")
    llm.reset()
    assert (llm.calls, llm.last_prompt, ask(llm)) == (0, "", "a")


def test_an_exception_among_the_responses_is_raised(mock):
    failure = ConnectionError("down")
    llm = mock(responses=[failure, "up"])
    with pytest.raises(ConnectionError) as caught:
        ask(llm)
    assert caught.value is failure
    assert ask(llm) == "up"


def test_the_mock_has_no_native_tools_and_takes_no_messages(mock):
    assert not hasattr(mock(), "generate_with_tools")
    assert not takes(mock(), "generate", "messages")
    assert takes(mock(), "generate", "system_prompt")


def test_the_models_are_backends_of_their_kind():
    assert isinstance(MockLLMBackend(), LLMBackend)
    assert isinstance(ScriptedToolBackend([]), NativeToolBackend)
    assert isinstance(AsyncMockLLMBackend(), AsyncLLMBackend)
    assert [is_async(each) for each in (MockLLMBackend(), ScriptedToolBackend([]))] == [False] * 2
    assert is_async(AsyncMockLLMBackend())
    assert is_async(AsyncScriptedToolBackend([]))


def test_threads_share_a_script_without_losing_a_reply():
    llm = MockLLMBackend(responses=[str(n) for n in range(400)], cycle=False)
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(llm.generate, map(str, range(400))))
    assert sorted(map(int, replies)) == list(range(400))
    assert llm.calls == 400


def test_native_replies_come_as_blocks_and_texts_as_one_block(scripted):
    llm = scripted([[TEXT, CALL], "bye"])
    assert ask(llm, method="generate_with_tools", tools=[]) == [TEXT, CALL]
    assert llm.last_stop_reason in {"tool_use", None}  # an async call ran in a task of its own
    assert ask(llm, method="generate_with_tools", tools=[]) == [{"type": "text", "text": "bye"}]


def test_generate_gives_the_text_of_blocks(scripted):
    assert ask(scripted([[TEXT, CALL]])) == "Let me see."


def test_a_script_is_not_changed_by_who_changes_its_reply(scripted):
    llm = scripted([[{"type": "tool_use", "id": "c", "name": "price", "input": {}}]], cycle=True)
    ask(llm, method="generate_with_tools", tools=[])[0]["input"]["fruit"] = "plum"
    assert ask(llm, method="generate_with_tools", tools=[])[0]["input"] == {}


def test_requests_say_what_was_asked(scripted):
    llm = scripted(["a", ValueError("no")])
    messages = [ChatMessage(role="user", content="one")]
    tools = [{"name": "price"}]
    ask(llm, "p", method="generate_with_tools", tools=tools, messages=messages, scope="tool:x")
    with pytest.raises(ValueError, match="no"):
        ask(llm, "q", temperature=0.9)
    first, second = llm.requests
    assert (first.method, first.tools, first.messages) == (
        "generate_with_tools",
        tools,
        (*messages,),
    )
    assert (second.method, second.prompt, second.temperature) == ("generate", "q", 0.9)
    assert llm.keywords[0]["scope"] == "tool:x"
    assert llm.calls == 2
    llm.reset()
    assert llm.requests == ()


def test_a_script_may_refuse_messages(scripted):
    llm = scripted(["a"], takes_messages=False)
    assert not takes(llm, "generate", "messages")
    assert takes(llm, "generate", "scope")
    with pytest.raises(TypeError, match="messages"):
        ask(llm, messages=[])


def test_a_script_ends_unless_it_cycles(scripted):
    llm = scripted(["a"])
    ask(llm)
    with pytest.raises(LLMResponsesExhausted):
        ask(llm)
    with pytest.raises(LLMResponsesExhausted, match="has 0 replies"):
        ask(scripted([], cycle=True))


def test_usage_and_stop_reason_are_told_after_a_reply():
    llm = ScriptedToolBackend([[CALL], ValueError("no")], usage={"input_tokens": 3})
    assert (llm.last_usage, llm.last_stop_reason) == (None, None)
    llm.generate_with_tools("p", tools=[])
    assert (llm.last_usage, llm.last_stop_reason) == ({"input_tokens": 3}, "tool_use")
    with pytest.raises(ValueError):
        llm.generate("p")
    assert (llm.last_usage, llm.last_stop_reason) == (None, None)
