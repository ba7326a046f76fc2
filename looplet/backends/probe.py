"""Whether a model really calls tools in the provider's own form. Knows no provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from looplet.core.backend import is_async, only_taken
from looplet.core.failures import describe

QUESTION = "Call the tool {name} with the word 'ready'. Do nothing else."


@dataclass(frozen=True, slots=True)
class NativeToolProbeResult:
    """What a probe found."""

    supported: bool
    reason: str
    """Why, in words."""
    raw_response: Any = None
    """The reply as it came; ``None`` if there was none."""


def supports_native_tools(llm: object) -> bool:
    """Whether a backend has ``generate_with_tools``; the model behind it may still not use it.

    >>> from looplet.testing import MockLLMBackend
    >>> supports_native_tools(MockLLMBackend())
    False
    """
    return callable(getattr(llm, "generate_with_tools", None))


def probe_native_tool_support(
    llm: Any, *, tool_name: str = "test_probe", max_tokens: int = 50
) -> NativeToolProbeResult:
    """Ask the model for one tool call, and tell whether it made it; it costs one call.

    An async backend is asked on an event loop of its own, so make it anew for the run; inside
    a running event loop that is a ``RuntimeError``. Never raises for what the backend answers or
    how it fails: that is the ``reason``.

    >>> from looplet.testing import MockLLMBackend
    >>> probe_native_tool_support(MockLLMBackend()).reason
    'the backend has no generate_with_tools'
    """
    if not supports_native_tools(llm):
        return NativeToolProbeResult(
            supported=False, reason="the backend has no generate_with_tools"
        )
    if is_async(llm):
        _refuse_running_loop()
    try:
        reply = _ask(llm, tool_name, max_tokens)
    except Exception as error:  # noqa: BLE001 - a probe's answer is whether it works
        return NativeToolProbeResult(supported=False, reason=f"the call failed: {describe(error)}")
    supported, reason = _judge(reply, tool_name)
    return NativeToolProbeResult(supported=supported, reason=reason, raw_response=reply)


def _ask(llm: Any, tool_name: str, max_tokens: int) -> Any:
    tool = {
        "name": tool_name,
        "description": "Shows that tools can be called.",
        "input_schema": {
            "type": "object",
            "properties": {"word": {"type": "string"}},
            "required": ["word"],
        },
    }
    keywords = {"max_tokens": max_tokens, "temperature": 0.0, "tools": [tool]}
    taken = only_taken(llm, "generate_with_tools", keywords)
    answer = llm.generate_with_tools(QUESTION.format(name=tool_name), **taken)
    if not is_async(llm):
        return answer
    import asyncio

    return asyncio.run(answer)


def _judge(reply: object, tool_name: str) -> tuple[bool, str]:
    if not isinstance(reply, list):
        return False, f"the reply is no list of blocks but {type(reply).__name__}"
    called = [
        block.get("name")
        for block in reply
        if isinstance(block, Mapping) and block.get("type") == "tool_use"
    ]
    if tool_name in called:
        return True, f"the model called {tool_name}"
    if called:
        return False, f"the model called {called[0]}, which it was not offered"
    return False, "the model answered without a tool call"


def _refuse_running_loop() -> None:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "an async backend cannot be probed inside a running event loop; probe it before, "
        "or in a thread: await asyncio.to_thread(probe_native_tool_support, llm)"
    )
