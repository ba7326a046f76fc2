"""A request and its response as a cassette keeps them, and the key a replay finds them by.

Knows vcrpy's form of both; knows no file, and nothing of how requests are caught.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from looplet.core.codec import JSON, canonical, digest
from looplet.redaction import Redactor
from looplet.replay.http.bodies import Content, canonical_request, redacted_response
from looplet.replay.http.hiding import (
    credentials,
    shown_request_headers,
    shown_response_headers,
    shown_uri,
)

_PORTS = {"http": 80, "https": 443}
_TRY_AGAIN = frozenset({408, 409, 429})
_LONGEST_DELAY = 120
"""Seconds; a client that is told to wait longer gives up rather than asks again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request without secrets; ``key`` is equal exactly for requests that mean the same."""

    method: str
    uri: str
    body: bytes
    headers: Mapping[str, str]
    key: str

    @property
    def place(self) -> str:
        """Method and address without parameters."""
        return f"{self.method} {self.uri.partition('?')[0]}"


class Censor:
    """Makes what passes fit to be kept; what one request proves its right with is hidden in all."""

    def __init__(self, redactor: Redactor, *, keep_headers: Iterable[str] = ()) -> None:
        self._redactor = redactor
        self._keep = tuple(keep_headers)
        self._credentials: dict[tuple[tuple[str, str], ...], Redactor] = {}

    def of_redacted(self) -> Censor:
        """Make one for what was redacted before: it makes the same keys, and changes no text."""
        return Censor(Redactor.of(given=False), keep_headers=self._keep)

    def request(self, request: Any) -> Asked:
        """Redact a request of vcrpy and give it its key. Raises ``Unreadable``."""
        headers = {name: request.headers[name] for name in request.headers}
        redactor = self._for(request.uri, headers)
        content = Content(
            data=_bytes_of(request),
            type=_header(headers, "content-type"),
            encoding=_header(headers, "content-encoding"),
        )
        uri = shown_uri(request.uri, redactor)
        body = canonical_request(content, redactor)
        return Asked(
            method=request.method,
            uri=uri,
            body=body,
            headers=shown_request_headers(headers, redactor, keep=self._keep),
            key=key_of(request.method, uri, body),
        )

    def response(self, response: Mapping[str, Any], request: Any) -> dict[str, Any]:
        """Redact a response of vcrpy, its body no longer compressed. Raises ``Unreadable``."""
        headers = {name: request.headers[name] for name in request.headers}
        redactor = self._for(request.uri, headers)
        if "body" not in response:  # as vcrpy wrote responses of httpx once
            old: dict[str, Any] = redactor.value(dict(response))
            return old
        answered = dict(response["headers"])  # tornado's come as pairs
        body = response["body"].get("string") or b""
        content = Content(
            data=body if isinstance(body, bytes) else body.encode(),
            type=_header(answered, "content-type"),
            encoding=_header(answered, "content-encoding"),
        )
        data = redacted_response(content, redactor)
        shown = shown_response_headers(answered, redactor, keep=self._keep)
        rest = {
            name: shown_uri(value, redactor) if name == "url" else redactor.value(value)
            for name, value in response.items()
            if name not in {"headers", "body"}
        }
        if data != content.data:
            shown = _sized(shown, data)
        return {**rest, "headers": shown, "body": {"string": data}}

    def noticed(self, response: Mapping[str, Any]) -> None:
        """See a recorded response: the numbers of its placeholders are taken, as they were then."""
        body = (response.get("body") or {}).get("string") or response.get("content") or b""
        text = body if isinstance(body, str) else body.decode("utf-8", "replace")
        if "[REDACTED:" in text:
            self._redactor.text(text)

    def _for(self, uri: str, headers: Mapping[str, str]) -> Redactor:
        if not self._redactor.active:
            return self._redactor
        # One that is found by its looks has one name whether a header tells of it or not.
        found = tuple(
            (name, secret)
            for name, secret in sorted(credentials(uri, headers).items())
            if not self._redactor.hides(secret)
        )
        if found not in self._credentials:
            self._credentials[found] = self._redactor.also(dict(found)) if found else self._redactor
        return self._credentials[found]


def key_of(method: str, uri: str, body: bytes) -> str:
    """Hash what a request is matched by: method, scheme, host, port, path, parameters and body."""
    parts = urlsplit(uri)
    return digest(
        canonical(
            [
                method.upper(),
                parts.scheme,
                parts.hostname,
                parts.port or _PORTS.get(parts.scheme),
                parts.path or "/",
                sorted(parse_qsl(parts.query, keep_blank_values=True)),
                body.decode("utf-8", "surrogateescape"),
            ]
        )
    )


def stored(asked: Asked, response: Mapping[str, Any]) -> dict[str, JSON]:
    """An interaction as vcrpy's file has it; bodies that are text are written as text."""
    body = response.get("body")
    if isinstance(body, Mapping):
        response = {**response, "body": {**body, "string": _shown(body.get("string"))}}
    request = {
        "method": asked.method,
        "uri": asked.uri,
        "body": _shown(asked.body),
        "headers": {name: [value] for name, value in asked.headers.items()},
    }
    return {"request": request, "response": dict(response)}


def played(response: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a recorded response to hand out; a client that tries again need not wait for it."""
    copy = deepcopy(dict(response))
    status = (copy.get("status") or {}).get("code", copy.get("status_code", 0))
    if status in _TRY_AGAIN or status >= 500:  # noqa: PLR2004 - where the server's errors begin
        copy["headers"] = _without_delay(copy["headers"])
    return copy


def _without_delay(headers: Mapping[str, Any]) -> dict[str, Any]:
    lower = {name.lower(): name for name in headers}
    told = lower.get("retry-after")
    if told and _seconds(headers[told]) > _LONGEST_DELAY:
        return dict(headers)
    kept = {name: value for name, value in headers.items() if name.lower() != "retry-after-ms"}
    if told:
        kept[told] = ["0"]
    return {**kept, "retry-after-ms": ["1"]}


def _seconds(values: Any) -> float:
    try:
        return float(values[0] if isinstance(values, list) else values)
    except (ValueError, IndexError):
        return 0.0


def _sized(headers: Mapping[str, list[str]], data: bytes) -> dict[str, list[str]]:
    """Headers of a body that is no longer compressed, and may have another length."""
    out = {name: each for name, each in headers.items() if name.lower() != "content-encoding"}
    for name in out:
        if name.lower() == "content-length":
            out[name] = [str(len(data))]
    return out


def _header(headers: Mapping[str, Any], name: str) -> str:
    for key, value in headers.items():
        if key.lower() == name:
            values = value if isinstance(value, list | tuple) else [value]
            return ", ".join(
                each if isinstance(each, str) else each.decode("latin-1") for each in values
            )
    return ""


def _shown(data: JSON) -> JSON:
    if not isinstance(data, bytes):
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _bytes_of(request: Any) -> bytes:
    body = request.body_bytes
    if body is None:
        return b""
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    return canonical(body).encode()
