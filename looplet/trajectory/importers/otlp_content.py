"""What spans of calls and tools tell of messages, arguments and results, wherever they put it.

It stands in attributes, in attributes of one event (``operation.details``), in an event for each
message, or under flat names. Knows where; `otlp_messages` knows the forms.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from looplet.core.codec import JSON, from_jsonable
from looplet.core.messages import ChatMessage
from looplet.otel import conventions as names
from looplet.trajectory.importers import chat
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.otlp_facts import is_own
from looplet.trajectory.importers.otlp_messages import Messages, structured, unflattened
from looplet.trajectory.importers.otlp_spans import Event, Span

_MESSAGE_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
CHOICE = "gen_ai.choice"
DETAILS = "gen_ai.client.inference.operation.details"
_PROMPT, _COMPLETION = "gen_ai.content.prompt", "gen_ai.content.completion"
TOOL_VALUES = frozenset({"tool_arguments", "tool_response", "input.value", "output.value"})
"""Attributes that are all of a tool's arguments or of its result."""
TOLD = frozenset({*_MESSAGE_EVENTS, CHOICE, DETAILS, _PROMPT, _COMPLETION})
"""Events that tell what was said."""
_ARGUMENTS = (names.TOOL_ARGUMENTS, "tool_arguments", "input.value", "tool.parameters")
_RESULT = (names.TOOL_RESULT, "tool_response", "output.value")
_ENTITY_INPUT, _ENTITY_OUTPUT = "traceloop.entity.input", "traceloop.entity.output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a model, or an agent, was sent and what it said."""

    sent: list[ChatMessage] = field(default_factory=list)
    reply: ChatMessage | None = None
    """``None`` if it is not told."""
    others: list[JSON] = field(default_factory=list)
    """Further choices."""
    finish_reason: str | None = None


def said_in(span: Span, messages: Messages) -> Said:
    """What a chat's or an agent's span tells. Raises `Malformed`."""
    for read in _FORMS:
        sent, told = read(span, messages)
        if sent or told:
            break
    system = messages.system(_detail(span, names.SYSTEM_INSTRUCTIONS))
    replies = [said for node in told for said in messages.of(node, "assistant")]
    finish = (each.fields().get("finish_reason") for each in told if isinstance(each.value, dict))
    return Said(
        sent=[*system, *sent],
        reply=replies[0] if replies else None,
        others=[each.value for each in told[1:]],
        finish_reason=next((each for each in finish if isinstance(each, str)), None),
    )


_Told = tuple[list[ChatMessage], list[Node]]
"""Messages sent, and the choices of the reply."""


def _in_attributes(span: Span, messages: Messages) -> _Told:
    sent = messages.all_of(_detail(span, names.INPUT_MESSAGES), "user")
    return sent, _choices(_detail(span, names.OUTPUT_MESSAGES))


def _in_events(span: Span, messages: Messages) -> _Told:
    sent: list[ChatMessage] = []
    told: list[Node] = []
    for name, body in _bodies(span):
        if name == CHOICE:
            told.append(_choice(body))
        elif name == _PROMPT:
            sent += messages.all_of(body.first("gen_ai.prompt", "prompt"), "user")
        elif name == _COMPLETION:
            told += _choices(body.first("gen_ai.completion", "completion"))
        else:
            sent += messages.of(body, _MESSAGE_EVENTS[name])
    return sent, told


def _in_flat_names(span: Span, messages: Messages) -> _Told:
    for asked, answered in (
        ("llm.input_messages.", "llm.output_messages."),
        ("gen_ai.prompt.", "gen_ai.completion."),
    ):
        sent = unflattened(span.attributes, asked)
        told = unflattened(span.attributes, answered)
        if sent is not None or told is not None:
            place = Node(sent, f"{span.place}.{asked}")
            return messages.all_of(place, "user"), _choices(Node(told, f"{span.place}.{answered}"))
    return [], []


def _in_one_text(span: Span, messages: Messages) -> _Told:
    sent = messages.all_of(_plain(span.get("gen_ai.prompt", "input.value")), "user")
    told = _choices(_plain(span.get("gen_ai.completion", "output.value")))
    return sent, told


_FORMS: tuple[Callable[[Span, Messages], _Told], ...] = (
    _in_attributes, _in_events, _in_flat_names, _in_one_text,
)  # fmt: skip


def arguments_in(span: Span) -> dict[str, JSON] | None:
    """A tool's arguments; ``None`` if they are not told."""
    given = span.get(*_ARGUMENTS).value
    if given is None:
        given = _entity(span, _ENTITY_INPUT, "inputs", "kwargs", "input")
    if given is None:
        given = _part(span, names.INPUT_MESSAGES, "arguments")
    if given is None:
        bodies = (body for name, body in _bodies(span) if name == "gen_ai.tool.message")
        given = next((body.get("content").value for body in bodies), None)
    if given is None:
        return None
    arguments = chat.arguments_of(given)
    return _untagged(arguments) if is_own(span) else arguments


