"""Messages of model calls in a trace: each once, each call as what it adds to one before.

A long conversation is sent anew with every call, so that writing all of it each time would cost
the square of the calls. Knows calls and messages; knows no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from looplet.core.codec import JSON, digest, from_jsonable, to_jsonable
from looplet.core.messages import ChatMessage, ModelRequest
from looplet.core.sofar import same_start
from looplet.trajectory.model import LLMCall
from looplet.trajectory.text import to_json_text

Record = dict[str, JSON]
_TOO_MANY = 3
"""Messages of a conversation that is more than a system prompt and a prompt."""
NAME_CHARS = 16
"""Hex digits of a message's name, which is made of what it says."""


class MessageNames:
    """Turns the messages of calls into names, and tells which messages are new."""

    def __init__(self) -> None:
        self._names: dict[int, tuple[ChatMessage, str]] = {}
        """By the messages' ``id``; a message is kept beside its name, so that no id is reused."""
        self._known: set[str] = set()
        self._lanes: dict[str, LLMCall] = {}

    def add(self, call: LLMCall) -> tuple[Record | None, list[Record]]:
        """What a call's record says of its messages, and the messages to be written before it.

        ``None`` where the messages are the system prompt and the prompt, and nothing else.
        """
        if len(call.messages) < _TOO_MANY and call.messages == usual_messages(call):
            return None, []
        before, self._lanes[call.lane] = self._lanes.get(call.lane), call
        kept = _common(before.messages, call.messages) if before is not None else 0
        new: list[Record] = []
        names = [self._name(message, new) for message in call.messages[kept:]]
        base = before.index if before is not None and kept else None
        return {"after": base, "keep": kept, "new": names}, new

    def _name(self, message: ChatMessage, new: list[Record]) -> str:
        known = self._names.get(id(message))
        if known is not None:
            return known[1]
        record = to_jsonable(message.to_dict())
        name = digest(to_json_text(record))[:NAME_CHARS]
        self._names[id(message)] = (message, name)
        if name not in self._known:
            self._known.add(name)
            new.append({"name": name, **record})
        return name


def put_messages(
    calls: Sequence[LLMCall], records: Mapping[int, Record], messages: Sequence[Record]
) -> None:
    """Give calls their messages. Raises ``LookupError`` where one refers to what is not there.

    ``records`` has, by a call's index, what ``MessageNames.add`` gave for it.
    """
    by_name = {record["name"]: _message(record) for record in messages}
    known: dict[int, tuple[ChatMessage, ...]] = {}
    by_index = {call.index: call for call in calls}
    for call in calls:
        if call.index not in records:
            call.messages = known[call.index] = usual_messages(call)
    for call in calls:
        pending, index = [], call.index
        while index not in known and index not in pending:
            pending.append(index)
            after = records[index]["after"]
            index = index if after is None else after
        for each in reversed(pending):
            record = records[each]
            before = () if record["after"] is None else known[record["after"]]
            added = tuple(by_name[name] for name in record["new"])
            by_index[each].messages = known[each] = before[: record["keep"]] + added


def usual_messages(call: LLMCall) -> tuple[ChatMessage, ...]:
    """The conversation of a call that is sent a prompt and no more."""
    request = ModelRequest(method="generate", prompt=call.prompt, system_prompt=call.system_prompt)
    return request.conversation()


def _message(record: Record) -> ChatMessage:
    return ChatMessage.from_dict({**from_jsonable(record), "role": record["role"]})


def _common(one: Sequence[ChatMessage], other: Sequence[ChatMessage]) -> int:
    """How many messages both begin with."""
    count = same_start(one, other)
    if count in (len(one), len(other)):
        return count
    for left, right in zip(one[count:], other[count:], strict=False):
        if left != right:
            break
        count += 1
    return count
