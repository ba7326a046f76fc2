"""Every backend against a real model behind a real server, which `make test-model` installs.

It is a very small model: what it says may be nonsense, so the form is asserted and not the words.
"""

from __future__ import annotations

import asyncio
import inspect
import subprocess

import pytest

from looplet import (
    AnthropicBackend,
    AnthropicStreamingBackend,
    AsyncAnthropicBackend,
    AsyncAnthropicStreamingBackend,
    AsyncOpenAIBackend,
    AsyncOpenAIStreamingBackend,
    OpenAIBackend,
    OpenAIStreamingBackend,
    async_composable_loop,
    composable_loop,
)
from looplet.core.failures import is_overflow
from looplet.examples.parcel_desk.agent import MODEL, build_config, build_tools
from looplet.examples.parcel_desk.tasks import TASKS
from looplet.streaming import CallbackEmitter, LLMChunkEvent

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def address():
    """Where the model is served."""
    from recordings.make_recordings import install, served

    try:
        install()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the model cannot be installed here: {error}")
    with served() as root:
        yield root


OPENAI = {
    "chat": (OpenAIBackend, {}),
    "chat streamed": (OpenAIStreamingBackend, {}),
    "responses": (OpenAIBackend, {"api": "responses"}),
    "async chat": (AsyncOpenAIBackend, {}),
    "async chat streamed": (AsyncOpenAIStreamingBackend, {}),
    "async responses": (AsyncOpenAIBackend, {"api": "responses"}),
}
ANTHROPIC = {
    "messages": (AnthropicBackend, {}),
    "messages streamed": (AnthropicStreamingBackend, {}),
    "async messages": (AsyncAnthropicBackend, {}),
    "async messages streamed": (AsyncAnthropicStreamingBackend, {}),
}
PLAIN = {"chat": "chat streamed", "async chat": "async chat streamed",
         "messages": "messages streamed", "async messages": "async messages streamed"}  # fmt: skip


def backend(name, address):
    kind, options = {**OPENAI, **ANTHROPIC}[name]
    url = f"{address}/v1" if name in OPENAI else address
    return kind(base_url=url, api_key="x", model=MODEL, **options)


def asked(llm, method, *args, **keywords):
    """The reply, usage and stop reason of one call, of a sync or an async backend."""

    async def ask():
        answer = getattr(llm, method)(*args, **keywords)
        reply = await answer if inspect.isawaitable(answer) else answer
        told = (reply, llm.last_usage, llm.last_stop_reason)
        closed = llm.close()
        if inspect.isawaitable(closed):
            await closed
        return told

    return asyncio.run(ask())


@pytest.mark.parametrize("name", [*OPENAI, *ANTHROPIC])
def test_a_backend_gives_text_with_the_servers_own_count_of_tokens(name, address):
    reply, usage, stop_reason = asked(
        backend(name, address), "generate", "Say hello.", max_tokens=12, temperature=0.0
    )
    assert isinstance(reply, str)
    assert reply.strip()
    assert usage["input_tokens"] > 0
    assert 0 < usage["output_tokens"] <= 12
    assert stop_reason in {"end_turn", "max_tokens"}


@pytest.mark.parametrize("name", [*OPENAI, *ANTHROPIC])
def test_a_backend_gives_calls_of_the_tools_that_it_was_told(name, address):
    tools = build_tools()
    reply, usage, _ = asked(
        backend(name, address),
        "generate_with_tools",
        f"TASK\ngoal: {TASKS[0].goal}",
        tools=tools.tool_schemas(),
        max_tokens=60,
        temperature=0.0,
    )
    assert {block["type"] for block in reply} <= {"text", "tool_use"}
    calls = [block for block in reply if block["type"] == "tool_use"]
    assert calls
    assert all(call["name"] in tools.tool_names and call["id"] for call in calls)
    assert all(isinstance(call["input"], dict) for call in calls)
    assert usage["input_tokens"] > 0


@pytest.mark.parametrize("name", PLAIN)
def test_a_streamed_reply_is_the_one_that_comes_whole(name, address):
    asks = {"max_tokens": 24, "temperature": 0.0}
    whole, *_ = asked(backend(name, address), "generate", "Count to five.", **asks)
    pieces: list[str] = []
    streamed, *_ = asked(
        backend(PLAIN[name], address), "generate", "Count to five.", on_chunk=pieces.append, **asks
    )
    assert streamed == whole
    assert "".join(pieces) == streamed
    assert len(pieces) > 1


@pytest.mark.parametrize("name", [*OPENAI, *ANTHROPIC])
def test_a_prompt_that_the_model_cannot_hold_is_known_for_what_it_is(name, address):
    with pytest.raises(Exception, match=r"(?s).+") as failure:
        asked(backend(name, address), "generate", "parcel " * 9000, max_tokens=4)
    assert is_overflow(failure.value)


@pytest.mark.parametrize("name", [*OPENAI, *ANTHROPIC])
def test_a_run_of_the_example_takes_real_steps(name, address):
    config = build_config(seed=TASKS[0].seed(1))
    if "chat" not in name:  # only Chat Completions takes a seed
        config.generate_kwargs = {}
    seen: list[object] = []
    given = {
        "task": {"goal": TASKS[0].goal},
        "tools": build_tools(),
        "config": config,
        "stream": CallbackEmitter(seen.append),
    }
    llm = backend(name, address)

    async def run():
        steps = [step async for step in async_composable_loop(llm, **given)]
        await llm.close()
        return steps

    if name.startswith("async"):
        steps = asyncio.run(run())
    else:
        steps = list(composable_loop(llm, **given))
        llm.close()
    assert 0 < len(steps) <= config.max_steps
    assert all(step.tool_call.tool != "__llm_error__" for step in steps)
    assert steps[0].usage.input_tokens > 0
    assert not steps[0].usage.estimated
    chunks = [event for event in seen if isinstance(event, LLMChunkEvent)]
    assert bool(chunks) <= ("streamed" in name)
