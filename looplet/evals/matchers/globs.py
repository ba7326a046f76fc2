"""Names and paths by patterns: which tools, which places inside arguments. Knows values alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, TypeAlias

from looplet.errors import EvalError

ANY_DEPTH = "**"
"""The part of a path's pattern that stands for any number of parts, also none."""

Pattern: TypeAlias = tuple[str, ...]
"""A path's pattern in parts."""


def fits(name: str, pattern: str) -> bool:
    """Whether a name is the pattern itself, or what it stands for by ``* ? [...]``.

    >>> fits("delete_user", "delete_*"), fits("Delete", "delete")
    (True, False)
    """
    return name == pattern or fnmatchcase(name, pattern)


def is_pattern(name: str) -> bool:
    """Whether a name stands for others."""
    return any(char in name for char in "*?[")


def names_of(patterns: str | Iterable[str], what: str) -> tuple[str, ...]:
    """Patterns as a tuple; one may come alone. Raises ``EvalError`` for what is no text."""
    found: tuple[object, ...] = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    names = tuple(each for each in found if isinstance(each, str) and each)
    if len(names) < len(found):
        raise EvalError(f"{what} takes names and patterns, not {found!r}")
    return names


def patterns_of(globs: str | Iterable[str], what: str) -> tuple[Pattern, ...]:
    """Patterns of paths. Raises as ``names_of`` does."""
    return tuple(tuple(glob.split(".")) for glob in names_of(globs, what))


def without(value: Any, patterns: Sequence[Pattern]) -> Any:
    """A value without the places that patterns of paths name; what is left is not copied.

    A path is names and list positions joined by dots. ``*`` in a pattern stands for any characters
    of one part, ``**`` for any number of parts. What follows a list item that is left out moves up.

    >>> without({"id": 7, "items": [{"id": 8, "n": 1}]}, patterns_of("**.id", "ignore"))
    {'items': [{'n': 1}]}
    """
    return _left(value, frozenset(patterns)) if patterns else value


def _left(value: Any, patterns: frozenset[Pattern]) -> Any:
    if isinstance(value, Mapping):
        places = [(key, each, _after(str(key), patterns)) for key, each in value.items()]
        return {key: _left(each, rest) for key, each, rest in places if () not in rest}
    if isinstance(value, list | tuple):
        items = [(each, _after(str(place), patterns)) for place, each in enumerate(value)]
        return [_left(each, rest) for each, rest in items if () not in rest]
    return value


def _after(part: str, patterns: frozenset[Pattern]) -> frozenset[Pattern]:
    """What is left of each pattern after a part of a path; ``()`` is a pattern that fits it all."""
    return frozenset(rest for pattern in patterns for rest in _rests(part, pattern))


@lru_cache(maxsize=4096)
def _rests(part: str, pattern: Pattern) -> tuple[Pattern, ...]:
    if not pattern:
        return ()
    first, rest = pattern[0], pattern[1:]
    if first == ANY_DEPTH:
        # It takes this part and goes on, or it takes none and the rest must fit.
        return (pattern, *((()),) * (not rest), *_rests(part, rest))
    return (rest,) if fits(part, first) else ()
