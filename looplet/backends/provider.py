"""What the backends on a provider's own SDK share: client, errors, the call. Knows no provider.

A provider's module names its SDK in a `Provider` and says how a request and a reply look there.
The SDK's own retries are switched off: one layer retries, and that is whoever calls the backend.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from json import JSONDecodeError
from types import ModuleType
from typing import Any, ClassVar

from looplet.backends.answers import (
    field_of,
    provider_words,
    retry_after,
    status_words,
    typed_field,
)
from looplet.core.backend import Block
from looplet.core.lastcall import LastCall
from looplet.core.messages import Method, ModelRequest
from looplet.core.wrapping import request_of
from looplet.errors import (
    BackendError,
    BackendRefused,
    BackendTimeout,
    BackendUnreachable,
    MissingExtra,
)

PROTOCOL_MAX_TOKENS = 2000
"""What a call asks for that says nothing of ``max_tokens``."""
UNCHECKED_KEY = "x"
"""Sent to servers that check no key; the SDKs insist on one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider's SDK, and the words for what is wrong."""

    name: str
    """The provider's own name, and with it those of its clients."""
    root_error: str
    """The base of the SDK's errors."""
    default_model: str
    load: Callable[[], ModuleType]
    """Imports the SDK."""
    address_hint: str
    """How its addresses end."""
    token_variable: str | None = None
    """A variable that the SDK reads where there is no key."""
    statuses: Mapping[str, int] = field(default_factory=dict)
    """The HTTP status that each type of error stands for, where an error comes without one."""

    def variable(self, what: str) -> str:
        """The environment variable of that kind: ``KEY``, ``URL`` or ``MODEL``."""
        word = {"KEY": "API_KEY", "URL": "BASE_URL", "MODEL": "MODEL"}[what]
        return f"{self.name.upper()}_{word}"

    def setting(self, what: str) -> str | None:
        """What that variable holds; empty is not set."""
        return os.environ.get(self.variable(what)) or None

    def advice(self, status: int) -> str:
        """What to do about that HTTP status, as the end of a sentence; empty if nobody knows."""
        key, url, model = (self.variable(what) for what in ("KEY", "URL", "MODEL"))
        known = {
            401: f"set {key}, or pass api_key=",
            403: "check what this key may use",
            404: f"check the model's name ({model}) and the address ({url}; {self.address_hint})",
        }
        return f". To do: {known[status]}" if status in known else ""

    def sdk(self) -> ModuleType | None:
        """The SDK, if it is installed."""
        try:
            return self.load()
        except ImportError:
            return None

    def new_client(
        self, kind: str, needed_for: str, base_url: str | None, api_key: str | None
    ) -> Any:
        """A client of the SDK's class ``kind`` by what is given, else by the environment."""
        try:
            sdk = self.load()
        except ImportError as error:
            raise MissingExtra(self.name.lower(), needed_for=needed_for) from error
        url = base_url or self.setting("URL")
        key = api_key or self.setting("KEY")
        if key is None and not self._has_token():
            key = UNCHECKED_KEY if url else None
            if key is None:
                raise BackendError(
                    f"{needed_for} does not know which model server to ask: set "
                    f"{self.variable('KEY')} (for {self.name}) or {self.variable('URL')} (for a "
                    "server of your own), or pass api_key= or base_url="
                )
        bad_url: tuple[type[Exception], ...] = (*http_errors("InvalidURL"), ValueError)
        try:
            return getattr(sdk, kind)(base_url=url, api_key=key, max_retries=0)
        except bad_url as error:
            raise BackendError(
                f"{plain_url(url or '')!r} is no address of a model server: {error}. Set "
                f"base_url= or {self.variable('URL')} to one such as http://localhost:8000/v1"
            ) from error

    def failures(self) -> tuple[type[Exception], ...]:
        """What a call may raise that is translated: errors of the SDK, of HTTP, of JSON."""
        sdk = self.sdk()
        return (
            JSONDecodeError,
            UnicodeDecodeError,
            *http_errors("RequestError"),
            *((getattr(sdk, self.root_error),) if sdk else ()),
        )

    def status_told(self, error: object) -> int | None:
        """The HTTP status that an error's own words stand for, if they tell it.

        >>> provider = Provider(name="P", root_error="E", default_model="m", load=lambda: os,
        ...                     address_hint="", statuses={"overloaded_error": 529})
        >>> provider.status_told({"code": 502}), provider.status_told({"type": "overloaded_error"})
        (502, 529)
        """
        code = field_of(error, "code")
        if isinstance(code, int) and 400 <= code <= 599:  # noqa: PLR2004  # HTTP
            return code
        return self.statuses.get(typed_field(error, "type", str) or "")

    def _has_token(self) -> bool:
        return self.token_variable is not None and bool(os.environ.get(self.token_variable))


