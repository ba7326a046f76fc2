"""The reference pages against the names that the package shows."""

from __future__ import annotations

import ast
import importlib
import re
from pkgutil import resolve_name
from types import ModuleType

import pytest

import looplet
from tests.conftest import ROOT
from tests.docs.test_pages import PACKAGES, PAGES, read
from tests.pages import blocks_of

NOT_SHOWN = {"looplet.trajectory.arrow": "pyarrow's own modules under one name"}
"""Modules with ``__all__`` that are not the package's face, and why."""
EXAMPLES = "looplet.examples."
"""Where names are for reading, and not for import."""
SHOWN = re.compile(r"(?m)^::: (looplet[\w.]+)$")
WHOLE = "looplet.errors"
"""The module whose own docstring stands on its page."""


def documented():
    """Every name of the reference pages, as often as it stands there."""
    return [
        name
        for page in PAGES
        if page.startswith("docs/reference/")
        for name in SHOWN.findall(read(page))
        if name != WHOLE
    ]


def listed_names():
    """Every name in an ``__all__``, and every error, with the module before it."""
    for path in sorted((ROOT / "looplet").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(parts).removesuffix(".__init__")
        if module.startswith(EXAMPLES) or module in NOT_SHOWN:
            continue
        if "__all__ = " in path.read_text("utf-8"):
            names = importlib.import_module(module).__all__
            yield from (f"{module}.{name}" for name in names if name != "__version__")
    for name, value in vars(importlib.import_module(WHOLE)).items():
        if getattr(value, "__module__", None) == WHOLE and isinstance(value, type):
            yield f"{WHOLE}.{name}"


def names_in_pages():
    """Every name of looplet that a snippet imports; but for an example's own."""
    for page in PAGES:
        for block in blocks_of(read(page)):
            if block.language == "python":
                names = imported(ast.parse(block.text))
                yield from (name for name in names if not name.startswith(EXAMPLES))


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("looplet"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name for name in names if not isinstance(resolve_name(name), ModuleType))


def is_top_level(name):
    return name.removeprefix("looplet.") in looplet.__all__


@pytest.fixture(autouse=True)
def _packages():
    for package in PACKAGES:
        pytest.importorskip(package, reason=f"some public names need {package}")


def test_every_public_name_has_its_place_in_the_reference():
    shown = [resolve_name(name) for name in documented()]
    found = {id(each) for each in shown}
    public = dict.fromkeys([*listed_names(), *names_in_pages()])
    assert [name for name in public if id(resolve_name(name)) not in found] == []


def test_the_reference_shows_public_names_alone():
    assert {*documented()} - {*listed_names(), *names_in_pages()} == set()


def test_the_reference_shows_each_name_once_and_by_its_shortest_path():
    names = documented()
    assert sorted({*names}) == sorted(names)
    long = [name for name in names if not is_top_level(name)]
    shorter = [each for each in long if is_top_level(f"looplet.{each.rsplit('.', 1)[1]}")]
    same = [
        each for each in shorter
        if resolve_name(each) is getattr(looplet, each.rsplit(".", 1)[1])
    ]  # fmt: skip
    assert same == []
