"""OTLP JSON: the spans of an export request, one by one. Knows the encoding; knows no attribute.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding. Read are the protocol's own form
(ids in hex, enums as numbers) and that of protobuf's JSON mapping (ids in base64, enums as names,
also with the names of fields as the schema has them); 64-bit numbers as texts or as numbers.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from looplet.core.codec import JSON
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.problems import Malformed

TRACE_BYTES, SPAN_BYTES = 16, 8
RESOURCE_SPANS = ("resourceSpans", "resource_spans")
_SCOPE_SPANS = ("scopeSpans", "scope_spans", "instrumentationLibrarySpans")
_SCOPE = ("scope", "instrumentationLibrary")
_FAILED = frozenset({"2", "STATUS_CODE_ERROR"})
_SECOND = 10**9
"""In nanoseconds; a whole number, since whole numbers are divided without an error between."""
_LARGEST = 1 << 64
_NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_MOST_DIGITS = 20
"""Of a 64-bit number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a span."""

    name: str
    ns: int | None
    attributes: Mapping[str, JSON]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span; its ids are hex in lower case."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int | None
    """Nanoseconds of Unix time; ``None`` if not known."""
    end_ns: int | None
    failed: bool
    message: str
    """What its status says of a failure."""
    attributes: Mapping[str, JSON]
    events: tuple[Event, ...]
    scope: str
    """The name of the library that made it."""
    resource: Mapping[str, JSON] = field(default_factory=dict)
    place: str
    raw: JSON
    """As it stands in the file."""

    @property
    def start_s(self) -> float | None:
        """When it began: Unix time in seconds."""
        return None if self.start_ns is None else self.start_ns / _SECOND

    @property
    def end_s(self) -> float | None:
        """When it ended: Unix time in seconds."""
        return None if self.end_ns is None else self.end_ns / _SECOND

    @property
    def duration_ms(self) -> float | None:
        """How long it took, in milliseconds; ``None`` if that is not known."""
        if self.start_ns is None or self.end_ns is None:
            return None
        return max(0, self.end_ns - self.start_ns) / 10**6

    def get(self, *names: str) -> Node:
        """The first of these attributes that is there."""
        name = next((name for name in names if self.attributes.get(name) is not None), names[-1])
        return Node(self.attributes.get(name), f"{self.place}.{name}")


def spans_of(request: Node, report: Callable[[Malformed], None]) -> Iterator[Span]:
    """The spans of one export request in their order; a malformed one is reported and passed."""
    if not request.first(*RESOURCE_SPANS).known:
        raise Malformed(request.place, f"has no {RESOURCE_SPANS[0]!r}")
    for resource_spans in request.first(*RESOURCE_SPANS).items():
        resource = attributes_of(resource_spans.get("resource").get("attributes"))
        for scope_spans in resource_spans.first(*_SCOPE_SPANS).items():
            scope = scope_spans.first(*_SCOPE).get("name").text() or ""
            for span in scope_spans.get("spans").items():
                try:
                    yield _span(span, resource, scope)
                except Malformed as error:
                    report(error)


def attributes_of(attributes: Node) -> dict[str, JSON]:
    """Attributes by their keys.

    >>> attributes_of(Node([{"key": "n", "value": {"intValue": "3"}}]))
    {'n': 3}
    """
    return {
        each.need("key").text() or "": value_of(each.get("value")) for each in attributes.items()
    }


def value_of(value: Node) -> JSON:
    """What a value is of the kinds that an attribute may have; ``None`` of an empty one."""
    for key, node in value.members():
        kind = key[:1] + key[1:].replace("_v", "V")
        if kind not in _KINDS:
            raise Malformed(node.place, "is no kind of value that is known")
        return _KINDS[kind](node)
    return None


def whole_number(node: Node) -> int | None:
    """A 64-bit number, with or without a sign, that may be written as a text."""
    value = node.value
    if isinstance(value, str) and len(value) <= _MOST_DIGITS and value.lstrip("-").isdecimal():
        value = int(value) if value.rfind("-") <= 0 else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None and not node.known:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= _LARGEST:
        raise node.wrong("a whole number of 64 bits")
    return value


def _span(span: Node, resource: Mapping[str, JSON], scope: str) -> Span:
    status = span.get("status")
    start, end = (
        _moment(span.first(f"{which}TimeUnixNano", f"{which}_time_unix_nano"))
        for which in ("start", "end")
    )
    trace_id = _identifier(span.first("traceId", "trace_id"), TRACE_BYTES)
    span_id = _identifier(span.first("spanId", "span_id"), SPAN_BYTES)
    if trace_id is None or span_id is None:
        raise Malformed(span.place, f"has no {'trace' if trace_id is None else 'span'} id")
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=_identifier(span.first("parentSpanId", "parent_span_id"), SPAN_BYTES),
        name=span.get("name").text() or "",
        start_ns=start,
        end_ns=end,
        failed=status.get("code").label() in _FAILED,
        message=status.get("message").text() or "",
        attributes=attributes_of(span.get("attributes")),
        events=tuple(map(_event, span.get("events").items())),
        scope=scope,
        resource=resource,
        place=span.place,
        raw=span.value,
    )


def _event(event: Node) -> Event:
    return Event(
        name=event.get("name").text() or "",
        ns=_moment(event.first("timeUnixNano", "time_unix_nano")),
        attributes=attributes_of(event.get("attributes")),
    )


def _moment(node: Node) -> int | None:
    """Nanoseconds; zero is a time that nobody set."""
    moment = whole_number(node)
    if moment is not None and moment < 0:
        raise node.wrong("a time")
    return moment or None


def _identifier(node: Node, size: int) -> str | None:
    """An id of so many bytes in hex; ``None`` of an empty one, which is none."""
    text = node.text()
    if not text:
        return None
    try:
        is_hex = len(text) == 2 * size
        data = bytes.fromhex(text) if is_hex else base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if len(data) != size:
        raise node.wrong(f"an id of {size} bytes, in hex or base64")
    return data.hex() if any(data) else None


def _bytes(node: Node) -> bytes:
    try:
        return base64.b64decode(node.text() or "", validate=True)
    except ValueError:
        raise node.wrong("base64") from None


def _double(node: Node) -> float | int | None:
    value = node.value
    if isinstance(value, str) and value in _NUMBERS:
        return _NUMBERS[value]
    if isinstance(value, float) or value is None:
        return value
    return node.number()


def _list(node: Node) -> list[JSON]:
    return [value_of(each) for each in node.get("values").items()]


def _object(node: Node) -> dict[str, JSON]:
    return attributes_of(node.get("values"))


_KINDS: dict[str, Callable[[Node], JSON]] = {
    "stringValue": Node.text,
    "boolValue": Node.flag,
    "intValue": whole_number,
    "doubleValue": _double,
    "arrayValue": _list,
    "kvlistValue": _object,
    "bytesValue": _bytes,
}