class ProviderBackend(ABC):
    """What every backend on an SDK shares, sync or async: all but the call itself."""

    provider: ClassVar[Provider]
    client_class: ClassVar[str]
    keywords: frozenset[str]
    """What a call may carry beside ``tools``."""

    def __init__(
        self,
        client: Any = None,
        *,
        model: str | None = None,
        default_max_tokens: int | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
    ) -> None:
        if client is None:
            name = type(self).__name__
            client = self.provider.new_client(self.client_class, name, base_url, api_key)
        self.model = model or self.provider.default_model
        self.default_max_tokens = default_max_tokens
        self._client = _without_retries(client)
        self._failures = self.provider.failures()
        self._refused: frozenset[str] = frozenset()
        """Parameters that the model was found not to take."""
        self._last = LastCall()

    @property
    def base_url(self) -> str:
        """The address that is asked, without name, password and query."""
        return plain_url(str(getattr(self._client, "base_url", "") or ""))

    @property
    def last_usage(self) -> dict[str, int] | None:
        """Tokens of the last call of the calling thread or task; ``None`` if it was not told.

        ``input_tokens`` (all that was sent) and ``output_tokens``, and ``cached_tokens`` (those
        of the input that a cache held) and ``cache_write_tokens`` (those that went into one) where
        the provider tells.
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
        if keyword == "tools":
            return method == "generate_with_tools"
        return method in {"generate", "generate_with_tools"} and keyword in self.keywords

    def _begin(self, method: Method, prompt: str, keywords: Mapping[str, Any]) -> ModelRequest:
        self._check(method, keywords)
        self._last.clear()
        return request_of(method, prompt, keywords)

    def _check(self, method: str, keywords: Mapping[str, Any]) -> None:
        unknown = sorted(key for key in keywords if not self.takes(method, key))
        if unknown:
            raise TypeError(
                f"{type(self).__name__}.{method}() does not take {', '.join(unknown)}; "
                "what a server takes beyond its keywords goes into extra_body={...}"
            )

    @abstractmethod
    def _body(self, request: ModelRequest) -> dict[str, Any]:
        """The keywords of the SDK's call."""

    @abstractmethod
    def _send(self, body: dict[str, Any]) -> Any:
        """Call the SDK; the async client's answer is awaited by whoever asked."""

    @abstractmethod
    def _read(self, answer: object) -> list[Block]:
        """The blocks of an answer; keeps its usage and stop reason."""

    @abstractmethod
    def _refused_in(self, error: Exception) -> str | None:
        """The parameter that the model does not take, if that is what the error says."""

    def _can_do_without(self, name: str) -> bool:
        return name == "temperature"

    def _max_tokens(self, request: ModelRequest) -> int:
        asked = request.max_tokens
        if asked == PROTOCOL_MAX_TOKENS and self.default_max_tokens is not None:
            return self.default_max_tokens
        return asked

    def _meet(self, error: Exception, body: Mapping[str, Any], known: frozenset[str]) -> None:
        """Return if the request can be put in another way; raise the failure as ours if not.

        ``known`` are the parameters that were known to be refused when ``body`` was made; one of
        them that is in it all the same was asked for by other means, and stays.
        """
        name = self._refused_in(error)
        extra = body.get("extra_body") or {}
        sent = {*body, *extra} - known
        if name is None or name not in sent or not self._can_do_without(name):
            raise self._failure(error) from error
        if name == "temperature" and name not in self._refused:
            warnings.warn(
                f"model {self.model!r} takes no temperature of {body.get(name, extra.get(name))}; "
                "it is left out, and the model's own stands",
                stacklevel=5,
            )
        self._refused |= {name}

    def _failure(self, error: Exception) -> BackendError:
        """A client's exception as ours; text and type say what to do next."""
        sdk: Any = self.provider.sdk()
        url, name = self.base_url, self.provider.name
        if isinstance(error, ValueError):
            return BackendRefused(f"{url} answered with what is no JSON: {error}")
        if self._is_timeout(error):
            return BackendTimeout(
                f"{url} did not answer in time; ask for less (max_tokens), or pass a client with "
                f"a longer timeout: {name}Backend({name}(timeout=seconds))"
            )
        if self._is_lost_connection(error):
            words = str(error.__cause__ or error).rstrip(".")
            return BackendUnreachable(
                f"no answer from {url}: {words}. Check that the server is "
                f"running, and base_url= or {self.provider.variable('URL')}"
            )
        if isinstance(error, sdk.APIStatusError):
            return self._refusal(error)
        return BackendError(f"{url} could not be asked: {error}")

    def _is_timeout(self, error: Exception) -> bool:
        return isinstance(error, self._sdk_errors("APITimeoutError", "TimeoutException"))

    def _is_lost_connection(self, error: Exception) -> bool:
        return isinstance(error, self._sdk_errors("APIConnectionError", "RequestError"))

    def _sdk_errors(self, ours: str, below: str) -> tuple[type[Exception], ...]:
        """The SDK's errors of a kind, and those of its HTTP library, which streams let through."""
        sdk = self.provider.sdk()
        return http_errors(below) + ((getattr(sdk, ours),) if sdk else ())

    def _refusal(self, error: Any) -> BackendRefused:
        status = error.status_code
        words = provider_words(error_in(error.body), str(error))
        return BackendRefused(
            f"{self.base_url} answered {status_words(status)} for model {self.model!r}: "
            f"{words}{self.provider.advice(status)}",
            status=status,
            retry_after=retry_after(error.response.headers),
        )

    def _no_reply(self, answer: object, error: object, lacks: str) -> BackendRefused:
        """A 200 that is no reply: some servers send their error so, or a page of HTML."""
        url = self.base_url
        if error is None:
            said = provider_words(None, str(answer), limit=200)
            hint = f"check the address ({self.provider.address_hint})"
            return BackendRefused(f"{url} answered without {lacks}; {hint}. It said: {said}")
        said = provider_words(error, str(error))
        status = self.provider.status_told(error)
        return BackendRefused(f"{url} answered with an error: {said}", status=status)


