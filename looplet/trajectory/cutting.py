"""Texts of model calls that are too long to be kept whole. Knows texts and blocks."""

from __future__ import annotations

from typing import Any

_WHOLE = frozenset({"type", "id", "name"})
"""Fields of a block that say what it is."""
_NOTHING_LEFT = "[…]"


def cut_text(text: str, limit: int) -> str:
    """At most ``limit`` characters of a text, and behind them a marker that says what is missing.

    >>> cut_text("a long prompt", 6)
    'a long [… 7 of 13 characters cut by max_chars_per_call=6]'
    >>> cut_text("a long prompt", 13)
    'a long prompt'
    """
    if len(text) <= limit:
        return text
    missing = f"{len(text) - limit:,} of {len(text):,} characters"
    return f"{text[:limit]} [… {missing} cut by max_chars_per_call={limit}]"


def cut_reply(reply: Any, limit: int) -> Any:
    """A reply whose texts together have at most ``limit`` characters; the rest is marked.

    >>> cut_reply([{"type": "text", "text": "abc"}, {"type": "text", "text": "def"}], 3)[1]
    {'type': 'text', 'text': '[…]'}
    """
    if isinstance(reply, str):
        return cut_text(reply, limit)
    if isinstance(reply, list):
        scissors = _Scissors(limit)
        return [scissors.cut_block(block) for block in reply]
    return reply


class _Scissors:
    """Cuts one text after the other until the room is used up."""

    def __init__(self, room: int) -> None:
        self._room = room

    def cut_block(self, block: Any) -> Any:
        if not isinstance(block, dict):
            return self.cut(block)
        return {name: each if name in _WHOLE else self.cut(each) for name, each in block.items()}

    def cut(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._cut_text(value)
        if isinstance(value, list):
            return [self.cut(item) for item in value]
        if isinstance(value, dict):
            return {key: self.cut(item) for key, item in value.items()}
        return value

    def _cut_text(self, text: str) -> str:
        room, self._room = self._room, max(0, self._room - len(text))
        if len(text) <= room:
            return text
        return cut_text(text, room) if room else _NOTHING_LEFT
