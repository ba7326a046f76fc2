"""Bodies of HTTP made readable: uncompressed, in one form, without secrets. Knows no cassette."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from looplet.core.codec import JSON
from looplet.redaction import Redactor
from looplet.replay.http.events import dumped, redact_events, redact_stream

_BOUNDARY = re.compile(r"boundary=\"?([^\";,\s]+)", re.IGNORECASE)
_FORM = "application/x-www-form-urlencoded"
_EVENTS = ("text/event-stream", "application/x-ndjson", "application/jsonl", "application/x-jsonl")


class Unreadable(ValueError):
    """A body is compressed in a way that cannot be undone here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A body and what its headers say of it."""

    data: bytes
    type: str = ""
    """The header ``content-type``."""
    encoding: str = ""
    """The header ``content-encoding``: what was done to the data, in that order."""


def plain(content: Content) -> bytes:
    """The data before it was compressed. Raises ``Unreadable``.

    Data that is no longer compressed although its header says so, as some clients hand it over,
    is given as it is.

    >>> plain(Content(data=zlib.compress(b"pear"), encoding="deflate"))
    b'pear'
    """
    data = content.data
    for name in reversed([each.strip().lower() for each in content.encoding.split(",")]):
        if name in {"", "identity"} or not data:
            continue
        undo = _decompressor(name)
        if undo is None:
            data = _uncompressed_already(data, name)
            continue
        try:
            data = undo(data)
        except Exception as error:  # noqa: BLE001 - each library has its own, with no common base
            data = _uncompressed_already(data, f"{name} ({error})")
    return data


def canonical_request(content: Content, redactor: Redactor) -> bytes:
    """A request's body in the one form that is hashed and kept: two that mean the same are equal.

    JSON has its keys in order, and the boundary of a multipart body is always the same.
    """
    data = plain(content)
    text = _text(data)
    if text is None:
        return _redact_bytes(_same_boundary(data, content.type), redactor)
    parsed = _parsed(text)
    if parsed is not None:
        return dumped(redactor.value(_in_order(parsed[0]))).encode()
    if content.type.lower().startswith(_FORM):
        pairs = parse_qsl(text, keep_blank_values=True)
        return urlencode(
            [(name, redactor.text(value)) for name, value in pairs], safe="[]:"
        ).encode()
    return redactor.text(_text(_same_boundary(data, content.type)) or "").encode()


def redacted_response(content: Content, redactor: Redactor) -> bytes:
    """A response's plain body without secrets, also those that the pieces of a stream share."""
    data = plain(content)
    text = _text(data)
    if text is None:
        return _redact_bytes(data, redactor)
    if content.type.lower().startswith(_EVENTS) or text.startswith(("data:", "event:")):
        return redact_stream(text, redactor).encode()
    parsed = _parsed(text)
    if parsed is None:
        return redactor.text(text).encode()
    before = parsed[0]
    after = redact_events(before if isinstance(before, list) else [before], redactor)
    after = after if isinstance(before, list) else after[0]
    return data if after == before else dumped(after).encode()


def _parsed(text: str) -> tuple[JSON] | None:
    """An object or array of JSON, in a tuple; ``None`` for anything else."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return (json.loads(text),)
    except (ValueError, RecursionError):
        return None


def _in_order(value: JSON) -> JSON:
    """The same JSON, keys sorted, so that secrets are numbered in one order, too."""
    return json.loads(json.dumps(value, sort_keys=True))


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _redact_bytes(data: bytes, redactor: Redactor) -> bytes:
    found: bytes = redactor.value(data)
    return found


def _same_boundary(data: bytes, content_type: str) -> bytes:
    found = _BOUNDARY.search(content_type)
    return data.replace(found[1].encode(), b"boundary") if found else data


def _uncompressed_already(data: bytes, name: str) -> bytes:
    if _text(data) is not None:
        return data
    raise Unreadable(
        f"its content-encoding {name} cannot be undone, so secrets in it cannot be found. Install "
        "the package that undoes it (brotli, zstandard), or ask for gzip"
    )


def _decompressor(name: str) -> Callable[[bytes], bytes] | None:
    if name in {"gzip", "x-gzip"}:
        return lambda data: zlib.decompress(data, zlib.MAX_WBITS | 16)
    if name == "deflate":
        return _inflate
    if name == "br":
        return _from_module(("brotli", "brotlicffi"), lambda module, data: module.decompress(data))
    if name == "zstd":
        return _from_module(
            ("zstandard",),
            lambda module, data: module.ZstdDecompressor().decompressobj().decompress(data),
        )
    return None


def _inflate(data: bytes) -> bytes:
    """With a header, as the standard has it, or without, as many servers do."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return zlib.decompress(data, -zlib.MAX_WBITS)


def _from_module(
    names: Sequence[str], undo: Callable[[Any, bytes], bytes]
) -> Callable[[bytes], bytes] | None:
    from importlib import import_module

    for name in names:
        try:
            module = import_module(name)
        except ImportError:
            continue
        return lambda data, module=module: undo(module, data)  # type: ignore[misc]
    return None
