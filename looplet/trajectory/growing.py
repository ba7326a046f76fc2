"""Conversations that grow from call to call, kept without secrets and cut. Knows requests.

A long conversation is sent anew with every call. Each of its messages is looked at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from looplet.core.messages import ChatMessage, ModelRequest, RequestKeys, same_objects
from looplet.trajectory.cutting import cut_text
from looplet.trajectory.redacting import Redaction


class Kept(NamedTuple):
    """What is kept of a request."""

    request: ModelRequest
    """The request without secrets, uncut; the very same if nothing is redacted."""
    messages: tuple[ChatMessage, ...]
    """The whole conversation, the system prompt first, without secrets and cut."""
    key: str
    is_cut: bool
    """Whether a message was cut."""


class Lane:
    """The requests of one caller, one after the other."""

    def __init__(self, redaction: Redaction, max_chars: int | None) -> None:
        self._redaction, self._max_chars = redaction, max_chars
        self._keys = RequestKeys()
        self._given: tuple[ChatMessage, ...] = ()
        self._clean: tuple[ChatMessage, ...] = ()
        self._shown: tuple[ChatMessage, ...] = ()
        self._first_cut: int | None = None
        """Place of the first message that was cut."""
        self._system: ChatMessage | None = None

    def keep(self, asked: ModelRequest, *, model: str | None) -> Kept:
        """Make of a request what is kept of it."""
        redacts = self._redaction.active
        given = tuple(asked.messages)
        if given:
            self._follow(given)
        kept = self._redaction.request(asked, self._clean if given else ()) if redacts else asked
        if given:
            shown = self._shown
        else:
            shown = (self._cut(ChatMessage(role="user", content=kept.prompt)),)
        if kept.system_prompt:
            shown = (self._system_message(kept.system_prompt), *shown)
        is_cut = bool(given) and self._first_cut is not None
        return Kept(kept, shown, self._keys.key(kept, model=model), is_cut)

    def _follow(self, given: tuple[ChatMessage, ...]) -> None:
        known = same_objects(self._given, given)
        clean = given
        if self._redaction.active:
            new = map(self._redaction.message, given[known:])
            clean = (*self._clean[:known], *new)
        self._shown = (*self._shown[:known], *map(self._cut, clean[known:]))
        self._given, self._clean = given, clean
        if self._first_cut is None or self._first_cut >= known:
            pairs = enumerate(zip(clean[known:], self._shown[known:], strict=True), known)
            self._first_cut = next((place for place, (a, b) in pairs if a is not b), None)

    def _system_message(self, text: str) -> ChatMessage:
        if self._system is None or self._system.content != text:
            self._system = ChatMessage(role="system", content=text)
        return self._cut(self._system)

    def _cut(self, message: ChatMessage) -> ChatMessage:
        limit = self._max_chars
        if limit is None or len(message.content) <= limit:
            return message
        return replace(message, content=cut_text(message.content, limit))
