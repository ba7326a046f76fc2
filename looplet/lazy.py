"""Public names that are found when they are first used. Knows no other module of the package."""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, which takes longer to load than this module
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` of a package (PEP 562).

    ``homes`` names the module that each public name lives in; it is imported by the name's first
    use, and the name is kept. Any other name raises ``AttributeError``, as usual.
    """
    import sys

    namespace = vars(sys.modules[package])

    def find(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        value = namespace[name] = getattr(import_module(home), name)
        return value

    def names() -> list[str]:
        return sorted({*namespace, *homes})

    return find, names
