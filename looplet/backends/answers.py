"""What providers say beside a reply: their errors, their headers, fields that may be missing.

Values in, values out: knows no client, no provider's form of messages, and makes no call.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeVar

from looplet.core.backend import Block
from looplet.core.codec import JSON
from looplet.core.records import new_id

Kind = TypeVar("Kind")


def provider_words(body: object, otherwise: str, *, limit: int = 2000) -> str:
    """What a provider said in an error: its message and its code, at most ``limit`` characters.

    >>> provider_words({"message": "Too long.", "code": "context_length_exceeded"}, "400")
    'Too long. [context_length_exceeded]'
    """
    message = typed_field(body, "message", str) or typed_field(body, "detail", str) or otherwise
    code = field_of(body, "code") or field_of(body, "type")
    words = " ".join(message.split())[:limit]
    return f"{words} [{code}]" if isinstance(code, str | int) and str(code) not in words else words


def status_words(status: int) -> str:
    """An HTTP status with its name.

    >>> status_words(429), status_words(599)
    ('429 Too Many Requests', '599')
    """
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, as an error's headers tell: a number, or a date beside the ``date`` header.

    >>> retry_after({"retry-after": "2"}), retry_after({})
    (2.0, None)
    """
    try:
        return _seconds(headers["retry-after"], headers)
    except (KeyError, ValueError, TypeError):
        return None


def parse_arguments(arguments: object) -> dict[str, JSON]:
    """A call's arguments; ``{"_raw_arguments": text}`` if they are no JSON object.

    No text at all is a call without arguments: many servers write it so.

    >>> parse_arguments('{"fruit": "pear"}'), parse_arguments('{"fruit": pe')
    ({'fruit': 'pear'}, {'_raw_arguments': '{"fruit": pe'})
    """
    if isinstance(arguments, dict):
        return arguments
    text = arguments if isinstance(arguments, str) else ""
    if not text.strip():
        return {}
    try:
        parsed = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        parsed = None
    return parsed if isinstance(parsed, dict) else {"_raw_arguments": text}


def with_own_ids(blocks: Iterable[Block]) -> list[Block]:
    """The blocks; a call without an id, or with that of an earlier one, is given a new id."""
    seen: set[str] = {""}
    out = []
    for block in blocks:
        if block.get("type") == "tool_use" and block["id"] in seen:
            block = {**block, "id": new_id()}  # noqa: PLW2901  # the same block, told apart
        seen.add(block.get("id", ""))
        out.append(block)
    return out


def plain_block(block: Any) -> Block:
    """A block of a kind of its own, as the provider gave it.

    >>> plain_block({"type": "thinking", "thinking": "so"}), plain_block(7)
    ({'type': 'thinking', 'thinking': 'so'}, {'type': 'unknown', 'value': 7})
    """
    to_dict = getattr(block, "to_dict", None)  # an object of the SDK
    given = to_dict(mode="json") if callable(to_dict) else block
    return dict(given) if isinstance(given, Mapping) else {"type": "unknown", "value": given}


def sendable(text: str) -> str:
    """``text`` as UTF-8 can carry it: lone surrogates, which it cannot, become ``?``."""
    return text.encode("utf-8", "replace").decode("utf-8")


def field_of(thing: object, name: str) -> Any:
    """A field of an object of the SDK, or of a dict; ``None`` if it has none of that name."""
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def typed_field(thing: object, name: str, kind: type[Kind]) -> Kind | None:
    """The same if it is of that type, else ``None``."""
    value = field_of(thing, name)
    return value if isinstance(value, kind) else None


def _seconds(value: str, headers: Mapping[str, str]) -> float:
    if value.strip().replace(".", "", 1).isdigit():
        return float(value)
    wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers["date"])
    return max(0.0, wait.total_seconds())


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
