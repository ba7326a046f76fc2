"""Backends around a cassette: one that records and one that replays, sync and async.

Knows backends and the two halves of a cassette; knows nothing of files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from looplet.core.backend import Reply, takes
from looplet.core.codec import JSON
from looplet.core.messages import Method
from looplet.core.usage import LastCall
from looplet.core.wrapping import AsyncWrapper, SyncWrapper, request_of
from looplet.errors import CassetteError
from looplet.replay.outcomes import stored_failure, stored_reply
from looplet.replay.playback import Player
from looplet.replay.recording import Recorder

ASKED_FOR = (
    "max_tokens",
    "system_prompt",
    "temperature",
    "messages",
    "scope",
    "purpose",
    "cancel_token",
    "cache_breakpoints",
)
"""Keywords that looplet passes on only to a backend that takes them."""
ANY = "**"


def shape_of(backend: object) -> dict[str, JSON]:
    """What a replay without the backend must know of it: its model, methods and keywords."""
    methods = ("generate", "generate_with_tools")
    return {"model": model_of(backend)} | {
        method: _keywords_of(backend, method) for method in methods if hasattr(backend, method)
    }


def model_of(backend: object) -> str | None:
    """The name of a backend's model, if it says."""
    model = getattr(backend, "model", None)
    return model if isinstance(model, str) else None


def lane_of(lane: str, keywords: Mapping[str, Any]) -> str:
    """The lane of one call: the wrapper's own, or within it the one the caller names.

    >>> lane_of("main", {"scope": "tool:search"}), lane_of("judge", {"scope": "main"})
    ('tool:search', 'judge')
    """
    scope = keywords.get("scope")
    if not scope or scope == "main":
        return lane
    return str(scope) if lane == "main" else f"{lane}/{scope}"


class _StandIn:
    """Stands where a replay was given no backend; it is described by the cassette."""

    def __init__(self, shape: Mapping[str, JSON]) -> None:
        self._shape = shape
        self.model = shape.get("model")
        if "generate_with_tools" in shape:
            self.generate_with_tools = self.generate

    def generate(self, *_: object, **__: object) -> Any:
        raise CassetteError("a replay was given no backend, so nothing can be asked live")

    def takes(self, method: str, keyword: str) -> bool:
        keywords = self._shape.get(method, ())
        return keyword in keywords or ANY in keywords


class RecordingBackend(SyncWrapper):
    """Asks the wrapped backend, and keeps each call before its reply is used."""

    own_keywords = frozenset({"scope"})

    def __init__(self, inner: Any, recorder: Recorder, *, lane: str) -> None:
        super().__init__(inner)
        self._recorder, self._lane = recorder, lane

    def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Record one call."""
        keep = _begin(self.inner, self._recorder, self._lane, method, prompt, keywords)
        try:
            reply: Reply = self.forward(method, prompt, keywords)
        except Exception as error:
            keep(None, error)
            raise
        keep(reply, None)
        return reply


class AsyncRecordingBackend(AsyncWrapper):
    """The same for an async backend."""

    own_keywords = frozenset({"scope"})

    def __init__(self, inner: Any, recorder: Recorder, *, lane: str) -> None:
        super().__init__(inner)
        self._recorder, self._lane = recorder, lane

    async def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Record one call."""
        keep = _begin(self.inner, self._recorder, self._lane, method, prompt, keywords)
        try:
            reply: Reply = await self.forward(method, prompt, keywords)
        except Exception as error:
            keep(None, error)
            raise
        keep(reply, None)
        return reply


class ReplayBackend(SyncWrapper):
    """Answers from a cassette; the wrapped backend tells its shape and is never asked."""

    own_keywords = frozenset({"scope"})

    def __init__(self, inner: Any, player: Player, *, lane: str) -> None:
        super().__init__(_or_stand_in(inner, player, lane))
        self._player, self._lane = player, lane
        self._last = LastCall()

    @property
    def last_usage(self) -> Mapping[str, int] | None:
        """The recorded usage of the last call of this thread or task."""
        return self._last.get().usage

    @property
    def last_stop_reason(self) -> str | None:
        """The recorded stop reason of the last call of this thread or task."""
        return self._last.get().stop_reason

    def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Replay one call."""
        return _play(self.inner, self._player, self._last, self._lane, method, prompt, keywords)


class AsyncReplayBackend(AsyncWrapper):
    """The same for an async loop."""

    own_keywords = frozenset({"scope"})

    def __init__(self, inner: Any, player: Player, *, lane: str) -> None:
        super().__init__(_or_stand_in(inner, player, lane))
        self._player, self._lane = player, lane
        self._last = LastCall()

    @property
    def last_usage(self) -> Mapping[str, int] | None:
        """The recorded usage of the last call of this thread or task."""
        return self._last.get().usage

    @property
    def last_stop_reason(self) -> str | None:
        """The recorded stop reason of the last call of this thread or task."""
        return self._last.get().stop_reason

    async def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Replay one call."""
        return _play(self.inner, self._player, self._last, self._lane, method, prompt, keywords)


def _begin(
    inner: Any,
    recorder: Recorder,
    lane: str,
    method: Method,
    prompt: str,
    keywords: Mapping[str, Any],
) -> Callable[[Reply | None, Exception | None], None]:
    """Note the request, and give the function that keeps what comes of it."""
    ticket = recorder.begin(
        lane_of(lane, keywords), request_of(method, prompt, keywords), model=model_of(inner)
    )
    started = time.perf_counter()

    def keep(reply: Reply | None, error: Exception | None) -> None:
        duration_ms = (time.perf_counter() - started) * 1000
        if error is not None:
            response = stored_failure(error, duration_ms=duration_ms)
        else:
            response = stored_reply(
                reply if reply is not None else "",
                usage=getattr(inner, "last_usage", None),
                stop_reason=getattr(inner, "last_stop_reason", None),
                duration_ms=duration_ms,
            )
        recorder.keep(ticket, response, shape=shape_of(inner))

    return keep


def _play(
    inner: Any,
    player: Player,
    last: LastCall,
    lane: str,
    method: Method,
    prompt: str,
    keywords: Mapping[str, Any],
) -> Reply:
    answer = player.play(
        lane_of(lane, keywords), request_of(method, prompt, keywords), model=model_of(inner)
    )
    last.set(answer.outcome)
    return answer.give()


def _or_stand_in(inner: Any, player: Player, lane: str) -> Any:
    return _StandIn(player.lanes.get(lane, {})) if inner is None else inner


def _keywords_of(backend: object, method: str) -> list[str]:
    if takes(backend, method, ANY):
        return [ANY]
    return [keyword for keyword in ASKED_FOR if takes(backend, method, keyword)]
