"""Failures as data, and made anew from it, so that a replay fails as the recording did.

Knows exceptions; knows no file and no recording.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from typing import Any

import looplet.errors
from looplet.core.codec import JSON
from looplet.core.failures import status_of
from looplet.errors import BackendError, BackendRefused, RetryExhausted

_HOMES = {"builtins": builtins, "looplet.errors": looplet.errors}
_TOO_GENERAL = (Exception, looplet.errors.LoopletError)
_PLAIN = (str, int, float)
_INTERRUPTS = ("KeyboardInterrupt", "SystemExit", "CancelledError", "GeneratorExit")


def describe_failure(
    error: BaseException, *, clean: Callable[[Any], Any] = lambda value: value
) -> dict[str, JSON]:
    """A failure: its type, the nearest type that a replay can raise, message, status and the like.

    ``clean`` takes secrets out of the message and the arguments.

    >>> describe_failure(TimeoutError("too slow"))
    {'type': 'TimeoutError', 'raised_as': 'TimeoutError', 'message': 'too slow'}
    """
    kind = type(error)
    name = kind.__name__ if kind.__module__ in _HOMES else f"{kind.__module__}.{kind.__name__}"
    described: dict[str, JSON] = {
        "type": name,
        "raised_as": _known_ancestor(kind).__name__,
        "message": clean(str(error)),
    }
    if error.args != (str(error),) and all(type(each) in _PLAIN for each in error.args):
        described["args"] = clean(list(error.args))
    retry_after = getattr(error, "retry_after", None)
    if isinstance(retry_after, int | float):
        described["retry_after"] = retry_after
    if isinstance(error, RetryExhausted):
        described["attempts"] = error.attempts
    status = status_of(error)
    if status is not None:
        described["status"] = status
    if not isinstance(error, Exception):
        described["interrupt"] = True
    return described


def failure_of(described: Mapping[str, JSON]) -> Exception:
    """The exception that ``describe_failure`` was given, or one that shows the same, made anew."""
    original, message = described["type"], described["message"]
    kind = _exception_named(described["raised_as"]) or BackendRefused
    error = None
    if original == kind.__name__:
        keywords = {"attempts": described.get("attempts", 1)} if kind is RetryExhausted else {}
        error = _made(kind, described.get("args", [message]), **keywords)
    if error is None:
        error = _like(original, kind, message)
    return _with_status(error, described.get("status"), described.get("retry_after"))


def failure_of_text(text: str) -> Exception:
    """The exception that a text ``"<Type>: <message>"`` tells of, as well as that can be told.

    >>> failure_of_text("TimeoutError: too slow")
    TimeoutError('too slow')
    """
    name, _, message = text.partition(": ")
    kind = _exception_named(name)
    if kind is None:
        return BackendRefused(f"{text} (as recorded)")
    return failure_of({"type": name, "raised_as": name, "message": message})


def is_interrupt(text: str) -> bool:
    """Whether a text ``"<Type>: <message>"`` tells of what ended a call from outside.

    >>> is_interrupt("KeyboardInterrupt: "), is_interrupt("TimeoutError: too slow")
    (True, False)
    """
    return text.partition(":")[0] in _INTERRUPTS


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


def _made(kind: type[Exception], args: list[Any], **keywords: Any) -> Exception | None:
    try:
        return kind(*args, **keywords)
    except TypeError:  # its constructor wants more than a message
        return None


def _like(original: str, kind: type[Exception], message: str) -> Exception:
    """An error that has the name and the text of one whose class is not here.

    What is shown of it, to a model too, is then what was shown when it was recorded; whoever
    catches it does so by the nearest class that is here.
    """
    module, _, name = original.rpartition(".")
    own = {"__module__": module or "builtins", "__str__": lambda _self: message}
    for base in (kind, *kind.__mro__[1:], BackendRefused):
        if base in (*_TOO_GENERAL, BaseException, object):
            base = BackendRefused  # noqa: PLW2901 - nothing nearer is known
        error = _made(type(name, (base,), own), [message])
        if error is not None:
            return error
    raise AssertionError("a BackendRefused can be made of a message")


def _with_status(error: Exception, status: int | None, retry_after: float | None) -> Exception:
    if isinstance(error, BackendError):
        error.status, error.retry_after = status, retry_after
    elif status is not None:
        error.status = status  # type: ignore[attr-defined]
    return error
