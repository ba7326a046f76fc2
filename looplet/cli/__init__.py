"""The command line: one module a command. Says things; the rooms do them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from looplet import __version__
from looplet.cli import (
    bundles,
    cases,
    cassette,
    comparing,
    converting,
    diff,
    doctor,
    evaluating,
    exporting,
    importing,
    record,
    replay,
    show,
    stats,
    store,
)
from looplet.cli.saying import PIPE_CLOSED, complain, complain_of, forget_output, plain_output
from looplet.errors import LoopletError

_COMMANDS = (
    record,
    replay,
    diff,
    show,
    importing,
    exporting,
    store,
    stats,
    comparing,
    evaluating,
    cases,
    cassette,
    bundles,
    converting,
    doctor,
)
"""In the order in which the help names them."""
_HANDS_ON = frozenset({"record", "replay"})
"""Commands that hand on, to a script, what stands behind ``--``."""
INTERRUPTED = 130
"""Exit status after an interrupt from the keyboard, as shells give it."""


def run(argv: Sequence[str] | None) -> int:
    """Parse and run a command; its exit status.

    An error of looplet's own is one message on stderr, and exit status 1, or 2 of a command
    for which 1 says that two things differ.
    """
    given, rest = _divided(sys.argv[1:] if argv is None else list(argv))
    parser = argparse.ArgumentParser(
        prog="looplet", description="Record, replay and evaluate LLM agents."
    )
    parser.add_argument("--version", action="version", version=f"looplet {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for each in _COMMANDS:
        each.add_to(commands)
    parser.set_defaults(unusable=1, arguments=rest)
    return _run(parser.parse_args(cases.joined(given)))


def _run(given: argparse.Namespace) -> int:
    try:
        with plain_output():
            status = int(given.command(given))
            sys.stdout.flush()
            return status
    except BrokenPipeError:
        forget_output()
        return PIPE_CLOSED
    except (LoopletError, OSError) as error:
        complain_of(error)
        return int(given.unusable)
    except KeyboardInterrupt as error:
        complain("error", "interrupted")
        for note in getattr(error, "__notes__", ()):
            complain("note", note)
        return INTERRUPTED


def _divided(argv: list[str]) -> tuple[list[str], list[str]]:
    """What is looplet's own, and what a script is to be given."""
    if argv[:1] and argv[0] in _HANDS_ON and "--" in argv:
        place = argv.index("--")
        return argv[:place], argv[place + 1 :]
    return argv, []
