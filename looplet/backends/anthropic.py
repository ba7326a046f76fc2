"""The Messages API, sync and async, on Anthropic's own SDK. Knows no loop.

The SDK is imported when a backend is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, Self, TypedDict, Unpack

from looplet.backends.answers import field_of
from looplet.backends.anthropic_messages import (
    api_messages,
    api_tools,
    outcome_of,
    refused_parameter,
    reply_blocks,
    system_text,
    with_breakpoints,
)
from looplet.backends.cache import CacheBreakpoint
from looplet.backends.provider import (
    PROTOCOL_MAX_TOKENS,
    AsyncProviderBackend,
    Provider,
    ProviderBackend,
    SyncProviderBackend,
    error_in,
    text_of,
)
from looplet.core.backend import Block
from looplet.core.codec import JSON
from looplet.core.messages import ChatMessage, Method, ModelRequest

DEFAULT_MODEL = "claude-sonnet-5"
BREAKPOINTS = "cache_breakpoints"


class MessagesOptions(TypedDict, total=False):
    """Further keywords of a call, as the Messages API names them; they go out as they are."""

    messages: Sequence[ChatMessage] | None
    """The conversation without the system prompt, sent instead of ``prompt``."""
    top_p: float | None
    top_k: int | None
    stop_sequences: Sequence[str] | None
    thinking: Mapping[str, JSON] | None
    """As long as the model thinks, the API takes no temperature, and none is sent."""
    tool_choice: Mapping[str, JSON] | None
    cache_control: Mapping[str, JSON] | None
    cache_breakpoints: Sequence[CacheBreakpoint] | None
    """Where the provider is to keep what it read; see ``CachePolicy``."""
    metadata: Mapping[str, JSON] | None
    extra_body: Mapping[str, JSON] | None
    """Fields of the request's body that have no keyword here."""


def _sdk() -> ModuleType:
    import anthropic

    return anthropic


ANTHROPIC = Provider(
    name="Anthropic",
    root_error="AnthropicError",
    default_model=DEFAULT_MODEL,
    load=_sdk,
    address_hint="it ends before /v1",
    token_variable="ANTHROPIC_AUTH_TOKEN",  # noqa: S106  # the name of a variable
    statuses={
        "invalid_request_error": 400,
        "authentication_error": 401,
        "billing_error": 402,
        "permission_error": 403,
        "not_found_error": 404,
        "request_too_large": 413,
        "rate_limit_error": 429,
        "api_error": 500,
        "timeout_error": 504,
        "overloaded_error": 529,
    },
)


class AnthropicMessages(ProviderBackend):
    """How the Messages API asks and answers."""

    provider = ANTHROPIC
    keywords = frozenset(
        {"prompt", "max_tokens", "system_prompt", "temperature", *MessagesOptions.__annotations__}
    )

    @classmethod
    def from_env(cls, *, model: str | None = None, default_max_tokens: int | None = None) -> Self:
        """A backend by ``ANTHROPIC_API_KEY``, ``ANTHROPIC_BASE_URL`` and ``ANTHROPIC_MODEL``.

        Raises ``BackendError``, a ``RuntimeError``, if neither key nor URL is set. With a URL
        alone the key is ``"x"``, for servers that check none.
        """
        return cls(model=model or ANTHROPIC.setting("MODEL"), default_max_tokens=default_max_tokens)

    def _begin(self, method: Method, prompt: str, keywords: Mapping[str, Any]) -> ModelRequest:
        request = super()._begin(method, prompt, keywords)
        marks = keywords.get(BREAKPOINTS)
        if not marks:
            return request
        return replace(request, extra={**request.extra, BREAKPOINTS: marks})

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": self._max_tokens(request),
            "messages": api_messages(request),
            # The SDK's keywords come and go with its versions, the way around them stays.
            "extra_body": self._sampling(request),
        }
        system = system_text(request)
        if system:
            body["system"] = system
        if request.tools:
            body["tools"] = api_tools(request.tools)
        if hasattr(self._client, "timeout"):  # else the SDK refuses a long reply unasked
            body["timeout"] = self._client.timeout
        marks = request.extra.get(BREAKPOINTS, ())
        return with_breakpoints(body, marks, conversation=bool(request.messages))

    def _sampling(self, request: ModelRequest) -> dict[str, JSON]:
        options = {"temperature": request.temperature, **request.extra}
        options.pop(BREAKPOINTS, None)
        options |= options.pop("extra_body", None) or {}
        if "temperature" in self._refused or _thinks(options.get("thinking")):
            del options["temperature"]
        return options

    def _send(self, body: dict[str, Any]) -> Any:
        return self._client.messages.create(**body)

    def _refused_in(self, error: Exception) -> str | None:
        return refused_parameter(error_in(getattr(error, "body", None)))

    def _read(self, answer: object) -> list[Block]:
        blocks = reply_blocks(answer)
        if blocks is None:
            raise self._no_reply(answer, field_of(answer, "error"), "content")
        self._last.set(outcome_of(answer))
        return blocks


