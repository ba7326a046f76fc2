"""Chat Completions told piece by piece, sync and async, on OpenAI's own SDK. Knows no loop.

The SDK is imported when a backend is made.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import Any, Unpack

from looplet.backends.openai import (
    Api,
    AsyncOpenAIBackend,
    CallOptions,
    OpenAIBackend,
    OpenAIChat,
)
from looplet.backends.openai_chunks import ChatAssembly
from looplet.backends.provider import PROTOCOL_MAX_TOKENS, text_of
from looplet.backends.streams import AsyncStreams, OnChunk, Streams, SyncStreams
from looplet.core.backend import Block
from looplet.core.codec import JSON
from looplet.core.messages import ModelRequest

OPTIONS = "stream_options"
WRONG_REQUEST = frozenset({400, 422})
"""What servers answer with to a parameter that they do not know."""


class _ChatStreams(Streams, OpenAIChat):
    """How Chat Completions streams."""

    apis: frozenset[Api] = frozenset({"chat"})

    def _assembly(self) -> ChatAssembly:
        return ChatAssembly()

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        body = super()._body(request)
        if OPTIONS not in self._refused:
            body[OPTIONS] = {"include_usage": True}  # else a stream tells no usage
        return body

    def _refused_in(self, error: Exception) -> str | None:
        # Each server has its own words for a parameter that it does not know.
        words = f"{error} {getattr(error, 'body', None)}"
        if getattr(error, "status_code", None) in WRONG_REQUEST and OPTIONS in words:
            return OPTIONS
        return super()._refused_in(error)

    def _can_do_without(self, name: str) -> bool:
        return name == OPTIONS or super()._can_do_without(name)


class OpenAIStreamingBackend(_ChatStreams, SyncStreams, OpenAIBackend):
    """``OpenAIBackend`` whose replies are told as they are written.

    Every call streams. It returns what ``OpenAIBackend`` would, and tells each piece of the
    reply's text to ``on_chunk`` as it comes; the loop passes one if a hook or a stream listens.
    A stream that ends before the reply is whole is a failure like any other, and the pieces of
    the next attempt are told anew. A server that refuses ``stream_options`` is asked without,
    and then usually tells no usage.
    """

    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = PROTOCOL_MAX_TOKENS,
        system_prompt: str = "",
        temperature: float = 0.2,
        on_chunk: OnChunk | None = None,
        **options: Unpack[CallOptions],
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
        **options: Unpack[CallOptions],
    ) -> list[Block]:
        """The model's reply in blocks; tools are ``{"name", "description", "input_schema"}``."""
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
        **options: Unpack[CallOptions],
    ) -> Generator[str, None, None]:
        """The pieces of the model's reply, as they come.

        Closing the iterator early hangs up. When it is exhausted, ``last_usage`` and
        ``last_stop_reason`` tell of the call.
        """
        asked = {**options, "max_tokens": max_tokens, "temperature": temperature}
        request = self._begin_stream(prompt, {**asked, "system_prompt": system_prompt})
        return self._streamed(request)


class AsyncOpenAIStreamingBackend(_ChatStreams, AsyncStreams, AsyncOpenAIBackend):
    """``OpenAIStreamingBackend`` for async code; ``on_chunk`` is a plain function too."""

    async def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = PROTOCOL_MAX_TOKENS,
        system_prompt: str = "",
        temperature: float = 0.2,
        on_chunk: OnChunk | None = None,
        **options: Unpack[CallOptions],
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
        **options: Unpack[CallOptions],
    ) -> list[Block]:
        """The model's reply in blocks; tools are ``{"name", "description", "input_schema"}``."""
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
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[str, None]:
        """The pieces of the model's reply, as they come; ``aclose()`` hangs up.

        When it is exhausted, ``last_usage`` and ``last_stop_reason`` tell of the call.
        """
        asked = {**options, "max_tokens": max_tokens, "temperature": temperature}
        request = self._begin_stream(prompt, {**asked, "system_prompt": system_prompt})
        return self._streamed(request)
