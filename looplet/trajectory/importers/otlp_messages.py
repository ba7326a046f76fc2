"""What was said, as spans tell it: messages in every form that writers of spans use.

Read are the parts of OpenTelemetry's conventions, OpenAI's chat form, the blocks of Anthropic and
of Bedrock, and the flat names of OpenInference and OpenLLMetry. Knows forms of messages; knows no
run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from looplet.core.codec import JSON
from looplet.core.messages import ChatMessage
from looplet.trajectory.importers import chat, prompts, replies
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.problems import Malformed

_DEEPEST_NAME = 12
"""Parts of a flat name; OpenInference uses eight."""
_ROLES = {"model": "assistant", "ai": "assistant", "chatbot": "assistant"}
_OPENS = ("[", "{")


class Messages:
    """Reads messages, each that was said before only once: every call repeats what went before."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[ChatMessage, ...]] = {}

    def all_of(self, messages: Node, role: str) -> list[ChatMessage]:
        """The messages of a list, or its JSON; ``role`` is that of one that has none.

        A text that is no JSON is the one message.
        """
        value = structured(messages)
        if isinstance(value, str):
            value = [{"role": role, "content": value}] if value else []
        given = Node([value] if isinstance(value, dict) else value, messages.place)
        return [said for each in given.items() for said in self.of(each, role)]

    def of(self, message: Node, role: str) -> tuple[ChatMessage, ...]:
        """One message; several where results of tools stand in one."""
        name = f"{role} {json.dumps(message.value)}"
        if name not in self._known:
            self._known[name] = tuple(_messages(message, role))
        return self._known[name]

    def system(self, instructions: Node) -> list[ChatMessage]:
        """The system prompt: a text, parts, or JSON of either."""
        value = structured(instructions)
        if value in (None, "", []):
            return []
        return list(self.of(Node({"content": value}, instructions.place), "system"))


def structured(node: Node) -> JSON:
    """A value, or what its text is as JSON if that is a list or an object.

    Raises `Malformed` on a text that begins like one and is none: some writers cut long texts.
    """
    value = node.value
    if not isinstance(value, str) or not value.lstrip().startswith(_OPENS):
        return value
    parsed = chat.json_in(value)
    if parsed is None and value.lstrip().startswith(("[{", '{"')):
        raise Malformed(node.place, f"begins as JSON, and is none: {value[:60]!r}")
    return value if parsed is None else parsed


def unflattened(attributes: Mapping[str, JSON], prefix: str) -> JSON:
    """What flat names tell: numbers among them are places in lists.

    >>> unflattened({"p.0.role": "user", "p.0.content": "hi", "q": 1}, "p.")
    [{'role': 'user', 'content': 'hi'}]
    """
    tree: dict[str, Any] = {}
    for name, value in attributes.items():
        if not name.startswith(prefix):
            continue
        *way, last = name.removeprefix(prefix).split(".", _DEEPEST_NAME)
        branch = tree
        for part in way:
            inner = branch.setdefault(part, {})
            branch = inner if isinstance(inner, dict) else {}
        branch[last] = value
    return _with_lists(tree) if tree else None


def _with_lists(tree: JSON) -> JSON:
    if not isinstance(tree, dict):
        return tree
    if tree and all(part.isdecimal() for part in tree):
        return [
            _with_lists(tree[part]) for part in sorted(tree, key=lambda part: (len(part), part))
        ]
    return {part: _with_lists(inner) for part, inner in tree.items()}


def _messages(message: Node, role: str) -> Iterator[ChatMessage]:
    """One message of any form as looplet's."""
    fields = dict(_opened(message).fields())
    named = fields.get("role") or role
    fields["role"] = _ROLES.get(named, named) if isinstance(named, str) else named
    parts, content = fields.pop("parts", None), fields.get("content")
    if isinstance(content, str):
        content = blocks_in(content)
    given = parts if isinstance(parts, list) else content
    if isinstance(given, list):
        given = [_block(each) for each in given]
        fields["content"] = given
        if not fields.get("tool_calls") and any(map(_is_anthropics, given)):
            yield from _with_results(Node(fields, message.place))
            return
    if isinstance(fields.get("tool_calls"), str):
        fields["tool_calls"] = chat.json_in(fields["tool_calls"])
    if fields["role"] == "tool" and fields.get("tool_call_id") is None:
        fields["tool_call_id"] = fields.get("id")
    yield chat.message_of(Node(fields, message.place))


