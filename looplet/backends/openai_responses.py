"""looplet's messages and replies in the form of OpenAI's Responses API, and back.

Values in, values out: knows no client and makes no call. Nothing is kept at the provider: every
request carries the whole conversation, and what a model thought comes back encrypted and is sent
again. Other servers speak this protocol too, so an answer is read field by field.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, takewhile
from typing import Any

from looplet.backends import openai_messages
from looplet.backends.answers import (
    field_of,
    parse_arguments,
    plain_block,
    provider_words,
    sendable,
    typed_field,
    with_own_ids,
)
from looplet.core.backend import Block
from looplet.core.codec import JSON, to_jsonable
from looplet.core.lastcall import CallOutcome
from looplet.core.messages import CallRequest, ChatMessage, ModelRequest, Role
from looplet.errors import BackendError

ENCRYPTED = "reasoning.encrypted_content"
"""What is asked for beside the reply: the thought, in a form that can be sent back."""
OPTIONAL = frozenset({"temperature", "include"})
"""Parameters that a request can do without where the model refuses them."""
STATUS_OF = {"invalid_prompt": 400, "rate_limit_exceeded": 429, "server_error": 500}
"""The HTTP status that a failed response would have had, by its error's code."""

_NOT_ENCRYPTED = "encrypted content is not supported"
_CUT_SHORT = "max_output_tokens"


def response_body(
    request: ModelRequest,
    *,
    model: str,
    max_tokens: int,
    tool_choice: str | Mapping[str, JSON] | None = None,
) -> dict[str, Any]:
    """The whole request as the API takes it.

    >>> body = response_body(ModelRequest(method="generate", prompt="hi"), model="m", max_tokens=9)
    >>> body["input"], body["store"], body["max_output_tokens"]
    ([{'role': 'user', 'content': 'hi'}], False, 9)
    """
    body: dict[str, Any] = {
        "model": model,
        "input": input_items(request),
        "max_output_tokens": max_tokens,
        "temperature": request.temperature,
        "store": False,
        "include": [ENCRYPTED],
        **request.extra,
    }
    instructions = "\n\n".join(sendable(message.content) for message in _head(request))
    if instructions:
        body["instructions"] = instructions
    if request.tools:
        body["tools"] = function_tools(request.tools)
        if tool_choice is not None:
            body["tool_choice"] = _flat(tool_choice)
    return body


def input_items(request: ModelRequest) -> list[dict[str, JSON]]:
    """The conversation as items, without the system's messages before the first other.

    Raises ``BackendError`` if a result has no call.
    """
    messages = request.conversation()[len(_head(request)) :]
    return [item for message in messages for item in _items_sent(message)]


def function_tools(tools: Iterable[Mapping[str, JSON]]) -> list[dict[str, JSON]]:
    """Tool schemas as functions in the API's flat form.

    The API would take a schema for a strict one unless told otherwise, and refuse most.
    """
    return [
        {"type": "function", "strict": False, **each["function"]}
        for each in openai_messages.chat_tools(tools)
    ]


def reply_blocks(response: object) -> list[Block] | None:
    """A response's blocks; ``None`` if it is no response.

    Texts and calls are in looplet's form, a refusal is a text; what the model thought, and any
    other item, is as the API gave it.
    """
    output = typed_field(response, "output", list)
    if output is None:
        return None
    return with_own_ids(block for item in output for block in _blocks_read(item))


def outcome_of(response: object, blocks: Sequence[Block]) -> CallOutcome:
    """Usage and stop reason of a response with these blocks; ``usage=None`` where it tells none."""
    reason = "tool_use" if any(block.get("type") == "tool_use" for block in blocks) else "end_turn"
    if _early_end(response) == _CUT_SHORT:
        reason = "max_tokens"
    return CallOutcome(usage=_usage(field_of(response, "usage")), stop_reason=reason)


def refusal_of(response: object) -> tuple[str, int | None] | None:
    """Why a response is no reply, and the HTTP status that fits; ``None`` if it is one.

    >>> refusal_of({"status": "failed", "error": {"code": "server_error", "message": "Oops."}})
    ('answered with the status failed: Oops. [server_error]', 500)
    >>> refusal_of({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}})
    """
    status = typed_field(response, "status", str)
    if status in {None, "completed"}:
        return None
    if status == "incomplete":
        early = _early_end(response)
        words = f"ended the reply before its end: {early or 'it gives no reason'}"
        return None if early == _CUT_SHORT else (words, None)
    error = field_of(response, "error")
    code = typed_field(error, "code", str) or ""
    said = provider_words(error, "it gives no reason")
    return f"answered with the status {status}: {said}", STATUS_OF.get(code)


