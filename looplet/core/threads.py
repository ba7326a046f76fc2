"""Work in a thread of its own, which never holds up the interpreter's exit. Knows no tool."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any


class Outcome:
    """What a thread gives: wait for ``finished``, then ``take`` it."""

    def __init__(self) -> None:
        self.finished = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None

    def take(self) -> Any:
        """The value, or the thread's exception raised here."""
        if self.error is not None:
            raise self.error
        return self.value


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
            outcome.value = context.run(work)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            outcome.error = error
        finally:
            outcome.finished.set()

    threading.Thread(target=body, name=name, daemon=True).start()
    return outcome
