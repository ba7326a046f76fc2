"""The command line: one module a command. Says things; the rooms do them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Container, Sequence
from types import ModuleType

from looplet import __version__
from looplet.cli import (
    bundles,
    cases,
    cassette,
    comparing,
    completion,
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
from looplet.cli.parsing import Commands, HelpFormatter, MapParser
from looplet.cli.saying import (
    PIPE_CLOSED,
    complain,
    complain_of,
    forget_output,
    forget_unwritable,
    plain_output,
)
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
    completion,
)
GROUPS = {
    "run an agent": ("run", "doctor"),
    "record and replay": ("record", "replay", "diff", "cassette"),
    "score": ("eval", cases.NAME, "compare"),
    "keep runs and look at them": ("show", "stats", "store", "import", "export"),
    "skills and bundles": (
        "list-bundles", "blueprint", "export-code", "package", "wrap-claude-skill",
    ),
    "the shell": ("completion",),
}  # fmt: skip
"""The map in the help: what a user may want, and the commands for it."""
_EXAMPLES = """\
A run once recorded is replayed without a model:
  looplet record agent.py:build --cassette basket.yaml
  looplet replay basket.yaml --agent agent.py:build

looplet COMMAND --help tells more of each."""
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
    unusable = 1
    try:
        with plain_output():
            try:
                parsed = command_parser().parse_args(
                    cases.joined(given), argparse.Namespace(arguments=rest, unusable=unusable)
                )
                unusable = parsed.unusable
                return int(parsed.command(parsed))
            finally:
                sys.stdout.flush()
    except BrokenPipeError:
        forget_output()
        return PIPE_CLOSED
    except (LoopletError, OSError) as error:
        complain_of(error)
        forget_unwritable()
        return unusable
    except KeyboardInterrupt as error:
        complain("error", "interrupted")
        for note in getattr(error, "__notes__", ()):
            complain("note", note)
        return INTERRUPTED


def command_parser(*, leave_out: Container[ModuleType] = ()) -> argparse.ArgumentParser:
    """The parser of all commands, but for those of some modules."""
    parser = MapParser(
        prog="looplet",
        usage="looplet [-h] [--version] COMMAND ...",
        description="Record, replay and evaluate LLM agents.",
        epilog=_EXAMPLES,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"looplet {__version__}")
    commands = Commands(parser, title="commands", metavar="COMMAND")
    for each in _COMMANDS:
        if each not in leave_out:
            each.add_to(commands)
    parser.groups, parser.told = GROUPS, commands.told
    return parser


def _divided(argv: list[str]) -> tuple[list[str], list[str]]:
    """What is looplet's own, and what a script is to be given."""
    if argv[:1] and argv[0] in _HANDS_ON and "--" in argv:
        place = argv.index("--")
        return argv[:place], argv[place + 1 :]
    return argv, []
