"""The conversation: every prompt, reply, call and result in order. Knows no provider's dialect."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from looplet.core.codec import JSON, from_jsonable, to_jsonable
from looplet.core.records import ErrorKind, ToolCall, ToolError, ToolResult

PROMPT_CHARS = 5000
"""How much of a prompt is kept here; the whole text is the trajectory's business."""
FORMAT = 1


class MessageRole(str, Enum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(slots=True)
class Message:
    """One entry of a conversation."""

    role: MessageRole
    content: str
    tool_call: ToolCall | None = None
    tool_result: ToolResult | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    timestamp: float = field(default_factory=time.time)
    """Unix time, in seconds."""


class Conversation:
    """Messages in order.

    >>> talk = Conversation()
    >>> talk.append(Message(MessageRole.USER, "hi"))
    >>> [message.content for message in Conversation.deserialize(talk.serialize()).messages]
    ['hi']
    """

    def __init__(self, messages: Iterable[Message] | None = None) -> None:
        self._kept: list[Any] = list(messages or ())
        """Messages, and in the place of some a note: what makes it, and of what."""
        self._asked = False
        """Whether anybody has the list of messages, in which notes have no place."""
        self._counted = 0
        """How many messages are in ``_chars``, so that none is counted again each turn."""
        self._chars = 0

    @property
    def messages(self) -> list[Message]:
        """The messages in order, in a list that may be changed."""
        if not self._asked:
            self._asked = True
            for place, each in enumerate(self._kept):
                if isinstance(each, tuple):
                    self._kept[place] = each[0](*each[1:])
        return self._kept

    @messages.setter
    def messages(self, messages: list[Message]) -> None:
        self._kept, self._asked = messages, True

    def append(self, message: Message) -> None:
        """Add a message at the end."""
        self._kept.append(message)

    def note(self, make: Callable[..., Message], *parts: Any) -> None:
        """Add the message that ``make(*parts)`` makes once somebody asks for the messages.

        Few runs have somebody who does, and a step's messages would take more room than its call
        and result.
        """
        if self._asked or type(self).append is not Conversation.append:
            self.append(make(*parts))
        else:
            self._kept.append((make, *parts))

    def fork(self) -> Conversation:
        """Another conversation with the same messages."""
        return Conversation(self.messages)

    def render(self) -> str:
        """The conversation as text, one line a message."""
        return "\n".join(f"{message.role.value}: {message.content}" for message in self.messages)

    def revise(self, messages: Iterable[Message]) -> None:
        """Put other messages in the place of all; what earlier ones said is counted no more."""
        self.messages = list(messages)
        self._counted = self._chars = 0

    def find_compaction_boundaries(self) -> list[int]:
        """Places where turns begin, so that a cut there parts no call from its answer.

        >>> roles = (MessageRole.USER, MessageRole.ASSISTANT, MessageRole.TOOL, MessageRole.USER)
        >>> Conversation(Message(role, "") for role in roles).find_compaction_boundaries()
        [0, 3]
        """
        answered = [True, *(each.role is MessageRole.TOOL for each in self.messages)]
        return [
            place
            for place, message in enumerate(self.messages)
            if answered[place] and message.role is not MessageRole.TOOL
        ]

    def truncate(self, keep: int) -> int:
        """Keep the newest ``keep`` messages, and those before them in the same turn.

        Returns how many were dropped.
        """
        start = self._turn_at(len(self.messages) - keep)
        if start:
            self.revise(self.messages[start:])
        return start

    def compact(self, summary: str, *, keep: int = 0) -> int:
        """Put a summary, said by the system, in the place of what ``truncate`` would drop.

        Returns how many messages it stands for; without any, nothing is changed.
        """
        dropped = self.truncate(keep)
        if dropped:
            self.revise([Message(MessageRole.SYSTEM, summary), *self.messages])
        return dropped

    def entities(self) -> list[str]:
        """Every entity that a result brought, once, in the order of first sight."""
        found = (each.metadata.get("entities", ()) for each in self.messages)
        return list(dict.fromkeys(name for names in found for name in names))

    def _turn_at(self, place: int) -> int:
        """Where the turn of the message at ``place`` begins; the end for a place past it."""
        if place >= len(self.messages):
            return len(self.messages)
        return max(
            (start for start in self.find_compaction_boundaries() if start <= place), default=0
        )

    def token_estimate(self) -> int:
        """Tokens, estimated as a quarter of the characters.

        Only what was appended since the last estimate is counted, so that asking each turn costs
        the same however long the run; change messages by ``revise``.
        """
        if self._counted > len(self.messages):
            self._counted = self._chars = 0
        new = self.messages[self._counted :]
        self._chars += sum(len(message.content) for message in new)
        self._counted = len(self.messages)
        return self._chars // 4

    def serialize(self) -> dict[str, JSON]:
        """The conversation as JSON."""
        return {"version": FORMAT, "messages": [_encode(message) for message in self.messages]}

    @classmethod
    def deserialize(cls, data: Mapping[str, JSON]) -> Conversation:
        """The conversation that ``serialize`` was called on. Raises ``ValueError`` if unknown."""
        if data.get("version") != FORMAT:
            raise ValueError(f"conversation format {data.get('version')!r} is not known")
        return cls(_decode(message) for message in data["messages"])


def _encode(message: Message) -> dict[str, JSON]:
    out: dict[str, JSON] = {
        "role": message.role.value,
        "content": message.content,
        "timestamp": message.timestamp,
        "metadata": to_jsonable(message.metadata),
    }
    if message.tool_call is not None:
        out["tool_call"] = message.tool_call.to_dict()
    if message.tool_result is not None:
        out["tool_result"] = _encode_result(message.tool_result)
    return out


def _encode_result(result: ToolResult) -> dict[str, JSON]:
    detail = result.error_detail
    kind = result.error_kind
    return {
        "tool": result.tool,
        "args_summary": result.args_summary,
        "data": to_jsonable(result.data),
        "error": result.error,
        "error_kind": kind.value if kind else None,
        "error_retriable": result.error_retriable,
        "error_context": to_jsonable(detail.context) if detail else {},
        "duration_ms": result.duration_ms,
        "result_key": result.result_key,
        "call_id": result.call_id,
        "metadata": to_jsonable(result.metadata),
    }


def _decode(data: Mapping[str, JSON]) -> Message:
    call, result = data.get("tool_call"), data.get("tool_result")
    return Message(
        MessageRole(data["role"]),
        data["content"],
        tool_call=_decode_call(call) if call else None,
        tool_result=_decode_result(result) if result else None,
        metadata=from_jsonable(data["metadata"]),
        timestamp=data["timestamp"],
    )


def _decode_call(data: Mapping[str, JSON]) -> ToolCall:
    return ToolCall(
        data["tool"],
        from_jsonable(data["args"]),
        data["reasoning"],
        data["call_id"],
        from_jsonable(data["metadata"]),
    )


def _decode_result(data: Mapping[str, JSON]) -> ToolResult:
    error = data["error"]
    detail = None
    if error is not None and data["error_kind"]:
        detail = ToolError(
            ErrorKind(data["error_kind"]),
            error,
            retriable=data["error_retriable"],
            context=from_jsonable(data["error_context"]),
        )
    return ToolResult(
        data["tool"],
        data["args_summary"],
        from_jsonable(data["data"]),
        error=error,
        error_detail=detail,
        duration_ms=data["duration_ms"],
        result_key=data["result_key"],
        call_id=data["call_id"],
        metadata=from_jsonable(data["metadata"]),
    )
