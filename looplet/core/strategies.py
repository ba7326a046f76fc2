"""What to do when a model call failed, by rules of one's own. Knows errors; knows no run.

A strategy is asked after each failed attempt, before the loop's own rules (retries, a shorter
prompt). It answers with one of three decisions, or ``None`` to leave the failure to the others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from looplet.core.failures import tool_error
from looplet.core.records import ErrorKind

PER_RUN = 10
"""How often a strategy is followed in a run, unless its ``max_per_run`` says otherwise."""


@dataclass(frozen=True, slots=True)
class RetryCall:
    """Ask again, after so many seconds; the loop's own retries are not used up by it."""

    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CompactAndRetry:
    """Run the compaction service, and ask again with the prompt that is built then."""


@dataclass(frozen=True, slots=True)
class StopRun:
    """End the run: the failure becomes its step, and ``reason`` the stop reason."""

    reason: str


RecoveryDecision: TypeAlias = RetryCall | CompactAndRetry | StopRun
Answer: TypeAlias = RecoveryDecision | Awaitable[RecoveryDecision | None] | None
Recover: TypeAlias = Callable[..., Answer]


class RecoveryStrategy(Protocol):
    """Anything with this method, plain or, in the async loop, ``async def``."""

    def recover(
        self,
        error: Exception,
        *,
        state: Any,
        session_log: Any,
        conversation: Any,
        step_num: int,
        attempt: int,
    ) -> Answer:
        """What to do about a call that failed at its ``attempt``-th attempt, counted from 1."""
        ...


class RecoveryRegistry:
    """Strategies by the kinds of errors that they are for, in the order of registering.

    For ``LoopConfig.recovery_registry``, which also takes one strategy by itself. A strategy is
    followed at most once a failing call, and at most ``max_per_run`` times a run; after that, and
    where no strategy has a decision, the loop's own rules apply. An exception of a strategy ends
    the run, as one of a hook does.

    >>> registry = RecoveryRegistry()
    >>> registry.register(lambda error, **about: RetryCall(after_s=30), ErrorKind.RATE_LIMIT)
    >>> [len(registry.strategies_for(each)) for each in (Exception("rate limit"), KeyError())]
    [1, 0]
    """

    def __init__(self, *, max_per_run: int = PER_RUN) -> None:
        if max_per_run < 1:
            raise ValueError(f"max_per_run is at least 1, not {max_per_run}")
        self.max_per_run = max_per_run
        self._entries: list[tuple[RecoveryStrategy | Recover, frozenset[ErrorKind]]] = []

    def register(self, strategy: RecoveryStrategy | Recover, *kinds: ErrorKind | str) -> None:
        """Add a strategy, or a function like its ``recover``; without kinds it is for all errors.

        Raises ``TypeError`` for anything else and ``ValueError`` for a kind that is not known.
        """
        method_of(strategy)
        self._entries.append((strategy, frozenset(ErrorKind(kind) for kind in kinds)))

    def strategies_for(self, error: Exception) -> list[RecoveryStrategy | Recover]:
        """The strategies for an error's kind, each once."""
        kind = tool_error(error).kind
        found = [strategy for strategy, kinds in self._entries if not kinds or kind in kinds]
        return list({id(strategy): strategy for strategy in found}.values())


def method_of(strategy: Any) -> Recover:
    """What of a strategy is called. Raises ``TypeError`` if there is nothing to call."""
    method = getattr(strategy, "recover", strategy)
    if not callable(method):
        raise TypeError(
            f"a recovery strategy has a method recover(error, *, …), or is a function like it; "
            f"{type(strategy).__name__} is neither"
        )
    return method  # type: ignore[no-any-return]  # its shape is the protocol's


def choices_of(registry: Any, error: Exception) -> list[Any]:
    """The strategies to be asked about an error: the registry's, or the one given by itself."""
    if callable(getattr(registry, "strategies_for", None)):
        return list(registry.strategies_for(error))
    return [registry]


def check_decision(decision: object, strategy: object) -> RecoveryDecision | None:
    """The decision, if it is one. Raises ``TypeError`` otherwise."""
    if decision is None or isinstance(decision, RetryCall | CompactAndRetry | StopRun):
        return decision
    raise TypeError(
        f"the recovery strategy {type(strategy).__name__} returned {type(decision).__name__}; "
        "return RetryCall, CompactAndRetry, StopRun or None"
    )
