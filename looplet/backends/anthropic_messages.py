"""looplet's messages and replies in the form of Anthropic's Messages API, and back.

Values in, values out: knows no client and makes no call. An answer is read field by field, and a
field of the wrong type counts as absent, since other servers speak this protocol too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, takewhile
from typing import Any

from looplet.backends.answers import (
    field_of,
    parse_arguments,
    plain_block,
    sendable,
    typed_field,
    with_own_ids,
)
from looplet.backends.cache import CacheBreakpoint
from looplet.core.backend import Block
from looplet.core.codec import JSON, to_jsonable
from looplet.core.lastcall import CallOutcome
from looplet.core.messages import CallRequest, ChatMessage, ModelRequest
from looplet.errors import BackendError

CACHED, INTO_CACHE = "cache_read_input_tokens", "cache_creation_input_tokens"
SENT = ("input_tokens", CACHED, INTO_CACHE)
"""Anthropic counts what came from a cache, and what went into one, beside ``input_tokens``."""

_SENT_BACK = re.compile(r"(?:redacted_)?thinking|\w+_tool_use|\w+_tool_result")
"""Blocks of a reply, beside texts and calls, that the API wants back; other providers' are none."""
_REFUSED = (
    r"(?i)`?(\w+)`?:? (?:is|are) (?:deprecated|not supported|unsupported|no longer supported)"
)


def system_text(request: ModelRequest) -> str:
    """What stands above the conversation: every message of the system before the first other.

    >>> system_text(ModelRequest(method="generate", prompt="hi", system_prompt="Be brief."))
    'Be brief.'
    """
    return "\n\n".join(sendable(message.content) for message in _head(request))


def api_messages(request: ModelRequest) -> list[dict[str, JSON]]:
    """The conversation as the API takes it: turns of user and assistant, which take turns.

    Neighbours of one role become one message, results of tools first, since they must answer
    the calls at once. Empty texts, which the API refuses, are left out. What the model thought
    goes back as it came, at its place between texts and calls. A message of the system in the
    middle is said by the user, at its place. Raises ``BackendError`` if a result has no call.

    >>> api_messages(ModelRequest(method="generate", prompt="hi"))
    [{'role': 'user', 'content': 'hi'}]
    """
    turns: list[tuple[str, list[Block]]] = []
    for message in request.conversation()[len(_head(request)) :]:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks_sent(message)
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        elif blocks:
            turns.append((role, blocks))
    return [{"role": role, "content": _content(blocks)} for role, blocks in turns]


def api_tools(tools: Iterable[Mapping[str, JSON]]) -> list[dict[str, JSON]]:
    """Tool schemas (``name``, ``description``, ``input_schema``) as the API takes them."""
    return [
        {
            "name": tool["name"],
            "description": tool.get("description", ""),
            "input_schema": tool.get("input_schema") or {"type": "object", "properties": {}},
        }
        for tool in tools
    ]


