"""Exceptions sorted into kinds. Knows no provider and no tool."""

from __future__ import annotations

from typing import TypeVar

from looplet.core.records import ErrorKind, ToolError
from looplet.errors import LLMResponsesExhausted, RunCancelled, ToolValidationError, TraceError

_BY_TYPE: tuple[tuple[type[BaseException], ErrorKind, bool], ...] = (
    (RunCancelled, ErrorKind.CANCELLED, False),
    (TimeoutError, ErrorKind.TIMEOUT, True),
    (PermissionError, ErrorKind.PERMISSION_DENIED, False),
    (ConnectionError, ErrorKind.NETWORK, True),
    (ValueError, ErrorKind.VALIDATION, False),
    (TypeError, ErrorKind.VALIDATION, False),
    (KeyError, ErrorKind.VALIDATION, False),
)
_BY_WORD: tuple[tuple[tuple[str, ...], ErrorKind, bool], ...] = (
    (("ratelimit", "rate limit", "rate_limit", "too many requests"), ErrorKind.RATE_LIMIT, True),
    (
        ("contextoverflow", "context_length_exceeded", "context length", "prompt is too long",
         "prompt too long", "exceeds the available context"),
        ErrorKind.CONTEXT_OVERFLOW,
        False,
    ),
    (("parseerror", "decodeerror"), ErrorKind.PARSE, False),
)  # fmt: skip
INTERRUPTS = (KeyboardInterrupt, SystemExit)
"""What asks the whole process to stop."""
PERMANENT_STATUS = frozenset({400, 401, 403, 404, 422})
_TOO_LARGE, _TOO_MANY = 413, 429


E = TypeVar("E", bound=BaseException)


def first_of(first: E | None, error: E) -> E:
    """The first of several errors, on which each later one is noted: one alone can be raised.

    >>> first_of(first_of(None, ValueError("no figs")), KeyError("pear")).__notes__
    ["and then: KeyError: 'pear'"]
    """
    if first is None:
        return error
    if error is not first:
        first.add_note(f"and then: {describe(error)}")
    return first


def describe(error: BaseException) -> str:
    """``"<Type>: <message>"``.

    >>> describe(ValueError("no such fruit"))
    'ValueError: no such fruit'
    """
    text = str(error)
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def tool_error(error: BaseException) -> ToolError:
    """An exception as a ``ToolError`` of the kind that fits it.

    >>> tool_error(TimeoutError("too slow")).kind.value
    'timeout'
    """
    if isinstance(error, ToolValidationError):
        return ToolError(ErrorKind.VALIDATION, str(error))
    kind, retriable = _kind_of(error)
    return ToolError(kind, describe(error), retriable=retriable)


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an exception carries, if any."""
    for name in ("status", "status_code"):
        status = getattr(error, name, None)
        if isinstance(status, int):
            return status
    return None


def is_overflow(error: BaseException) -> bool:
    """Whether a model call failed because the prompt was too long."""
    return status_of(error) == _TOO_LARGE or _by_word(error) == (ErrorKind.CONTEXT_OVERFLOW, False)


def is_permanent(error: BaseException) -> bool:
    """Whether asking the model again cannot help."""
    if isinstance(error, TypeError | LLMResponsesExhausted | RunCancelled | TraceError):
        return True
    if type(error).__name__ == "RetryExhausted" or is_overflow(error):
        return True
    return status_of(error) in PERMANENT_STATUS


def _kind_of(error: BaseException) -> tuple[ErrorKind, bool]:
    if status_of(error) == _TOO_MANY:
        return ErrorKind.RATE_LIMIT, True
    if status_of(error) == _TOO_LARGE:
        return ErrorKind.CONTEXT_OVERFLOW, False
    for base, kind, retriable in _BY_TYPE:
        if isinstance(error, base):
            return kind, retriable
    return _by_word(error) or (ErrorKind.EXECUTION, False)


def _by_word(error: BaseException) -> tuple[ErrorKind, bool] | None:
    text = f"{type(error).__name__} {error}".lower()
    for words, kind, retriable in _BY_WORD:
        if any(word in text for word in words):
            return kind, retriable
    return None
