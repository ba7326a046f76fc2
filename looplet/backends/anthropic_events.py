"""The events of a streamed message, put together to what an unstreamed one would be.

Values in, values out: knows no client and makes no call. Kinds of events and of pieces that are
not known are passed over, as the API asks for, since new ones come with time.
"""

from __future__ import annotations

from typing import Any

from looplet.backends.answers import field_of, parse_arguments, plain_block, typed_field
from looplet.core.backend import Block

_TEXTS = {"text_delta": "text", "thinking_delta": "thinking"}
"""The field that each kind of piece adds to, and holds its addition in."""


class MessageAssembly:
    """The events of one reply.

    >>> assembly = MessageAssembly()
    >>> block = {"type": "text", "text": ""}
    >>> piece = {"type": "text_delta", "text": "0.55"}
    >>> for event in ({"type": "content_block_start", "index": 0, "content_block": block},
    ...               {"type": "content_block_delta", "index": 0, "delta": piece},
    ...               {"type": "message_stop"}):
    ...     assembly.add(event)
    ''
    '0.55'
    ''
    >>> assembly.whole()["content"]
    [{'type': 'text', 'text': '0.55'}]
    """

    __slots__ = ("_blocks", "_message", "_stopped", "_usage")

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: list[_GrowingBlock] = []
        self._stopped = False

    def add(self, event: object) -> str | None:
        """Take an event and return the text in it; ``None`` if it adds to a block not begun."""
        kind = typed_field(event, "type", str)
        if kind == "message_start":
            self._start(field_of(event, "message"))
        elif kind == "content_block_start":
            return self._begin_block(event)
        elif kind == "content_block_delta":
            block = self._block_of(event)
            return None if block is None else block.add(field_of(event, "delta"))
        elif kind == "message_delta":
            delta, usage = field_of(event, "delta"), field_of(event, "usage")
            self._message |= _told(delta)
            self._usage |= _told(usage)
        elif kind == "message_stop":
            self._stopped = True
        return ""

    def whole(self) -> dict[str, Any] | None:
        """The message; ``None`` if the server did not say that it had finished."""
        if not self._stopped:
            return None
        content = [block.whole() for block in self._blocks]
        return {**self._message, "content": content, "usage": self._usage or None}

    def _start(self, message: object) -> None:
        self._message = _told(message)
        self._usage = _told(field_of(message, "usage"))

    def _begin_block(self, event: object) -> str:
        block = _GrowingBlock(
            typed_field(event, "index", int), plain_block(field_of(event, "content_block"))
        )
        self._blocks.append(block)
        return block.text()

    def _block_of(self, event: object) -> _GrowingBlock | None:
        index = typed_field(event, "index", int)
        fitting = (block for block in reversed(self._blocks) if index in {None, block.index})
        return next(fitting, None)


class _GrowingBlock:
    """A block as it began, and what came since."""

    __slots__ = ("_begun", "_citations", "_json", "_signature", "_texts", "index")

    def __init__(self, index: int | None, begun: Block) -> None:
        self.index = index
        self._begun = begun
        self._texts: dict[str, list[str]] = {}
        self._json: list[str] = []
        self._citations: list[Block] = []
        self._signature: str | None = None

    def text(self) -> str:
        """The text that it began with, if it is a block of text."""
        is_text = self._begun.get("type") == "text"
        return (typed_field(self._begun, "text", str) or "") if is_text else ""

    def add(self, delta: object) -> str:
        """Take a piece and return the text in it."""
        kind = typed_field(delta, "type", str) or ""
        if kind in _TEXTS:
            name = _TEXTS[kind]
            piece = typed_field(delta, name, str) or ""
            self._texts.setdefault(name, []).append(piece)
            return piece if kind == "text_delta" else ""
        if kind == "input_json_delta":
            self._json.append(typed_field(delta, "partial_json", str) or "")
        elif kind == "signature_delta":
            self._signature = typed_field(delta, "signature", str)
        elif kind == "citations_delta":
            self._citations.append(plain_block(field_of(delta, "citation")))
        return ""

    def whole(self) -> Block:
        """The block with all that came."""
        block = dict(self._begun)
        for name, pieces in self._texts.items():
            block[name] = (typed_field(block, name, str) or "") + "".join(pieces)
        arguments = "".join(self._json)
        if arguments.strip():
            block["input"] = parse_arguments(arguments)
        if self._signature is not None:
            block["signature"] = self._signature
        if self._citations:
            block["citations"] = [*(block.get("citations") or ()), *self._citations]
        return block


def _told(fields: object) -> dict[str, Any]:
    """The fields that are told; one that is absent leaves what was told before."""
    if fields is None:
        return {}
    return {name: value for name, value in plain_block(fields).items() if value is not None}
