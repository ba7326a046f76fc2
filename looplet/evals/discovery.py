"""Finding evals without pytest. Knows files and modules; knows no run."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from looplet.core.codec import digest
from looplet.errors import EvalError
from looplet.evals.marks import PREFIX, is_eval
from looplet.evals.overlooked import overlooked

PATTERN = "eval_*.py"
"""How files of evals are named."""
FOREIGN = frozenset({"node_modules", "site-packages"})
"""Folders that are not searched, beside hidden ones and virtual environments."""


def eval_discover(
    path: str | Path,
    *,
    pattern: str = PATTERN,
    prefix: str = PREFIX,
    on_error: Literal["warn", "raise"] = "warn",
) -> list[Callable[..., Any]]:
    """The evals of a file, or of a directory and all below it, by file and in order of definition.

    Only functions defined in a file count, not those that it imports. Hidden folders and virtual
    environments below a directory are left out. A file that fails to import is a warning that
    names it, or with ``on_error="raise"`` an ``EvalError``; so is one with something in it that
    looks like an eval and is none, as a lambda. Raises ``EvalError`` if there is no such path.
    """
    evals: list[Callable[..., Any]] = []
    for file in files_of(Path(path), pattern):
        try:
            module = load_file(file)
        except EvalError as error:
            if on_error == "raise":
                raise
            warnings.warn(str(error), stacklevel=2)
            continue
        troubles = [f"{file}: {each}" for each in overlooked(module, file, prefix=prefix)]
        if troubles and on_error == "raise":
            raise EvalError("; ".join(troubles))
        for trouble in troubles:
            warnings.warn(trouble, stacklevel=2)
        evals += [each for each in vars(module).values() if _counts(each, module, prefix)]
    return list(dict.fromkeys(evals))


def _counts(value: object, module: ModuleType, prefix: str) -> bool:
    return is_eval(value, module.__name__, prefix=prefix)


def files_of(path: Path, pattern: str = PATTERN) -> Iterator[Path]:
    """The files of evals at a path, sorted. Raises ``EvalError`` if there is no such path."""
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise EvalError(f"there are no evals at {path}: no such file or directory")
    for file in sorted(path.rglob(pattern)):
        folders = [each for each in file.parents if each.is_relative_to(path) and each != path]
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if file.is_file() and not hidden and not any(map(_is_foreign, folders)):
            yield file


def _is_foreign(folder: Path) -> bool:
    """Whether a folder holds what others wrote: installed packages."""
    return folder.name in FOREIGN or (folder / "pyvenv.cfg").is_file()


def load_file(file: Path) -> ModuleType:
    """Import a file under a name of its own, so that two files of one name do not collide.

    Raises ``EvalError`` if it cannot be imported.
    """
    name = f"looplet_evals_{digest(str(file.resolve()))[:12]}_{file.stem}"
    loader = SourceFileLoader(name, str(file.resolve()))
    spec = spec_from_loader(name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _importable(file.resolve().parent):
            loader.exec_module(module)
    except BaseException as error:  # a test framework's word to skip a file is no Exception
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        told = f"{type(error).__name__}: {error}".rstrip(".")
        raise EvalError(f"{file} cannot be imported: {told}. Mend it, or move it away.") from error
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let a file import its siblings while it is being imported."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
