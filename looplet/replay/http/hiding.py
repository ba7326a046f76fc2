"""Headers and addresses of HTTP without secrets. Knows names that hold them; knows no cassette.

A replay needs no header of a request, so those that are not known to be harmless are hidden. Of a
response the client reads some, so those are hidden that are known to tell who asked.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from looplet.redaction import Redactor

HARMLESS = frozenset(
    {
        "accept", "accept-language", "anthropic-beta", "anthropic-version", "cache-control",
        "connection", "content-type", "host", "openai-beta", "user-agent",
    }
)  # fmt: skip
"""Headers of a request that are kept as they are."""
_NOT_KEPT = re.compile(
    r"(?i)(?:content-length|content-encoding|accept-encoding|transfer-encoding|x-stainless-.*)"
)
"""Headers of a request that say how it was sent; each machine and version has its own."""
_CREDENTIAL = re.compile(r"(?i)auth|api-?key|token|secret|cookie|passw|credential|signature")
_TELLS_WHO = re.compile(
    r"(?i)auth(?!enticate)|api-?key|token|secret|cookie|credential|signature|session"
    r"|organi[sz]ation|project|account|user-id|client-ip|forwarded"
)
_ADDRESSES = frozenset({"location", "content-location"})
_HARMLESS_ANSWER = re.compile(r"(?i)rate-?limit|usage|tokens")
_SECRET_PARAMETER = re.compile(
    r"(?i)api_?-?key|access_?-?key(?:_?id)?|(?:access|auth|api|id|refresh|security|session)_?-?token"
    r"|token|(?:client_?)?secret|password|passwd|sig|signature|credential"
)
"""Names of parameters that mean nothing else; the values of others must be told apart."""
_SHORTEST = 8
"""Credentials of fewer characters are not looked for in bodies."""

Headers: TypeAlias = Mapping[str, Sequence[str] | str]


def shown_request_headers(
    headers: Mapping[str, str], redactor: Redactor, *, keep: Iterable[str] = ()
) -> dict[str, str]:
    """The headers of a request as a cassette keeps them, by their names in small letters.

    >>> shown_request_headers({"X-API-Key": "k", "Accept": "*/*"}, Redactor.of(None))
    {'accept': '*/*', 'x-api-key': '[REDACTED:x-api-key]'}
    """
    kept = HARMLESS | {name.lower() for name in keep}
    shown = {}
    for name, value in sorted((name.lower(), _as_text(value)) for name, value in headers.items()):
        if name in kept:
            shown[name] = redactor.text(value)
        elif not _NOT_KEPT.fullmatch(name):
            shown[name] = _placeholder(name)
    return shown


def shown_response_headers(
    headers: Headers, redactor: Redactor, *, keep: Iterable[str] = ()
) -> dict[str, list[str]]:
    """The headers of a response as a cassette keeps them; cookies are left out.

    >>> shown_response_headers({"openai-organization": ["acme"]}, Redactor.of(None))
    {'openai-organization': ['[REDACTED:openai-organization]']}
    """
    kept = {name.lower() for name in keep}
    shown = {}
    for name, values in headers.items():
        lower = name.lower()
        if lower == "set-cookie" and lower not in kept:
            continue
        hidden = _TELLS_WHO.search(lower) and not _HARMLESS_ANSWER.search(lower)
        if hidden and lower not in kept:
            shown[name] = [_placeholder(lower)]
        else:
            texts = [_as_text(value) for value in ([values] if isinstance(values, str) else values)]
            show = shown_uri if lower in _ADDRESSES else _shown_text
            shown[name] = [show(text, redactor) for text in texts]
    return shown


def shown_uri(uri: str, redactor: Redactor) -> str:
    """An address without user, password, and values of parameters that are named like secrets.

    >>> shown_uri("https://ada:pw@host/v1?api_key=k123&alt=sse", Redactor.of(None))
    'https://host/v1?api_key=[REDACTED:api_key]&alt=sse'
    """
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    query = "&".join(_shown_parameters(uri, redactor))
    path = quote(redactor.text(parts.path), safe="/%[]:@!$&'()*+,;=~-._")
    return urlunsplit((parts.scheme, host, path, query, ""))


def credentials(uri: str, headers: Mapping[str, str]) -> dict[str, str]:
    """What a request proves its right with: secrets that a body may hold, too, by their names.

    >>> credentials("http://host/?api_key=k-123456", {"Authorization": "Bearer abc-12345"})
    {'authorization': 'abc-12345', 'api_key': 'k-123456'}
    """
    found: dict[str, str] = {}
    for name, secret in _all_credentials(uri, headers):
        # A word without a digit is a stand-in, as people write them for a replay.
        if len(secret) >= _SHORTEST and re.search("[0-9]", secret) and secret not in found.values():
            found[_free(_safe(name), found)] = secret
    return found


def _all_credentials(uri: str, headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        if _CREDENTIAL.search(name):
            for secret in _secrets_of(name.lower(), _as_text(value)):
                yield name.lower(), secret
    for name, value, certain in _parameters(uri):
        if certain:
            yield name, value
    if urlsplit(uri).password:
        yield "password", unquote(urlsplit(uri).password or "")


def _free(name: str, taken: Mapping[str, str]) -> str:
    number = 1
    while (f"{name}-{number}" if number > 1 else name) in taken:
        number += 1
    return f"{name}-{number}" if number > 1 else name


def _secrets_of(name: str, value: str) -> Iterator[str]:
    if "cookie" in name:
        yield from (part.partition("=")[2].strip() for part in value.split(";"))
        return
    scheme, _, rest = value.strip().rpartition(" ")
    yield rest
    if scheme.lower() == "basic":
        yield _password(rest)


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _parameters(uri: str) -> Iterator[tuple[str, str, bool]]:
    """Names, values, and whether the value is a secret for sure; in their order."""
    parts = urlsplit(uri)
    google = (parts.hostname or "").endswith(".googleapis.com")
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        last = name.removeprefix("X-Amz-").removeprefix("X-Goog-")
        yield name, value, bool(_SECRET_PARAMETER.fullmatch(last)) or (google and name == "key")


def _shown_parameters(uri: str, redactor: Redactor) -> Iterator[str]:
    for name, value, secret in _parameters(uri):
        shown = _placeholder(name) if secret else redactor.text(value)
        yield f"{quote(redactor.text(name), safe='[]:')}={quote(shown, safe='[]:/')}"


def _shown_text(text: str, redactor: Redactor) -> str:
    return redactor.text(text)


def _placeholder(name: str) -> str:
    return f"[REDACTED:{_safe(name)}]"


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:64]


def _as_text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
