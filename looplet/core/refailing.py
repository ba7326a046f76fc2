"""Failures as data, and made anew from it, so that a replay fails as the recording did.

Knows exceptions; knows no file and no recording.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

import looplet.errors
from looplet.core.codec import JSON
from looplet.core.failures import status_of
from looplet.errors import BackendError, BackendRefused, RetryExhausted

_HOMES = {"builtins": builtins, "looplet.errors": looplet.errors}
_TOO_GENERAL = (Exception, looplet.errors.LoopletError)
_PLAIN = (str, int, float)
_INTERRUPTS = ("KeyboardInterrupt", "SystemExit", "CancelledError", "GeneratorExit")


def describe_failure(error: BaseException) -> dict[str, JSON]:
    """A failure: its type, the nearest type that a replay can raise, message, status and the like.

    >>> describe_failure(TimeoutError("too slow"))
    {'type': 'TimeoutError', 'raised_as': 'TimeoutError', 'message': 'too slow'}
    """
    kind = type(error)
    name = kind.__name__ if kind.__module__ in _HOMES else f"{kind.__module__}.{kind.__name__}"
    described: dict[str, JSON] = {
        "type": name,
        "raised_as": _known_ancestor(kind).__name__,
        "message": str(error),
    }
    if error.args != (str(error),) and all(type(each) in _PLAIN for each in error.args):
        described["args"] = list(error.args)
    retry_after = getattr(error, "retry_after", None)
    if isinstance(retry_after, int | float):
        described["retry_after"] = retry_after
    status, attempts = status_of(error), getattr(error, "attempts", None)
    if status is not None:
        described["status"] = status
    if isinstance(attempts, int):
        described["attempts"] = attempts
    if not isinstance(error, Exception):
        described["interrupt"] = True
    return described


def failure_of(described: Mapping[str, JSON]) -> Exception:
    """The exception that ``describe_failure`` was given, or one of the nearest type, made anew."""
    name, original, message = described["raised_as"], described["type"], described["message"]
    kind = _exception_named(name) or BackendRefused
    exact = original == kind.__name__
    args = described.get("args", [message]) if exact else [message]
    if not exact:
        args = [f"{message} (recorded as {original})"]
    error = _made(kind, args, described.get("attempts", 1))
    return _with_status(error, described.get("status"), described.get("retry_after"))


def is_interrupt(text: str) -> bool:
    """Whether a text ``"<Type>: <message>"`` tells of what ended a call from outside.

    >>> is_interrupt("KeyboardInterrupt: "), is_interrupt("TimeoutError: too slow")
    (True, False)
    """
    return text.partition(":")[0] in _INTERRUPTS


def failure_of_text(text: str) -> Exception:
    """The exception that a text ``"<Type>: <message>"`` tells of, as well as that can be told.

    >>> failure_of_text("TimeoutError: too slow")
    TimeoutError('too slow')
    """
    name, _, message = text.partition(": ")
    kind = _exception_named(name)
    return BackendRefused(f"{text} (as recorded)") if kind is None else _made(kind, [message])


def _exception_named(name: str) -> type[Exception] | None:
    kind = getattr(looplet.errors, name, None) or getattr(builtins, name, None)
    return kind if isinstance(kind, type) and issubclass(kind, Exception) else None


def _known_ancestor(kind: type[BaseException]) -> type[BaseException]:
    """The nearest class that exists wherever looplet runs."""
    for each in kind.__mro__:
        if each in _TOO_GENERAL:
            break
        if _HOMES.get(each.__module__) and issubclass(each, Exception):
            return each
    return BackendRefused


def _made(kind: type[Exception], args: list[Any], attempts: int = 1) -> Exception:
    try:
        if issubclass(kind, RetryExhausted):
            return kind(*args, attempts=attempts)
        return kind(*args)
    except TypeError:  # its constructor wants more than a message
        return BackendRefused(f"{args[0] if args else ''} (recorded as {kind.__name__})")


def _with_status(error: Exception, status: int | None, retry_after: float | None) -> Exception:
    if isinstance(error, BackendError):
        error.status, error.retry_after = status, retry_after
    elif status is not None:
        error.status = status  # type: ignore[attr-defined]
    return error