class SyncProviderBackend(ProviderBackend):
    """One call after the other, in the thread that asks."""

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    def _ask(self, request: ModelRequest) -> list[Block]:
        return self._read(self._answer(request))

    def _answer(self, request: ModelRequest) -> Any:
        """What the SDK's call gives, asked again as long as the request can be put otherwise."""
        while True:
            known, body = self._refused, self._body(request)
            try:
                return self._send(body)
            except self._failures as error:
                self._meet(error, body, known)


class AsyncProviderBackend(ProviderBackend):
    """The same calls, awaited."""

    async def close(self) -> None:
        """Close the client's connections."""
        await self._client.close()

    async def _ask(self, request: ModelRequest) -> list[Block]:
        return self._read(await self._answer(request))

    async def _answer(self, request: ModelRequest) -> Any:
        """What the SDK's call gives, asked again as long as the request can be put otherwise."""
        while True:
            known, body = self._refused, self._body(request)
            try:
                return await self._send(body)
            except self._failures as error:
                self._meet(error, body, known)


def plain_url(url: str) -> str:
    """A URL without what may be secret in it: name and password, and its query.

    >>> plain_url("http://ann:pw@host:80/v1?key=k3y")
    'http://host:80/v1'
    """
    return re.sub(r"//[^/]*@", "//", url.partition("?")[0])


def http_errors(name: str) -> tuple[type[Exception], ...]:
    """The errors of that name in the HTTP libraries that an SDK may stand on, as far as loaded.

    >>> all(issubclass(error, Exception) for error in http_errors("RequestError"))
    True
    """
    # Which one it is depends on the SDK's version; whatever was raised is of one that is loaded.
    loaded = (sys.modules.get(library) for library in ("httpx2", "httpx"))
    return tuple(getattr(library, name) for library in loaded if library is not None)


def error_in(body: object) -> object:
    """The error inside an error's body; some SDKs hand on the whole body, some the error alone.

    >>> error_in({"type": "error", "error": {"message": "No."}}), error_in({"message": "No."})
    ({'message': 'No.'}, {'message': 'No.'})
    """
    inner = body.get("error") if isinstance(body, Mapping) else None
    return inner if isinstance(inner, Mapping) else body


def text_of(blocks: Sequence[Block]) -> str:
    """The texts of a reply, joined."""
    return "".join(block["text"] for block in blocks if block["type"] == "text")


def _without_retries(client: Any) -> Any:
    # A copy shares the connections; a stand-in client that has no such setting stays as it is.
    retries = getattr(client, "max_retries", None)
    return client.with_options(max_retries=0) if isinstance(retries, int) and retries else client
