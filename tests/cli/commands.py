"""The commands that there are, as their parsers have them."""

from __future__ import annotations

import argparse

from looplet.cli import command_parser


def parsers(parser=None, name=()):
    """Each parser and the words that lead to it, that of all commands first."""
    parser = command_parser() if parser is None else parser
    yield name, parser
    for word, part in choices(parser).items():
        yield from parsers(part, (*name, *word.split()))


def choices(parser):
    """The commands of a parser, or the parts of a command, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    return {}


COMMANDS = {name: parser for name, parser in parsers() if not choices(parser)}
"""Those that do something, by the words that are typed."""
