"""Chat Completions and Responses, sync and async, on OpenAI's own SDK. Knows no loop.

The SDK is imported when a backend is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Literal, Self, TypeAlias, TypedDict, Unpack

from looplet.backends import openai_responses as responses
from looplet.backends.answers import field_of
from looplet.backends.openai_messages import (
    blocks_of,
    chat_messages,
    chat_tools,
    choice_of,
    outcome_of,
    refused_parameter,
)
from looplet.backends.provider import (
    PROTOCOL_MAX_TOKENS,
    AsyncProviderBackend,
    Provider,
    ProviderBackend,
    SyncProviderBackend,
    text_of,
)
from looplet.core.backend import Block
from looplet.core.codec import JSON
from looplet.core.messages import ChatMessage, Method, ModelRequest
from looplet.errors import BackendError, BackendRefused

Api: TypeAlias = Literal["chat", "responses"]
"""Which of OpenAI's two APIs is spoken: Chat Completions or Responses."""

DEFAULT_MODEL = "gpt-4o"
OPENAI_HOST = "https://api.openai.com/"
LIMIT_NAMES = ("max_tokens", "max_completion_tokens")
"""OpenAI's newer models refuse the first name; most other servers know only the first."""


def _sdk() -> ModuleType:
    import openai

    return openai


OPENAI = Provider(
    name="OpenAI",
    root_error="OpenAIError",
    default_model=DEFAULT_MODEL,
    load=_sdk,
    address_hint="most end in /v1",
)


class CallOptions(TypedDict, total=False):
    """Further keywords of a call, as OpenAI names them; they go out as they are.

    Each API takes its own: see ``KEYWORDS``.
    """

    messages: Sequence[ChatMessage] | None
    """The conversation without the system prompt, sent instead of ``prompt``."""
    seed: int | None
    top_p: float | None
    stop: str | Sequence[str] | None
    frequency_penalty: float | None
    presence_penalty: float | None
    response_format: Mapping[str, JSON] | None
    extra_body: Mapping[str, JSON] | None
    """Fields of the request's body that have no keyword here."""
    reasoning: Mapping[str, JSON] | None
    text: Mapping[str, JSON] | None
    truncation: str | None


_ALL = frozenset(
    {"prompt", "max_tokens", "system_prompt", "temperature", *CallOptions.__annotations__}
)
_CHAT_ALONE = frozenset(
    {"seed", "stop", "frequency_penalty", "presence_penalty", "response_format"}
)
KEYWORDS: Mapping[Api, frozenset[str]] = {
    "chat": _ALL - {"reasoning", "text", "truncation"},
    "responses": _ALL - _CHAT_ALONE,
}
"""What a call may carry beside ``tools``, by API."""


