"""Whether a model calls tools: the probe against scripted backends."""

from __future__ import annotations

import asyncio

import pytest

from looplet.backends import (
    AnthropicBackend,
    NativeToolProbeResult,
    probe_native_tool_support,
    supports_native_tools,
)
from looplet.testing import (
    AsyncMockLLMBackend,
    AsyncScriptedToolBackend,
    MockLLMBackend,
    ScriptedToolBackend,
)


def call(name):
    return {"type": "tool_use", "id": "c1", "name": name, "input": {"word": "ready"}}


@pytest.fixture(params=[ScriptedToolBackend, AsyncScriptedToolBackend], ids=["sync", "async"])
def scripted(request):
    return request.param


def test_a_model_that_makes_the_call_is_supported(scripted):
    llm = scripted([[call("test_probe")]])
    assert probe_native_tool_support(llm) == NativeToolProbeResult(
        supported=True, reason="the model called test_probe", raw_response=[call("test_probe")]
    )
    asked = llm.requests[0]
    assert (asked.max_tokens, asked.tools[0]["name"]) == (50, "test_probe")


def test_the_tools_name_and_the_limit_may_be_given(scripted):
    llm = scripted([[call("ping")]])
    assert probe_native_tool_support(llm, tool_name="ping", max_tokens=9).supported
    assert llm.requests[0].max_tokens == 9


def test_text_instead_of_a_call_is_not_supported_and_kept(scripted):
    result = probe_native_tool_support(scripted(["I would call it."]))
    assert (result.supported, result.reason) == (
        False,
        "the model answered without a tool call",
    )
    assert result.raw_response == [{"type": "text", "text": "I would call it."}]


def test_a_call_of_another_tool_is_not_supported(scripted):
    result = probe_native_tool_support(scripted([[call("other")]]))
    assert not result.supported
    assert "other, which it was not offered" in result.reason


def test_a_failure_is_the_reason_and_not_raised(scripted):
    result = probe_native_tool_support(scripted([ConnectionError("down")]))
    assert (result.supported, result.reason) == (
        False,
        "the call failed: ConnectionError: down",
    )


def test_a_reply_that_is_no_list_of_blocks_is_not_supported():
    class Odd:
        def generate(self, prompt):
            raise AssertionError

        def generate_with_tools(self, prompt, *, tools):
            return "text"

    result = probe_native_tool_support(Odd())
    assert result.reason == "the reply is no list of blocks but str"


@pytest.mark.parametrize("mock", [MockLLMBackend, AsyncMockLLMBackend])
def test_a_backend_without_native_tools_is_not_even_asked(mock):
    llm = mock()
    result = probe_native_tool_support(llm)
    assert (result.supported, llm.calls) == (False, 0)
    assert not supports_native_tools(llm)
    assert supports_native_tools(ScriptedToolBackend([]))


def test_an_async_backend_inside_a_running_loop_says_what_to_do():
    async def probe():
        return probe_native_tool_support(AsyncScriptedToolBackend([[call("test_probe")]]))

    with pytest.raises(RuntimeError, match="in a thread"):
        asyncio.run(probe())


def test_a_real_server_is_probed_in_its_own_form(server, message):
    server.says(message(call("test_probe"), stop_reason="tool_use"))
    llm = AnthropicBackend(base_url=server.root, model="m")
    assert probe_native_tool_support(llm).supported
    assert server.bodies[0]["tools"][0]["input_schema"]["required"] == ["word"]
    llm.close()
