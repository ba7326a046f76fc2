"""What can go wrong with a server, and the SDK's exceptions in these words. Imports no SDK."""

from __future__ import annotations

from http import HTTPStatus

from looplet.errors import LoopletError

CONNECTION_CLOSED = -32000
"""The SDK's code for a request whose connection ended before its answer."""
SESSION_TERMINATED = 32600
"""What version 1 of the SDK says, with this sign, where the server answered 404 to a session."""
_AWAY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE})
"""What a proxy says for a server that it cannot reach."""
_CARRIERS = frozenset({"anyio", "httpcore", "httpcore2", "httpx", "httpx2", "ssl"})
"""Packages whose exceptions say that bytes did not get through."""


class MCPTimeout(LoopletError, TimeoutError):
    """A server did not answer in time."""


class MCPServerLost(LoopletError, ConnectionError):
    """A server cannot be started or reached, or has ended."""


class MCPSessionGone(MCPServerLost):
    """A server has forgotten the session, and did nothing of what was asked in it."""


class MCPRefused(LoopletError, RuntimeError):
    """A server answered a request with a protocol error, or with what is no answer.

    ``status`` is the HTTP status that it came with, if it was an error's.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


def is_session_gone(error: BaseException) -> bool:
    """Whether the SDK itself says that the session is gone; version 2 leaves it to HTTP."""
    return getattr(getattr(error, "error", None), "code", None) == SESSION_TERMINATED


def explained(error: BaseException, server: str, status: int | None = None) -> Exception:
    """Say in looplet's words what the SDK raised, or what kept a server from starting."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, LoopletError):
        return error
    text = str(error) or type(error).__name__
    code = getattr(getattr(error, "error", None), "code", None)
    if isinstance(error, OSError):
        return MCPServerLost(f"{server} cannot be started or reached: {text}")
    if code == CONNECTION_CLOSED or type(error).__module__.partition(".")[0] in _CARRIERS:
        return MCPServerLost(f"{server} has ended or cannot be reached: {text}")
    if status in _AWAY:
        return MCPServerLost(f"{server} is away: HTTP {status}: {text}")
    if not isinstance(error, Exception):
        return MCPServerLost(f"{server} was closed before it had answered")
    if code is None:
        return MCPRefused(f"{server} gave no usable answer: {type(error).__name__}: {text}")
    shown = f"HTTP {status}: {text}" if status else text
    return MCPRefused(f"{server} refused: {shown}", status=status)
