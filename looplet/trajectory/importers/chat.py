"""Messages in OpenAI's chat form, which many formats use, as looplet's own. Knows no format."""

from __future__ import annotations

import json

from looplet.core.codec import JSON
from looplet.core.messages import CallRequest, ChatMessage
from looplet.trajectory.importers import parsing
from looplet.trajectory.importers.builder import Block
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.problems import Malformed

RAW = "_raw_arguments"
"""Under this key stands what is no object though it is a call's arguments."""
_TEXT_TYPES = frozenset({"text", "input_text", "output_text", "refusal"})
_ROLES = {"developer": "system", "function": "tool", "ipython": "tool", "human": "user"}
_KNOWN_ROLES = frozenset({"system", "user", "assistant", "tool"})


def role_of(message: Node) -> str:
    """``system``, ``user``, ``assistant`` or ``tool``; raises `Malformed` on another."""
    role = message.need("role").text() or ""
    role = _ROLES.get(role, role)
    if role not in _KNOWN_ROLES:
        raise message.get("role").wrong("a role")
    return role


def content_of(content: Node) -> tuple[str, tuple[Block, ...]]:
    """Text, and the parts themselves where they are more than one text."""
    if content.value is None or isinstance(content.value, str):
        return content.value or "", ()
    if isinstance(content.value, dict):  # one part without its list
        content = Node([content.value], content.place)
    texts, blocks = [], []
    for item in content.items():
        is_text = isinstance(item.value, str)
        part = Node({"type": "text", "text": item.value}, item.place) if is_text else item
        blocks.append(part_of(part))
        kind = part.get("type").text()
        text = part.get("refusal" if kind == "refusal" else "text").value
        if isinstance(text, str) and (kind is None or kind in _TEXT_TYPES):
            texts.append(text)
    plain = len(blocks) == 1 and blocks[0].keys() == {"type", "text"} and len(texts) == 1
    return "\n".join(texts), () if plain else tuple(blocks)


def part_of(part: Node) -> Block:
    """A part of a content, without the mark that a provider is to cache all up to it.

    Marks move on from request to request, and would make another message of each that had one.
    """
    return {key: value for key, value in part.fields().items() if key != "cache_control"}


def message_of(message: Node) -> ChatMessage:
    """Any message; calls of an assistant's are read by ``calls_of``."""
    role = role_of(message)
    text, blocks = content_of(message.get("content"))
    return ChatMessage(
        role=role,  # type: ignore[arg-type]  # one of the four
        content=text,
        calls=tuple(calls_of(message)) if role == "assistant" else (),
        call_id=message.get("tool_call_id").label() if role == "tool" else None,
        blocks=blocks,
    )


def calls_of(message: Node) -> list[CallRequest]:
    """The tool calls of an assistant's message, the older single ``function_call`` too."""
    calls = [call_of(each) for each in message.get("tool_calls").items()]
    old = message.get("function_call")
    if old.known and not calls:
        calls.append(call_of(old))
    return calls


def call_of(call: Node) -> CallRequest:
    """One call: ``{"id", "function": {"name", "arguments"}}``, or with name and arguments beside.

    A ``custom`` call's input is a text. A call that the provider gave no id has an empty one.
    """
    function = call.first("custom", "function")
    if not isinstance(function.value, dict):
        function = call
    name = function.first("name", "function").text()
    if name is None:
        raise Malformed(call.place, "has no tool's name")
    given = function.first("arguments", "parameters", "input", "args")
    return CallRequest(
        id=call.first("id", "tool_call_id").label() or "",
        name=name,
        input=arguments_of(given.value),
    )


def arguments_of(value: JSON) -> dict[str, JSON]:
    """A call's arguments: an object, or the text of one. Models write other things too.

    >>> arguments_of('{"n": 1}'), arguments_of('{"n": '), arguments_of([1])
    ({'n': 1}, {'_raw_arguments': '{"n": '}, {'_raw_arguments': [1]})
    """
    if isinstance(value, dict):
        return value
    if value is None or (isinstance(value, str) and not value.strip()):
        return {}
    parsed = json_in(value) if isinstance(value, str) else value
    return parsed if isinstance(parsed, dict) else {RAW: value}


def json_in(text: str) -> JSON:
    """The value that a text is as JSON; ``None`` if it is none, or is nested without end."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return None if parsing.is_deep(value) else value
