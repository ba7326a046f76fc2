"""What a call came to, reply or failure, as a stored response and back. Knows no files."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import looplet.errors
from looplet.core.backend import Reply
from looplet.core.codec import JSON
from looplet.core.failures import status_of
from looplet.core.lastcall import CallOutcome
from looplet.errors import BackendError, BackendRefused
from looplet.replay.serializer import restored, storable

_HOMES = {"builtins": builtins, "looplet.errors": looplet.errors}
_TOO_GENERAL = (Exception, looplet.errors.LoopletError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One stored reply or failure, handed out."""

    reply: Reply | None = None
    failure: Exception | None = None
    outcome: CallOutcome = field(default_factory=CallOutcome)
    duration_ms: float | None = None

    def give(self) -> Reply:
        """The reply; a recorded failure is raised."""
        if self.failure is not None:
            raise self.failure
        return self.reply  # type: ignore[return-value]  # one of the two is there


def stored_reply(
    reply: Reply, *, usage: object, stop_reason: object, duration_ms: float
) -> dict[str, JSON]:
    """A reply as vcrpy's response: text under ``body.string``, blocks under ``body.blocks``."""
    shown = storable(reply)
    name = "string" if isinstance(shown, str) else "text" if isinstance(reply, str) else "blocks"
    ok = {"code": 200, "message": "OK"}
    response: dict[str, JSON] = {"status": ok, "headers": {}, "body": {name: shown}}
    if usage is not None:
        response["usage"] = storable(usage)
    if stop_reason is not None:
        response["stop_reason"] = storable(stop_reason)
    return response | {"duration_ms": round(duration_ms, 3)}


def stored_failure(error: Exception, *, duration_ms: float) -> dict[str, JSON]:
    """A failure: its type, the nearest type that a replay can raise, message and status."""
    kind = type(error)
    described: dict[str, JSON] = {
        "type": kind.__name__
        if kind.__module__ in _HOMES
        else f"{kind.__module__}.{kind.__name__}",
        "raised_as": _known_ancestor(kind).__name__,
        "message": storable(str(error)),
    }
    if error.args != (str(error),) and all(type(each) in (str, int, float) for each in error.args):
        described["args"] = storable(list(error.args))
    status, retry_after = status_of(error), getattr(error, "retry_after", None)
    if isinstance(retry_after, int | float):
        described["retry_after"] = retry_after
    return {
        "status": {"code": status or 0, "message": kind.__name__},
        "headers": {},
        "body": {"error": described},
        "duration_ms": round(duration_ms, 3),
    }


def answer_of(response: Mapping[str, Any]) -> Answer:
    """Make the reply or failure anew from a stored response; every call gives fresh objects."""
    body = response["body"]
    duration = response.get("duration_ms")
    if "error" in body:
        failure = _failure(body["error"], response["status"]["code"] or None)
        return Answer(failure=failure, duration_ms=duration)
    outcome = CallOutcome(
        usage=restored(response.get("usage")), stop_reason=restored(response.get("stop_reason"))
    )
    return Answer(reply=_reply(body), outcome=outcome, duration_ms=duration)


def _reply(body: Mapping[str, Any]) -> Reply:
    if "string" in body:
        text = body["string"]  # vcrpy makes bytes of what it reads
        return text.decode() if isinstance(text, bytes) else str(text)
    reply: Reply = restored(body["text"] if "text" in body else body["blocks"])
    return reply


def _known_ancestor(kind: type[BaseException]) -> type[BaseException]:
    """The nearest class that exists wherever looplet runs."""
    for each in kind.__mro__:
        if each in _TOO_GENERAL:
            break
        if _HOMES.get(each.__module__) and issubclass(each, Exception):
            return each
    return BackendRefused


def _failure(described: Mapping[str, JSON], status: int | None) -> Exception:
    name, original = described["raised_as"], described["type"]
    kind = getattr(looplet.errors, name, None) or getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = BackendRefused
    message = restored(described["message"])
    exact = original == kind.__name__
    args = restored(described.get("args", [message])) if exact else [message]
    if not exact:
        args = [f"{message} (recorded as {original})"]
    return _with_status(_made(kind, args), status, described.get("retry_after"))


def _made(kind: type[Exception], args: list[Any]) -> Exception:
    try:
        return kind(*args)
    except TypeError:  # its constructor wants more than a message
        return BackendRefused(f"{args[0] if args else ''} (recorded as {kind.__name__})")


def _with_status(error: Exception, status: int | None, retry_after: float | None) -> Exception:
    if isinstance(error, BackendError):
        error.status, error.retry_after = status, retry_after
    elif status is not None:
        error.status = status  # type: ignore[attr-defined]
    return error
