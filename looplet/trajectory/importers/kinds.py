"""Whether a run that was read has values of the kinds that its fields say. Knows no format.

Records of others are read value by value; looplet's own are trusted by their reader, and a file
that was changed by hand may hold anything.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any

from looplet.trajectory.importers import parsing
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.problems import Malformed

_UNSEEN = frozenset({"spans"})
"""Fields that no file has."""
_INT32 = frozenset({"trial", "step_num", "index", "llm_call_indices"})
_KEPT_ONCE = ("messages",)
"""Lists whose members stand in many lists of a run."""


def check_kinds(value: Any, place: str) -> None:
    """See that every field of a dataclass, and of those in it, has a value of its kind.

    Raises `Malformed` with the field's place.
    """
    _Check().fields(value, place)


class _Check:
    def __init__(self) -> None:
        self._seen: set[int] = set()

    def fields(self, value: Any, place: str) -> None:
        """Every field of a dataclass."""
        for name, hint in _hints(value.__class__).items():
            self.value(getattr(value, name), hint, f"{place}.{name}", name)

    def value(self, value: Any, hint: Any, place: str, name: str) -> None:
        """One value."""
        choices = typing.get_args(hint) if _is_union(hint) else (hint,)
        if value is None and type(None) in choices:
            return
        for kind in choices:
            if _fits(value, kind):
                self._inside(value, kind, place, name)
                return
        raise Node(value, place).wrong(f"of the kind {_named(hint)}")

    def _inside(self, value: Any, kind: Any, place: str, name: str) -> None:
        origin = typing.get_origin(kind)
        if is_dataclass(kind):
            self.fields(value, place)
        elif origin in (list, tuple, Sequence):
            inner = typing.get_args(kind)[0]
            for index, item in enumerate(value):
                if name not in _KEPT_ONCE or id(item) not in self._seen:
                    self._seen.add(id(item))
                    self.value(item, inner, f"{place}[{index}]", name)
        elif kind is int:
            Node(value, place).integer(bits=32 if name in _INT32 else 64)
        elif kind is float:
            _float(value, place)
        elif parsing.is_deep(value):
            raise Malformed(place, f"lists and objects are nested more than {parsing.DEEPEST} deep")


@cache
def _hints(kind: type) -> dict[str, Any]:
    found = typing.get_type_hints(kind, localns={"Span": object})
    return {each.name: found[each.name] for each in fields(kind) if each.name not in _UNSEEN}


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (types.UnionType, typing.Union)


def _fits(value: Any, kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if kind is Any:
        return True
    if origin is typing.Literal:
        return value in typing.get_args(kind)
    if kind in (int, float):
        return isinstance(value, kind | int) and not isinstance(value, bool)
    if origin in (tuple, Sequence):
        return isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if origin is Mapping:
        return isinstance(value, Mapping)
    if kind is datetime:
        return isinstance(value, datetime) and value.tzinfo is not None
    return isinstance(value, origin or kind)


def _float(value: Any, place: str) -> None:
    try:
        float(value)
    except OverflowError:
        raise Node(value, place).wrong("a number that can be stored") from None


def _named(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
