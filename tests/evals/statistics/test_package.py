"""The package's names, and what importing it loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from looplet.evals import statistics


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_every_name_is_found_and_listed():
    assert statistics.__all__ == sorted(statistics.__all__)
    for name in statistics.__all__:
        assert getattr(statistics, name).__name__ == name
    tree = ast.parse(Path(statistics.__file__).read_text("utf-8"))
    typed = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        for each in node.body
        if isinstance(each, ast.ImportFrom)
        for alias in each.names
    ]
    assert sorted(typed) == statistics.__all__


def test_importing_loads_neither_scipy_nor_numpy():
    names = ", ".join(statistics.__all__)
    ran = run(
        f"import sys; from looplet.evals.statistics import {names}; import looplet.evals.summary\n"
        "print([name for name in ('scipy', 'numpy', 'pytest') if name in sys.modules])"
    )
    assert ran.stdout == "[]\n", ran.stderr


@pytest.mark.parametrize(
    "call",
    [
        "noninferiority_test([[1]], [[1]], margin=0.1)",
        "bootstrap_interval([[1], [2], [3]])",
        "minimum_detectable_effect(9, 0.1)",
        "mcnemar_test(1, 2)",
    ],
)
def test_without_scipy_it_says_what_to_install(call):
    ran = run(
        "import sys; sys.modules['scipy'] = None\nfrom looplet.evals import statistics\n"
        f"statistics.{call}"
    )
    assert 'pip install "looplet[evals]"' in ran.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "call",
    ["wilson_interval(1, 2)", "clustered_interval([[1, 0]])", "paired_interval([[1]], [[1]])"],
)
def test_what_every_table_shows_needs_no_scipy(call):
    ran = run(
        "import sys; sys.modules['scipy'] = None\nfrom looplet.evals import statistics\n"
        f"print(statistics.{call})"
    )
    assert ran.stdout.startswith("Interval("), ran.stderr
