"""looplet's messages and replies in the form of OpenAI's Chat Completions, and back.

Values in, values out: knows no client and makes no call. Servers differ in what they leave out,
so an answer is read field by field, and a field of the wrong type counts as absent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeVar

from looplet.core.backend import Block
from looplet.core.codec import JSON, to_jsonable
from looplet.core.lastcall import CallOutcome
from looplet.core.messages import CallRequest, ChatMessage, ModelRequest
from looplet.core.records import new_id
from looplet.errors import BackendError

STOP_REASONS = {"length": "max_tokens", "tool_calls": "tool_use", "stop": "end_turn"}
"""OpenAI's ``finish_reason`` in looplet's words; others stay as they are."""

Kind = TypeVar("Kind")

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
    text = _typed(message, "content", str) or _typed(message, "refusal", str)
    blocks: list[Block] = [{"type": "text", "text": text}] if text else []
    seen: set[str] = set()
    for call in _typed(message, "tool_calls", list) or ():
        block = _tool_use(call)
        if not block["id"] or block["id"] in seen:
            block["id"] = new_id()
        seen.add(block["id"])
        blocks.append(block)
    return blocks


def parse_arguments(arguments: object) -> dict[str, JSON]:
    """A call's arguments; ``{"_raw_arguments": text}`` if they are no JSON object.

    No text at all is a call without arguments: many servers write it so.

    >>> parse_arguments('{"fruit": "pear"}'), parse_arguments('{"fruit": pe')
    ({'fruit': 'pear'}, {'_raw_arguments': '{"fruit": pe'})
    """
    if isinstance(arguments, dict):
        return arguments
    text = arguments if isinstance(arguments, str) else ""
    if not text.strip():
        return {}
    try:
        parsed = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        parsed = None
    return parsed if isinstance(parsed, dict) else {"_raw_arguments": text}


def outcome_of(completion: object, choice: object) -> CallOutcome:
    """Usage and stop reason of a completion; ``usage=None`` where it tells none."""
    reason = _typed(choice, "finish_reason", str)
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


def provider_words(body: object, otherwise: str, *, limit: int = 2000) -> str:
    """What a provider said in an error: its message and its code, at most ``limit`` characters.

    >>> provider_words({"message": "Too long.", "code": "context_length_exceeded"}, "400")
    'Too long. [context_length_exceeded]'
    """
    message = _typed(body, "message", str) or _typed(body, "detail", str) or otherwise
    code = field_of(body, "code") or field_of(body, "type")
    words = " ".join(message.split())[:limit]
    return f"{words} [{code}]" if isinstance(code, str | int) and str(code) not in words else words


def status_words(status: int) -> str:
    """An HTTP status with its name.

    >>> status_words(429), status_words(599)
    ('429 Too Many Requests', '599')
    """
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, as an error's headers tell: a number, or a date beside the ``date`` header.

    >>> retry_after({"retry-after": "2"}), retry_after({})
    (2.0, None)
    """
    try:
        return _seconds(headers["retry-after"], headers)
    except (KeyError, ValueError, TypeError):
        return None


def refused_parameter(body: object) -> str | None:
    """The parameter that a provider's error says the model does not take, if that is the error.

    >>> refused_parameter({"message": "Unsupported parameter: 'max_tokens' is not supported"})
    'max_tokens'
    """
    code, parameter = _typed(body, "code", str), _typed(body, "param", str)
    if parameter and code in {"unsupported_parameter", "unsupported_value"}:
        return parameter
    found = _UNSUPPORTED.match(_typed(body, "message", str) or "")
    return found[1] if found else None


def sendable(text: str) -> str:
    """``text`` as UTF-8 can carry it: lone surrogates, which it cannot, become ``?``."""
    return text.encode("utf-8", "replace").decode("utf-8")


def field_of(thing: object, name: str) -> Any:
    """A field of an object of the SDK, or of a dict; ``None`` if it has none of that name."""
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def _typed(thing: object, name: str, kind: type[Kind]) -> Kind | None:
    value = field_of(thing, name)
    return value if isinstance(value, kind) else None


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
        "id": _typed(call, "id", str) or "",
        "name": _typed(function, "name", str) or "",
        "input": parse_arguments(field_of(function, "arguments")),
    }


def _usage(usage: object) -> dict[str, int] | None:
    counts = {
        "input_tokens": field_of(usage, "prompt_tokens"),
        "output_tokens": field_of(usage, "completion_tokens"),
        "cached_tokens": field_of(field_of(usage, "prompt_tokens_details"), "cached_tokens"),
    }
    return {name: count for name, count in counts.items() if type(count) is int} or None


def _seconds(value: str, headers: Mapping[str, str]) -> float:
    if value.strip().replace(".", "", 1).isdigit():
        return float(value)
    wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers["date"])
    return max(0.0, wait.total_seconds())


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
