"""A backend that counts what it uses."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from looplet.backends import AnthropicBackend, CostTracker
from looplet.core.messages import ChatMessage
from looplet.testing import AsyncMockLLMBackend, MockLLMBackend


@pytest.fixture(params=[MockLLMBackend, AsyncMockLLMBackend], ids=["sync", "async"])
def mock(request):
    return request.param


def ask(llm, prompt, **keywords):
    answer = llm.generate(prompt, **keywords)
    return asyncio.run(answer) if inspect.isawaitable(answer) else answer


def test_tokens_without_usage_are_a_quarter_of_the_characters_and_marked(mock):
    llm = CostTracker(mock(["four"]), cost_per_1k_input=1, cost_per_1k_output=10)
    assert ask(llm, "12345", system_prompt="678") == "four"
    assert (llm.total_input_tokens, llm.total_output_tokens, llm.call_count) == (2, 1, 1)
    assert llm.total_cost == 0.012
    assert llm.tokens_estimated


def test_the_providers_own_usage_counts_where_it_is_given(server, message):
    server.says(message(usage=(1000, 500), cache_read_input_tokens=1000))
    inner = AnthropicBackend(base_url=server.root, model="m")
    llm = CostTracker(inner, cost_per_1k_input=1, cost_per_1k_output=2)
    llm.generate("hi", messages=[ChatMessage(role="user", content="hi")])
    assert (llm.total_input_tokens, llm.total_output_tokens, llm.total_cost) == (2000, 500, 3.0)
    assert not llm.tokens_estimated
    inner.close()


def test_the_report_has_the_figures_in_all_and_by_purpose(mock):
    llm = CostTracker(mock(["ok"]))
    ask(llm, "1234")
    ask(llm, "12345678", purpose="repair")
    report = llm.report()
    assert (report["call_count"], report["total_input_tokens"]) == (2, 3)
    assert {name: each["total_input_tokens"] for name, each in report["purposes"].items()} == {
        "reasoning": 1,
        "repair": 2,
    }


def test_a_call_that_fails_is_not_counted_and_reset_begins_at_zero(mock):
    llm = CostTracker(mock([ConnectionError("down"), "ok"], cycle=False))
    with pytest.raises(ConnectionError):
        ask(llm, "hi")
    assert llm.call_count == 0
    ask(llm, "hi")
    assert llm.call_count == 1
    llm.reset()
    assert (llm.call_count, llm.total_cost, llm.tokens_estimated) == (0, 0.0, False)
