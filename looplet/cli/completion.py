"""``looplet completion``: what a shell needs to complete commands, options and paths. By shtab."""

from __future__ import annotations

import argparse

from looplet.cli.parsing import Commands
from looplet.errors import MissingExtra

SHELLS = ("bash", "zsh", "fish")


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "completion",
        help="a script by which the shell completes commands, options and paths",
        epilog="For every shell to come, put the first line into ~/.bashrc; the second is for zsh, "
        "in a folder of its fpath; the third is for fish.",
        examples=[
            'eval "$(looplet completion bash)"',
            "looplet completion zsh > ~/.zfunc/_looplet",
            "looplet completion fish > ~/.config/fish/completions/looplet.fish",
        ],
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    parser.set_defaults(command=write_completion)


def write_completion(given: argparse.Namespace) -> int:
    """Print the script. Raises ``MissingExtra`` without shtab."""
    try:
        import shtab
    except ImportError as error:
        raise MissingExtra("shtab", needed_for="completion", extra="completion") from error
    from looplet.cli import cases, command_parser

    # A name of two words is none to a shell, which completes `eval cases` as it does `eval`.
    print(shtab.complete(command_parser(leave_out=[cases]), given.shell))
    return 0
