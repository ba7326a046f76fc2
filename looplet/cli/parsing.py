"""How the commands' help looks: a map of them in groups, with examples. Knows no command."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_PATHS = frozenset({"A", "B", "DIR", "STORE", "STORE_A", "STORE_B", "TARGET"})
"""Names of arguments that are texts and may be paths."""
_INDENTED = "  "
"""How a line begins that is a command to type."""
_PART = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]|\S+")
"""What a usage line may be broken behind: a word, or all that stands in brackets."""
_WORD = re.compile(r'(?:"[^"]*"|\S)+')
"""A word of a command, as a shell sees it."""


class HelpFormatter(argparse.HelpFormatter):
    """Fills paragraphs to the terminal's width; lines that are indented are commands to type."""

    def _format_usage(self, *given: Any) -> str:
        """As argparse has it, unless that is too wide: it breaks no usage that it was given."""
        text = super()._format_usage(*given)
        if all(len(line) <= self._width for line in text.splitlines()):
            return text
        lines: list[str] = []
        for part in _PART.findall(text):
            if lines and len(lines[-1]) + 1 + len(part) <= self._width:
                lines[-1] += f" {part}"
            else:
                lines.append(f"{_INDENTED * 2}{part}" if lines else part)
        return "\n".join(lines) + "\n\n"

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(_filled(each, width, indent) for each in text.strip("\n").split("\n\n"))


def _filled(paragraph: str, width: int, indent: str) -> str:
    """The lines before the first that is indented as one text, and each of the others."""
    lines = paragraph.split("\n")
    first = next((n for n, each in enumerate(lines) if each.startswith(_INDENTED)), len(lines))
    text = " ".join(" ".join(lines[:first]).split())
    filled = textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)
    return "\n".join([*filled, *(typed(each.strip(), width) for each in lines[first:])])


def typed(command: str, width: int) -> str:
    r"""A command on indented lines, which a shell takes for one.

    >>> print(typed('looplet run ./grocer "Price it"', width=24))
      looplet run ./grocer \
          "Price it"
    """
    lines = [_INDENTED]
    for word in _WORD.findall(command):
        line = f"{lines[-1]}{word} "
        if len(line) + 1 > width and lines[-1].strip():
            lines.append(f"{_INDENTED * 3}{word} ")
        else:
            lines[-1] = line
    return "\\\n".join(lines).rstrip()


class CommandParser(argparse.ArgumentParser):
    """A command's parser; notes for shtab which arguments are paths."""

    def add_argument(self, *names: Any, **keywords: Any) -> argparse.Action:
        """Add an argument, as ``argparse`` does."""
        action = super().add_argument(*names, **keywords)
        if keywords.get("type") is Path or keywords.get("metavar") in _PATHS:
            vars(action)["complete"] = "file"  # where shtab looks
        return action


class MapParser(argparse.ArgumentParser):
    """A parser whose help has its commands in groups."""

    groups: Mapping[str, Sequence[str]] = {}
    """Names of commands by the heading under which they stand."""
    told: Mapping[str, str] = {}
    """What is said of each command, by name."""

    def format_help(self) -> str:
        """The usage, a section for each group, and what is below."""
        formatter = self.formatter_class(prog=self.prog)
        formatter.add_usage(self.usage, (), ())
        formatter.add_text(self.description)
        for heading, names in self.groups.items():
            formatter.start_section(heading)
            formatter.add_arguments([_entry(name, self.told[name]) for name in names])
            formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()


def _entry(name: str, told: str) -> argparse.Action:
    return argparse.Action([], dest=name, metavar=name, help=told)


class Commands:
    """What commands add themselves to, or the parts of one."""

    def __init__(self, parser: argparse.ArgumentParser, *, title: str, metavar: str) -> None:
        self._parts = parser.add_subparsers(
            prog=parser.prog, title=title, required=True, metavar=metavar,
            parser_class=CommandParser,
        )  # fmt: skip
        self.told: dict[str, str] = {}
        """The help of each, by name."""

    def add_parser(
        self,
        name: str,
        *,
        help: str,  # noqa: A002 - as argparse names it
        examples: Sequence[str],
        epilog: str | None = None,
        **keywords: Any,
    ) -> argparse.ArgumentParser:
        """Add one, as argparse's method does; its help ends with the examples."""
        self.told[name] = help
        keywords.setdefault("description", f"{help[0].upper()}{help[1:]}.".replace("%%", "%"))
        head = "example:" if len(examples) == 1 else "examples:"
        typed = "\n".join([head, *(f"{_INDENTED}{each}" for each in examples)])
        return self._parts.add_parser(
            name,
            help=help,
            epilog=typed if epilog is None else f"{epilog}\n\n{typed}",
            formatter_class=HelpFormatter,
            **keywords,
        )
