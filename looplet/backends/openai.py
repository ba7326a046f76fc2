"""Chat Completions, sync and async, on OpenAI's own SDK. Knows no loop.

The SDK is imported when a backend is made. Its own retries are switched off: one layer retries,
and that is whoever calls the backend.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from json import JSONDecodeError
from types import ModuleType
from typing import Any, ClassVar, Self, TypedDict, Unpack

from looplet.backends.openai_messages import (
    blocks_of,
    chat_messages,
    chat_tools,
    choice_of,
    field_of,
    outcome_of,
    provider_words,
    refused_parameter,
    retry_after,
    status_words,
)
from looplet.core.backend import Block
from looplet.core.codec import JSON
from looplet.core.lastcall import LastCall
from looplet.core.messages import ChatMessage, Method, ModelRequest
from looplet.core.wrapping import request_of
from looplet.errors import (
    BackendError,
    BackendRefused,
    BackendTimeout,
    BackendUnreachable,
    MissingExtra,
)

DEFAULT_MODEL = "gpt-4o"
PROTOCOL_MAX_TOKENS = 2000
"""What a call asks for that says nothing of ``max_tokens``."""
OPENAI_HOST = "https://api.openai.com/"
LIMIT_NAMES = ("max_tokens", "max_completion_tokens")
"""OpenAI's newer models refuse the first name; most other servers know only the first."""
ADVICE = {
    401: "set OPENAI_API_KEY, or pass api_key=",
    403: "check what this key may use",
    404: "check the model's name (OPENAI_MODEL) and the address (OPENAI_BASE_URL; most end in /v1)",
}
UNCHECKED_KEY = "x"
"""Sent to servers that check no key; the SDK insists on one."""


class CallOptions(TypedDict, total=False):
    """Further keywords of a call, as Chat Completions names them; they go out as they are."""

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


_PLAIN_KEYWORDS = frozenset({"prompt", "max_tokens", "system_prompt", "temperature"})
_KEYWORDS = {
    "generate": _PLAIN_KEYWORDS | CallOptions.__annotations__.keys(),
    "generate_with_tools": _PLAIN_KEYWORDS | CallOptions.__annotations__.keys() | {"tools"},
}


