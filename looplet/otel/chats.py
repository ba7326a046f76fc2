"""Spans and figures of model calls, and the backends that make them. Knows no loop."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from looplet.core.backend import Reply, is_async
from looplet.core.messages import Method, ModelRequest
from looplet.core.wrapping import AsyncWrapper, SyncWrapper, request_of
from looplet.otel import content
from looplet.otel import conventions as names

_CHAT = contexts.create_key("looplet-chat")
"""The question of a loop that is under way, in a context."""
OWN_KEYWORDS = frozenset({"scope", "purpose"})
"""Keywords that tell who asks; they are read here even where the backend does not take them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is the same for all spans of a hook."""

    common: Mapping[str, str]
    """Attributes of every span: agent's name and conversation's id, where given."""
    provider: str | None
    """The provider's name, whatever the backend says."""
    capture: bool
    """Whether what was said is recorded."""


class Chats:
    """Opens the spans of model calls; records how long they took and what they used."""

    def __init__(self, tracer: Tracer, meter: Meter, settings: Settings) -> None:
        self.settings = settings
        self._tracer = tracer
        self.durations = meter.create_histogram(
            names.DURATION,
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=names.DURATION_BUCKETS,
        )
        self.tokens = meter.create_histogram(
            names.TOKEN_USAGE,
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=names.TOKEN_BUCKETS,
        )

    def open(
        self,
        request: ModelRequest,
        backend: object,
        *,
        about: Mapping[str, Any],
        parent: Context | None = None,
    ) -> Chat:
        """Open a call's span below that of ``parent``, or of the current context."""
        who = self.who(backend)
        model = who.get(names.REQUEST_MODEL)
        attributes = {names.OPERATION: names.CHAT, **self.settings.common, **who}
        attributes |= {name: value for name, value in about.items() if value is not None}
        attributes |= _sampling(request)
        if self.settings.capture:
            attributes |= content.of_request(request)
        span = self._tracer.start_span(
            _span_name(model), parent, kind=SpanKind.CLIENT, attributes=attributes
        )
        return Chat(self, span, who)

    def who(self, backend: object) -> dict[str, str]:
        """Model and provider, as far as a backend tells; one that chooses others tells neither."""
        if callable(getattr(backend, "select", None)):
            backend = None
        told = {
            names.REQUEST_MODEL: getattr(backend, "model", None),
            names.PROVIDER: self.settings.provider or _provider_of(backend),
        }
        return {name: value for name, value in told.items() if isinstance(value, str)}

    def wrap(self, backend: Any) -> TracedBackend | AsyncTracedBackend:
        """``backend``, sync or async, with a span for every call that has none yet."""
        if is_async(backend):
            return AsyncTracedBackend(backend, self)
        return TracedBackend(backend, self)


class Chat:
    """A model call under way."""

    def __init__(self, chats: Chats, span: Span, who: Mapping[str, str]) -> None:
        self._chats, self.span = chats, span
        self._figures = {names.OPERATION: names.CHAT, **who}
        self._began = time.perf_counter()
        self._token: Any = None

    @property
    def model(self) -> str | None:
        """The model that is asked, where it is known."""
        return self._figures.get(names.REQUEST_MODEL)

    def attach(self) -> None:
        """Make the span the current one of this thread or task."""
        context = contexts.set_value(_CHAT, self, trace.set_span_in_context(self.span))
        self._token = contexts.attach(context)

    def detach(self) -> None:
        """Make the one before it current again."""
        if self._token is not None:
            token, self._token = self._token, None
            contexts.detach(token)

    def note_backend(self, backend: object) -> None:
        """Say who was asked in the end, where somebody chose."""
        who = self._chats.who(backend)
        self._figures |= who
        self.span.set_attributes(who)
        self.span.update_name(_span_name(self.model))

    def answered(
        self, reply: Reply, usage: Mapping[str, Any] | None, stop_reason: str | None
    ) -> None:
        """End with a reply; tokens are the provider's own count, or are not told."""
        counts = {
            name: count
            for name, key in _USAGE.items()
            if type(count := (usage or {}).get(key)) is int and count >= 0
        }
        self.span.set_attributes(counts)
        if stop_reason is not None:
            self.span.set_attribute(names.FINISH_REASONS, [names.finish_reason(stop_reason)])
        if self._chats.settings.capture:
            self.span.set_attributes(content.of_reply(reply, stop_reason))
        for name, kind in ((names.INPUT_TOKENS, "input"), (names.OUTPUT_TOKENS, "output")):
            if name in counts:
                figures = {**self._figures, names.TOKEN_TYPE: kind}
                self._chats.tokens.record(counts[name], figures)
        self._end()

    def failed(self, error: BaseException | None) -> None:
        """End with a failure."""
        kind = error_type(error)
        self._figures[names.ERROR_TYPE] = kind
        self.span.set_attribute(names.ERROR_TYPE, kind)
        self.span.set_status(Status(StatusCode.ERROR, str(error) if error else None))
        self._end()

    def not_asked(self) -> None:
        """End a question that a hook stopped: no call was made."""
        self.detach()
        self.span.set_attribute(names.ASKED, False)  # noqa: FBT003 - the value
        self.span.end()

    def _end(self) -> None:
        self.detach()
        seconds = time.perf_counter() - self._began
        self._chats.durations.record(seconds, self._figures, self._own_context())
        self.span.end()

    def _own_context(self) -> Context:
        """A figure's own context, so that an exemplar names this span."""
        return trace.set_span_in_context(self.span)


