"""Questions that are alike but for what tools gave. Knows requests; knows no file."""

from __future__ import annotations

import hashlib

from looplet.core.codec import canonical, digest
from looplet.core.messages import ChatMessage
from looplet.core.sofar import SoFar
from looplet.replay.deltas import common_prefix
from looplet.replay.requests import Asked

TOOL = "tool"
"""The role of a message that answers a tool call."""


class LooseKeys:
    """Keys of one lane's requests, equal where the requests differ in tool results alone.

    Which call a result answers counts, and so does all else. A request that goes on from the one
    before it is hashed from there.
    """

    def __init__(self) -> None:
        self._frame, self._hasher = "", hashlib.sha256()
        self._hashed = SoFar[str]([])

    def of(self, asked: Asked) -> str:
        """The key of a request."""
        frame = canonical([asked.method, asked.model, dict(asked.params), list(asked.tools)])
        known = common_prefix(self._hashed, asked.digests)
        if frame != self._frame or known < len(self._hashed):
            self._frame, self._hasher, known = frame, hashlib.sha256(frame.encode()), 0
        for message in asked.messages[known:]:
            self._hasher.update(_loose(message).encode())
        self._hashed = asked.digests
        return self._hasher.hexdigest()


def _loose(message: ChatMessage) -> str:
    return digest(f"{TOOL} {message.call_id}") if message.role == TOOL else message.digest
