"""How far a command is that goes through many things. Knows streams; knows no command."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from looplet.core.records import escape_controls

EVERY = 1000
"""After how many things a plain line tells how far it is."""
Show = Callable[[str | None, int | None], None]
"""Shows a line for good, or how many things there are by now."""


def progress(doing: str, *, what: str = "runs") -> AbstractContextManager[Show]:
    """A line that counts, by rich on a terminal; elsewhere a line now and then.

    ``doing`` is what stands there before the first; ``what`` is what is counted.
    """
    if sys.stderr.isatty():
        try:
            return _RichProgress(doing, what)
        except ImportError:
            pass
    return nullcontext(partial(_show_plain, what))


def _show_plain(what: str, line: str | None, count: int | None) -> None:
    if line is not None:
        print(escape_controls(line), file=sys.stderr)
    elif count is not None and count % EVERY == 0:
        print(f"{count:,} {what}", file=sys.stderr)


class _RichProgress:
    """The count in a line that is drawn over, and what stays above it."""

    def __init__(self, doing: str, what: str) -> None:
        from rich.console import Console
        from rich.status import Status

        self._console = Console(stderr=True)
        self._status = Status(doing, console=self._console)
        self._what = what

    def __enter__(self) -> Show:
        self._status.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def _show(self, line: str | None, count: int | None) -> None:
        if line is not None:
            text = escape_controls(line)
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        elif count is not None:
            self._status.update(f"{count:,} {self._what}")
