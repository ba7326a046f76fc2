"""What a call came to, reply or failure, as a stored response and back. Knows no files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from looplet.core.backend import Reply
from looplet.core.codec import JSON
from looplet.core.failures import INTERRUPTS
from looplet.core.lastcall import CallOutcome
from looplet.core.refailing import describe_failure, failure_of
from looplet.replay.entries import response
from looplet.replay.serializer import restored, storable


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One stored reply or failure, handed out."""

    reply: Reply | None = None
    failure: BaseException | None = None
    outcome: CallOutcome = field(default_factory=CallOutcome)
    duration_ms: float | None = None
    pieces: Sequence[Piece] = ()
    """What a listener was told, and when, in milliseconds from the beginning of the call."""
    anew: int = 0
    """How often a listener was told that the call is made again, before these pieces."""

    @property
    def cancelled(self) -> bool:
        """Whether the call was given up by whoever waited for it."""
        return self.failure is not None and is_cancelled(self.failure)

    def give(self) -> Reply:
        """The reply; a recorded failure is raised."""
        if self.failure is not None:
            raise self.failure
        return self.reply  # type: ignore[return-value]  # one of the two is there


Piece = tuple[float, str]
Redact = Callable[[Any], Any] | None
"""Hides secrets in a structure of texts; ``None`` hides nothing."""


def stored_reply(
    reply: Reply, *, usage: object, stop_reason: object, duration_ms: float, redact: Redact = None
) -> dict[str, JSON]:
    """A reply as vcrpy's response: text under ``body.string``, blocks under ``body.blocks``."""
    clean = redact or (lambda value: value)
    shown = storable(clean(reply))
    name = "string" if isinstance(shown, str) else "text" if isinstance(reply, str) else "blocks"
    stored = response({name: shown})
    if usage is not None:
        stored["usage"] = storable(clean(usage))
    if stop_reason is not None:
        stored["stop_reason"] = storable(clean(stop_reason))
    return stored | {"duration_ms": round(duration_ms, 3)}


def stored_stream(pieces: Sequence[Piece], text: str) -> dict[str, JSON]:
    """When a listener was told how many characters of ``text``; other pieces as they were.

    >>> stored_stream([(3.0, "Hel"), (9.5, "lo")], "Hello")
    {'stream': '3@3 2@9.5'}
    """
    if not pieces:
        return {}
    if "".join(piece for _, piece in pieces) == text:
        return {"stream": " ".join(f"{len(piece)}@{at:g}" for at, piece in pieces)}
    return {"stream": [{"at": at, "text": storable(piece)} for at, piece in pieces]}


def stored_interrupt(error: BaseException) -> dict[str, JSON] | None:
    """What ended a call from outside: an interrupt, or whoever waited gave up; else ``None``."""
    name = type(error).__name__
    if isinstance(error, INTERRUPTS):
        name = "KeyboardInterrupt" if isinstance(error, KeyboardInterrupt) else "SystemExit"
    elif name != _CANCELLED:
        return None
    return response({"interrupt": name}, code=0, message=name)


def is_cancelled(error: BaseException) -> bool:
    """Whether an interrupt is that of a task which was cancelled."""
    return type(error).__name__ == _CANCELLED


def interrupt_of(name: str) -> BaseException:
    """The interrupt that was recorded, made anew."""
    if name == _CANCELLED:
        from asyncio import CancelledError  # loaded by those who replay a cancelled call

        return CancelledError()
    return KeyboardInterrupt() if name == "KeyboardInterrupt" else SystemExit()


_CANCELLED = "CancelledError"
GRACE_S = 1.0
"""How much longer than recorded a cancelled call waits, in a replay, to be cancelled."""


def stored_failure(
    error: Exception, *, duration_ms: float, redact: Redact = None
) -> dict[str, JSON]:
    """A failure: its type, the nearest type that a replay can raise, message and status."""
    described = describe_failure(error, clean=redact or (lambda value: value))
    status = described.pop("status", None)
    shown = {name: storable(value) for name, value in described.items()}
    stored = response({"error": shown}, code=status or 0, message=type(error).__name__)
    return stored | {"duration_ms": round(duration_ms, 3)}


def answer_of(stored: Mapping[str, Any]) -> Answer:
    """Make the reply or failure anew from a stored response; every call gives fresh objects."""
    body = stored["body"]
    duration = stored.get("duration_ms")
    if "interrupt" in body:
        failure: BaseException = interrupt_of(body["interrupt"])
        return _failed(failure, stored)
    if "error" in body:
        described = {name: restored(value) for name, value in body["error"].items()}
        status = stored["status"]["code"] or None
        return _failed(failure_of({**described, "status": status}), stored)
    reply = _reply(body)
    pieces = _pieces(stored, text_in(reply))
    outcome = CallOutcome(
        usage=restored(stored.get("usage")),
        stop_reason=restored(stored.get("stop_reason")),
        duration_ms=duration,
        first_token_ms=pieces[0][0] if pieces else None,
    )
    anew = stored.get("anew", 0)
    return Answer(reply=reply, outcome=outcome, duration_ms=duration, pieces=pieces, anew=anew)


def _failed(failure: BaseException, stored: Mapping[str, Any]) -> Answer:
    pieces = _pieces(stored, "")
    duration, anew = stored.get("duration_ms"), stored.get("anew", 0)
    return Answer(failure=failure, duration_ms=duration, pieces=pieces, anew=anew)


def text_in(reply: Reply) -> str:
    """The text that a listener of pieces is told of a reply."""
    if isinstance(reply, str):
        return reply
    return "".join(block["text"] for block in reply if block.get("type") == "text")


def _pieces(stored: Mapping[str, Any], text: str) -> list[Piece]:
    """The pieces of a stored response, cut from the reply's text where they are no others."""
    shown = stored.get("stream")
    if shown is None:
        return []
    if not isinstance(shown, str):
        return [(float(each["at"]), restored(each["text"])) for each in shown]
    pieces: list[Piece] = []
    place = 0
    for part in shown.split():
        length, _, at = part.partition("@")
        pieces.append((float(at), text[place : place + int(length)]))
        place += int(length)
    return pieces


def _reply(body: Mapping[str, Any]) -> Reply:
    if "string" in body:
        text = body["string"]  # vcrpy makes bytes of what it reads
        return text.decode() if isinstance(text, bytes) else str(text)
    reply: Reply = restored(body["text"] if "text" in body else body["blocks"])
    return reply