def _is_anthropics(part: JSON) -> bool:
    """Whether a part is a block that only Anthropic's form has."""
    return isinstance(part, dict) and part.get("type") in ("tool_use", "tool_result", "thinking")


def _with_results(message: Node) -> Iterator[ChatMessage]:
    if chat.role_of(message) == "assistant":
        blocks = tuple(replies.anthropic_blocks(message.get("content")))
        parts = replies.in_parts(blocks)
        yield ChatMessage(
            role="assistant", content=parts["text"], calls=parts["calls"], blocks=parts["blocks"]
        )
    else:
        yield from prompts.anthropic_message(message)


def _opened(message: Node) -> Node:
    """OpenInference's ``message.role`` and its kind, without their wrappings."""
    inner = message.fields().get("message")
    if not isinstance(inner, dict):
        return message
    calls = inner.get("tool_calls")
    contents = inner.get("contents")
    fields: dict[str, JSON] = {**inner}
    if isinstance(calls, list):
        fields["tool_calls"] = [_unwrapped(each, "tool_call") for each in calls]
    if isinstance(contents, list) and not inner.get("content"):
        fields["content"] = [_unwrapped(each, "message_content") for each in contents]
    if inner.get("function_call_name"):
        function = {
            "name": inner["function_call_name"],
            "arguments": inner.get("function_call_arguments_json"),
        }
        fields.setdefault("tool_calls", [{"function": function}])
    return Node(fields, f"{message.place}.message")


def _unwrapped(value: JSON, name: str) -> JSON:
    inner = value.get(name) if isinstance(value, dict) else None
    return value if inner is None else inner


def blocks_in(text: str) -> JSON:
    """A content's blocks where their JSON stands in its place; else the text."""
    if not text.startswith("[{"):
        return text
    value = chat.json_in(text)
    return value if _are_blocks(value) else text


def _are_blocks(value: JSON) -> bool:
    known = {"type", "text", "toolUse", "toolResult"}
    return isinstance(value, list) and all(
        isinstance(each, dict) and not known.isdisjoint(each) for each in value
    )


def _block(part: JSON) -> JSON:
    """A part of any form as a block: a text, a call, a result, a thought; others as they are."""
    if not isinstance(part, dict):
        return part
    if part.keys() == {"text"}:
        return {"type": "text", **part}
    for name, read in _BEDROCK.items():
        if isinstance(part.get(name), dict):
            return read(part[name])
    read_part = _PARTS.get(part["type"]) if isinstance(part.get("type"), str) else None
    return part if read_part is None else read_part(part)


def _text_part(part: dict[str, JSON]) -> JSON:
    if "content" not in part:
        return part
    rest = {name: value for name, value in part.items() if name not in ("type", "content")}
    return {"type": "text", "text": part["content"], **rest}


def _call_part(part: dict[str, JSON]) -> JSON:
    return {
        "type": "tool_use",
        "id": part.get("id") or "",
        "name": part.get("name"),
        "input": chat.arguments_of(part.get("arguments")),
    }


def _result_part(part: dict[str, JSON]) -> JSON:
    given = part.get("response", part.get("result"))
    return _result(part.get("id"), given, failed=bool(part.get("is_error")))


def _thought_part(part: dict[str, JSON]) -> JSON:
    rest = {name: value for name, value in part.items() if name not in ("type", "content")}
    return {"type": "thinking", "thinking": part.get("content", ""), **rest}


def _bedrock_call(use: dict[str, JSON]) -> JSON:
    given = {"id": use.get("toolUseId"), "name": use.get("name"), "arguments": use.get("input")}
    return _call_part(given)


def _bedrock_result(result: dict[str, JSON]) -> JSON:
    failed = result.get("status") == "error"
    return _result(result.get("toolUseId"), result.get("content"), failed=failed)


def _result(call_id: JSON, given: JSON, *, failed: bool) -> JSON:
    """A block of a tool's result; a value that is neither text nor blocks is told as JSON."""
    if isinstance(given, str):
        given = blocks_in(given)
    if given is not None and not isinstance(given, str) and not _are_blocks(given):
        given = json.dumps(given, ensure_ascii=False)
    block = {"type": "tool_result", "tool_use_id": call_id, "content": given}
    return block | {"is_error": True} if failed else block


_PARTS = {
    "text": _text_part,
    "tool_call": _call_part,
    "tool_call_response": _result_part,
    "reasoning": _thought_part,
}
_BEDROCK = {"toolUse": _bedrock_call, "toolResult": _bedrock_result}
