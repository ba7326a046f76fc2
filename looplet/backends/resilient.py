"""A backend that asks again. Knows which failures may pass; knows no provider and no loop."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, TypeAlias

from looplet.backends.calling import call_within, too_slow
from looplet.core.backend import Reply, is_async
from looplet.core.failures import describe, is_permanent, status_of
from looplet.core.messages import Method
from looplet.core.wrapping import AsyncWrapper, SyncWrapper, answers_at_once, begin_anew
from looplet.errors import RetryExhausted

RetryOn: TypeAlias = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]
"""Which failures may be tried again: types of exceptions, or a question about one."""
LONGEST_WAIT = 60.0
"""Seconds at most that a provider's ``retry-after`` is waited for."""


def may_pass(error: Exception) -> bool:
    """Whether asking again may help; the loop's own rule.

    >>> may_pass(ConnectionError("reset")), may_pass(TypeError("no such keyword"))
    (True, False)
    """
    return not is_permanent(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often to ask, and how long to wait; times in seconds."""

    retries: int
    """Attempts in all."""
    timeout_s: float | None
    """Time for each attempt."""
    base_delay_s: float
    max_delay_s: float
    jitter: float
    """By which part of itself a pause may be shorter or longer."""
    retry_on: RetryOn

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.retries < 1:
            raise ValueError(f"retries counts all attempts, so at least 1; not {self.retries}")
        if self.timeout_s is not None and self.timeout_s <= 0:
            raise ValueError(f"timeout_s is in seconds, more than 0; not {self.timeout_s}")
        if not (0 <= self.jitter <= 1 and self.base_delay_s >= 0 and self.max_delay_s >= 0):
            raise ValueError("jitter is a part from 0 to 1, and delays are not negative")

    def goes_on(self, error: Exception) -> bool:
        """Whether that failure is one to try again after; a permanent one never is."""
        if is_permanent(error):
            return False
        if isinstance(self.retry_on, type | tuple):
            return isinstance(error, self.retry_on)
        return self.retry_on(error)

    def pause(self, attempt: int, error: Exception, chance: float) -> float:
        """Seconds to wait after that attempt; ``chance`` is from 0 to 1."""
        # The exponent is bounded, so that the hundredth attempt is no overflow.
        doubled = self.base_delay_s * 2.0 ** min(attempt - 1, 64)
        spread = 1 + self.jitter * (2 * chance - 1)
        asked = getattr(error, "retry_after", None)
        wait = min(asked, LONGEST_WAIT) if isinstance(asked, int | float) else 0.0
        return max(min(doubled * spread, self.max_delay_s), wait)


class ResilientBackend(SyncWrapper):
    """A backend around ``inner`` that asks up to ``retries`` times in all.

    The pause after the first failure is ``base_delay_s``, doubled with each further one up to
    ``max_delay_s``, and shorter or longer by up to the part ``jitter``; a provider's
    ``retry_after`` is waited for. ``timeout_s`` bounds each attempt. Permanent failures (400, 401,
    403, 404, 422, a prompt that is too long, a ``TypeError``, ``RetryExhausted``) are raised as
    they are; ``retry_on`` says which of the others are tried again, by default all. ``sleep`` and
    ``chance`` (a number from 0 to 1) stand in for the clock's and the dice's. A set
    ``cancel_token`` ends the attempts. Around an async backend its calls are awaited.

    Raises ``RetryExhausted``, with ``attempts``, after the last failure; the loop does not try
    that again.

    >>> from looplet.testing import MockLLMBackend
    >>> pauses = []
    >>> llm = ResilientBackend(MockLLMBackend([ConnectionError("reset"), "ok"]), jitter=0,
    ...                        sleep=pauses.append)
    >>> llm.generate("hi"), pauses
    ('ok', [0.5])
    """

    own_keywords = frozenset({"cancel_token"})

    def __new__(cls, inner: Any, **_keywords: Any) -> ResilientBackend:  # noqa: PYI034  # or its async kind
        """A backend whose calls are awaited if the inner one's are."""
        if cls is ResilientBackend and is_async(inner):
            cls = AsyncResilientBackend  # noqa: PLW0642  # the kind of wrapper is the kind of backend
        return super().__new__(cls)

    def __init__(
        self,
        inner: Any,
        *,
        retries: int = 3,
        timeout_s: float | None = None,
        base_delay_s: float = 0.5,
        max_delay_s: float = 8,
        jitter: float = 0.2,
        retry_on: RetryOn = may_pass,
        sleep: Callable[[float], object] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(inner)
        self._patience = Patience(
            retries=retries,
            timeout_s=timeout_s,
            base_delay_s=base_delay_s,
            max_delay_s=max_delay_s,
            jitter=jitter,
            retry_on=retry_on,
        )
        self._sleep = sleep
        self._chance = chance

    def __getnewargs__(self) -> tuple[Any]:
        """What ``copy`` hands to ``__new__``."""
        return (self.inner,)

    def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Make one call, with all its attempts."""
        token, attempt = keywords.get("cancel_token"), 0
        while True:
            attempt += 1
            try:
                return self._attempt(method, prompt, keywords)
            except Exception as error:
                seconds = self._pause_after(attempt, error)
                if seconds is None:
                    raise
            if not answers_at_once(self.inner):
                self._wait(seconds, token)
            begin_anew(keywords.get("on_chunk"))

    def _attempt(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        seconds = self._patience.timeout_s
        if seconds is not None:
            return self._attempt_within(seconds, method, prompt, keywords)
        reply: Reply = self.forward(method, prompt, keywords)
        return reply

    def _attempt_within(
        self, seconds: float, method: Method, prompt: str, keywords: dict[str, Any]
    ) -> Reply:
        tell = keywords.get("on_chunk")
        listener = None if tell is None else _Listener(tell, seconds)
        sent = keywords if listener is None else {**keywords, "on_chunk": listener}
        try:
            reply: Reply = call_within(seconds, lambda: self.forward(method, prompt, sent))
            return reply
        finally:
            if listener is not None:
                listener.over = True

    def _pause_after(self, attempt: int, error: Exception) -> float | None:
        """Seconds until the next attempt; ``None`` if the failure is to be raised as it is."""
        if not self._patience.goes_on(error):
            return None
        if attempt >= self._patience.retries:
            raise _exhausted(attempt, error) from error
        return self._patience.pause(attempt, error, self._chance())

    def _wait(self, seconds: float, token: Any) -> None:
        if self._sleep is not None:
            self._sleep(seconds)
        elif token is not None:
            token.wait(seconds)
        else:
            time.sleep(seconds)
        if token is not None:
            token.raise_if_cancelled()


class AsyncResilientBackend(AsyncWrapper, ResilientBackend):
    """What ``ResilientBackend`` makes of an async backend; ``sleep`` may be async too."""

    async def around(  # type: ignore[override]  # the same, awaited
        self, method: Method, prompt: str, keywords: dict[str, Any]
    ) -> Reply:
        """Make one call, with all its attempts."""
        token, attempt = keywords.get("cancel_token"), 0
        while True:
            attempt += 1
            try:
                return await self._attempt(method, prompt, keywords)
            except Exception as error:
                seconds = self._pause_after(attempt, error)
                if seconds is None:
                    raise
            if not answers_at_once(self.inner):
                await self._wait(seconds, token)
            begin_anew(keywords.get("on_chunk"))

    async def _attempt(  # type: ignore[override]  # the same, awaited
        self, method: Method, prompt: str, keywords: dict[str, Any]
    ) -> Reply:
        import asyncio

        seconds = self._patience.timeout_s
        try:
            async with asyncio.timeout(seconds) as limit:
                reply: Reply = await self.forward(method, prompt, keywords)
                return reply
        except TimeoutError:
            if seconds is None or not limit.expired():
                raise
            raise too_slow(seconds) from None

    async def _wait(self, seconds: float, token: Any) -> None:  # type: ignore[override]
        import asyncio

        waited = (self._sleep or asyncio.sleep)(seconds)
        if isawaitable(waited):
            await waited
        if token is not None:
            token.raise_if_cancelled()


class _Listener:
    """Hands on the pieces of a reply as long as it is waited for; after that it ends the call.

    An attempt that was given up goes on in its thread, and its pieces must not come between
    those of the next.
    """

    __slots__ = ("_seconds", "_tell", "over")

    def __init__(self, tell: Callable[[str], object], seconds: float) -> None:
        self._tell, self._seconds = tell, seconds
        self.over = False

    def __call__(self, text: str) -> None:
        if self.over:
            raise too_slow(self._seconds)
        self._tell(text)

    def begin_anew(self) -> None:
        """Hand on that the call is made again, by a wrapper further in."""
        if not self.over:
            begin_anew(self._tell)


def _exhausted(attempts: int, error: Exception) -> RetryExhausted:
    times = "once" if attempts == 1 else f"{attempts} times"
    return RetryExhausted(
        f"asked {times}, and the last attempt failed: {describe(error)}",
        attempts=attempts,
        status=status_of(error),
        retry_after=getattr(error, "retry_after", None),
    )