def refused_parameter(body: object) -> str | None:
    """The parameter that an error says the model does not take, if that is the error.

    >>> refused_parameter({"message": "Encrypted content is not supported with this model."})
    'include'
    """
    message = typed_field(body, "message", str) or ""
    if _NOT_ENCRYPTED in message.lower():
        return "include"
    return openai_messages.refused_parameter(body)


def _head(request: ModelRequest) -> list[ChatMessage]:
    return list(takewhile(lambda message: message.role == "system", request.conversation()))


def _items_sent(message: ChatMessage) -> Iterator[dict[str, JSON]]:
    if message.role == "tool":
        if message.call_id is None:
            raise BackendError("a message with role 'tool' needs the call_id that it answers")
        text = sendable(message.content)
        yield {"type": "function_call_output", "call_id": message.call_id, "output": text}
    elif any(_is_sent_back(block) for block in message.blocks):
        yield from _reply_sent_back(message)
    else:
        if message.content or not message.calls:
            yield _text_sent(message.role, message.content)
        yield from map(_call_sent, message.calls)


def _reply_sent_back(message: ChatMessage) -> Iterator[dict[str, JSON]]:
    """The items of a reply in their order; its calls are the message's, which have all ids."""
    calls = iter(message.calls)
    for block in message.blocks:
        kind = block.get("type")
        if kind == "text" and block.get("text"):
            phase = {"phase": block["phase"]} if "phase" in block else {}
            yield _text_sent("assistant", str(block["text"])) | phase
        elif kind == "tool_use":
            yield from map(_call_sent, islice(calls, 1 if block.get("name") else 0))
        elif _is_sent_back(block):
            yield dict(block)
    yield from map(_call_sent, calls)


def _text_sent(role: Role, text: str) -> dict[str, JSON]:
    """A message; the assistant's in the form of a reply, which llama.cpp insists on."""
    if role != "assistant":
        return {"role": role, "content": sendable(text)}
    said = {"type": "output_text", "text": sendable(text)}
    return {"type": "message", "role": role, "content": [said]}


def _is_sent_back(block: Mapping[str, JSON]) -> bool:
    """Whether a block is a thought that can be read; an id alone names what is kept nowhere."""
    readable = block.get("encrypted_content") or block.get("content")
    return block.get("type") == "reasoning" and bool(readable)


def _call_sent(call: CallRequest) -> dict[str, JSON]:
    arguments = sendable(json.dumps(to_jsonable(dict(call.input)), ensure_ascii=False))
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments}


def _flat(choice: str | Mapping[str, JSON]) -> str | Mapping[str, JSON]:
    """A choice of tool as this API takes it, where it is given as Chat Completions takes it."""
    function = None if isinstance(choice, str) else choice.get("function")
    return {"type": "function", **function} if isinstance(function, Mapping) else choice


def _blocks_read(item: object) -> Iterator[Block]:
    kind = typed_field(item, "type", str)
    if kind == "message":
        yield from _texts_read(item)
    elif kind == "function_call":
        yield {
            "type": "tool_use",
            "id": typed_field(item, "call_id", str) or "",
            "name": typed_field(item, "name", str) or "",
            "input": parse_arguments(field_of(item, "arguments")),
        }
    else:
        yield plain_block(item)


def _texts_read(item: object) -> Iterator[Block]:
    phase = typed_field(item, "phase", str)
    for part in typed_field(item, "content", list) or ():
        text = typed_field(part, "text", str) or typed_field(part, "refusal", str)
        if text:
            yield {"type": "text", "text": text, **({"phase": phase} if phase else {})}


def _early_end(response: object) -> str | None:
    return typed_field(field_of(response, "incomplete_details"), "reason", str)


def _usage(usage: object) -> dict[str, int] | None:
    counts = {
        "input_tokens": field_of(usage, "input_tokens"),
        "output_tokens": field_of(usage, "output_tokens"),
        "cached_tokens": field_of(field_of(usage, "input_tokens_details"), "cached_tokens"),
    }
    return {name: count for name, count in counts.items() if type(count) is int} or None