def with_breakpoints(
    body: Mapping[str, Any], marks: Iterable[CacheBreakpoint], *, conversation: bool
) -> dict[str, Any]:
    """A request's body with the places marked that the provider is to cache.

    The memory stands in the first message of a conversation, and that is marked; a prompt of
    text is new at each step, so there is nothing of it to keep.
    """
    out = dict(body)
    for label, _, ttl in marks:
        control = {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": ttl}
        if label == "system_prompt" and "system" in out:
            out["system"] = [{"type": "text", "text": out["system"], "cache_control": control}]
        elif label == "tool_schemas" and "tools" in out:
            out["tools"] = [*out["tools"][:-1], {**out["tools"][-1], "cache_control": control}]
        elif label == "memory" and conversation and out["messages"]:
            out["messages"] = [_marked(out["messages"][0], control), *out["messages"][1:]]
    return out


def reply_blocks(message: object) -> list[Block] | None:
    """A reply's blocks; ``None`` if it is no reply.

    Texts and calls are in looplet's form; thinking, and any other kind, is as the API gave it.
    """
    content = typed_field(message, "content", list)
    if content is None:
        return None
    return with_own_ids(_block_read(block) for block in content)


def outcome_of(message: object) -> CallOutcome:
    """Usage and stop reason of a reply; ``usage=None`` where it tells none."""
    return CallOutcome(
        usage=_usage(field_of(message, "usage")),
        stop_reason=typed_field(message, "stop_reason", str),
    )


def refused_parameter(error: object) -> str | None:
    """The parameter that an error says the model does not take, if that is the error.

    >>> refused_parameter({"message": "`temperature` is deprecated for this model."})
    'temperature'
    """
    found = re.match(_REFUSED, typed_field(error, "message", str) or "")
    return found[1] if found else None


def _head(request: ModelRequest) -> list[ChatMessage]:
    return list(takewhile(lambda message: message.role == "system", request.conversation()))


def _blocks_sent(message: ChatMessage) -> list[Block]:
    if message.role == "tool":
        if message.call_id is None:
            raise BackendError("a message with role 'tool' needs the call_id that it answers")
        text = sendable(message.content)
        return [{"type": "tool_result", "tool_use_id": _id(message.call_id), "content": text}]
    if any(_SENT_BACK.fullmatch(str(block.get("type"))) for block in message.blocks):
        return list(_reply_sent_back(message))
    return _text_sent(message.content) + [_call_sent(call) for call in message.calls]


def _reply_sent_back(message: ChatMessage) -> Iterator[Block]:
    """The blocks of a reply in their order; its calls are the message's, which have all ids."""
    calls = iter(message.calls)
    for block in message.blocks:
        kind = str(block.get("type"))
        if kind == "text":
            yield from _text_sent(str(block.get("text") or ""))
        elif kind == "tool_use":
            yield from map(_call_sent, islice(calls, 1 if block.get("name") else 0))
        elif _SENT_BACK.fullmatch(kind):
            yield dict(block)
    yield from map(_call_sent, calls)


def _text_sent(text: str) -> list[Block]:
    return [{"type": "text", "text": sendable(text)}] if text.strip() else []


def _call_sent(call: CallRequest) -> Block:
    arguments = _sendable_json(to_jsonable(dict(call.input)))
    return {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": arguments}


def _content(blocks: list[Block]) -> str | list[Block]:
    if len(blocks) == 1 and blocks[0]["type"] == "text":
        text: str = blocks[0]["text"]
        return text
    return sorted(blocks, key=lambda block: block["type"] != "tool_result")


def _marked(message: dict[str, JSON], control: Mapping[str, JSON]) -> dict[str, JSON]:
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {**message, "content": [{**blocks[0], "cache_control": dict(control)}, *blocks[1:]]}


def _id(call_id: str) -> str:
    """An id as the API takes it: other providers put other characters into theirs."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", call_id)


def _sendable_json(value: JSON) -> JSON:
    if isinstance(value, str):
        return sendable(value)
    if isinstance(value, list):
        return [_sendable_json(each) for each in value]
    if isinstance(value, dict):
        return {sendable(key): _sendable_json(each) for key, each in value.items()}
    return value


def _block_read(block: object) -> Block:
    kind = typed_field(block, "type", str) or ""
    if kind == "text":
        return {"type": "text", "text": typed_field(block, "text", str) or ""}
    if kind == "tool_use":
        return {
            "type": "tool_use",
            "id": typed_field(block, "id", str) or "",
            "name": typed_field(block, "name", str) or "",
            "input": parse_arguments(field_of(block, "input")),
        }
    return plain_block(block)


def _usage(usage: object) -> dict[str, int] | None:
    counts: dict[str, int] = {}
    if type(field_of(usage, "input_tokens")) is int:
        counts["input_tokens"] = sum(_count(usage, name) for name in SENT)
    if type(field_of(usage, "output_tokens")) is int:
        counts["output_tokens"] = field_of(usage, "output_tokens")
    if type(field_of(usage, CACHED)) is int:
        counts["cached_tokens"] = field_of(usage, CACHED)
    if _count(usage, INTO_CACHE):
        counts["cache_write_tokens"] = _count(usage, INTO_CACHE)
    return counts or None


def _count(usage: object, name: str) -> int:
    count = field_of(usage, name)
    return count if type(count) is int else 0
