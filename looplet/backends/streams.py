"""What the streaming backends share: the reply told in pieces, and whole at its end.

Every call opens a stream of events. What an event means, and what the events make together, says
an `Assembly` of the provider's; a stream that ends before its reply is whole is a failure, and
never a short reply. Knows no provider.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing, closing
from typing import Any, Protocol, TypeAlias

from looplet.backends.answers import field_of
from looplet.backends.provider import (
    AsyncProviderBackend,
    ProviderBackend,
    SyncProviderBackend,
    error_in,
)
from looplet.core.backend import Block
from looplet.core.messages import ModelRequest
from looplet.errors import BackendError, BackendRefused, BackendTimeout, BackendUnreachable

OnChunk: TypeAlias = Callable[[str], object]
"""A function that is told each piece of a reply's text; it may be told none.

If it has a method ``begin_anew()``, wrappers call it before they ask again.
"""
SHOWN = 200
"""How much of a strange event an error quotes."""


class Assembly(Protocol):
    """The events of one reply, put together as they come."""

    def add(self, event: object) -> str | None:
        """Take an event and return the text in it; ``None`` if it has no place in a reply."""
        ...

    def whole(self) -> object | None:
        """The reply as an unstreamed one would be; ``None`` if it is not at its end."""
        ...


class _Incoming:
    """A reply on its way, and whether any of it came."""

    __slots__ = ("assembly", "began")

    def __init__(self, assembly: Assembly) -> None:
        self.assembly = assembly
        self.began = False


class Streams(ProviderBackend):
    """All but the waiting: what is asked, and what to make of each event and of the end."""

    def takes(self, method: str, keyword: str) -> bool:
        """Whether a call of ``method`` may carry that keyword."""
        if keyword == "on_chunk":
            return method in {"generate", "generate_with_tools"}
        return super().takes("generate" if method == "stream" else method, keyword)

    @abstractmethod
    def _assembly(self) -> Assembly:
        """A new one, for one reply."""

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        return {**super()._body(request), "stream": True}  # type: ignore[safe-super]  # mixed in

    def _begin_stream(self, prompt: str, keywords: Mapping[str, Any]) -> ModelRequest:
        self._check("stream", keywords)
        return self._begin("generate", prompt, keywords)

    def _take(self, incoming: _Incoming, event: object) -> str:
        """Add an event; the text in it."""
        incoming.began = True
        error = field_of(event, "error")
        if error is not None:
            raise self._no_reply(event, error, "")
        scalar = event is None or isinstance(event, str | int | float | list)
        piece = None if scalar else incoming.assembly.add(event)
        if piece is None:
            raise BackendRefused(
                f"{self.base_url} answered with an event that has no place in a reply: "
                f"{str(event)[:SHOWN]}"
            )
        return piece

    def _finish(self, incoming: _Incoming) -> list[Block]:
        """The blocks of the reply when its stream has ended; keeps its usage and stop reason."""
        answer = incoming.assembly.whole()
        if answer is not None:
            return self._read(answer)
        if incoming.began:
            raise BackendUnreachable(f"{self.base_url} ended its reply before it was whole")
        plain = type(self).__name__.replace("Streaming", "")
        raise BackendRefused(
            f"{self.base_url} answered without a single event; check the address "
            f"({self.provider.address_hint}), or ask a server that does not stream by {plain}"
        )

    def _broken(self, error: Exception) -> BackendError:
        """What went wrong in the middle of a stream, as ours."""
        url = self.base_url
        if isinstance(error, ValueError):
            return BackendRefused(f"{url} answered with an event that is no JSON: {error}")
        if self._is_timeout(error):
            return BackendTimeout(
                f"{url} fell silent in the middle of a reply; pass a client with a longer timeout"
            )
        if self._is_lost_connection(error):
            cause = error.__cause__ or error
            return BackendUnreachable(f"{url} broke off in the middle of a reply: {cause}")
        told = error_in(getattr(error, "body", None))
        return self._no_reply(None, told or str(error), "")


class SyncStreams(Streams, SyncProviderBackend):
    """Replies in pieces, in the thread that asks."""

    def _ask(self, request: ModelRequest, on_chunk: OnChunk | None = None) -> list[Block]:
        incoming = _Incoming(self._assembly())
        with closing(self._pieces(self._answer(request), incoming)) as pieces:
            for piece in pieces:
                if on_chunk is not None:
                    on_chunk(piece)
        return self._finish(incoming)

    def _streamed(self, request: ModelRequest) -> Generator[str, None, None]:
        incoming = _Incoming(self._assembly())
        yield from self._pieces(self._answer(request), incoming)
        self._finish(incoming)

    def _pieces(self, stream: Any, incoming: _Incoming) -> Generator[str, None, None]:
        with closing(stream):
            try:
                for event in stream:
                    piece = self._take(incoming, event)
                    if piece:
                        yield piece
            except self._failures as error:
                raise self._broken(error) from error


class AsyncStreams(Streams, AsyncProviderBackend):
    """The same, awaited."""

    async def _ask(self, request: ModelRequest, on_chunk: OnChunk | None = None) -> list[Block]:
        incoming = _Incoming(self._assembly())
        async with aclosing(self._pieces(await self._answer(request), incoming)) as pieces:
            async for piece in pieces:
                if on_chunk is not None:
                    on_chunk(piece)
        return self._finish(incoming)

    async def _streamed(self, request: ModelRequest) -> AsyncGenerator[str, None]:
        incoming = _Incoming(self._assembly())
        async with aclosing(self._pieces(await self._answer(request), incoming)) as pieces:
            async for piece in pieces:
                yield piece
        self._finish(incoming)

    async def _pieces(self, stream: Any, incoming: _Incoming) -> AsyncGenerator[str, None]:
        try:
            async for event in stream:
                piece = self._take(incoming, event)
                if piece:
                    yield piece
        except self._failures as error:
            raise self._broken(error) from error
        finally:
            await stream.close()
