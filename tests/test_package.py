"""What importing the package loads, and the names that it shows."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import looplet

ROOT = Path(looplet.__file__).parent
CORE = sorted(ROOT.glob("core/*.py"))


def loaded_by(statement):
    """Top-level names of the modules that a statement loads in a fresh interpreter."""
    code = (
        f"import sys; before = set(sys.modules); {statement}; "
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import looplet",
        "import looplet.core.loop",
        "from looplet import composable_loop, tool, tools_from, LoopConfig, DefaultState",
    ],
)
def test_importing_the_loop_loads_the_standard_library_alone_and_no_asyncio(statement):
    loaded = loaded_by(statement)
    assert loaded - sys.stdlib_module_names == {"looplet"}
    assert "asyncio" not in loaded


@pytest.mark.parametrize("name", looplet.__all__)
def test_a_public_name_is_found_and_listed(name):
    assert getattr(looplet, name) is not None
    assert name in dir(looplet)


def test_public_names_are_listed_once_and_a_star_import_takes_them_all():
    assert len(set(looplet.__all__)) == len(looplet.__all__)
    names = {}
    exec("from looplet import *", names)
    assert set(looplet.__all__) <= set(names)


def test_a_star_import_needs_no_extra():
    code = f"import sys; sys.path.insert(0, {str(ROOT.parent)!r}); from looplet import *; Step"
    # -S leaves out every package that is not of the standard library.
    subprocess.run([sys.executable, "-S", "-c", code], check=True, cwd=ROOT.parent)


def test_an_unknown_name_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match="composable_lop"):
        looplet.composable_lop  # noqa: B018


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_no_module_of_the_core_imports_a_third_party_package(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their module in full"
            imported.add(node.module)
    rooms = {name for name in imported if name.split(".")[0] == "looplet"}
    assert {name.split(".")[0] for name in imported - rooms} <= sys.stdlib_module_names
    below = ("looplet.core", "looplet.errors", "looplet.full_schema")
    assert all(name.startswith(below) for name in rooms)


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_every_module_of_the_core_says_what_it_owns(path):
    name = "looplet.core" if path.stem == "__init__" else f"looplet.core.{path.stem}"
    assert importlib.import_module(name).__doc__
