"""Backends around a cassette: one that records and one that replays, sync and async.

Knows backends and the two halves of a cassette; knows nothing of files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from looplet.core.backend import Reply, takes
from looplet.core.codec import JSON
from looplet.core.lastcall import LastCall, TellsLastCall
from looplet.core.messages import Method
from looplet.core.wrapping import AsyncWrapper, SyncWrapper, Wrapper, request_of
from looplet.errors import CassetteError
from looplet.replay.outcomes import stored_failure, stored_reply
from looplet.replay.playback import Player
from looplet.replay.recording import Recorder

ASKED_FOR = (
    "max_tokens",
    "system_prompt",
    "temperature",
    "tools",
    "messages",
    "scope",
    "purpose",
    "cancel_token",
    "cache_breakpoints",
    "on_chunk",
)
"""Keywords that looplet passes on only to a backend that takes them."""

Asked = set[tuple[str, str]]
"""Method and keyword of every question whether the backend takes it."""


def shape_of(backend: object, asked: Asked) -> dict[str, JSON]:
    """What a replay without the backend must know of it: its model, methods and keywords.

    Of each keyword that anybody asked about it tells whether the backend takes it, so that a
    replay passes on and leaves out what the recording did.
    """
    methods = ("generate", "generate_with_tools")
    return {"model": model_of(backend)} | {
        method: _keywords_of(backend, method, asked)
        for method in methods
        if hasattr(backend, method)
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
        """As the recorded backend did; what nobody asked it about goes into the request."""
        keywords = self._shape.get(method)
        if keywords is None:
            return False
        return keyword in keywords["takes"] or keyword not in keywords["refuses"]


class _Records(Wrapper):
    """What both recording backends do around a call."""

    own_keywords = frozenset({"scope"})

    def __init__(self, inner: Any, recorder: Recorder, *, lane: str) -> None:
        super().__init__(inner)
        self._recorder, self._lane = recorder, lane
        self._asked: Asked = set()

    def takes(self, method: str, keyword: str) -> bool:
        """Answer for the wrapped backend, and remember the question for the replay."""
        self._asked.add((method, keyword))
        return super().takes(method, keyword)

    def _begin(
        self, method: Method, prompt: str, keywords: Mapping[str, Any]
    ) -> Callable[[Reply | None, Exception | None], None]:
        """Note the request, and give the function that keeps what comes of it."""
        inner, recorder = self.inner, self._recorder
        lane = lane_of(self._lane, keywords)
        ticket = recorder.begin(lane, request_of(method, prompt, keywords), model=model_of(inner))
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
            recorder.keep(ticket, response, shape=shape_of(inner, self._asked))

        return keep


class RecordingBackend(_Records, SyncWrapper):
    """Asks the wrapped backend, and keeps each call before its reply is used."""

    def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Record one call."""
        keep = self._begin(method, prompt, keywords)
        try:
            reply: Reply = self.forward(method, prompt, keywords)
        except Exception as error:
            keep(None, error)
            raise
        keep(reply, None)
        return reply


class AsyncRecordingBackend(_Records, AsyncWrapper):
    """The same for an async backend."""

    async def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Record one call."""
        keep = self._begin(method, prompt, keywords)
        try:
            reply: Reply = await self.forward(method, prompt, keywords)
        except Exception as error:
            keep(None, error)
            raise
        keep(reply, None)
        return reply


class _Replays(TellsLastCall, Wrapper):
    """What both replaying backends do; the wrapped backend tells its shape and is never asked.

    A recording holds whole replies, so a listener is told each reply's text in one piece, and
    nothing of a reply without text.
    """

    own_keywords = frozenset({"scope"})

    def __init__(self, inner: Any, player: Player, *, lane: str) -> None:
        super().__init__(_StandIn(player.lanes.get(lane, {})) if inner is None else inner)
        self._player, self._lane = player, lane
        self._last = LastCall()

    def _play(self, method: Method, prompt: str, keywords: Mapping[str, Any]) -> Reply:
        lane = lane_of(self._lane, keywords)
        request = request_of(method, prompt, keywords)
        answer = self._player.play(lane, request, model=model_of(self.inner))
        self._last.set(answer.outcome)
        reply = answer.give()
        tell = keywords.get("on_chunk")
        if tell is not None and (text := _text_in(reply)):
            tell(text)
        return reply


class ReplayBackend(_Replays, SyncWrapper):
    """Answers from a cassette."""

    def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Replay one call."""
        return self._play(method, prompt, keywords)


class AsyncReplayBackend(_Replays, AsyncWrapper):
    """The same for an async loop."""

    async def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Replay one call."""
        return self._play(method, prompt, keywords)


def _text_in(reply: Reply) -> str:
    if isinstance(reply, str):
        return reply
    return "".join(block["text"] for block in reply if block.get("type") == "text")


def _keywords_of(backend: object, method: str, asked: Asked) -> dict[str, JSON]:
    others = {keyword for name, keyword in asked if name == method} - set(ASKED_FOR)
    taken: dict[bool, list[str]] = {True: [], False: []}
    for keyword in (*ASKED_FOR, *sorted(others)):
        taken[takes(backend, method, keyword)].append(keyword)
    return {"takes": taken[True], "refuses": taken[False]}
