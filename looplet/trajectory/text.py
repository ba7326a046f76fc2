r"""Values as text that a Parquet file can hold, exactly. Knows values; knows no column and no file.

A Parquet string is UTF-8, so it cannot hold a lone surrogate, and JSON joins two surrogates that
were apart. One escape serves plain text and the strings inside JSON alike: U+001A (the control
character named SUBSTITUTE) followed by four lower-case hex digits stands for the code unit of that
number. It is used for surrogates and for U+001A itself, so text without either is stored as it is.

>>> escape_text("caf\u00e9"), escape_text("a\ud800b")
('café', 'a\x1ad800b')
>>> unescape_text("a\x1ad800b") == "a\ud800b"
True
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from looplet.core.codec import JSON, TAG, fast_encoder, from_jsonable, to_jsonable

SUBSTITUTE = "\x1a"
_SUBSTITUTE_IN_JSON = r"\u001a"
_UNSTORABLE = re.compile("[\x1a\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile("\x1a([0-9a-f]{4})")
_TAGGED = f'"{TAG}"'
_PLAIN = frozenset({str, int, float, bool, type(None)})


def _refuse(value: object) -> JSON:
    raise TypeError(f"{type(value).__name__} has no JSON form")


_encode = fast_encoder(default=_refuse, compact=True)


class JsonText(str):
    """A value that is encoded as JSON already, so that nobody encodes it again."""

    __slots__ = ()


def escape_text(text: str) -> str:
    """``text`` without surrogates; ``unescape_text`` gives it back."""
    if text.isascii() and SUBSTITUTE not in text:
        return text
    return _UNSTORABLE.sub(lambda found: f"{SUBSTITUTE}{ord(found[0]):04x}", text)


def unescape_text(text: str) -> str:
    """The text that ``escape_text`` was given."""
    if SUBSTITUTE not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def to_json_text(value: object) -> str:
    r"""``value`` as one line of JSON in UTF-8, from which ``from_json_text`` gives it back.

    Tuples, bytes, sets, NaN, dates and keys that are not text are tagged by the codec. Raises
    ``ValueError`` on an integer of more digits than Python converts.

    >>> to_json_text({"n": 2**70, "pair": (1, 2)})
    '{"n":1180591620717411303424,"pair":{"$looplet":"tuple","value":[1,2]}}'
    """
    plain = value if type(value) is str else to_jsonable(value)
    text = _encode(plain)
    if _SUBSTITUTE_IN_JSON not in text and (text.isascii() or not _SURROGATE.search(text)):
        return text
    return _encode(map_strings(plain, escape_text))


def from_json_text(text: str) -> JSON:
    """The value that ``to_json_text`` was given. Raises ``ValueError`` if it is not JSON."""
    value = json.loads(text)
    if _SUBSTITUTE_IN_JSON in text:
        value = map_strings(value, unescape_text)
    return from_jsonable(value) if _TAGGED in text else value


def is_plain(value: object) -> bool:
    """Whether a value is JSON as it stands, so that its ``str`` is the same after a round trip.

    >>> is_plain({"a": [1, None]}), is_plain({"a": {1, 2}})
    (True, False)
    """
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and is_plain(item) for key, item in value.items())  # type: ignore[attr-defined]
    if kind is list:
        return all(map(is_plain, value))  # type: ignore[call-overload]
    return kind in _PLAIN


def map_strings(value: JSON, change: Callable[[str], str]) -> JSON:
    """JSON with every string in it changed, keys included.

    >>> map_strings({"a": ["b", 1]}, str.upper)
    {'A': ['B', 1]}
    """
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [map_strings(item, change) for item in value]
    if isinstance(value, dict):
        return {change(key): map_strings(item, change) for key, item in value.items()}
    return value
