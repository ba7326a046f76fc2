"""A backend around which a cassette is put, sync and async.

Knows backends and the halves of a cassette; knows nothing of files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from looplet.core.backend import Reply, takes
from looplet.core.codec import JSON
from looplet.core.lastcall import CallOutcome, LastCall, TellsLastCall
from looplet.core.messages import Method
from looplet.core.threads import waited_for
from looplet.core.wrapping import AsyncWrapper, SyncWrapper, Wrapper, begin_anew, request_of
from looplet.errors import CassetteError, RunCancelled
from looplet.replay.entries import Ticket
from looplet.replay.outcomes import (
    GRACE_S,
    Answer,
    Piece,
    stored_failure,
    stored_interrupt,
    stored_reply,
    stored_stream,
    text_in,
)

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


class _Through(TellsLastCall, Wrapper):
    """What both backends around a cassette do: answer from the tape, or ask and keep.

    A replay asks nothing of the wrapped backend but its shape.
    """

    own_keywords = frozenset({"scope", "caller"})

    def __init__(
        self,
        inner: Any,
        half: Any,
        *,
        lane: str,
        realtime: bool = False,
        may_ask: Callable[[], None] = lambda: None,
    ) -> None:
        if inner is None:
            name = lane if half.redactor is None else half.redactor.text(lane)
            inner = _StandIn(half.lanes.get(name, {}))
        super().__init__(inner)
        self._half, self._realtime = half, realtime
        self._lane = self._clean(lane)
        self._may_ask = may_ask
        self._asked: Asked = set()
        self._last = LastCall()

    @property
    def answers_at_once(self) -> bool:
        """Whether replies come from a recording and take no time, so that nobody need wait."""
        replaying: bool = self._half.replaying
        return replaying and not self._realtime

    def takes(self, method: str, keyword: str) -> bool:
        """Answer for the wrapped backend, and remember the question for the replay."""
        shape = self._half.shape(self._lane)
        if shape is not None:
            return keyword in self.own_keywords or _StandIn(shape).takes(method, keyword)
        if self._half.live:
            self._asked.add((method, keyword))
        return super().takes(method, keyword)

    def _play(self, method: Method, prompt: str, keywords: Mapping[str, Any]) -> Answer | None:
        half, inner = self._half, self.inner
        self._may_ask()
        answer: Answer | None = half.play(
            self._clean(lane_of(self._lane, keywords)),
            request_of(method, prompt, keywords),
            model=model_of(inner),
            caller=keywords.get("caller"),
            any_model=isinstance(inner, _StandIn),
        )
        if answer is not None:
            self._last.set(answer.outcome)
        return answer

    def _clean(self, lane: str) -> str:
        """A lane's name without secrets; it stands in every address."""
        redactor = self._half.redactor
        return lane if redactor is None else str(redactor.text(lane))

    def _begin(self, method: Method, prompt: str, keywords: dict[str, Any]) -> _Call:
        """Note the request, and listen to the pieces of its reply."""
        ticket = self._half.begin(
            self._clean(lane_of(self._lane, keywords)),
            request_of(method, prompt, keywords),
            model=model_of(self.inner),
            caller=keywords.get("caller"),
        )
        call = _Call(ticket, self._half.redactor)
        self._half.watch(ticket, call.given_up)
        tell = keywords.get("on_chunk")
        if tell is not None:
            keywords["on_chunk"] = _Listener(tell, call)
        return call

    def _keep(self, call: _Call, reply: Reply | None) -> int:
        gone = call.given_up()
        if gone is not None:  # whoever asked was told that it failed, and does not get the reply
            line = self._keep_failure(call, gone)
            assert line is not None
            return line
        reply = "" if reply is None else reply
        usage = getattr(self.inner, "last_usage", None)
        stop_reason = getattr(self.inner, "last_stop_reason", None)
        stored = call.stored_reply(reply, usage=usage, stop_reason=stop_reason)
        outcome = CallOutcome(
            usage=usage,
            stop_reason=stop_reason,
            duration_ms=stored["duration_ms"],
            first_token_ms=call.first_token_ms,
        )
        self._last.set(outcome)
        return self._write(call, stored)

    def _keep_failure(self, call: _Call, error: BaseException) -> int | None:
        self._last.clear()
        stored = call.stored_failure(call.given_up() or error)
        return None if stored is None else self._write(call, stored)

    def _write(self, call: _Call, stored: dict[str, JSON]) -> int:
        # The wrapper's own lane too: a replay without a backend asks it for the shape, also
        # where all calls have lanes of their own.
        for lane in (self._lane, call.ticket.lane):
            if not self._half.knows(lane):
                self._half.describe(lane, shape_of(self.inner, set(self._asked)))
        line: int = self._half.write(call.ticket, stored)
        return line


