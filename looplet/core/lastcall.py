"""What a provider said about the last call, for each thread and task by itself."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from weakref import WeakKeyDictionary


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOutcome:
    """What a provider said about a call, beside the reply."""

    usage: Mapping[str, int] | None = None
    """``input_tokens`` and ``output_tokens``, ``cached_tokens`` if told; ``None``: not told."""
    stop_reason: str | None = None
    """``end_turn``, ``max_tokens``, ``tool_use``, or the provider's own word."""
    duration_ms: float | None = None
    """How long the call took when it was made; ``None``: whoever asks may measure it."""
    first_token_ms: float | None = None
    """From the call's beginning to the first piece of its reply, when it was made."""


class LastCall:
    """The outcome of the last call, for each thread and each task by itself.

    A backend sets it in the thread or task that called, and whoever reads it there sees that
    caller's own. A thread or task that has not called yet finds an empty outcome (a task finds
    what the one that started it had left, until its first call). An outcome set inside
    ``asyncio.to_thread`` or a child task stays there.

    >>> last = LastCall()
    >>> last.get()
    CallOutcome(usage=None, stop_reason=None, duration_ms=None, first_token_ms=None)
    >>> last.set(CallOutcome(stop_reason="end_turn"))
    >>> last.get().stop_reason
    'end_turn'
    """

    __slots__ = ("__weakref__",)

    def get(self) -> CallOutcome:
        """The caller's last outcome."""
        return _OUTCOMES.get(_NONE).get(self, _EMPTY)

    def set(self, outcome: CallOutcome) -> None:
        """Keep the outcome of a call that the calling thread or task made."""
        # A context holds a variable for ever, so there is one for all; a task shares the value
        # with the one that started it, so the value is replaced and not changed.
        outcomes = WeakKeyDictionary(_OUTCOMES.get(_NONE))
        outcomes[self] = outcome
        _OUTCOMES.set(outcomes)

    def clear(self) -> None:
        """Forget it, so that a call that fails does not leave the outcome of the one before."""
        self.set(_EMPTY)


class TellsLastCall:
    """A backend that keeps, in ``_last``, the outcome of the last call for whoever made it."""

    _last: LastCall

    @property
    def last_usage(self) -> Mapping[str, int] | None:
        """The provider's usage for the last call of the calling thread or task."""
        return self._last.get().usage

    @property
    def last_stop_reason(self) -> str | None:
        """Why the last reply to the calling thread or task ended."""
        return self._last.get().stop_reason

    @property
    def last_timing(self) -> tuple[float | None, float | None]:
        """``duration_ms`` and ``first_token_ms`` of the last call, where they are known."""
        last = self._last.get()
        return last.duration_ms, last.first_token_ms


_EMPTY = CallOutcome()
_NONE: WeakKeyDictionary[LastCall, CallOutcome] = WeakKeyDictionary()
_OUTCOMES: ContextVar[WeakKeyDictionary[LastCall, CallOutcome]] = ContextVar("looplet_outcomes")
