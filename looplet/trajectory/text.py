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
from typing import Any

from looplet.core.codec import JSON, LONGEST_INT, TAG, fast_encoder, from_jsonable, to_jsonable

SUBSTITUTE = "\x1a"
_SUBSTITUTE_IN_JSON = r"\u001a"
_UNSTORABLE = re.compile("[\x1a\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile("\x1a([0-9a-f]{4})")
_TAGGED = f'"{TAG}"'
_PLAIN = frozenset({str, float, bool, type(None)})
_DEEP = 100


def _refuse(value: object) -> JSON:
    raise TypeError(f"{type(value).__name__} has no JSON form")


_encode = fast_encoder(default=_refuse, compact=True)
_quote = json.encoder.encode_basestring  # in C where there is one


class JsonTexts(list[str | None]):
    """Values that are encoded as JSON already, so that nobody encodes them again."""

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
    if type(value) is str:
        return _quote(escape_text(value))
    plain = value if is_plain(value) else to_jsonable(value)
    try:
        text = _encode(plain)
    except ValueError:  # NaN is as plain as other numbers, and has no form in JSON
        text = _encode(plain := to_jsonable(value))
    # A single character is found many times faster than a word, and mostly it is not there.
    escapes = "\\" in text and _SUBSTITUTE_IN_JSON in text
    if not escapes and (text.isascii() or not _SURROGATE.search(text)):
        return text
    return _encode(map_strings(plain, escape_text))


def from_json_text(text: str) -> JSON:
    """The value that ``to_json_text`` was given. Raises ``ValueError`` if it is not JSON."""
    value = json.loads(text)
    if _SUBSTITUTE_IN_JSON in text:
        value = map_strings(value, unescape_text)
    return from_jsonable(value) if _TAGGED in text else value


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is JSON as it stands, so that its ``str`` is the same after a round trip.

    Of what is nested more than a hundred levels deep it says no, since the codec may give up on it.

    >>> is_plain({"a": [1, None]}), is_plain({"a": {1, 2}})
    (True, False)
    """
    kind = type(value)
    if kind is dict:
        for key in value:
            if type(key) is not str or key == TAG:
                return False
        value = value.values()
    elif kind is not list:
        return kind in _PLAIN or (kind is int and value.bit_length() <= LONGEST_INT)
    for item in value:  # not by a call for each, since most of what is nested is nested no further
        if type(item) not in _PLAIN and (depth > _DEEP or not is_plain(item, depth + 1)):
            return False
    return True


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
