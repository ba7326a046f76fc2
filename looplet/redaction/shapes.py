"""How secrets look, and where they stand in a text. Knows texts; knows no placeholder."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, quote_plus

SHORTEST_ENCODED = 8
"""Fewer characters of base64 are found by chance."""


class Span(NamedTuple):
    """A secret's place in a text, and what it is known by."""

    start: int
    end: int
    kind: str
    secret: str | None
    """The secret as it was given; ``None``: what stands there is it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How secrets of one kind look."""

    kind: str
    regex: re.Pattern[str]
    """What is replaced is its group ``secret``, or all of it."""
    starts: tuple[str, ...] = ()
    """A match begins with one of these, if there are any; they are quicker to look for."""
    end: str = ""
    """A match ends with this, of a shape that begins as much does that is no secret."""

    def spans(self, text: str) -> Iterator[Span]:
        """Where such secrets stand."""
        for match in self._matches(text) if self.starts else self.regex.finditer(text):
            start, end = match.span("secret" if "secret" in self.regex.groupindex else 0)
            if start < end:
                yield Span(start, end, self.kind, None)

    def _matches(self, text: str) -> Iterator[re.Match[str]]:
        for first in self.starts:
            place = text.find(first)
            while place >= 0:
                match = self.regex.match(text, place)
                if match:
                    yield match
                place = text.find(first, match.end() if match else place + 1)


def _shape(kind: str, regex: str, *starts: str, end: str = "") -> Shape:
    return Shape(kind=kind, regex=re.compile(regex, re.ASCII), starts=starts, end=end)


_ALONE = r"(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt])|(?<=\\u[0-9A-Fa-f]{4})|(?<=%[0-9A-Fa-f]{2}))"
"""No letter before it, but for the last one of an escape of JSON or of a URL."""
_CREDENTIAL = r"(?=[A-Za-z_+/=.~-]*[0-9]|[^\s\"']{20})[A-Za-z0-9._~+/=-]{8,}"
_ESCAPED_QUOTES = r"[\\\"']{0,4}"
SHAPES = (
    _shape(
        "private-key",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?:[^-]|-(?!----))*+"
        r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|(?:[A-Za-z0-9+/=\s]|\\[nr])*+)",
        "-----BEGIN ",
    ),
    _shape(
        "sk",
        _ALONE + r"(?:sk-(?:(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{16,}|[A-Za-z0-9_-]{20,})"
        r"|sk_(?:live|test)_[A-Za-z0-9]{10,})",
        "sk-", "sk_live_", "sk_test_",
    ),
    _shape(
        "github",
        _ALONE + r"(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})",
        "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_",
    ),
    _shape("gitlab", _ALONE + r"glpat-[A-Za-z0-9_-]{16,}", "glpat-"),
    _shape(
        "aws",
        _ALONE + r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])",
        "AKIA", "ASIA", "ABIA", "ACCA",
    ),
    _shape(
        "aws",
        r"(?i:ecret_?access_?key)" + _ESCAPED_QUOTES + r"\s{0,8}[=:]\s{0,8}" + _ESCAPED_QUOTES
        + r"(?P<secret>[A-Za-z0-9/+]{40})",
        "ecret_access", "ecretAccess", "ecretaccess", "ECRET_ACCESS",
    ),
    _shape(
        "google",
        _ALONE + r"(?:AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{16,}|GOCSPX-[A-Za-z0-9_-]{16,})",
        "AIza", "ya29.", "GOCSPX-",
    ),
    _shape("slack", _ALONE + r"(?:xox[a-z]|xapp)-[A-Za-z0-9-]{10,}", "xox", "xapp-"),
    _shape("huggingface", _ALONE + r"hf_[A-Za-z0-9]{20,}", "hf_"),
    _shape("groq", _ALONE + r"gsk_[A-Za-z0-9]{20,}", "gsk_"),
    _shape("xai", _ALONE + r"xai-[A-Za-z0-9]{20,}", "xai-"),
    _shape("stripe", _ALONE + r"(?:rk_(?:live|test)|whsec)_[A-Za-z0-9]{10,}", "rk_", "whsec_"),
    _shape("npm", _ALONE + r"npm_[A-Za-z0-9]{30,}", "npm_"),
    _shape("pypi", _ALONE + r"pypi-[A-Za-z0-9_-]{30,}", "pypi-"),
    _shape(
        "jwt",
        _ALONE + r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){0,2}",
        "eyJ",
    ),
    _shape(
        "bearer",
        _ALONE + r"(?i:bearer)(?:\s{1,8}|%20|\+)(?P<secret>" + _CREDENTIAL + ")",
        "Bearer", "bearer", "BEARER",
    ),
    _shape(
        "basic",
        r"(?i:authorization)" + _ESCAPED_QUOTES + r"\s{0,8}[=:]\s{0,8}" + _ESCAPED_QUOTES
        + r"(?i:basic)\s{1,8}(?P<secret>[A-Za-z0-9+/_=-]{4,})",
        "Authorization", "authorization", "AUTHORIZATION",
    ),
    _shape(
        "url",
        r"://(?:[^\s:/?#@\[\]\"'<>]|\[REDACTED:[A-Za-z0-9_.-]{1,64}\]){0,256}"
        r":(?P<secret>[^\s/@\"'<>]{1,512})@",
        "://", end="@",
    ),
)  # fmt: skip
"""Secrets that are known by their looks; where two find the same text, the first names it."""


def forms_of(secret: str) -> Iterator[str]:
    """The texts by which a secret is found: itself, escaped, and in base64."""
    yield secret
    for ascii_only in (True, False):
        form = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield form
        yield form.replace("/", "\\/")
        yield json.dumps(form)[1:-1]  # JSON in JSON, as in the arguments of a tool
    data = secret.encode("utf-8", "surrogatepass")
    for quoted in (quote(data, ""), quote(data), quote(data, "!'()*"), quote_plus(data)):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quoted)
    yield from _in_base64(data)


def _in_base64(data: bytes) -> Iterator[str]:
    """What is the same in all base64 of texts with the secret in them, by where it begins."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + data).decode()
        bits = 8 * (before + len(data))
        same = whole[-(-8 * before // 6) : bits // 6]
        if len(same) >= SHORTEST_ENCODED:
            yield same
            yield same.replace("+", "-").replace("/", "_")
