"""looplet's messages and replies in the form of OpenAI's Chat Completions, and back.

Values in, values out: knows no client and makes no call. Servers differ in what they leave out,
so an answer is read field by field, and a field of the wrong type counts as absent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from looplet.backends.answers import (
    field_of,
    parse_arguments,
    sendable,
    typed_field,
    with_own_ids,
)
from looplet.core.backend import Block
from looplet.core.codec import JSON, to_jsonable
from looplet.core.lastcall import CallOutcome
from looplet.core.messages import CallRequest, ChatMessage, ModelRequest
from looplet.errors import BackendError

STOP_REASONS = {"length": "max_tokens", "tool_calls": "tool_use", "stop": "end_turn"}
"""OpenAI's ``finish_reason`` in looplet's words; others stay as they are."""

_UNSUPPORTED = re.compile(r"unsupported (?:parameter|value): '(\w+)'", re.IGNORECASE)


def chat_messages(request: ModelRequest) -> list[dict[str, JSON]]:
    """The request's conversation as Chat Completions takes it, the system prompt first.

    >>> chat_messages(ModelRequest(method="generate", prompt="hi"))
    [{'role': 'user', 'content': 'hi'}]
    """
    return [chat_message(message) for message in request.conversation()]


def chat_message(message: ChatMessage) -> dict[str, JSON]:
    """One message as Chat Completions takes it. Raises ``BackendError`` if a result has no call."""
    text = sendable(message.content)
    if message.role == "tool":
        if message.call_id is None:
            raise BackendError("a message with role 'tool' needs the call_id that it answers")
        return {"role": "tool", "tool_call_id": message.call_id, "content": text}
    if not message.calls:
        return {"role": message.role, "content": text}
    calls = [_tool_call(call) for call in message.calls]
    return {"role": message.role, "content": text or None, "tool_calls": calls}


def chat_tools(tools: Iterable[Mapping[str, JSON]]) -> list[dict[str, JSON]]:
    """Tool schemas (``name``, ``description``, ``input_schema``) as functions."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool["name"],
                "description": tool.get("description", ""),
                "parameters": tool.get("input_schema") or {"type": "object", "properties": {}},
            },
        }
        for tool in tools
    ]


def blocks_of(message: object) -> list[Block]:
    """A completion's message as blocks: its text, then its calls.

    A call without an id, or with the id of another call of the same reply, is given a new one.
    """
    text = typed_field(message, "content", str) or typed_field(message, "refusal", str)
    calls = [_tool_use(call) for call in typed_field(message, "tool_calls", list) or ()]
    said: list[Block] = [{"type": "text", "text": text}] if text else []
    return said + with_own_ids(calls)


def outcome_of(completion: object, choice: object) -> CallOutcome:
    """Usage and stop reason of a completion; ``usage=None`` where it tells none."""
    reason = typed_field(choice, "finish_reason", str)
    return CallOutcome(
        usage=_usage(field_of(completion, "usage")),
        stop_reason=STOP_REASONS.get(reason, reason) if reason else None,
    )


def choice_of(completion: object) -> object | None:
    """The completion's first choice, if it has one with a message."""
    choices = field_of(completion, "choices")
    if not isinstance(choices, Sequence) or isinstance(choices, str) or not choices:
        return None
    first: object = choices[0]
    return first if field_of(first, "message") is not None else None


def refused_parameter(body: object) -> str | None:
    """The parameter that a provider's error says the model does not take, if that is the error.

    >>> refused_parameter({"message": "Unsupported parameter: 'max_tokens' is not supported"})
    'max_tokens'
    """
    code, parameter = typed_field(body, "code", str), typed_field(body, "param", str)
    if parameter and code in {"unsupported_parameter", "unsupported_value"}:
        return parameter
    found = _UNSUPPORTED.match(typed_field(body, "message", str) or "")
    return found[1] if found else None


def _tool_call(call: CallRequest) -> dict[str, JSON]:
    arguments = sendable(json.dumps(to_jsonable(dict(call.input)), ensure_ascii=False))
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _tool_use(call: object) -> Block:
    function = field_of(call, "function")
    return {
        "type": "tool_use",
        "id": typed_field(call, "id", str) or "",
        "name": typed_field(function, "name", str) or "",
        "input": parse_arguments(field_of(function, "arguments")),
    }


def _usage(usage: object) -> dict[str, int] | None:
    counts = {
        "input_tokens": field_of(usage, "prompt_tokens"),
        "output_tokens": field_of(usage, "completion_tokens"),
        "cached_tokens": field_of(field_of(usage, "prompt_tokens_details"), "cached_tokens"),
    }
    return {name: count for name, count in counts.items() if type(count) is int} or None
