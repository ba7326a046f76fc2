"""What looks like an eval in a file and would not be put to any run. Knows modules; no pytest.

Whoever wrote it believes that it counts, so a gate that holds without it would be believed wrongly.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

from looplet.evals.marks import PREFIX, is_eval, is_marked

_CLASSES = ("Eval", "Test")
"""How classes begin whose methods are meant to be collected."""


def overlooked(module: ModuleType, file: Path, *, prefix: str = PREFIX) -> Iterator[str]:
    """What is no eval of the module and looks like one, a sentence each, which says what to do.

    That are evals that are no function, that a decorator replaced, in a class, and defined twice.
    What another module has under the same name was imported, and is not meant.
    """
    yield from _twice(file, prefix)
    for name, value in vars(module).items():
        if isinstance(value, type):
            yield from _methods(value, prefix) if value.__module__ == module.__name__ else ()
        elif _looks(name, value, prefix) and not _is_known(name, value, module, prefix):
            yield (
                f"{name} is {_kind(value)}, which is not taken as an eval: write it as "
                f"def {name}(ctx): ..., and let its decorators use functools.wraps"
            )


def _looks(name: str, value: object, prefix: str) -> bool:
    """A fixture is pytest's own kind of object, and may be called as it likes."""
    is_fixture = type(value).__module__.startswith("_pytest.")
    named = name.startswith(prefix) and callable(value) and not is_fixture
    return named or is_marked(value)


def _is_known(name: str, value: object, module: ModuleType, prefix: str) -> bool:
    """Whether it is an eval of the module, or another module has it, too."""
    if is_eval(value, module.__name__, prefix=prefix):
        return True
    names = {name, getattr(value, "__name__", name)}
    others = (
        getattr(each, "__dict__", {}) for each in [*sys.modules.values()] if each is not module
    )
    return any(other.get(each) is value for other in others for each in names)


def _kind(value: object) -> str:
    if isinstance(value, FunctionType):
        return f"the function {value.__qualname__} of {value.__module__}"
    return f"an object of {type(value).__name__}"


def _methods(kind: type, prefix: str) -> Iterator[str]:
    for name, value in vars(kind).items():
        function = getattr(value, "__func__", value)  # of a static method
        if not isinstance(function, FunctionType):
            continue
        if is_marked(function) or (name.startswith(prefix) and kind.__name__.startswith(_CLASSES)):
            yield f"{kind.__name__}.{name} is an eval in a class; move it to the module's level"


def _twice(file: Path, prefix: str) -> Iterator[str]:
    """Functions of which only the last of the name is ever run."""
    lines: dict[str, int] = {}
    for node in ast.parse(file.read_bytes()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_meant(node, prefix):
            if node.name in lines:
                yield (
                    f"{node.name} is defined twice, in lines {lines[node.name]} and {node.lineno}, "
                    "and only the last is ever run: rename one"
                )
            lines[node.name] = node.lineno


def _is_meant(node: ast.FunctionDef | ast.AsyncFunctionDef, prefix: str) -> bool:
    marks = (each.func for each in node.decorator_list if isinstance(each, ast.Call))
    names = (getattr(each, "id", getattr(each, "attr", "")) for each in marks)
    return node.name.startswith(prefix) or "eval_mark" in names