class TracedBackend(SyncWrapper):
    """A sync backend whose calls have spans."""

    own_keywords = OWN_KEYWORDS

    def __init__(self, backend: Any, chats: Chats) -> None:
        super().__init__(backend)
        self._chats = chats

    def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Make one call inside its span."""
        chat = _begin(self._chats, self.inner, method, prompt, keywords)
        if chat is None:
            return super().around(method, prompt, keywords)
        try:
            reply: Reply = self.forward(method, prompt, keywords)
        except BaseException as error:
            chat.failed(error)
            raise
        _finish(chat, self.inner, reply)
        return reply


class AsyncTracedBackend(AsyncWrapper):
    """The same for an async backend."""

    own_keywords = OWN_KEYWORDS

    def __init__(self, backend: Any, chats: Chats) -> None:
        super().__init__(backend)
        self._chats = chats

    async def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Make one call inside its span."""
        chat = _begin(self._chats, self.inner, method, prompt, keywords)
        if chat is None:
            return await super().around(method, prompt, keywords)
        try:
            reply: Reply = await self.forward(method, prompt, keywords)
        except BaseException as error:
            chat.failed(error)
            raise
        _finish(chat, self.inner, reply)
        return reply


def error_type(error: BaseException | None) -> str:
    """A failure's kind: the HTTP status that a provider gave, else the exception's class."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return str(status)
    return "_OTHER" if error is None else type(error).__qualname__


_USAGE = {
    names.INPUT_TOKENS: "input_tokens",
    names.OUTPUT_TOKENS: "output_tokens",
    names.CACHE_READ_TOKENS: "cached_tokens",
}


def _begin(
    chats: Chats, backend: Any, method: Method, prompt: str, keywords: Mapping[str, Any]
) -> Chat | None:
    """Open and attach a call's span, or fill in that of the loop's question which it answers."""
    asked = contexts.get_value(_CHAT)
    if isinstance(asked, Chat):
        asked.note_backend(backend)
        return None
    about = {names.PURPOSE: keywords.get("purpose"), names.SCOPE: keywords.get("scope")}
    chat = chats.open(request_of(method, prompt, keywords), backend, about=about)
    chat.attach()
    return chat


def _finish(chat: Chat, backend: Any, reply: Reply) -> None:
    usage = getattr(backend, "last_usage", None)
    chat.answered(reply, usage, getattr(backend, "last_stop_reason", None))


def _provider_of(backend: object) -> str | None:
    """The name by which the conventions know a shipped backend's provider."""
    name = getattr(getattr(backend, "provider", None), "name", None)
    return name.lower() if isinstance(name, str) else None


def _span_name(model: str | None) -> str:
    return names.CHAT if model is None else f"{names.CHAT} {model}"


def _sampling(request: ModelRequest) -> dict[str, Any]:
    out: dict[str, Any] = {
        names.REQUEST_MAX_TOKENS: request.max_tokens,
        names.REQUEST_TEMPERATURE: float(request.temperature),
    }
    others = names.REQUEST_OTHERS.items()
    return out | {name: request.extra[key] for key, name in others if key in request.extra}
