"""Work in a thread of its own, which never holds up the interpreter's exit. Knows no tool."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any


class Outcome:
    """What a thread gives: wait for ``finished``, then ``take`` it."""

    def __init__(self) -> None:
        self.finished = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None
        self.given_up: Exception | None = None
        """What whoever waited for it went on with instead, set by them."""
        self.around = _WORK.get(None)
        """The work in whose course this one was begun."""

    def take(self) -> Any:
        """The value, or the thread's exception raised here."""
        if self.error is not None:
            raise self.error
        return self.value


def waited_for() -> Callable[[], Exception | None]:
    """What tells, later and from any thread, whether the work that runs here was given up.

    It gives the exception that whoever waited for the work went on with; ``None`` if they still
    wait, or have what they waited for.
    """
    outcome = _WORK.get(None)

    def given_up() -> Exception | None:
        work = outcome
        while work is not None and work.given_up is None:
            work = work.around
        return None if work is None else work.given_up

    return given_up


def in_thread(work: Callable[[], Any], *, name: str, context: Context | None = None) -> Outcome:
    """Begin ``work`` in a daemon thread that sees the caller's context variables.

    ``context`` is what the work runs in; without one a copy of the caller's is made.

    >>> outcome = in_thread(lambda: 1 + 1, name="sum")
    >>> outcome.finished.wait(5), outcome.take()
    (True, 2)
    """
    outcome = Outcome()
    context = copy_context() if context is None else context

    def body() -> None:
        try:
            outcome.value = context.run(_as_own, outcome, work)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            outcome.error = error
        finally:
            outcome.finished.set()

    threading.Thread(target=body, name=name, daemon=True).start()
    return outcome


def _as_own(outcome: Outcome, work: Callable[[], Any]) -> Any:
    """Do the work, which can find out whether it is still waited for."""
    token = _WORK.set(outcome)
    try:
        return work()
    finally:
        _WORK.reset(token)


_WORK: ContextVar[Outcome | None] = ContextVar("looplet_work", default=None)