class _OpenAIChat:
    """What the sync and the async backend share: all but the call itself."""

    _client_class: ClassVar[str]

    def __init__(
        self,
        client: Any = None,
        *,
        model: str = DEFAULT_MODEL,
        default_max_tokens: int | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        tool_choice: str | Mapping[str, JSON] | None = "auto",
    ) -> None:
        if client is None:
            client = _new_client(self._client_class, type(self).__name__, base_url, api_key)
        self.model = model
        self.default_max_tokens = default_max_tokens
        self.tool_choice = tool_choice
        self._client = _without_retries(client)
        self._failures = _failure_types()
        self._refused: frozenset[str] = frozenset()
        self._last = LastCall()

    @classmethod
    def from_env(
        cls,
        *,
        model: str | None = None,
        default_max_tokens: int | None = None,
        tool_choice: str | Mapping[str, JSON] | None = "auto",
    ) -> Self:
        """A backend by ``OPENAI_API_KEY``, ``OPENAI_BASE_URL`` and ``OPENAI_MODEL``.

        Raises ``BackendError``, a ``RuntimeError``, if neither key nor URL is set. With a URL
        alone the key is ``"x"``, for servers that check none.
        """
        return cls(
            model=model or os.environ.get("OPENAI_MODEL") or DEFAULT_MODEL,
            default_max_tokens=default_max_tokens,
            tool_choice=tool_choice,
        )

    @property
    def base_url(self) -> str:
        """The address that is asked, without a user's name and password."""
        return re.sub(r"//[^/@]*@", "//", str(getattr(self._client, "base_url", "") or ""))

    @property
    def last_usage(self) -> dict[str, int] | None:
        """Tokens of the last call of the calling thread or task; ``None`` if it was not told.

        ``input_tokens`` and ``output_tokens``, and ``cached_tokens`` where the provider tells.
        """
        usage = self._last.get().usage
        return None if usage is None else dict(usage)

    @property
    def last_stop_reason(self) -> str | None:
        """Why the last reply to the calling thread or task ended.

        ``end_turn``, ``max_tokens``, ``tool_use``, or the provider's own word.
        """
        return self._last.get().stop_reason

    def takes(self, method: str, keyword: str) -> bool:
        """Whether a call of ``method`` may carry that keyword."""
        return keyword in _KEYWORDS.get(method, ())

    def _begin(self, method: Method, prompt: str, keywords: Mapping[str, Any]) -> ModelRequest:
        unknown = sorted(key for key in keywords if not self.takes(method, key))
        if unknown:
            raise TypeError(
                f"{type(self).__name__}.{method}() does not take {', '.join(unknown)}; "
                "what a server takes beyond its keywords goes into extra_body={...}"
            )
        self._last.clear()
        return request_of(method, prompt, keywords)

    def _body(self, request: ModelRequest) -> dict[str, Any]:
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
        self._limit(body, request.max_tokens)
        if "temperature" in self._refused:
            del body["temperature"]
        return body

    def _limit(self, body: dict[str, Any], max_tokens: int) -> None:
        if max_tokens == PROTOCOL_MAX_TOKENS and self.default_max_tokens is not None:
            max_tokens = self.default_max_tokens
        names = LIMIT_NAMES[::-1] if self.base_url.startswith(OPENAI_HOST) else LIMIT_NAMES
        if next((name for name in names if name not in self._refused), names[0]) == "max_tokens":
            body["max_tokens"] = max_tokens
        else:  # early versions of the SDK have no such keyword, but all have extra_body
            extra = {"max_completion_tokens": max_tokens, **(body.get("extra_body") or {})}
            body["extra_body"] = extra

    def _meet(self, error: Exception, body: Mapping[str, Any]) -> None:
        """Return if the request can be put in another way; raise the failure as ours if not."""
        name = refused_parameter(getattr(error, "body", None))
        sent = body.keys() | (body.get("extra_body") or {}).keys()
        if name is None or name not in sent or not self._can_do_without(name):
            raise _failure(error, self.base_url, self.model) from error
        if name == "temperature" and name not in self._refused:
            warnings.warn(
                f"model {self.model!r} takes no temperature of {body['temperature']}; "
                "it is left out, and the model's own stands",
                stacklevel=4,
            )
        self._refused |= {name}

    def _can_do_without(self, name: str) -> bool:
        if name in LIMIT_NAMES:
            return not self._refused & (set(LIMIT_NAMES) - {name})
        return name == "temperature"

    def _read(self, completion: object) -> list[Block]:
        choice = choice_of(completion)
        if choice is None:
            raise _no_reply(completion, self.base_url)
        self._last.set(outcome_of(completion, choice))
        return blocks_of(field_of(choice, "message"))


class OpenAIBackend(_OpenAIChat):
    """A model behind any server that speaks OpenAI's Chat Completions.

    ``client`` is an ``openai.OpenAI`` of your own, for timeouts, proxies or Azure; without one,
    ``base_url`` and ``api_key`` make it, and for what is not given ``OPENAI_BASE_URL`` and
    ``OPENAI_API_KEY`` are read. ``default_max_tokens`` stands in where a call leaves
    ``max_tokens`` at 2000, the protocol's default. Threads may share a backend.

    Raises ``MissingExtra`` without the SDK, and for calls ``BackendUnreachable``,
    ``BackendTimeout`` or ``BackendRefused``, which has the provider's words, ``status`` and
    ``retry_after`` (seconds).
    """

    _client_class = "OpenAI"

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
        return _text(self._ask(request))

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

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    def _ask(self, request: ModelRequest) -> list[Block]:
        while True:
            body = self._body(request)
            try:
                completion = self._client.chat.completions.create(**body)
            except self._failures as error:
                self._meet(error, body)
            else:
                return self._read(completion)


