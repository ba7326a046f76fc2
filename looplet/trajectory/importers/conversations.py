"""Files of chat messages: which of them are conversations, and in whose form. Knows no reader.

A file is a list of messages, as JSON or a message a line; an object with ``messages``; or many of
these, as a list or one a line. Plain texts are alike in OpenAI's form and Anthropic's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from looplet.core.codec import JSON
from looplet.trajectory.importers import parsing
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.problems import Malformed
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import Trajectory

OPENAI, ANTHROPIC = "openai", "anthropic"
_PLAIN = "plain"
"""Of neither form: texts alone."""
_OPENAI_ROLES = frozenset({"system", "developer", "tool", "function"})
_OPENAI_KEYS = frozenset({"tool_calls", "function_call"})
_ANTHROPIC_BLOCKS = frozenset(
    {"tool_use", "tool_result", "thinking", "redacted_thinking", "server_tool_use"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One run's messages, and what stands beside them."""

    record: Node
    """All of it."""
    about: Node
    """The object that has the messages; absent if they stand alone."""
    messages: list[Node]


def form_of(source: Source) -> str | None:
    """Whose form the messages of a file have; ``None`` if it has none."""
    outline = source.outline
    if outline.kind == "other":
        return None
    if _is_one(source):
        found = {_form({}, _all_of(source))}
    else:
        given = [outline.members] if outline.kind == "object" else outline.elements
        found = {_form(*_parts(each)) for each in given}
    if OPENAI in found or not found - {None, _PLAIN}:
        return OPENAI if found - {None} else None
    return ANTHROPIC


def read_each(source: Source, read: Callable[[Conversation], Trajectory]) -> Iterator[Trajectory]:
    """What ``read`` makes of each conversation; a malformed one is reported, and the rest read."""
    if _is_one(source):
        messages = list(source.records())
        record = Node([each.value for each in messages])
        one = Conversation(record=record, about=Node(None), messages=messages)
        yield from source.read_each(iter([record]), lambda _: read(one))
    else:
        yield from source.read_each(source.records(), lambda record: read(_conversation(record)))


def known_of(about: Node) -> tuple[dict[str, Any], dict[str, JSON]]:
    """Fields of a `Trajectory` that an object tells, and the rest of it.

    What has such a name and is of another kind is in the rest.
    """
    rest = about.rest("messages", "tools", "functions", "system")
    known: dict[str, Any] = {}
    for name, field, read in _KNOWN:
        if rest.get(name) is None or field in known:
            continue
        try:
            known[field] = read(about.get(name))
            del rest[name]
        except Malformed:
            continue
    return known, rest


def tools_of(about: Node) -> list[dict[str, JSON]] | None:
    """The tools' schemas as they are given; functions of old have their form of today."""
    tools = [each.fields() for each in about.get("tools").items()]
    old = [each.fields() for each in about.get("functions").items()]
    return tools + [{"type": "function", "function": each} for each in old] or None


def prompt_of(messages: list[Node], text_of: Callable[[Node], str]) -> JSON:
    """The task: what the user said first."""
    asked = next((each for each in messages if each.get("role").value == "user"), None)
    text = "" if asked is None else text_of(asked)
    return {"prompt": text} if text else None


def _conversation(record: Node) -> Conversation:
    if isinstance(record.value, list):
        return Conversation(record=record, about=Node(None), messages=record.items())
    return Conversation(record=record, about=record, messages=record.need("messages").items())


def _is_one(source: Source) -> bool:
    """Whether a file is the messages of one conversation."""
    outline = source.outline
    many = outline.kind in ("array", "lines") and bool(outline.elements)
    return many and all(map(_is_message, outline.elements))


def _all_of(source: Source) -> list[JSON]:
    """All of a file's messages; what is broken is told when it is read."""
    read = parsing.elements if source.outline.kind == "array" else parsing.lines
    return [node.value for node in read(source.text, lambda _: None)]


def _is_message(value: JSON) -> bool:
    return (
        isinstance(value, dict) and isinstance(value.get("role"), str) and ("messages" not in value)
    )


def _parts(value: JSON) -> tuple[dict[str, JSON], list[JSON]]:
    """What a conversation has beside its messages, and those; nothing if it is none."""
    about = value if isinstance(value, dict) else {}
    messages = about.get("messages") if about else value
    return about, messages if isinstance(messages, list) else []


def _form(about: dict[str, JSON], messages: list[JSON]) -> str | None:
    known = [each for each in messages if _is_message(each)]
    if not known:
        return None
    if any(each["role"] in _OPENAI_ROLES or _OPENAI_KEYS & each.keys() for each in known):
        return OPENAI
    contents = [each["content"] for each in known if isinstance(each.get("content"), list)]
    blocks = [block for content in contents for block in content if isinstance(block, dict)]
    kinds = [block.get("type") for block in blocks]
    tools = about.get("tools")
    has_schemas = isinstance(tools, list) and any(
        isinstance(tool, dict) and "input_schema" in tool for tool in tools
    )
    is_anthropics = has_schemas or about.get("system") is not None
    named = any(isinstance(kind, str) and kind in _ANTHROPIC_BLOCKS for kind in kinds)
    return ANTHROPIC if is_anthropics or named else _PLAIN


def _tags(node: Node) -> list[str]:
    return [each.text() or "" for each in node.items()]


_KNOWN: tuple[tuple[str, str, Callable[[Node], Any]], ...] = (
    ("task_id", "task_id", Node.label),
    ("trial", "trial", lambda node: node.integer(bits=32)),
    ("dataset", "dataset", Node.text),
    ("agent", "agent", Node.text),
    ("model", "model", Node.text),
    ("tags", "tags", _tags),
    ("reward", "reward", Node.number),
    ("score", "reward", Node.number),
    ("expected", "expected", lambda node: node.value),
    ("ideal", "expected", lambda node: node.value),
)
"""Members that are fields of a run: its name, the field's, and how it is read."""
