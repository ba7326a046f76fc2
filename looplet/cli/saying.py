"""What commands print: lines without control characters. Knows streams; knows no command."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from looplet.core.records import escape_controls

PIPE_CLOSED = 141
"""Exit status of a command whose reader went away; what a shell gives a process ended by that."""


def say(text: object, *, file: TextIO | None = None) -> None:
    """Print lines, their control characters as escapes."""
    print("\n".join(map(escape_controls, str(text).split("\n"))), file=file)


def complain(what: str, text: object) -> None:
    """Print one line on stderr, whatever lines the text has."""
    line = re.sub(r"\s*\n\s*", " ", str(text).strip())
    print(escape_controls(f"{what}: {line}"), file=sys.stderr)


def complain_of(error: BaseException) -> None:
    """Say what went wrong, and what the error's notes add."""
    complain("error", error)
    for note in getattr(error, "__notes__", ()):
        complain("note", note)


def say_json(value: Any) -> None:
    """Print a value as JSON, in ASCII."""
    print(json.dumps(value, indent=2))


@contextmanager
def plain_output() -> Iterator[None]:
    """Print what the stream's encoding lacks as escapes, and so what warnings and logs say.

    A warning about a recording that was killed is a line, and so is what is logged where nobody
    has set logging up. A stream that was closed before the start, which Python has as ``None``,
    goes nowhere: what is printed to it would go to the other one.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for good
            setattr(sys, name, nowhere)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    shown = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        *_: Any,
        **__: Any,
    ) -> None:
        if category.__name__ == "LeftoverJournal":  # its own module is not loaded for that
            complain("warning", message)
        else:
            say(
                warnings.formatwarning(message, category, filename, lineno).rstrip(),
                file=sys.stderr,
            )

    warnings.showwarning = show
    last_resort, logging.lastResort = logging.lastResort, _Complaints(logging.WARNING)
    try:
        yield
    finally:
        warnings.showwarning, logging.lastResort = shown, last_resort


class _Complaints(logging.Handler):
    """What is logged, each as a line on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        complain(record.levelname.lower(), record.getMessage())


def forget_output(stream: TextIO | None = None) -> None:
    """Send what is still to be printed nowhere: its reader went away."""
    stream = sys.stdout if stream is None else stream
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def forget_unwritable() -> None:
    """Let Python not try again, at its end, to print what could not be."""
    try:
        sys.stdout.flush()
    except OSError:
        forget_output()