class AsyncOpenAIBackend(_OpenAIChat):
    """``OpenAIBackend`` for async code; ``client`` is an ``openai.AsyncOpenAI``.

    Tasks may share a backend; each sees the usage of its own calls. The client belongs to the
    event loop that first used it.
    """

    _client_class = "AsyncOpenAI"

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
        return _text(await self._ask(request))

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

    async def close(self) -> None:
        """Close the client's connections."""
        await self._client.close()

    async def _ask(self, request: ModelRequest) -> list[Block]:
        while True:
            body = self._body(request)
            try:
                completion = await self._client.chat.completions.create(**body)
            except self._failures as error:
                self._meet(error, body)
            else:
                return self._read(completion)


def _text(blocks: Sequence[Block]) -> str:
    return "".join(block["text"] for block in blocks if block["type"] == "text")


def _sdk() -> ModuleType | None:
    try:
        import openai
    except ImportError:
        return None
    return openai


def _new_client(kind: str, needed_for: str, base_url: str | None, api_key: str | None) -> Any:
    sdk = _sdk()
    if sdk is None:
        raise MissingExtra("openai", needed_for=needed_for)
    url = base_url or os.environ.get("OPENAI_BASE_URL") or None
    key = api_key or os.environ.get("OPENAI_API_KEY") or (UNCHECKED_KEY if url else None)
    if key is None:
        raise BackendError(
            f"{needed_for} does not know which model server to ask: set OPENAI_API_KEY (for "
            "OpenAI) or OPENAI_BASE_URL (for a server of your own), or pass api_key= or base_url="
        )
    return getattr(sdk, kind)(base_url=url, api_key=key, max_retries=0)


def _without_retries(client: Any) -> Any:
    # A copy shares the connections; a stand-in client that has no such setting stays as it is.
    retries = getattr(client, "max_retries", None)
    return client.with_options(max_retries=0) if isinstance(retries, int) and retries else client


def _failure_types() -> tuple[type[Exception], ...]:
    """What a call may raise that is translated: the SDK's errors, and a body that is no JSON."""
    sdk = _sdk()
    return (JSONDecodeError, UnicodeDecodeError) + ((sdk.OpenAIError,) if sdk else ())


def _failure(error: Exception, base_url: str, model: str) -> BackendError:
    """A client's exception as ours; text and type say what to do next."""
    sdk: Any = _sdk()
    if sdk is None or not isinstance(error, sdk.OpenAIError):
        return BackendRefused(f"{base_url} answered with what is no JSON: {error}")
    if isinstance(error, sdk.APITimeoutError):
        return BackendTimeout(
            f"{base_url} did not answer in time; ask for less (max_tokens), or pass a client with "
            "a longer timeout: OpenAIBackend(OpenAI(timeout=seconds))"
        )
    if isinstance(error, sdk.APIConnectionError):
        return BackendUnreachable(
            f"no answer from {base_url}: {error.__cause__ or error}. "
            "Check that the server is running, and base_url= or OPENAI_BASE_URL"
        )
    if isinstance(error, sdk.APIStatusError):
        return _refusal(error, base_url, model)
    return BackendError(f"{base_url} could not be asked: {error}")


def _refusal(error: Any, base_url: str, model: str) -> BackendRefused:
    status = error.status_code
    words = provider_words(error.body, str(error))
    advice = f". To do: {ADVICE[status]}" if status in ADVICE else ""
    return BackendRefused(
        f"{base_url} answered {status_words(status)} for model {model!r}: {words}{advice}",
        status=status,
        retry_after=retry_after(error.response.headers),
    )


def _no_reply(completion: object, base_url: str) -> BackendRefused:
    """A 200 that is no reply: some servers send their error so, or a page of HTML."""
    error = field_of(completion, "error")
    if error is None:
        said = provider_words(None, str(completion), limit=200)
        return BackendRefused(
            f"{base_url} answered without a choice; does the address end in /v1? It said: {said}"
        )
    code = field_of(error, "code")
    status = code if isinstance(code, int) and 400 <= code <= 599 else None  # noqa: PLR2004  # HTTP
    said = provider_words(error, str(error))
    return BackendRefused(f"{base_url} answered with an error: {said}", status=status)
