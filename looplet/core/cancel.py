"""A flag that asks a run, or one tool's call, to stop. Knows nothing of either."""

from __future__ import annotations

import threading
from weakref import WeakSet

from looplet.errors import RunCancelled


class CancelToken:
    """Set once, seen everywhere it was handed to; a child is set with its parent.

    >>> token = CancelToken()
    >>> token.cancel()
    >>> CancelToken(parent=token).is_cancelled
    True
    """

    def __init__(self, *, parent: CancelToken | None = None) -> None:
        self._event = threading.Event()
        self._parent = parent
        self._children: WeakSet[CancelToken] = WeakSet()
        self._lock = threading.RLock()  # a signal handler may cancel too
        if isinstance(parent, CancelToken):
            parent._adopt(self)  # noqa: SLF001 - its own kind

    def cancel(self) -> None:
        """Ask to stop. May be called from any thread, and again."""
        self._event.set()
        with self._lock:
            children = list(self._children)
        for child in children:  # so that a child's wait ends too
            child.cancel()

    def _adopt(self, child: CancelToken) -> None:
        with self._lock:
            self._children.add(child)
        if self._event.is_set():
            child.cancel()

    @property
    def is_cancelled(self) -> bool:
        """Whether stopping was asked for."""
        return self._event.is_set() or (self._parent is not None and self._parent.is_cancelled)

    def raise_if_cancelled(self) -> None:
        """Raise ``RunCancelled`` if stopping was asked for."""
        if self.is_cancelled:
            raise RunCancelled("cancelled")

    def wait(self, seconds: float) -> bool:
        """Pause, at most so long; tell whether stopping was asked for."""
        return self._event.wait(seconds) or self.is_cancelled
