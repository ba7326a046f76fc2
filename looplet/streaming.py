"""Runs as streams of events: the emitters. Knows what takes events; knows no loop."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from looplet.core.failures import first_of
from looplet.core.stream_events import (
    ContextPressureEvent,
    HookEvent,
    LLMCallEndEvent,
    LLMCallStartEvent,
    LLMChunkEvent,
    LoopEndEvent,
    LoopStartEvent,
    RecoveryEvent,
    StepEndEvent,
    StepStartEvent,
    StreamEvent,
    ToolDispatchEvent,
    ToolResultEvent,
)
from looplet.core.streaming import Emitter, StreamingHook

__all__ = [
    "CallbackEmitter",
    "CompositeEmitter",
    "ContextPressureEvent",
    "Emitter",
    "HookEvent",
    "LLMCallEndEvent",
    "LLMCallStartEvent",
    "LLMChunkEvent",
    "LoopEndEvent",
    "LoopStartEvent",
    "QueueEmitter",
    "RecoveryEvent",
    "StepEndEvent",
    "StepStartEvent",
    "StreamEvent",
    "StreamingHook",
    "ToolDispatchEvent",
    "ToolResultEvent",
]


class CallbackEmitter:
    """Hands each event to a function. Raises ``TypeError`` for an ``async def`` function.

    >>> from looplet import composable_loop, tools_from
    >>> from looplet.testing import MockLLMBackend
    >>> llm = MockLLMBackend(['{"tool": "done", "args": {"summary": "all well"}}'])
    >>> seen = []
    >>> stream = CallbackEmitter(lambda event: seen.append(event.event_type))
    >>> for step in composable_loop(llm, tools=tools_from([], include_done=True), stream=stream):
    ...     pass
    >>> seen[0], seen[-1]
    ('LoopStartEvent', 'LoopEndEvent')
    """

    def __init__(self, fn: Callable[[StreamEvent], object]) -> None:
        given: object = fn
        if not callable(given) or inspect.iscoroutinefunction(fn):
            raise TypeError(
                f"CallbackEmitter takes a plain function, not {fn!r}; "
                "hand events to async code with QueueEmitter(asyncio.Queue())"
            )
        self._fn = fn

    def emit(self, event: StreamEvent) -> None:
        """Call the function."""
        self._fn(event)


class QueueEmitter:
    """Puts each event into a queue, of ``queue`` or ``asyncio``, without waiting.

    A queue that is full raises its own ``Full`` (``QueueFull``), which ends the run.
    """

    def __init__(self, queue: Any) -> None:
        if not callable(getattr(queue, "put_nowait", None)):
            raise TypeError(f"QueueEmitter takes a queue with put_nowait, not {queue!r}")
        self._queue = queue

    def emit(self, event: StreamEvent) -> None:
        """Put the event into the queue."""
        self._queue.put_nowait(event)


class CompositeEmitter:
    """Hands each event to several emitters in order.

    All of them get it; then the first exception among theirs is raised.
    """

    def __init__(self, emitters: Sequence[Emitter]) -> None:
        self._emitters = tuple(emitters)

    def emit(self, event: StreamEvent) -> None:
        """Hand the event to each."""
        first: Exception | None = None
        for emitter in self._emitters:
            try:
                emitter.emit(event)
            except Exception as error:  # noqa: BLE001 - raised below, when all have the event
                first = first_of(first, error)
        if first is not None:
            raise first
