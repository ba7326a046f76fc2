"""Calls and their arguments in messages: short, with both values. Knows values; judges nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from looplet.evals.matchers.predicates import ANY, is_test, name_of
from looplet.replay.value_diff import SHOWN, value_changes

MOST_ARGUMENTS = 3
"""Arguments that differ and are shown; the others are counted."""
CALL_CHARS = 120
"""How much is shown of a call with all its arguments."""
DEEPEST = 20
"""Levels of a value that are shown."""


class _Missing:
    """No value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final[Any] = _Missing()
"""In place of an argument that is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentMiss:
    """An argument that differs: where it stands, what was expected, and what was given.

    >>> print(ArgumentMiss(path="options.unit", expected="kg", got=MISSING))
    options.unit='kg'
    """

    path: str
    """Names and list positions, joined by dots; empty where all arguments were judged at once."""
    expected: Any
    """``MISSING`` if the argument should not be there."""
    got: Any
    """``MISSING`` if the argument is not there."""

    def __str__(self) -> str:
        return self.wish()

    def wish(self) -> str:
        """What was expected, in words."""
        name, expected = self.path or "arguments", self.expected
        if expected is MISSING:
            return f"no {name}"
        if expected is ANY:
            return f"any {name}"
        if isinstance(expected, re.Pattern):
            return f"{name} matching {expected.pattern!r}"
        if isinstance(expected, type):
            return f"{name} of type {expected.__name__}"
        if is_test(expected):
            return f"{name} for which {name_of(expected)} holds"
        if _is_long(expected) and _is_long(self.got):
            return f"{name} to be otherwise: {self._change()}"
        return f"{name}={told(expected)}"

    def found(self) -> str:
        """What was given: ``name=value``; empty if nothing was."""
        if self.got is MISSING:
            return ""
        return f"{self.path}={told(self.got)}"

    def _change(self) -> str:
        """Two long texts by the words that differ, from what was given to what was expected."""
        return "".join(text for _, text in value_changes("", self.got, self.expected))


def call_text(tool: str, args: Mapping[str, object] | None) -> str:
    """A call with all its arguments; ``None`` means that any would do.

    >>> call_text("price", {"fruit": "pear"}), call_text("price", None)
    ("price(fruit='pear')", 'price')
    """
    if args is None:
        return tool
    return _cut(f"{tool}({', '.join(f'{key}={told(each)}' for key, each in args.items())})")


def difference_text(tool: str, args: Mapping[str, object], misses: Sequence[ArgumentMiss]) -> str:
    """A call by the arguments that differ, and what was expected of each.

    >>> miss = ArgumentMiss(path="fruit", expected="plum", got="pear")
    >>> difference_text("price", {"fruit": "pear", "count": 2}, [miss])
    "price(fruit='pear', …) expected fruit='plum'"
    """
    if not misses[0].path:  # all arguments were judged at once
        wanted = misses[0].expected
        wish = call_text(tool, wanted) if isinstance(wanted, Mapping) else misses[0].wish()
        return f"{call_text(tool, args)} expected {wish}"
    shown = misses[:MOST_ARGUMENTS]
    given = [text for text in (miss.found() for miss in shown) if text]
    others = len(args) > len(given) or len(misses) > len(shown)
    wishes = ", ".join(miss.wish() for miss in shown)
    more = f" and {len(misses) - len(shown)} more" if len(misses) > len(shown) else ""
    return f"{tool}({', '.join([*given, *(['…'] if others else [])])}) expected {wishes}{more}"


def told(value: object, depth: int = 0) -> str:
    """A value as Python writes it, cut where it is long; what stands for values by its name."""
    if is_test(value):
        return _test_text(value)
    if depth > DEEPEST:
        return "…"
    if type(value) is dict:
        pairs = _some(f"{told(key)}: {told(each, depth + 1)}" for key, each in value.items())
        return f"{{{pairs}}}"
    if type(value) is list:
        return f"[{_some(told(each, depth + 1) for each in value)}]"
    if isinstance(value, str) and len(value) > SHOWN:  # before all of it is written out
        return f"{value[:SHOWN]!r}… ({len(value)} characters)"
    return _cut(repr(value), SHOWN)


def _some(texts: Iterable[str]) -> str:
    """Texts joined by commas, as many as are worth showing."""
    kept: list[str] = []
    chars = 0
    for text in texts:
        if chars > SHOWN:
            kept.append("…")
            break
        kept.append(text)
        chars += len(text)
    return ", ".join(kept)


def _test_text(value: Any) -> str:
    if isinstance(value, re.Pattern):
        return f"matching {value.pattern!r}"
    if isinstance(value, type):
        return value.__name__
    return repr(value) if value is ANY else name_of(value)


def _is_long(value: object) -> bool:
    return isinstance(value, str) and len(value) > SHOWN


def _cut(text: str, limit: int = CALL_CHARS) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
