"""Write what docs/cli.md says of each command, from the parsers.

    python scripts/cli_page.py

A command's arguments stand between ``<!-- NAME -->`` and ``<!-- end -->``; the text around them is
a person's. The tests fail where the page is not what this would write.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from looplet.cli import command_parser

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"


def commands(parser: argparse.ArgumentParser) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """The parsers below this one, each with its line of help; none of a command without parts."""
    for action in parser._actions:  # noqa: SLF001 - argparse shows its parsers in no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            lines = {each.dest: each.help or "" for each in action._get_subactions()}  # noqa: SLF001
            return {name: (each, lines[name]) for name, each in action.choices.items()}
    return {}


def described(name: str, parser: argparse.ArgumentParser, line: str) -> str:
    """What a command does and takes, with its parts, as Markdown."""
    parts = commands(parser)
    if parts:
        full = {f"{name} {part}": each for part, each in parts.items()}
        texts = [f"### {part}\n\n{described(part, *each)}" for part, each in full.items()]
        return "\n\n".join([_said(line), *texts])
    rows = [f"| {_names(action)} | {_help(action, parser)} |" for action in _arguments(parser)]
    table = "\n".join(["| argument | is |", "|---|---|", *rows]) if rows else ""
    said = _said(parser.description or line)
    more, examples = _divided(parser.epilog or "")
    texts = [said, f"`looplet {name}{_synopsis(parser)}`", table, _said(more), examples]
    return "\n\n".join(text for text in texts if text)


def written(page: str) -> str:
    """The page with each command as it is; ``ValueError`` names one without a place, or gone."""
    marks = re.compile(r"(?s)<!-- ([a-z -]+) -->\n.*?<!-- end -->")
    found = [each[1] for each in marks.finditer(page)]
    known = commands(command_parser())
    if sorted(found) != sorted(known):
        odd = ", ".join(sorted({*found} ^ {*known})) or "one stands twice"
        raise ValueError(f"{PAGE.name} must have one place for each command: {odd}")
    return marks.sub(
        lambda each: f"<!-- {each[1]} -->\n{described(each[1], *known[each[1]])}\n<!-- end -->",
        page,
    )


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # noqa: SLF001
        if not isinstance(action, argparse._HelpAction) and action.help != argparse.SUPPRESS:  # noqa: SLF001
            yield action


def _synopsis(parser: argparse.ArgumentParser) -> str:
    needed = [action for action in _arguments(parser) if action.required]
    optional = [action for action in _arguments(parser) if not action.required]
    places = [_placed(action) for action in needed + optional if not action.option_strings]
    options = [f"{each.option_strings[0]} {_value(each)}" for each in needed if each.option_strings]
    rest = ["[options]"] if any(action.option_strings for action in optional) else []
    behind = ["[-- ARGUMENTS...]"] if "ARGUMENTS" in (parser.epilog or "") else []
    return "".join(f" {each}" for each in places + options + rest + behind)


def _placed(action: argparse.Action) -> str:
    value = _value(action)
    return {"?": f"[{value}]", "+": f"{value}...", "*": f"[{value}...]"}.get(
        str(action.nargs), value
    )


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, str):
        return action.metavar
    named = action.dest.upper() if action.option_strings else action.dest
    return f"{{{','.join(action.choices)}}}" if action.choices else named


def _names(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{_placed(action)}`"
    value = f" {_placed(action)}" if action.nargs != 0 else ""
    return ", ".join(f"`{option}{value}`" for option in action.option_strings)


def _help(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    text = (action.help or "") % {**vars(action), "prog": parser.prog}
    return text.replace("|", "&#124;").replace("*", r"\*")


def _divided(epilog: str) -> tuple[str, str]:
    """What is said below the arguments, and the examples behind it, as Markdown."""
    more, _, examples = re.sub(r"(?m)^examples?:\n", "\0", epilog).partition("\0")
    lines = [line.strip() for line in examples.splitlines()]
    return more, "\n".join(["```bash {.no-run}", *lines, "```"]) if lines else ""


def _said(text: str | None) -> str:
    sentence = " ".join((text or "").split())
    sentence = sentence[:1].upper() + sentence[1:]
    return sentence if not sentence or sentence.endswith(".") else f"{sentence}."


def main() -> int:
    """Write the page."""
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
