"""Every string of a structure through a function. Knows values; knows nothing of secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import PurePath
from typing import Any

from looplet.core.codec import TAG

_NO_TEXTS = frozenset({"int", "float", "datetime", "date"})
"""Tags of looplet's JSON whose values are no texts."""


def redact_strings(value: Any, function: Callable[[str], str]) -> Any:
    """A copy of ``value`` with every string in it, keys included, passed through ``function``.

    Goes through dicts, lists, tuples, sets, paths, bytes that are UTF-8 here and there, and what
    ``looplet.core.codec`` made of them; numbers, dates, booleans and ``None`` stay. Of an object
    that has no JSON form the ``repr`` is redacted, and given instead if that changed it. Keys
    that become equal are counted, so that none is lost.

    >>> redact_strings({"to": ["Ada", 1]}, lambda text: text.replace("Ada", "[REDACTED:name]"))
    {'to': ['[REDACTED:name]', 1]}
    """
    try:
        return _redact(value, function)
    except RecursionError:  # it contains itself; the codec stores its repr, too
        return _of_repr(value, function)


def _redact(value: Any, function: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return function(str.__str__(value))
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return _redact_dict(value, function)
    if isinstance(value, tuple):
        items = [_redact(item, function) for item in value]
        return value._make(items) if hasattr(value, "_make") else tuple(items)
    if isinstance(value, list):
        return [_redact(item, function) for item in value]
    if isinstance(value, set | frozenset):
        kind = set if isinstance(value, set) else frozenset
        return kind(_redact(item, function) for item in value)
    return _redact_other(value, function)


def _redact_other(value: Any, function: Callable[[str], str]) -> Any:
    if isinstance(value, bytes | bytearray):
        return type(value)(_redact_bytes(bytes(value), function))
    if isinstance(value, date):
        return value
    if isinstance(value, PurePath):
        return type(value)(function(str(value)))
    return _of_repr(value, function)


def _redact_bytes(data: bytes, function: Callable[[str], str]) -> bytes:
    return function(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _of_repr(value: object, function: Callable[[str], str]) -> Any:
    shown = repr(value)
    redacted = function(shown)
    return value if redacted == shown else redacted


def _redact_dict(value: Mapping[Any, Any], function: Callable[[str], str]) -> dict[Any, Any]:
    kind = value.get(TAG)
    if isinstance(kind, str) and "value" in value:
        return {TAG: kind, "value": _redact_tagged(kind, value["value"], function)}
    out: dict[Any, Any] = {}
    for key, item in value.items():
        new, number = _redact(key, function), 1
        while new in out:
            number += 1
            new = f"{_redact(key, function)} ({number})"
        out[new] = _redact(item, function)
    return out


def _redact_tagged(kind: str, body: Any, function: Callable[[str], str]) -> Any:
    if kind in _NO_TEXTS:
        return body
    if kind == "bytes" and isinstance(body, str):
        return _redact_bytes(bytes.fromhex(body), function).hex()
    return _redact(body, function)