def result_in(span: Span) -> tuple[bool, JSON]:
    """Whether a tool's result is told, and what it is.

    looplet writes any result as JSON. Of others a text is read as JSON where it is a list or an
    object; else it is the result as it stands.
    """
    given = span.get(*_RESULT)
    if is_own(span) and isinstance(given.value, str):
        try:
            return True, _untagged(json.loads(given.value))
        except ValueError:
            raise given.wrong("JSON") from None
    value = given.value
    if value is None:
        value = _entity(span, _ENTITY_OUTPUT, "outputs", "output", "kwargs")
    if value is None:
        value = _part(span, names.OUTPUT_MESSAGES, "response")
    if value is None:
        choices = (body for name, body in _bodies(span) if name == CHOICE)
        value = next((body.first("message", "content").value for body in choices), None)
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        parsed = chat.json_in(value)
        value = value if parsed is None else parsed
    return value is not None, _in_one(value)


def _in_one(value: JSON) -> JSON:
    """The text of blocks that are nothing but texts."""
    if not isinstance(value, list) or not value:
        return value
    texts = [str(each["text"]) for each in value if isinstance(each, dict) and _is_text(each)]
    return "\n".join(texts) if len(texts) == len(value) else value


def _is_text(block: dict[str, JSON]) -> bool:
    rest = {name: each for name, each in block.items() if name != "text"}
    return isinstance(block.get("text"), str) and rest in ({}, {"type": "text"})


def _detail(span: Span, name: str) -> Node:
    """An attribute of the span, or of its event that holds the details."""
    if span.attributes.get(name) is not None:
        return span.get(name)
    in_events = (event.attributes.get(name) for event in span.events)
    return Node(next((each for each in in_events if each), None), f"{span.place}.events.{name}")


def _bodies(span: Span) -> Iterator[tuple[str, Node]]:
    """Events that tell of messages, with what they tell: attributes, or JSON in one of them."""
    for event in (*span.events, *_listed_events(span)):
        if event.name not in TOLD or event.name == DETAILS:
            continue
        where = f"{span.place}.events.{event.name}"
        body = structured(Node(event.attributes.get("gen_ai.event.content"), where))
        fields = dict(event.attributes)
        yield event.name, Node(fields | body if isinstance(body, dict) else fields, where)


def _listed_events(span: Span) -> Iterator[Event]:
    """Events that stand as JSON in an attribute."""
    listed = span.attributes.get("events")
    value = chat.json_in(listed) if isinstance(listed, str) else listed
    for each in value if isinstance(value, list) else ():
        name = each.get("event.name") if isinstance(each, dict) else None
        if isinstance(name, str):
            yield Event(name=name, ns=None, attributes=each)


def _choice(body: Node) -> Node:
    """The message of a choice; some give it as JSON, as its blocks, or without a wrapping."""
    message = body.get("message")
    value = structured(message)
    fields = body.fields()
    if value is None:
        value = {name: fields[name] for name in ("content", "tool_calls") if name in fields}
    if not isinstance(value, dict):
        value = {"content": value}
    if "tool_calls" in fields:
        value = {"tool_calls": fields["tool_calls"], **value}
    reason = fields.get("finish_reason")
    return Node({**value, "finish_reason": reason}, message.place)


def _choices(given: Node) -> list[Node]:
    value = structured(given)
    if value in (None, ""):
        return []
    if not isinstance(value, list):
        value = [value if isinstance(value, dict) else {"content": value}]
    return [Node(each, f"{given.place}[{index}]") for index, each in enumerate(value)]


def _plain(node: Node) -> Node:
    """A text as the one message that it is, unless it is the JSON of a list of messages."""
    if not node.known:
        return node
    value = chat.json_in(node.value) if isinstance(node.value, str) else node.value
    listed = isinstance(value, list) and bool(value)
    if listed and all(isinstance(each, dict) and "role" in each for each in value):
        return Node(value, node.place)
    return Node([{"content": _as_text(node.value)}], node.place)


def _as_text(value: JSON) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _entity(span: Span, name: str, *members: str) -> JSON:
    """A value of OpenLLMetry's, which wraps arguments and results in an object of its own."""
    given = span.attributes.get(name)
    value: Any = chat.json_in(given) if isinstance(given, str) else given
    if isinstance(value, dict):
        wrapped = (value[member] for member in members if value.get(member) not in (None, {}, []))
        return next(wrapped, value)
    return given if value is None else value


def _part(span: Span, name: str, member: str) -> JSON:
    """What the one part of a tool's message says."""
    value = structured(_detail(span, name))
    for message in value if isinstance(value, list) else ():
        parts = message.get("parts") if isinstance(message, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict) and part.get(member) is not None:
                return part[member]
    return None


def _untagged(value: JSON) -> Any:
    """A value of looplet's own with its tags read; as it is where they are none of looplet's."""
    try:
        return from_jsonable(value)
    except _NO_TAGS:
        return value


_NO_TAGS = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
