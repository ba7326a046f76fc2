"""The Messages API told piece by piece, sync and async, on Anthropic's own SDK. Knows no loop.

The SDK is imported when a backend is made.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import Unpack

from looplet.backends.anthropic import (
    AnthropicBackend,
    AnthropicMessages,
    AsyncAnthropicBackend,
    MessagesOptions,
)
from looplet.backends.anthropic_events import MessageAssembly
from looplet.backends.provider import PROTOCOL_MAX_TOKENS, text_of
from looplet.backends.streams import AsyncStreams, OnChunk, Streams, SyncStreams
from looplet.core.backend import Block
from looplet.core.codec import JSON


class _MessageStreams(Streams, AnthropicMessages):
    """How the Messages API streams."""

    def _assembly(self) -> MessageAssembly:
        return MessageAssembly()


class AnthropicStreamingBackend(_MessageStreams, SyncStreams, AnthropicBackend):
    """``AnthropicBackend`` whose replies are told as they are written.

    Every call streams. It returns what ``AnthropicBackend`` would, thinking included, and tells
    each piece of the reply's text to ``on_chunk`` as it comes; the loop passes one if a hook or
    a stream listens. A stream that ends before the reply is whole is a failure like any other,
    and the pieces of the next attempt are told anew.
    """

    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = PROTOCOL_MAX_TOKENS,
        system_prompt: str = "",
        temperature: float = 0.2,
        on_chunk: OnChunk | None = None,
        **options: Unpack[MessagesOptions],
    ) -> str:
        """The model's reply as text."""
        asked = {**options, "max_tokens": max_tokens, "temperature": temperature}
        request = self._begin("generate", prompt, {**asked, "system_prompt": system_prompt})
        return text_of(self._ask(request, on_chunk))

    def generate_with_tools(
        self,
        prompt: str,
        *,
        tools: Sequence[Mapping[str, JSON]],
        max_tokens: int = PROTOCOL_MAX_TOKENS,
        system_prompt: str = "",
        temperature: float = 0.2,
        on_chunk: OnChunk | None = None,
        **options: Unpack[MessagesOptions],
    ) -> list[Block]:
        """The model's reply in blocks, thinking included; tools have an ``input_schema``."""
        asked = {**options, "max_tokens": max_tokens, "temperature": temperature, "tools": tools}
        asked["system_prompt"] = system_prompt
        return self._ask(self._begin("generate_with_tools", prompt, asked), on_chunk)

    def stream(
        self,
        prompt: str,
        *,
        max_tokens: int = PROTOCOL_MAX_TOKENS,
        system_prompt: str = "",
        temperature: float = 0.2,
        **options: Unpack[MessagesOptions],
    ) -> Generator[str, None, None]:
        """The pieces of the model's reply, as they come.

        Closing the iterator early hangs up. When it is exhausted, ``last_usage`` and
        ``last_stop_reason`` tell of the call.
        """
        asked = {**options, "max_tokens": max_tokens, "temperature": temperature}
        request = self._begin_stream(prompt, {**asked, "system_prompt": system_prompt})
        return self._streamed(request)


class AsyncAnthropicStreamingBackend(_MessageStreams, AsyncStreams, AsyncAnthropicBackend):
    """``AnthropicStreamingBackend`` for async code; ``on_chunk`` is a plain function too."""

    async def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = PROTOCOL_MAX_TOKENS,
        system_prompt: str = "",
        temperature: float = 0.2,
        on_chunk: OnChunk | None = None,
        **options: Unpack[MessagesOptions],
    ) -> str:
        """The model's reply as text."""
        asked = {**options, "max_tokens": max_tokens, "temperature": temperature}
        request = self._begin("generate", prompt, {**asked, "system_prompt": system_prompt})
        return text_of(await self._ask(request, on_chunk))

    async def generate_with_tools(
        self,
        prompt: str,
        *,
        tools: Sequence[Mapping[str, JSON]],
        max_tokens: int = PROTOCOL_MAX_TOKENS,
        system_prompt: str = "",
        temperature: float = 0.2,
        on_chunk: OnChunk | None = None,
        **options: Unpack[MessagesOptions],
    ) -> list[Block]:
        """The model's reply in blocks, thinking included; tools have an ``input_schema``."""
        asked = {**options, "max_tokens": max_tokens, "temperature": temperature, "tools": tools}
        asked["system_prompt"] = system_prompt
        return await self._ask(self._begin("generate_with_tools", prompt, asked), on_chunk)

    def stream(
        self,
        prompt: str,
        *,
        max_tokens: int = PROTOCOL_MAX_TOKENS,
        system_prompt: str = "",
        temperature: float = 0.2,
        **options: Unpack[MessagesOptions],
    ) -> AsyncGenerator[str, None]:
        """The pieces of the model's reply, as they come; ``aclose()`` hangs up.

        When it is exhausted, ``last_usage`` and ``last_stop_reason`` tell of the call.
        """
        asked = {**options, "max_tokens": max_tokens, "temperature": temperature}
        request = self._begin_stream(prompt, {**asked, "system_prompt": system_prompt})
        return self._streamed(request)
