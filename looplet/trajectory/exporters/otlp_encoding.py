"""Values, ids and times as OTLP JSON has them. Knows the encoding; knows no run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from looplet.core.codec import JSON, digest

_LARGEST_NS = (1 << 63) - 1
_LARGEST_INT = 1 << 63
INTERNAL, CLIENT = 1, 3
"""Kinds of spans."""
_ERROR = 2


@dataclass(slots=True)
class Encoder:
    """Encodes, and notes what the encoding has no place for."""

    losses: dict[str, None] = field(default_factory=dict)
    """Each once, in their order."""

    def attributes(self, values: Mapping[str, Any]) -> list[JSON]:
        """Attributes that are known: texts, numbers, truth values and lists of them.

        >>> Encoder().attributes({"n": 3, "none": None})
        [{'key': 'n', 'value': {'intValue': '3'}}]
        """
        known = ((name, value) for name, value in values.items() if value is not None)
        return [{"key": self.text(name), "value": self._value(value)} for name, value in known]

    def text(self, text: str) -> str:
        """A text, with what UTF-8 cannot hold as its escape."""
        if text.isascii():
            return text
        written = text.encode("utf-8", "backslashreplace").decode()
        if written != text:
            self.losses["lone surrogates in names and messages are written as their escapes"] = None
        return written

    def moment(self, ns: int) -> str:
        """Nanoseconds of Unix time; what 64 bits cannot hold is the nearest that they can."""
        inside = min(max(ns, 0), _LARGEST_NS)
        if inside != ns:
            self.losses["times before 1970, or far ahead, are written as the nearest"] = None
        return str(inside)

    def status(self, error: str | None) -> dict[str, JSON]:
        """How a span ended."""
        return {} if error is None else {"code": _ERROR, "message": self.text(error)}

    def _value(self, value: Any) -> JSON:
        if isinstance(value, bool):
            return {"boolValue": value}
        if isinstance(value, int) and -_LARGEST_INT <= value < _LARGEST_INT:
            return {"intValue": str(value)}
        if isinstance(value, float):
            return {"doubleValue": value if math.isfinite(value) else _named(value)}
        if isinstance(value, list | tuple):
            return {"arrayValue": {"values": [self._value(each) for each in value]}}
        return {"stringValue": self.text(str(value))}


def span_id(trace_id: str, *names: object) -> str:
    """A span's id in hex: the hash of its trace, and of what it is there."""
    return digest(" ".join(map(str, (trace_id, *names))))[:16]


def nanoseconds(seconds: float) -> int:
    """Seconds as nanoseconds, without the error of a product of floats; zero of what is no time.

    >>> nanoseconds(1_700_000_000.009) / 10**9, round(1_700_000_000.009 * 1e9) / 10**9
    (1700000000.009, 1700000000.0089998)
    """
    if not math.isfinite(seconds):
        return 0
    part, whole = seconds.as_integer_ratio()
    return (2 * part * 10**9 + whole) // (2 * whole)


def request(resource: list[JSON], scope: dict[str, JSON], spans: Iterable[JSON]) -> JSON:
    """An export request of one library's spans."""
    scope_spans = {"scope": scope["scope"], "spans": list(spans), "schemaUrl": scope["schemaUrl"]}
    return {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [scope_spans]}]}


def _named(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