class OpenAIChat(ProviderBackend):
    """How OpenAI's APIs ask and answer: Chat Completions, and Responses where asked for."""

    provider = OPENAI
    keywords = KEYWORDS["chat"]
    apis: frozenset[Api] = frozenset(KEYWORDS)
    """What a class can speak."""

    def __init__(
        self,
        client: Any = None,
        *,
        model: str = DEFAULT_MODEL,
        default_max_tokens: int | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        tool_choice: str | Mapping[str, JSON] | None = "auto",
        api: Api = "chat",
    ) -> None:
        if api not in self.apis:
            known = " or ".join(repr(each) for each in sorted(self.apis))
            raise ValueError(f"{type(self).__name__} speaks api={known}, not {api!r}")
        super().__init__(
            client,
            model=model,
            default_max_tokens=default_max_tokens,
            base_url=base_url,
            api_key=api_key,
        )
        self.tool_choice = tool_choice
        self.api: Api = api
        self.keywords = KEYWORDS[api]
        if api == "responses" and not hasattr(self._client, "responses"):
            raise BackendError(
                "this version of the openai SDK has no Responses API; to do: "
                "pip install --upgrade openai"
            )

    @classmethod
    def from_env(
        cls,
        *,
        model: str | None = None,
        default_max_tokens: int | None = None,
        tool_choice: str | Mapping[str, JSON] | None = "auto",
        api: Api = "chat",
    ) -> Self:
        """A backend by ``OPENAI_API_KEY``, ``OPENAI_BASE_URL`` and ``OPENAI_MODEL``.

        Raises ``BackendError``, a ``RuntimeError``, if neither key nor URL is set. With a URL
        alone the key is ``"x"``, for servers that check none.
        """
        return cls(
            model=model or OPENAI.setting("MODEL") or DEFAULT_MODEL,
            default_max_tokens=default_max_tokens,
            tool_choice=tool_choice,
            api=api,
        )

    def _begin(self, method: Method, prompt: str, keywords: Mapping[str, Any]) -> ModelRequest:
        other = sorted((keywords.keys() & _ALL) - self.keywords)
        if other:
            raise TypeError(
                f"{type(self).__name__}.{method}() does not take {', '.join(other)} with "
                f"api={self.api!r}; OpenAI's other API has it"
            )
        return super()._begin(method, prompt, keywords)

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        if self.api == "responses":
            return self._response_body(request)
        body: dict[str, Any] = {
            "model": self.model,
            "messages": chat_messages(request),
            "temperature": request.temperature,
            **request.extra,
        }
        if request.tools:
            body["tools"] = chat_tools(request.tools)
            if self.tool_choice is not None:
                body["tool_choice"] = self.tool_choice
        self._limit(body, self._max_tokens(request))
        return _without(body, self._refused & {"temperature"})

    def _limit(self, body: dict[str, Any], max_tokens: int) -> None:
        names = LIMIT_NAMES[::-1] if self.base_url.startswith(OPENAI_HOST) else LIMIT_NAMES
        if next((name for name in names if name not in self._refused), names[0]) == "max_tokens":
            body["max_tokens"] = max_tokens
        else:  # early versions of the SDK have no such keyword, but all have extra_body
            extra = {"max_completion_tokens": max_tokens, **(body.get("extra_body") or {})}
            body["extra_body"] = extra

    def _response_body(self, request: ModelRequest) -> dict[str, Any]:
        body = responses.response_body(
            request,
            model=self.model,
            max_tokens=self._max_tokens(request),
            tool_choice=self.tool_choice,
        )
        return _without(body, self._refused)

    def _send(self, body: dict[str, Any]) -> Any:
        if self.api == "responses":
            return self._client.responses.create(**body)
        return self._client.chat.completions.create(**body)

    def _refused_in(self, error: Exception) -> str | None:
        body = getattr(error, "body", None)
        if self.api == "responses":
            return responses.refused_parameter(body)
        return refused_parameter(body)

    def _can_do_without(self, name: str) -> bool:
        if self.api == "responses":
            return name in responses.OPTIONAL
        if name in LIMIT_NAMES:
            return not self._refused & (set(LIMIT_NAMES) - {name})
        return super()._can_do_without(name)

    def _read(self, completion: object) -> list[Block]:
        if self.api == "responses":
            return self._read_response(completion)
        choice = choice_of(completion)
        if choice is None:
            raise self._no_reply(completion, field_of(completion, "error"), "a choice")
        self._last.set(outcome_of(completion, choice))
        return blocks_of(field_of(choice, "message"))

    def _read_response(self, response: object) -> list[Block]:
        refusal = responses.refusal_of(response)
        if refusal is not None:
            words, status = refusal
            raise BackendRefused(f"{self.base_url} {words}", status=status)
        blocks = responses.reply_blocks(response)
        if blocks is None:
            raise self._no_reply(response, field_of(response, "error"), "output")
        self._last.set(responses.outcome_of(response, blocks))
        return blocks


class OpenAIBackend(OpenAIChat, SyncProviderBackend):
    """A model behind any server that speaks OpenAI's Chat Completions, or its Responses API.

    ``client`` is an ``openai.OpenAI`` of your own, for timeouts, proxies or Azure; without one,
    ``base_url`` and ``api_key`` make it, and for what is not given ``OPENAI_BASE_URL`` and
    ``OPENAI_API_KEY`` are read. ``default_max_tokens`` stands in where a call leaves
    ``max_tokens`` at 2000, the protocol's default. With ``api="responses"`` the Responses API is
    spoken: nothing is kept at the provider, and what the model thought is sent back to it
    encrypted. Threads may share a backend.

    Raises ``MissingExtra`` without the SDK, and for calls ``BackendUnreachable``,
    ``BackendTimeout`` or ``BackendRefused``, which has the provider's words, ``status`` and
    ``retry_after`` (seconds).
    """

    client_class = "OpenAI"

    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = PROTOCOL_MAX_TOKENS,
        system_prompt: str = "",
        temperature: float = 0.2,
        **options: Unpack[CallOptions],
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
        **options: Unpack[CallOptions],
    ) -> list[Block]:
        """The model's reply in blocks; tools are ``{"name", "description", "input_schema"}``."""
        asked = {**options, "max_tokens": max_tokens, "temperature": temperature, "tools": tools}
        asked["system_prompt"] = system_prompt
        return self._ask(self._begin("generate_with_tools", prompt, asked))


class AsyncOpenAIBackend(OpenAIChat, AsyncProviderBackend):
    """``OpenAIBackend`` for async code; ``client`` is an ``openai.AsyncOpenAI``.

    Tasks may share a backend; each sees the usage of its own calls. The client belongs to the
    event loop that first used it.
    """

    client_class = "AsyncOpenAI"

    async def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = PROTOCOL_MAX_TOKENS,
        system_prompt: str = "",
        temperature: float = 0.2,
        **options: Unpack[CallOptions],
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
        **options: Unpack[CallOptions],
    ) -> list[Block]:
        """The model's reply in blocks; tools are ``{"name", "description", "input_schema"}``."""
        asked = {**options, "max_tokens": max_tokens, "temperature": temperature, "tools": tools}
        asked["system_prompt"] = system_prompt
        return await self._ask(self._begin("generate_with_tools", prompt, asked))


def _without(body: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """The body without these parameters, wherever they stand in it."""
    out = {name: value for name, value in body.items() if name not in names}
    if out.get("extra_body"):
        extra = out["extra_body"].items()
        out["extra_body"] = {name: value for name, value in extra if name not in names}
    return out