class AnthropicBackend(AnthropicMessages, SyncProviderBackend):
    """A model behind any server that speaks Anthropic's Messages API.

    ``client`` is an ``anthropic.Anthropic`` of your own, for timeouts or proxies; without one,
    ``base_url`` and ``api_key`` make it, and for what is not given ``ANTHROPIC_BASE_URL`` and
    ``ANTHROPIC_API_KEY`` are read. ``default_max_tokens`` stands in where a call leaves
    ``max_tokens`` at 2000, the protocol's default. Threads may share a backend.

    Raises ``MissingExtra`` without the SDK, and for calls ``BackendUnreachable``,
    ``BackendTimeout`` or ``BackendRefused``, which has the provider's words, ``status`` and
    ``retry_after`` (seconds).
    """

    client_class = "Anthropic"

    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = PROTOCOL_MAX_TOKENS,
        system_prompt: str = "",
        temperature: float = 0.2,
        **options: Unpack[MessagesOptions],
    ) -> str:
        """The model's reply as text."""
        asked = {**options, "max_tokens": max_tokens, "temperature": temperature}
        request = self._begin("generate", prompt, {**asked, "system_prompt": system_prompt})
        return text_of(self._ask(request))

    def generate_with_tools(
        self,
        prompt: str,
        *,
        tools: Sequence[Mapping[str, JSON]],
        max_tokens: int = PROTOCOL_MAX_TOKENS,
        system_prompt: str = "",
        temperature: float = 0.2,
        **options: Unpack[MessagesOptions],
    ) -> list[Block]:
        """The model's reply in blocks, thinking included; tools have an ``input_schema``."""
        asked = {**options, "max_tokens": max_tokens, "temperature": temperature, "tools": tools}
        asked["system_prompt"] = system_prompt
        return self._ask(self._begin("generate_with_tools", prompt, asked))


class AsyncAnthropicBackend(AnthropicMessages, AsyncProviderBackend):
    """``AnthropicBackend`` for async code; ``client`` is an ``anthropic.AsyncAnthropic``.

    Tasks may share a backend; each sees the usage of its own calls. The client belongs to the
    event loop that first used it.
    """

    client_class = "AsyncAnthropic"

    async def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = PROTOCOL_MAX_TOKENS,
        system_prompt: str = "",
        temperature: float = 0.2,
        **options: Unpack[MessagesOptions],
    ) -> str:
        """The model's reply as text."""
        asked = {**options, "max_tokens": max_tokens, "temperature": temperature}
        request = self._begin("generate", prompt, {**asked, "system_prompt": system_prompt})
        return text_of(await self._ask(request))

    async def generate_with_tools(
        self,
        prompt: str,
        *,
        tools: Sequence[Mapping[str, JSON]],
        max_tokens: int = PROTOCOL_MAX_TOKENS,
        system_prompt: str = "",
        temperature: float = 0.2,
        **options: Unpack[MessagesOptions],
    ) -> list[Block]:
        """The model's reply in blocks, thinking included; tools have an ``input_schema``."""
        asked = {**options, "max_tokens": max_tokens, "temperature": temperature, "tools": tools}
        asked["system_prompt"] = system_prompt
        return await self._ask(self._begin("generate_with_tools", prompt, asked))


def _thinks(thinking: object) -> bool:
    return isinstance(thinking, Mapping) and thinking.get("type") not in {None, "disabled"}
