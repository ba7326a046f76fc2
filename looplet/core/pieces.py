"""Pieces of a streamed reply, on their way from the model to the hooks. Knows no model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from looplet.core.consult import Phase
from looplet.core.effects import Await
from looplet.core.run import Run
from looplet.core.wrapping import begin_anew
from looplet.errors import RunCancelled

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class ChunkTeller:
    """Tells pieces of a streamed reply to every ``on_chunk``, from wherever the model is asked.

    A hook's exception must not look like the model's, so it is kept, and raised by ``settle``
    when the call is over; no further piece is told then. Nor is one of a call that was given up.
    """

    __slots__ = ("_failure", "_over", "_run", "_waiting", "attempt")

    def __init__(self, run: Run, attempt: int) -> None:
        self._run = run
        self.attempt = attempt
        """Which attempt at the call the pieces are of."""
        self._failure: Exception | None = None
        self._over = False
        self._waiting: list[Await] = []

    def __call__(self, text: str) -> None:
        """Tell one piece."""
        if self._over or self._failure is not None:
            return
        for bound in self._run.listeners.on_chunk:
            try:
                value = bound.method(text, self._run.next_number, self.attempt)
            except Exception as error:  # noqa: BLE001 - raised by settle
                self._failure = error
                return
            if hasattr(value, "__await__"):
                self._waiting.append(Await(value, f"{bound.hook}.on_chunk"))

    def begin_anew(self) -> None:
        """Count a further attempt, which a wrapper makes at the same call."""
        self.attempt += 1

    def settle(self) -> Phase[None]:
        """Wait for what async hooks returned; raise what a hook raised."""
        try:
            yield from self._waiting
        finally:
            self.give_up()
        if self._failure is not None:
            raise self._failure

    def give_up(self) -> None:
        """Tell no more, and drop what async hooks returned that was not waited for."""
        self._over = True
        for each in self._waiting:
            close = getattr(each.awaitable, "close", None)
            if callable(close):
                close()


class Relay:
    """Tells on an event loop what a backend in another thread tells, in the same order.

    Once it is over, a further piece ends the call that it comes from.
    """

    __slots__ = ("_loop", "_tell", "over")

    def __init__(self, tell: Callable[[str], object], loop: AbstractEventLoop) -> None:
        self._tell, self._loop = tell, loop
        self.over = False

    def __call__(self, text: str) -> None:
        """Tell one piece."""
        self._hand_over(lambda: self._tell(text))

    def begin_anew(self) -> None:
        """Hand on that the call is made again."""
        self._hand_over(lambda: begin_anew(self._tell))

    def _hand_over(self, work: Callable[[], object]) -> None:
        if self.over:
            raise RunCancelled("nobody waits for this reply any more")
        self._loop.call_soon_threadsafe(lambda: None if self.over else work())
