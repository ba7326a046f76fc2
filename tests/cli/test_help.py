"""The help: a map of the commands, and for each of them what to type."""

from __future__ import annotations

import re
import shlex

import pytest

from looplet.cli import GROUPS, _divided, cases, command_parser
from tests.cli.commands import choices, parsers

ALL = dict(parsers())


def shown(parser, monkeypatch, columns=80):
    monkeypatch.setenv("COLUMNS", str(columns))
    return parser.format_help()


def examples(text):
    """The commands to type that a help has, each on one line."""
    whole = re.sub(r" \\\n +", " ", text)
    return [
        line.strip() for line in whole.splitlines() if re.match(r"  (eval \"\$\()?looplet ", line)
    ]


def test_every_command_stands_once_in_the_map_under_what_it_is_for(monkeypatch):
    text = shown(command_parser(), monkeypatch)
    named = [name for names in GROUPS.values() for name in names]
    assert sorted(named) == sorted(choices(command_parser()))
    for heading, names in GROUPS.items():
        section = text.split(f"\n{heading}:\n")[1].split("\n\n")[0]
        assert re.findall(r"^  (\S+(?: cases)?)", section, re.MULTILINE) == [*names]


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("name", ALL, ids=" ".join)
def test_every_help_fits_the_terminal(name, columns, monkeypatch):
    text = shown(ALL[name], monkeypatch, columns)
    # A word that is longer than the line cannot be broken, such as a path.
    assert not [each for each in text.splitlines() if len(each) > columns and " " in each.strip()]
    assert "%%" not in text


@pytest.mark.parametrize("name", ALL, ids=" ".join)
def test_every_help_has_an_example_that_the_parser_takes(name, monkeypatch):
    found = examples(shown(ALL[name], monkeypatch, 40))
    assert found
    for line in found:
        plain = re.sub(r'^eval "\$\((.*)\)"$', r"\1", line).split(" > ")[0]
        given, _ = _divided(shlex.split(plain)[1:])
        assert given[: len(name)] == [*name]
        command_parser().parse_args(cases.joined(given))
