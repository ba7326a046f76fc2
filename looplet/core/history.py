"""The conversation as a native model sees it: grows at its end only. Knows no provider."""

from __future__ import annotations

from collections.abc import Sequence

from looplet.core.messages import CallRequest, ChatMessage
from looplet.core.records import ToolCall, is_dunder


class History:
    """Messages of a native conversation.

    What was sent once is never changed, so that a provider's prompt cache keeps its worth; the
    opening alone is replaced when memory changes.

    >>> history = History()
    >>> history.open("TASK ...")
    >>> history.say("Low budget.")
    >>> [message.role for message in history.messages()]
    ['user', 'user']
    """

    def __init__(self) -> None:
        self._messages: list[ChatMessage] = []
        self.chars = 0
        """Characters of all messages, kept so that nobody has to count them again."""

    def messages(self) -> tuple[ChatMessage, ...]:
        """Every message so far."""
        return tuple(self._messages)

    def open(self, text: str) -> None:
        """Set the first message."""
        if not self._messages:
            self._add(ChatMessage(role="user", content=text))
        elif self._messages[0].content != text:
            self.chars += len(text) - len(self._messages[0].content)
            self._messages[0] = ChatMessage(role="user", content=text)

    def say(self, text: str) -> None:
        """Add a text to the model."""
        self._add(ChatMessage(role="user", content=text))

    def reply_text(self, text: str) -> None:
        """Add a reply of the model that was text alone."""
        self._add(ChatMessage(role="assistant", content=text))

    def reply_calls(self, text: str, calls: Sequence[ToolCall]) -> None:
        """Add a reply of the model that asked for tool calls."""
        asked = tuple(
            CallRequest(id=call.call_id, name=call.tool, input=_visible(call)) for call in calls
        )
        self._add(ChatMessage(role="assistant", content=text, calls=asked))
        self.chars += sum(len(call.name) + len(str(call.input)) for call in asked)

    def answer(self, call_id: str, text: str) -> None:
        """Add the result of a call."""
        self._add(ChatMessage(role="tool", content=text, call_id=call_id))

    def _add(self, message: ChatMessage) -> None:
        self._messages.append(message)
        self.chars += len(message.content)


def _visible(call: ToolCall) -> dict[str, object]:
    return {key: value for key, value in call.args.items() if not is_dunder(key)}
