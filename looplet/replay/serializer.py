"""A cassette's YAML: what is written and how it reads. Knows texts; knows nothing of requests.

Any text must come back exactly as it was, from libyaml and from the pure Python loader, and a
text of several lines should read as such in a diff. YAML alone does not give both: what it cannot
show as a block becomes a tagged mapping (``storable``), with looplet's own tag for such values.
"""

from __future__ import annotations

import re
from typing import Any

from looplet.core.codec import JSON, TAG, from_jsonable, to_jsonable
from looplet.replay.yaml_events import read, write

LINES, ESCAPED = "lines", "escaped"
"""Tags of texts: a list of lines, and Python's backslash escapes."""

_ODD = re.compile(
    r"[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
"""Characters that YAML shows in quotes alone."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACED = re.compile("[\ue000-\uf8ff\U00010000-\U0010ffff]")
_STAND_IN = re.compile("[\ue000-\uf8ff]")
_SHORT = 40
_END = "...\n"
_PRIVATE = range(0xE000, 0xF900)


def storable(value: object) -> JSON:
    r"""Any value in a form that YAML and JSON keep exactly, and that reads well in both.

    >>> storable("tab\there, and\nmore than forty characters of it")
    {'$looplet': 'lines', 'value': ['tab\there, and', 'more than forty characters of it']}
    >>> restored(storable({"a": "\ud800"})) == {"a": "\ud800"}
    True
    """
    return _storable(to_jsonable(value))


def restored(value: JSON) -> Any:
    """What ``storable`` was given, made anew: changing it changes nothing that is stored."""
    return from_jsonable(_with_texts(value))


def dumps(data: dict[str, JSON]) -> str:
    """A document of storable values as YAML, keys in their own order."""
    try:
        return _dump(data, _PrivateUse())
    except _TooManyCharacters:
        return _dump(data, None)


def loads(text: str) -> JSON:
    """The document. Raises ``ValueError`` with the place if the text is not YAML."""
    return read(text)


def _storable(value: JSON) -> JSON:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if not isinstance(value, dict):
        return value
    if not all(map(str.isascii, value)) and any(_SURROGATE.search(key) for key in value):
        pairs = [[_storable(key), _storable(item)] for key, item in value.items()]
        return {TAG: "dict", "value": pairs}
    return {key: _storable(item) for key, item in value.items()}


def _text(text: str) -> JSON:
    if "\n" in text and len(text) > _SHORT and not _fits_a_block(text):
        return {TAG: LINES, "value": [_text(line) for line in text.split("\n")]}
    if not text.isascii() and _SURROGATE.search(text):
        return {TAG: ESCAPED, "value": text.encode("unicode_escape").decode("ascii")}
    return text


def _fits_a_block(text: str) -> bool:
    if text.endswith(" ") or " \n" in text:
        return False
    if text.isascii():  # is known of a text, and its printable characters are quick to check
        return text.replace("\n", " ").isprintable()
    return not _ODD.search(text)


def _with_texts(value: JSON) -> JSON:
    if isinstance(value, list):
        return [_with_texts(item) for item in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: _with_texts(item) for key, item in value.items()}
    body = _with_texts(value.get("value"))
    if value[TAG] == LINES:
        return "\n".join(body)
    if value[TAG] == ESCAPED:
        return str(body).encode("ascii").decode("unicode_escape")
    return {TAG: value[TAG], "value": body}


class _TooManyCharacters(Exception):
    """A document has more distinct emoji and the like than there are stand-ins."""


class _PrivateUse:
    """Stand-ins for characters outside the basic plane, one to one, while libyaml writes.

    libyaml escapes an emoji and then cannot write the text around it as a block; it takes a
    character of the private use area as it is. Such characters in the text get stand-ins too, so
    that the way back is exact.
    """

    def __init__(self) -> None:
        self.there: dict[str, str] = {}

    def hide(self, text: str) -> str:
        if text.isascii() or not _REPLACED.search(text):
            return text
        return _REPLACED.sub(self._stand_in, text)

    def show(self, text: str) -> str:
        back = {stand_in: char for char, stand_in in self.there.items()}
        return _STAND_IN.sub(lambda match: back[match[0]], text) if back else text

    def _stand_in(self, match: re.Match[str]) -> str:
        if len(self.there) == len(_PRIVATE):
            raise _TooManyCharacters
        return self.there.setdefault(match[0], chr(_PRIVATE[len(self.there)]))


def _dump(data: JSON, private: _PrivateUse | None) -> str:
    def shown(text: str) -> tuple[str, str | None]:
        style = "|" if "\n" in text and _fits_a_block(text) else None
        return (private.hide(text) if private else text), style

    text = write(data, shown)
    # libyaml ends a document that a text with blank lines at its end ended; ours goes on.
    if text.endswith(f"\n{_END}"):
        text = text[: -len(_END)]
    return private.show(text) if private else text
