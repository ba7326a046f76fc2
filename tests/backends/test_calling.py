"""A backend's call made in another thread as if it were made here."""

from __future__ import annotations

import asyncio
import threading

import pytest

from looplet.backends import AnthropicBackend, AsyncAnthropicBackend, async_llm_call
from looplet.testing import AsyncMockLLMBackend, MockLLMBackend, ScriptedToolBackend


@pytest.mark.parametrize("mock", [MockLLMBackend, AsyncMockLLMBackend])
def test_either_kind_is_asked_and_gets_only_what_it_takes(mock):
    llm = mock(["hello"])
    asked = async_llm_call(llm, "hi", system_prompt="s", seed=3)
    assert asyncio.run(asked) == "hello"
    assert (llm.last_prompt, llm.last_system_prompt) == ("hi", "s")


@pytest.mark.parametrize("kind", [AnthropicBackend, AsyncAnthropicBackend])
def test_whoever_asked_reads_the_usage_of_its_own_call(server, kind):
    async def work():
        llm = kind(base_url=server.root, model="m")
        reply = await async_llm_call(llm, "hi", method="generate_with_tools", tools=[])
        usage = llm.last_usage
        closing = llm.close()
        if closing is not None:
            await closing
        return reply, usage

    reply, usage = asyncio.run(work())
    assert reply == [{"type": "text", "text": "ok"}]
    assert usage == {"input_tokens": 7, "output_tokens": 3}


def test_a_sync_backend_does_not_hold_up_the_event_loop():
    release = threading.Event()

    class Slow:
        def generate(self, prompt):
            return release.wait(20)

    async def work():
        asked = asyncio.create_task(async_llm_call(Slow(), "hi"))
        await asyncio.sleep(0)
        release.set()
        return await asked

    assert asyncio.run(work()) is True


def test_a_failure_reaches_whoever_asked():
    with pytest.raises(ConnectionError, match="down"):
        asyncio.run(async_llm_call(ScriptedToolBackend([ConnectionError("down")]), "hi"))


def test_a_backend_that_raises_stop_iteration_does_not_end_the_loop():
    class Odd:
        def generate(self, prompt):
            raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(async_llm_call(Odd(), "hi"))
