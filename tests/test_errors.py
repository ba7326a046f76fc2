"""The error tree and its drawing."""

from __future__ import annotations

import inspect
import re

import pytest

from looplet import errors

CLASSES = {
    name: each
    for name, each in vars(errors).items()
    if inspect.isclass(each) and each.__module__ == "looplet.errors"
}
DRAWN = re.findall(r"^([ │]*[├└]── )(\w+) +(?:\((\w+)\))?", errors.__doc__, re.MULTILINE)


def test_every_error_stands_in_the_drawing():
    assert {name for _, name, _ in DRAWN} | {"LoopletError"} == set(CLASSES)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_error_is_a_looplet_error_with_a_docstring(name):
    assert issubclass(CLASSES[name], errors.LoopletError)
    assert CLASSES[name].__doc__


def test_the_drawing_shows_parent_and_builtin():
    parents = {0: "LoopletError"}
    for branch, name, builtin in DRAWN:
        depth = len(branch) // 4 - 1  # the drawing itself is indented
        parents[depth] = name
        error = CLASSES[name]
        assert CLASSES[parents[depth - 1]] in error.__bases__, name
        if builtin:
            assert issubclass(error, getattr(__import__("builtins"), builtin)), name


def test_a_missing_extra_tells_what_to_type():
    error = errors.MissingExtra("pyarrow", needed_for="TrajectoryStore", extra="evals")
    assert 'pip install "looplet[evals]"' in str(error)
    assert isinstance(error, ImportError)
