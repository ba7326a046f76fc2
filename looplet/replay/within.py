"""Which recorded tool call the code that runs here belongs to. Knows no tool and no file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_WITHIN: ContextVar[str | None] = ContextVar("looplet_within_tool", default=None)


def within() -> str | None:
    """The name of the tool call in whose course the caller runs."""
    return _WITHIN.get()


@contextmanager
def inside(name: str | None) -> Iterator[None]:
    """Say that what runs here, and in threads and tasks begun here, belongs to that call."""
    token = _WITHIN.set(name)
    try:
        yield
    finally:
        _WITHIN.reset(token)
