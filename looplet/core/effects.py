"""What the engine asks its driver to do: everything that waits, calls out or takes time.

These are made once and read once, so they have no equality and no repr of their own: each generated
method costs every import of the loop a tenth of a millisecond.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from looplet.core.messages import Method
from looplet.core.records import Step, ToolCall
from looplet.core.tools import ToolContext


@dataclass(slots=True, eq=False, repr=False)
class AskModel:
    """Call a backend; the answer is a ``ModelReply``, a failure is thrown in."""

    backend: Any
    method: Method
    prompt: str
    keywords: Mapping[str, Any]


@dataclass(slots=True, eq=False, repr=False)
class ModelReply:
    """What a backend gave."""

    reply: Any
    """Text, or a list of blocks."""
    usage: Mapping[str, Any] | None
    stop_reason: str | None


@dataclass(slots=True, eq=False, repr=False)
class RunTools:
    """Dispatch calls, together where the registry allows it; the answer is a list of results."""

    calls: Sequence[ToolCall]
    contexts: Sequence[ToolContext | None]


@dataclass(slots=True, eq=False, repr=False)
class Await:
    """Wait for what a hook returned; the answer is its value."""

    awaitable: Awaitable[Any]
    where: str
    """Hook and slot, for messages."""


@dataclass(slots=True, eq=False, repr=False)
class Pause:
    """Let time pass, unless the run is cancelled; there is no answer."""

    seconds: float


@dataclass(slots=True, eq=False, repr=False)
class Compact:
    """Call a compaction service, which may ask a model; the answer is its outcome."""

    service: Any
    keywords: Mapping[str, Any]


@dataclass(slots=True, eq=False, repr=False)
class Save:
    """Write a file; the answer is what ``write`` returns, which tells of failures by itself."""

    write: Callable[[], Any]


Effect: TypeAlias = Step | AskModel | RunTools | Await | Pause | Compact | Save
