"""The conversation as a native model sees it: grows at its end only. Knows no provider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from looplet.core.codec import JSON
from looplet.core.messages import CallRequest, ChatMessage
from looplet.core.records import ToolCall, is_dunder
from looplet.core.show import cut
from looplet.core.sofar import SoFar
from looplet.core.usage import message_chars

DROPPED = "[result dropped to save room]"
"""Stands for a result that was dropped out of a turn that is kept for the others' sake."""


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
        self._steps: list[int | None] = []
        """Beside each message the number of the step whose result it is, if it is one."""
        self.chars = 0
        """Characters of all messages, kept so that nobody has to count them again."""

    def __len__(self) -> int:
        """How many messages there are."""
        return len(self._messages)

    def messages(self) -> Sequence[ChatMessage]:
        """Every message so far; what is added later is not in it."""
        return SoFar(self._messages)

    def open(self, text: str) -> None:
        """Set the first message."""
        if not self._messages:
            self._add(ChatMessage(role="user", content=text))
        elif self._messages[0].content != text:
            self.chars += len(text) - len(self._messages[0].content)
            # A new list, since requests that were made hold on to the old one.
            self._messages = [ChatMessage(role="user", content=text), *self._messages[1:]]

    def say(self, text: str) -> None:
        """Add a text to the model."""
        self._add(ChatMessage(role="user", content=text))

    def reply_text(self, text: str) -> None:
        """Add a reply of the model that was text alone."""
        self._add(ChatMessage(role="assistant", content=text))

    def reply_calls(
        self, text: str, calls: Sequence[ToolCall], blocks: tuple[Mapping[str, JSON], ...] = ()
    ) -> None:
        """Add a reply of the model that asked for tool calls; ``blocks`` as in ``ChatMessage``."""
        asked = tuple(
            CallRequest(id=call.call_id, name=call.tool, input=_visible(call)) for call in calls
        )
        self._add(ChatMessage(role="assistant", content=text, calls=asked, blocks=blocks))

    def answer(self, call_id: str, text: str, *, step: int | None = None) -> None:
        """Add the result of a call; ``step`` is its number, unless the call was not run."""
        self._add(ChatMessage(role="tool", content=text, call_id=call_id), step)

    def steps(self) -> tuple[int | None, ...]:
        """Beside each message the number of the step whose result it is, if it is one."""
        return tuple(self._steps)

    def restore(self, pairs: Iterable[tuple[ChatMessage, int | None]]) -> None:
        """Put other messages, each with its step's number, in the place of all."""
        self._set(list(pairs))

    def keep(self, results: Mapping[int, str], summary: str = "") -> None:
        """Keep the turns that hold these steps, each with what its result says by now.

        Every call of a turn is kept with its answer, since providers want both; an answer that is
        not among ``results`` says that it was dropped. What was said to the model since its last
        reply is kept too. A summary of what is dropped stands after the opening.
        """
        places = [place for place, step in enumerate(self._steps) if step in results]
        start = self._turn_of(places[0]) if places else self._after_replies()
        pairs = list(zip(self._messages, self._steps, strict=True))
        opening, rest = pairs[:1], pairs[max(1, start) :]
        told = [(ChatMessage(role="user", content=summary), None)] if summary else []
        self._set(opening + told + [(_saying(each, step, results), step) for each, step in rest])

    def keep_newest(self) -> None:
        """Keep the turn of the newest result alone, and of its results that one."""
        newest = [step for step in self._steps if step is not None][-1:]
        contents = dict(zip(self._steps, self._messages, strict=True))
        self.keep({step: contents[step].content for step in newest})

    def trim(self, chars: int) -> None:
        """Cut every result."""
        results = {
            step: cut(message.content, chars)
            for message, step in zip(self._messages, self._steps, strict=True)
            if step is not None
        }
        if results:
            pairs = zip(self._messages, self._steps, strict=True)
            self._set([(_saying(each, step, results), step) for each, step in pairs])

    def _turn_of(self, place: int) -> int:
        while place > 0 and not self._messages[place].calls:
            place -= 1
        return place

    def _after_replies(self) -> int:
        place = len(self._messages)
        while place > 0 and self._messages[place - 1].role == "user":
            place -= 1
        return place

    def _set(self, pairs: Sequence[tuple[ChatMessage, int | None]]) -> None:
        self._messages = [message for message, _ in pairs]
        self._steps = [step for _, step in pairs]
        self.chars = sum(message_chars(message) for message in self._messages)

    def _add(self, message: ChatMessage, step: int | None = None) -> None:
        self._messages.append(message)
        self._steps.append(step)
        self.chars += message_chars(message)


def _visible(call: ToolCall) -> dict[str, object]:
    return {key: value for key, value in call.args.items() if not is_dunder(key)}


def _saying(message: ChatMessage, step: int | None, results: Mapping[int, str]) -> ChatMessage:
    """The message with what its step's result says by now; itself if that is the same."""
    if step is None:
        return message
    dropped = DROPPED if len(message.content) > len(DROPPED) else message.content
    text = results.get(step, dropped)
    return message if text == message.content else replace(message, content=text)
