"""When two values are the same, as arguments of a call are. Knows values alone."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from numbers import Number
from typing import Any

from looplet.core.codec import exact

DEEPEST = 50
"""Levels that are compared by value; what is nested deeper is compared as one text."""


def same(expected: Any, got: Any) -> bool:
    """Whether two values that are no containers are the same.

    Numbers are the same by value (``1`` and ``1.0``), but a bool is no number. NaN is NaN.

    >>> same(1, 1.0), same(1, True), same(float("nan"), float("nan"))
    (True, False, True)
    """
    if isinstance(expected, bool) is not isinstance(got, bool):
        return False
    if _is_nan(expected) and _is_nan(got):
        return True
    return bool(expected == got)


def same_deep(expected: object, got: object) -> bool:
    """The same of what is nested too deeply to be walked, by its exact text."""
    return exact(expected) == exact(got)


_PLAIN = (str, int, float, bool, type(None), dict, list, tuple)


def is_plain(value: object, depth: int = 0) -> bool:
    """Whether a value holds only what JSON knows, and tuples; then its mark tells all of it."""
    if type(value) not in _PLAIN:
        return False
    if depth > DEEPEST:
        return True
    if isinstance(value, dict):
        return all(is_plain(each, depth + 1) for each in value.values())
    return not isinstance(value, list | tuple) or all(is_plain(each, depth + 1) for each in value)


def mark_of(value: object) -> Hashable:
    """What is equal for values that are the same; ``None`` for a value that has none.

    >>> mark_of({"n": [1]}) == mark_of({"n": (1.0,)}), mark_of([1]) == mark_of([True])
    (True, False)
    """
    try:
        mark = _mark(value, 0)
        hash(mark)
    except TypeError:  # something inside cannot be hashed
        return None
    return mark


def _mark(value: object, depth: int) -> Hashable:
    if depth > DEEPEST:
        return "deep", exact(value)
    if isinstance(value, Mapping):
        return "map", frozenset((key, _mark(each, depth + 1)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return "list", tuple(_mark(each, depth + 1) for each in value)
    if isinstance(value, set | frozenset):
        return "other", frozenset(value)
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, Number):
        return "number", "nan" if _is_nan(value) else value
    return "other", value


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
