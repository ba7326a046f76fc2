"""The page of the command line against the commands."""

from __future__ import annotations

import importlib.util
import re

import pytest

from tests.conftest import ROOT


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("cli_page", ROOT / "scripts" / "cli_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def page(script):
    return script.PAGE.read_text("utf-8")


def test_the_page_says_of_each_command_what_its_parser_says(script, page):
    assert script.written(page) == page, "write it again: python scripts/cli_page.py"


def test_a_command_without_a_place_on_the_page_is_named(script, page):
    with pytest.raises(ValueError, match="doctor"):
        script.written(page.replace("<!-- doctor -->", ""))
    with pytest.raises(ValueError, match="undo"):
        script.written(f"{page}\n<!-- undo -->\n<!-- end -->\n")


def test_every_option_of_every_command_stands_on_the_page(script, page):
    """Read from the help that a user gets, and not from the parsers that the page is made of."""
    for name, (parser, _) in script.commands(script.command_parser()).items():
        section = re.search(rf"(?s)<!-- {name} -->.*?<!-- end -->", page)[0]
        every = [parser, *(each for each, _ in script.commands(parser).values())]
        for each in every:
            shown = {*re.findall(r"(?m)^ +.*?(--[a-z][a-z-]+)", each.format_help())} - {"--help"}
            assert {option for option in shown if option not in section} == set()


def test_the_page_summary_names_every_command(script, page):
    table = page.split("\n## ", 1)[0]
    assert {*script.commands(script.command_parser())} <= {*re.findall(r"`([a-z -]+)`", table)}


def test_no_sign_of_a_format_is_left(page):
    assert "%" not in page.replace("95 % interval", "")
