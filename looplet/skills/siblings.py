"""A bundle's modules: found by their names inside the bundle, while an import of its own lasts.

Knows Python's import system; knows no skill. A bundle's module that says ``import prices`` gets the
``prices.py`` beside it, whatever else is called so in the process, and nothing of that is left in
``sys.modules`` or ``sys.path`` afterwards. That holds for imports inside functions, too, since its
modules have an ``__import__`` of their own. Modules of Python's own library, pytest, looplet and
the YAML that it reads with cannot be replaced.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import RLock
from types import CodeType, ModuleType
from typing import Any

PROTECTED = frozenset(sys.stdlib_module_names) | {"looplet", "pytest", "_pytest", "yaml"}
"""What no bundle replaces; looplet reads front matter by YAML while a bundle builds its agent."""
_SUFFIX = ".py"
_LOCK = RLock()
"""Held while names lead into a bundle, which is as long as an import takes."""


class Siblings:
    """The modules under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._modules: dict[str, ModuleType] = {}
        """Those that were imported, by their names in the bundle."""
        self._depth = 0

    def load(self, path: Path, *, name: str) -> ModuleType:
        """Run a file of the folder as a module. Raises what it raises."""
        own = path.stem if path.parent == self.root and path.stem in self._names() else name
        with self.context():
            if own in sys.modules:
                return sys.modules[own]
            loader = _Loader(own, str(path), self)
            spec = spec_from_file_location(own, path, loader=loader)
            assert spec is not None
            module = sys.modules[own] = module_from_spec(spec)
            try:
                loader.exec_module(module)
            except BaseException:
                sys.modules.pop(own, None)
                raise
            finally:
                if own == name:  # a name that is ours leads nowhere outside
                    sys.modules.pop(own, None)
            return module

    @contextmanager
    def context(self) -> Iterator[None]:
        """Let names lead into the folder; everything is as it was afterwards."""
        with _LOCK:
            if self._depth:
                yield
                return
            self._depth += 1
            names, places = self._names(), list(sys.path)
            hidden = _take(names)
            sys.modules.update(self._modules)
            finder = _Finder(self, names)
            sys.meta_path.insert(0, finder)
            try:
                yield
            finally:
                sys.meta_path.remove(finder)
                sys.path[:] = places
                self._modules.update(_take(names))
                sys.modules.update(hidden)
                self._depth -= 1

    def _names(self) -> frozenset[str]:
        """Names of the modules and packages at the top of the folder."""
        found = set()
        for each in self.root.iterdir():
            name = each.stem if each.suffix == _SUFFIX else each.name
            if name.isidentifier() and name not in PROTECTED and _holds_code(each):
                found.add(name)
        return frozenset(found)


def _holds_code(path: Path) -> bool:
    return path.suffix == _SUFFIX or (path.is_dir() and any(path.glob("*" + _SUFFIX)))


def _take(names: frozenset[str]) -> dict[str, ModuleType]:
    """Take modules of these names, and those below them, out of ``sys.modules``."""
    taken = [each for each in sys.modules if each.partition(".")[0] in names]
    return {each: sys.modules.pop(each) for each in taken}


class _Finder:
    """Finds a bundle's modules before anybody else does."""

    def __init__(self, siblings: Siblings, names: frozenset[str]) -> None:
        self._names = names

        def loader(name: str, path: str) -> _Loader:
            return _Loader(name, path, siblings)

        self._details = (loader, [_SUFFIX])
        self._root = str(siblings.root)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module of the bundle is; ``None`` for all others."""
        if name.partition(".")[0] not in self._names:
            return None
        for place in (self._root,) if path is None else path:
            spec = FileFinder(place, self._details).find_spec(name, target)  # type: ignore[arg-type]
            if spec is not None:
                return spec
        return None


class _Loader(SourceFileLoader):
    """Runs a module whose imports lead into its bundle; leaves no compiled file behind."""

    def __init__(self, name: str, path: str, siblings: Siblings) -> None:
        super().__init__(name, path)
        self._siblings = siblings

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        """Keep nothing: a bundle's folder is only read."""

    def get_code(self, fullname: str) -> CodeType:
        """The code of the file as it is, not of a compiled one that may lie beside it."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

    def exec_module(self, module: ModuleType) -> None:
        """Run it, with an ``__import__`` of its own."""
        siblings = self._siblings

        def import_(name: str, *args: Any, **keywords: Any) -> Any:
            with siblings.context():
                return builtins.__import__(name, *args, **keywords)

        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": import_}
        exec(self.get_code(module.__name__), module.__dict__)  # noqa: S102 - that is its work
