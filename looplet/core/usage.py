"""Tokens of a model call: the one rule that counts them.

Knows requests and replies; knows no provider and no price.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from looplet.core.backend import Reply
from looplet.core.codec import JSON, canonical
from looplet.core.messages import ChatMessage, ModelRequest
from looplet.core.records import Usage

CHARS_PER_TOKEN = 4
"""What a token is taken for where the provider does not count."""


def count_tokens(
    request: ModelRequest, reply: Reply | None, usage: Mapping[str, Any] | None
) -> Usage:
    """Tokens of one call: the provider's own count where given, else ``ceil(chars / 4)``.

    ``usage`` is a backend's ``last_usage``: ``{"input_tokens", "output_tokens"}``, in tokens.
    Each side is judged by itself: a side that is missing, or is no count, is estimated, and then
    ``estimated`` is true. Characters sent are those of every message, the system prompt, the
    calls in messages and the tools' schemas; characters received are those of texts, tool names
    and arguments. What the model thought counts on both sides, as it is sent. ``reply=None`` (the
    call failed) receives 0 tokens, and no estimate is needed for that.

    >>> request = ModelRequest(method="generate", prompt="What is 2 + 2?")
    >>> count_tokens(request, "4", None)
    Usage(input_tokens=4, output_tokens=1, total_tokens=5, estimated=True)
    >>> count_tokens(request, "4", {"input_tokens": 17, "output_tokens": 2})
    Usage(input_tokens=17, output_tokens=2, total_tokens=19, estimated=False)
    """
    return tokens_of(reply, usage, chars_sent=lambda: _chars_sent(request))


def tokens_of(
    reply: Reply | None, usage: Mapping[str, Any] | None, *, chars_sent: Callable[[], int]
) -> Usage:
    """Tokens by the same rule for a caller that keeps count of the characters it sends.

    ``chars_sent`` is asked only if the provider did not count.
    """
    sent, received = _given(usage, "input_tokens"), _given(usage, "output_tokens")
    if received is None and reply is None:
        received = 0
    estimated = sent is None or received is None
    if sent is None:
        sent = estimate(chars_sent())
    if received is None:
        received = estimate(chars_received("" if reply is None else reply))
    return Usage(sent, received, sent + received, estimated=estimated)


def estimate(chars: int) -> int:
    """Tokens of a text of that length: ``ceil(chars / 4)``.

    >>> estimate(0), estimate(1), estimate(8)
    (0, 1, 2)
    """
    return -(-chars // CHARS_PER_TOKEN)


def _given(usage: Mapping[str, Any] | None, name: str) -> int | None:
    count = usage.get(name) if usage else None
    return count if type(count) is int and count >= 0 else None


def _chars_sent(request: ModelRequest) -> int:
    messages = sum(message_chars(message) for message in request.conversation())
    return messages + tools_chars(request.tools)


def tools_chars(schemas: Sequence[Mapping[str, JSON]]) -> int:
    """Characters of tools' schemas, as they count towards what is sent."""
    return len(canonical(list(schemas))) if schemas else 0


def message_chars(message: ChatMessage) -> int:
    """Characters of a message: of its text, its calls, and what the model thought."""
    chars = len(message.content)
    for call in message.calls:
        chars += len(call.name) + len(canonical(call.input))
    for block in message.blocks:
        # Texts and calls are in fields of their own.
        if block.get("type") not in ("text", "tool_use"):
            chars += _block_chars(block)
    return chars


def chars_received(reply: object) -> int:
    """Characters of a reply: of its text, or of its blocks' texts, tool names and arguments.

    What is no reply and no block is counted by its text, so that a broken backend breaks no count.
    """
    if isinstance(reply, list):
        return sum(_block_chars(block) for block in reply)
    return len(reply if isinstance(reply, str) else str(reply))


def _block_chars(block: object) -> int:
    if not isinstance(block, Mapping):
        return len(str(block))
    kind = block.get("type")
    if kind == "tool_use":
        return len(str(block.get("name") or "")) + len(canonical(block.get("input", {})))
    return len(str(block.get("text") or "")) if kind == "text" else len(canonical(block))
