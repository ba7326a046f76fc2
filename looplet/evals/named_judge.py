"""The judge that a command line names: a backend, or what makes one. Knows no provider."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

from looplet.core.validation import suggest_similar
from looplet.errors import EvalError, LoopletError
from looplet.evals.discovery import load_file

FORM = "name it as MODULE:ATTR or path/to/file.py:ATTR"


def load_judge(text: str) -> Any:
    """The backend that ``MODULE:ATTR`` names; a class or a function is called for it.

    Raises ``EvalError`` if there is no such thing, it cannot be made, or it is no backend that
    can be asked without ``await``.
    """
    where, colon, attribute = text.rpartition(":")
    if not colon or not where or not attribute:
        raise EvalError(f"the judge {text!r} names no backend; {FORM}")
    found = _attribute(_module(where, text), attribute, text)
    if inspect.isclass(found) or not hasattr(found, "generate"):
        found = _made(found, text)
    generate = getattr(found, "generate", None)
    if not callable(generate):
        raise EvalError(f"the judge {text} is a {type(found).__name__}, which has no generate")
    if inspect.iscoroutinefunction(generate):
        raise EvalError(f"the judge {text} is async, and evals are plain functions")
    return found


def _module(where: str, text: str) -> ModuleType:
    if where.endswith(".py"):
        if not Path(where).is_file():
            raise EvalError(f"the judge {text}: there is no file {where}")
        return load_file(Path(where))
    try:
        return importlib.import_module(where)
    except (Exception, SystemExit) as error:
        raise EvalError(
            f"the judge {text}: {where} cannot be imported: {type(error).__name__}: {error}"
        ) from error


def _attribute(module: ModuleType, name: str, text: str) -> Any:
    found = getattr(module, name, None)
    if found is None:
        near = suggest_similar(name, [each for each in vars(module) if not each.startswith("_")])
        hint = f"; did you mean {near}?" if near else ""
        raise EvalError(f"the judge {text}: the module has no {name}{hint}")
    return found


def _made(maker: Any, text: str) -> Any:
    if not callable(maker):
        raise EvalError(f"the judge {text} is a {type(maker).__name__}, and no backend")
    try:
        return maker()
    except LoopletError:
        raise
    except Exception as error:
        raise EvalError(
            f"the judge {text} cannot be made: {type(error).__name__}: {error}"
        ) from error
