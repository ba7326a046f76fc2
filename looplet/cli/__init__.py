"""The command line: one module a command. Says things; the rooms do them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from looplet import __version__
from looplet.cli import cassette, importing, show
from looplet.core.records import escape_controls
from looplet.errors import LoopletError


def run(argv: Sequence[str] | None) -> int:
    """Parse and run a command; an error of looplet's own is one message on stderr and exit 1."""
    parser = argparse.ArgumentParser(
        prog="looplet", description="Record, replay and evaluate LLM agents."
    )
    parser.add_argument("--version", action="version", version=f"looplet {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    show.add_to(commands)
    cassette.add_to(commands)
    importing.add_to(commands)
    given = parser.parse_args(argv)
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal that lacks a character shows its escape
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return int(given.command(given))
    except (LoopletError, OSError) as error:
        lines = (escape_controls(line) for line in f"error: {error}".split("\n"))
        print(*lines, sep="\n", file=sys.stderr)
        return 1
