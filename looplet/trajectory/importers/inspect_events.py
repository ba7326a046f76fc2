"""What happened in a sample of an Inspect log: its events, references resolved.

A text over a hundred characters stands once, among the attachments, and elsewhere by the name of
its hash; newer logs keep messages once, in a pool, and elsewhere ranges of places in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from looplet.core.codec import JSON
from looplet.core.messages import ChatMessage
from looplet.trajectory.importers import chat, replies
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.problems import Malformed

PREFIXES = ("attachment://", "tc://")
MOST = 1_000_000
"""How many messages a call may be sent; ranges that overlap could name any number."""


def expand(refs: Node, pool: Sequence[JSON]) -> list[JSON]:
    """The items that ranges ``[start, end]`` name; raises `Malformed` on a place not there."""
    found: list[JSON] = []
    for ref in refs.items():
        start, end = (each.integer() or 0 for each in _pair(ref))
        if not 0 <= start <= end <= len(pool):
            raise Malformed(ref.place, f"names {start} to {end} of {len(pool)} messages")
        if len(found) + end - start > MOST:
            raise Malformed(refs.place, f"names more than {MOST} messages")
        found += pool[start:end]
    return found


def _pair(ref: Node) -> list[Node]:
    pair = ref.items()
    if len(pair) != 2:  # noqa: PLR2004 - a start and an end
        raise ref.wrong("a start and an end")
    return pair


class References:
    """Attachments and pooled messages of one sample; each message is read once."""

    def __init__(self, sample: Node) -> None:
        old = sample.get("transcript").get("content")
        attached = sample.get("attachments")
        self.attachments = (attached if attached.value else old).fields()
        pool = sample.get("events_data").get("messages")
        self._pool = [
            each.value for each in (pool if pool.known else sample.get("message_pool")).items()
        ]
        self._known: dict[str, ChatMessage] = {}
        """By the message as the log has it."""
        self._alike: dict[str, ChatMessage] = {}
        """By the message as looplet has it: equal ones are one."""

    def resolved(self, value: JSON) -> JSON:
        """A value with what its texts refer to, as far as it is there."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.resolved(item) for item in value]
        if isinstance(value, dict):
            return {key: self.resolved(item) for key, item in value.items()}
        return value

    def text(self, text: str) -> str:
        """A text, or what it names."""
        for prefix in PREFIXES:
            if text.startswith(prefix):
                found = self.attachments.get(text.removeprefix(prefix))
                return found if isinstance(found, str) else text
        return text

    def node(self, node: Node) -> Node:
        """The same for a node."""
        return Node(self.resolved(node.value), node.place)

    def sent(self, event: Node) -> list[ChatMessage]:
        """What a call of a model was sent."""
        refs = event.get("input_refs")
        if not refs.known:
            return [self.message(message) for message in event.get("input").items()]
        values = expand(refs, self._pool)
        return [self.message(Node(value, refs.place)) for value in values]

    def message(self, message: Node) -> ChatMessage:
        """A message of the log's, as looplet's."""
        name = json.dumps(message.value, sort_keys=True)
        if name not in self._known:
            said = _message_of(self.node(message))
            self._known[name] = self._alike.setdefault(said.encoded, said)
        return self._known[name]


@dataclass(slots=True)
class Spans:
    """Which spans, or in older logs steps, an event stands in."""

    _spans: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """By id: ``type:name``, and the id of the span around it."""
    _steps: list[str] = field(default_factory=list)

    def take(self, event: Node) -> None:
        """Note that a span or a step begins or ends."""
        kind = event.get("event").value
        if kind == "span_begin":
            name = f"{event.get('type').label()}:{event.get('name').label()}"
            span_id = event.get("id").label()
            if span_id is not None:
                self._spans[span_id] = (name, event.get("parent_id").label())
        elif kind == "step" and event.get("action").value == "begin":
            self._steps.append(f"{event.get('type').label()}:{event.get('name').label()}")
        elif kind == "step" and self._steps:
            self._steps.pop()

    def around(self, event: Node) -> list[str]:
        """Names of what an event stands in, the outermost first."""
        names: list[str] = []
        span_id, seen = event.get("span_id").label(), set[str]()
        while span_id in self._spans and span_id not in seen:
            seen.add(span_id)
            name, span_id = self._spans[span_id]
            names.append(name)
        return [*self._steps, *reversed(names)]


def flat(events: Iterable[Node]) -> Iterator[Node]:
    """Events in their order, those too that older logs keep inside of others."""
    for event in events:
        yield event
        yield from flat(event.get("events").items())


def _message_of(message: Node) -> ChatMessage:
    """A message; what a model thought stands among its blocks, which calls follow."""
    said = chat.message_of(message)
    if said.role != "assistant":
        return said
    thought = message.get("reasoning").text()
    if not said.blocks and thought is None:
        return said
    head = [{"type": "reasoning", "reasoning": thought}] if thought is not None else []
    text = [{"type": "text", "text": said.content}] if said.content and not said.blocks else []
    calls = [{"type": "tool_use", **call.to_dict()} for call in said.calls]
    blocks = (*head, *(said.blocks or text), *calls)
    parts = replies.in_parts(tuple(dict(block) for block in blocks))
    return ChatMessage(
        role="assistant", content=said.content, calls=said.calls, blocks=parts["blocks"]
    )
