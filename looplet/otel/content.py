"""What was said, in the shape of the conventions' JSON schemas. Knows no span.

Attributes hold it as JSON text, which every version of the SDK and every backend takes; the
conventions allow that. It is recorded only where the user asked for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from looplet.core.backend import Reply
from looplet.core.codec import JSON, to_jsonable
from looplet.core.messages import ChatMessage, ModelRequest
from looplet.core.records import is_dunder
from looplet.otel import conventions as names

Part = dict[str, JSON]


def as_json(value: Any) -> str:
    """Any value as JSON text, which an exporter can encode whatever was said."""
    text = json.dumps(to_jsonable(value), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()


def of_message(message: ChatMessage) -> str:
    """One message."""
    return as_json(_message(message))


def of_request(
    request: ModelRequest, *, told: Callable[[ChatMessage], str] = of_message
) -> dict[str, str]:
    """What a model is sent, by attribute; ``told`` gives the JSON of each message.

    >>> of_request(ModelRequest(method="generate", prompt="hi"))
    {'gen_ai.input.messages': '[{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]'}
    """
    said = request.conversation()[1 if request.system_prompt else 0 :]
    out = {names.INPUT_MESSAGES: f"[{', '.join(map(told, said))}]"}
    if request.system_prompt:
        out[names.SYSTEM_INSTRUCTIONS] = as_json([_text(request.system_prompt)])
    if request.tools:
        out[names.TOOL_DEFINITIONS] = as_json([_definition(each) for each in request.tools])
    return out


def of_reply(reply: Reply, stop_reason: str | None) -> dict[str, str]:
    """What a model answered, by attribute."""
    blocks = [{"type": "text", "text": reply}] if isinstance(reply, str) else reply
    ended = names.finish_reason(stop_reason or "end_turn")
    message = {"role": "assistant", "parts": _parts(blocks), "finish_reason": ended}
    return {names.OUTPUT_MESSAGES: as_json([message])}


def of_task(task: Any) -> dict[str, str]:
    """What an agent is asked to do, by attribute."""
    described = task.get("description") if isinstance(task, dict) and len(task) == 1 else task
    text = described if isinstance(described, str) else as_json(task)
    return {names.INPUT_MESSAGES: as_json([{"role": "user", "parts": [_text(text)]}])}


def of_answer(args: Mapping[str, Any]) -> dict[str, str]:
    """What an agent answered with its accepted done-call, by attribute."""
    values = list(_own(args).values())
    alone = len(values) == 1 and isinstance(values[0], str)
    text = values[0] if alone else as_json(_own(args))
    message = {"role": "assistant", "parts": [_text(text)], "finish_reason": "stop"}
    return {names.OUTPUT_MESSAGES: as_json([message])}


def of_arguments(args: Mapping[str, Any]) -> dict[str, str]:
    """A call's arguments, by attribute."""
    return {names.TOOL_ARGUMENTS: as_json(_own(args))}


def of_result(data: Any) -> dict[str, str]:
    """A call's result, by attribute."""
    return {names.TOOL_RESULT: as_json(data)}


def _own(args: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in args.items() if not is_dunder(key)}


def _message(message: ChatMessage) -> dict[str, JSON]:
    if message.role == "tool":
        answer = {"type": "tool_call_response", "id": message.call_id, "response": message.content}
        return {"role": "tool", "parts": [answer]}
    if message.blocks:
        return {"role": message.role, "parts": _parts(message.blocks)}
    parts = [_text(message.content)] if message.content else []
    parts += [_call(call.id, call.name, dict(call.input)) for call in message.calls]
    return {"role": message.role, "parts": parts}


def _parts(blocks: Iterable[Mapping[str, JSON]]) -> list[Part]:
    return [_part(block) for block in blocks]


def _part(block: Mapping[str, JSON]) -> Part:
    kind = block.get("type")
    if kind == "text":
        return _text(block.get("text", ""))
    if kind == "tool_use":
        return _call(block.get("id"), block.get("name", ""), block.get("input"))
    if kind == "thinking":
        rest = {name: value for name, value in block.items() if name not in ("type", "thinking")}
        return {"type": "reasoning", "content": block.get("thinking", ""), **rest}
    return {"type": "unknown", **block}


def _text(text: str) -> Part:
    return {"type": "text", "content": text}


def _call(call_id: str | None, name: str, arguments: JSON) -> Part:
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}


def _definition(tool: Mapping[str, JSON]) -> Part:
    return {
        "type": "function",
        "name": tool.get("name"),
        "description": tool.get("description"),
        "parameters": tool.get("input_schema"),
    }
