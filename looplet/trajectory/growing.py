"""Conversations that grow from call to call, kept without secrets and cut. Knows requests.

A long conversation is sent anew with every call. Each of its messages is looked at once, and a
call has the messages so far without a copy of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from looplet.core.messages import ChatMessage, ModelRequest, RequestKeys
from looplet.core.sofar import SoFar, same_start
from looplet.trajectory.cutting import cut_text
from looplet.trajectory.redacting import Redaction

Messages = Sequence[ChatMessage]


class Kept(NamedTuple):
    """What is kept of a request."""

    request: ModelRequest
    """The request without secrets, uncut; the very same if nothing is redacted."""
    messages: Messages
    """The whole conversation, the system prompt first, without secrets and cut."""
    key: str
    is_cut: bool
    """Whether a message was cut."""


class Lane:
    """The requests of one caller, one after the other."""

    def __init__(self, redaction: Redaction, max_chars: int | None) -> None:
        self._redaction, self._max_chars = redaction, max_chars
        self._keys = RequestKeys()
        self._given: Messages = ()
        self._clean: SoFar[ChatMessage] = SoFar([])
        self._shown: SoFar[ChatMessage] = SoFar([])
        """What is shown of the messages, behind the system prompt's if there is one."""
        self._system = ""
        self._first_cut: int | None = None
        """Place of the first message that was cut."""

    def keep(self, asked: ModelRequest, *, model: str | None) -> Kept:
        """Make of a request what is kept of it."""
        if not asked.messages:
            kept = self._redaction.request(asked, ()) if self._redaction.active else asked
            shown = tuple(map(self._cut, kept.conversation()))
            return Kept(kept, shown, self._keys.key(kept, model=model), is_cut=False)
        known = self._follow(asked.messages)
        kept = asked
        if self._redaction.active:
            kept = self._redaction.request(asked, self._clean)
        self._show(kept, known)
        key = self._keys.key(kept, model=model)
        return Kept(kept, self._shown, key, is_cut=self._first_cut is not None)

    def _follow(self, given: Messages) -> int:
        """Go on with a conversation; how many of its messages are known."""
        known = same_start(self._given, given)
        if self._redaction.active:
            new = map(self._redaction.message, given[known:])
            self._clean = _first(self._clean, known).with_more(new)
        self._given = given
        return known

    def _show(self, kept: ModelRequest, known: int) -> None:
        system = kept.system_prompt
        head = [ChatMessage(role="system", content=system)] if system else []
        if system != self._system or not self._shown:
            self._system, known = system, 0
            self._shown = SoFar([self._cut(message) for message in head])
            self._first_cut = None
        else:
            self._shown = _first(self._shown, len(head) + known)
            if self._first_cut is not None and self._first_cut >= known:
                self._first_cut = None
        new = kept.messages[known:]
        shown = [self._cut(message) for message in new]
        self._shown = self._shown.with_more(shown)
        if self._first_cut is None:
            pairs = enumerate(zip(new, shown, strict=True), known)
            self._first_cut = next((place for place, (a, b) in pairs if a is not b), None)

    def _cut(self, message: ChatMessage) -> ChatMessage:
        limit = self._max_chars
        if limit is None or len(message.content) <= limit:
            return message
        return replace(message, content=cut_text(message.content, limit))


def _first(messages: SoFar[ChatMessage], count: int) -> SoFar[ChatMessage]:
    return messages if count == len(messages) else SoFar([*messages[:count]])