class CassetteBackend(_Through, SyncWrapper):
    """A sync backend whose calls go through a cassette."""

    def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Replay one call, or make it and keep it before its reply is used."""
        answer = self._play(method, prompt, keywords)
        if answer is not None:
            _cancel_again(answer, keywords.get("cancel_token"))
            return self._replay(answer, keywords.get("on_chunk"))
        call = self._begin(method, prompt, keywords)
        try:
            reply: Reply = self.forward(method, prompt, keywords)
        except BaseException as error:
            line = self._keep_failure(call, error)
            if line is not None:
                self._half.flush(line)
            raise
        self._half.flush(self._keep(call, reply))
        return reply

    def _replay(self, answer: Answer, tell: Any) -> Reply:
        waited = 0.0
        for at, piece in _told(answer, tell):
            if self._realtime:
                time.sleep(max(0.0, at - waited) / 1000)
                waited = at
            tell(piece)
        if self._realtime and answer.duration_ms:
            time.sleep(max(0.0, answer.duration_ms - waited) / 1000)
        return answer.give()


class AsyncCassetteBackend(_Through, AsyncWrapper):
    """The same for an async backend; the event loop is not held up while the disk writes."""

    async def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Replay one call, or make it and keep it before its reply is used."""
        answer = self._play(method, prompt, keywords)
        if answer is not None:
            _cancel_again(answer, keywords.get("cancel_token"))
            return await self._replay(answer, keywords.get("on_chunk"))
        call = self._begin(method, prompt, keywords)
        try:
            reply: Reply = await self.forward(method, prompt, keywords)
        except BaseException as error:
            line = self._keep_failure(call, error)
            if line is not None:
                self._half.flush(line)  # at once: who was cancelled may not get to wait again
            raise
        await self._half.aflush(self._keep(call, reply))
        return reply

    async def _replay(self, answer: Answer, tell: Any) -> Reply:
        import asyncio  # loaded by those who have it anyway

        waited = 0.0
        for at, piece in _told(answer, tell):
            if self._realtime:
                await asyncio.sleep(max(0.0, at - waited) / 1000)
                waited = at
            tell(piece)
        if self._realtime and answer.duration_ms:
            await asyncio.sleep(max(0.0, answer.duration_ms - waited) / 1000)
        if answer.cancelled:
            # Whoever gave it up then does so again, and is cancelled as it was.
            await asyncio.sleep((answer.duration_ms or 0.0) / 1000 + GRACE_S)
        return answer.give()


class _Call:
    """A call under way, its clock and the pieces of its reply."""

    def __init__(self, ticket: Ticket, redactor: Any) -> None:
        self.ticket = ticket
        self.pieces: list[Piece] = []
        self.anew = 0
        """How often the call was made again, by a wrapper further in."""
        self.first_token_ms: float | None = None
        self.given_up = waited_for()
        """What its caller went on with instead, once nobody waits for it."""
        self._redactor = redactor
        self._began = time.perf_counter()

    def heard(self, piece: str) -> None:
        """A piece came."""
        at = round(self._passed(), 1)
        if self.first_token_ms is None:
            self.first_token_ms = at
        self.pieces.append((at, piece))

    def begin_anew(self) -> None:
        """The pieces are void."""
        self.pieces.clear()
        self.anew += 1
        self.first_token_ms = None

    def stored_reply(self, reply: Reply, *, usage: object, stop_reason: object) -> dict[str, JSON]:
        """The reply as it is stored."""
        redact = None if self._redactor is None else self._redactor.value
        stored = stored_reply(
            reply,
            usage=usage,
            stop_reason=stop_reason,
            duration_ms=self._passed(),
            redact=redact,
        )
        if self.pieces:
            text = text_in(reply if redact is None else redact(reply))
            stored |= stored_stream(self._clean_pieces(), text)
        return stored | self._anew()

    def stored_failure(self, error: BaseException) -> dict[str, JSON] | None:
        """The failure as it is stored; ``None`` for what is none of the call."""
        if isinstance(error, Exception):
            redact = None if self._redactor is None else self._redactor.value
            stored: dict[str, JSON] | None = stored_failure(
                error, duration_ms=self._passed(), redact=redact
            )
        else:
            stored = stored_interrupt(error)
            if stored is not None:
                stored["duration_ms"] = round(self._passed(), 3)
        if stored is None:
            return None
        return stored | stored_stream(self._clean_pieces(), "") | self._anew()

    def _anew(self) -> dict[str, JSON]:
        return {"anew": self.anew} if self.anew else {}

    def _clean_pieces(self) -> list[Piece]:
        if self._redactor is None or not self.pieces:
            return self.pieces
        texts = self._redactor.pieces([piece for _, piece in self.pieces])
        return [(at, text) for (at, _), text in zip(self.pieces, texts, strict=True)]

    def _passed(self) -> float:
        return (time.perf_counter() - self._began) * 1000


class _Listener:
    """Hears the pieces of a reply on their way to whoever listens, and does not hold them back."""

    def __init__(self, tell: Any, call: _Call) -> None:
        self._tell, self._call = tell, call

    def __call__(self, piece: str) -> None:
        self._call.heard(piece)
        self._tell(piece)

    def begin_anew(self) -> None:
        """What was heard is void: the call is made again."""
        self._call.begin_anew()
        begin_anew(self._tell)


def _told(answer: Answer, tell: Any) -> Sequence[Piece]:
    """What a listener is told in a replay: the recorded pieces, else the whole text in one."""
    if tell is None:
        return ()
    for _ in range(answer.anew):
        begin_anew(tell)
    if answer.pieces or answer.failure is not None:
        return answer.pieces
    text = text_in(answer.give())
    return [(answer.duration_ms or 0.0, text)] if text else ()


def _cancel_again(answer: Answer, token: Any) -> None:
    """Set the token of a run that was cancelled while the model was asked."""
    if token is not None and isinstance(answer.failure, RunCancelled):
        token.cancel()


def _keywords_of(backend: object, method: str, asked: Asked) -> dict[str, JSON]:
    others = {keyword for name, keyword in asked if name == method} - {*ASKED_FOR, "caller"}
    taken: dict[bool, list[str]] = {True: [], False: []}
    for keyword in (*ASKED_FOR, *sorted(others)):
        taken[takes(backend, method, keyword)].append(keyword)
    return {"takes": taken[True], "refuses": taken[False]}
