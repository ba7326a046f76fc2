"""Chat messages in OpenAI's form for fine-tuning: JSONL, a line a run.

https://platform.openai.com/docs/guides/supervised-fine-tuning: each line has ``messages``, and
``tools`` where their schemas are known. A conversation ends with the model's last reply, as
training wants it; each call before that is answered, and has an id of at most 40 characters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from looplet.core.codec import JSON, digest, to_jsonable
from looplet.core.messages import CallRequest, ChatMessage
from looplet.core.show import json_text
from looplet.trajectory.exporters.conversation import conversation_of
from looplet.trajectory.exporters.files import whole_file
from looplet.trajectory.exporters.registry import Loss, OnLoss, Target
from looplet.trajectory.model import Trajectory

NAME, FILE = "openai-messages", "runs.jsonl"
LONGEST_ID = 40
MOST_NAMED = 5
"""Tools that a loss names."""
_PARTS = frozenset({"text", "image_url", "input_audio", "file"})
"""Types of the parts that a user's message may have."""
_IN_FIELDS = frozenset({"text", "tool_use", "tool_result"})
"""Types of the blocks whose content the other fields of a message have."""
_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""Characters that JSON takes as they are, and that some readers of lines take for an end."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def write(trajectories: Iterable[Trajectory], folder: Path, on_loss: OnLoss) -> int:
    """One file; none if there is no run in which a model said something."""
    lines = _lines(trajectories, on_loss)
    first = next(lines, None)
    if first is None:
        return 0
    count = 1
    with whole_file(folder / FILE) as file:
        file.write(first)
        for line in lines:
            file.write(line)
            count += 1
    return count


def _lines(trajectories: Iterable[Trajectory], on_loss: OnLoss) -> Iterator[bytes]:
    for run in trajectories:
        line, losses = line_of(run)
        for each in losses:
            on_loss(Loss(trajectory_id=run.trajectory_id, message=each))
        if line is not None:
            yield line


def line_of(run: Trajectory) -> tuple[bytes | None, list[str]]:
    """A run's line, or ``None`` where there is nothing to learn from, and what is not in it."""
    conversation = conversation_of(run)
    if not conversation.messages:
        return None, ["no model said anything in it, and there is no line of it"]
    losses = list(conversation.losses)
    record: dict[str, JSON] = {"messages": _messages(conversation.messages, losses)}
    tools = [each for each in map(_tool, conversation.tools) if each is not None]
    if tools:
        record["tools"] = tools
    _check_names(conversation.messages, tools, losses)
    text = json.dumps(record, ensure_ascii=False).translate(_LINE_ENDS) + "\n"
    try:
        return text.encode(), losses
    except UnicodeEncodeError:
        losses.append("lone surrogates, which UTF-8 lacks, became question marks")
        return text.encode("utf-8", "replace"), losses


def _messages(messages: Iterable[ChatMessage], losses: list[str]) -> list[dict[str, JSON]]:
    ids: dict[str, str] = {}
    lost: set[str] = set()
    out = []
    for message in messages:
        for call in message.calls:
            fits = len(call.id) <= LONGEST_ID
            ids[call.id] = call.id if fits else digest(call.id)[:LONGEST_ID]
        out.append(_message(message, ids, lost))
    if lost:
        losses.append(f"parts of messages are left out: {', '.join(sorted(lost))}")
    return out


def _message(message: ChatMessage, ids: Mapping[str, str], lost: set[str]) -> dict[str, JSON]:
    kinds = {str(block.get("type")) for block in message.blocks}
    content: JSON = message.content
    if message.role == "user" and kinds and kinds <= _PARTS:
        content = [dict(block) for block in message.blocks]
    else:
        lost |= kinds - _IN_FIELDS
    out: dict[str, JSON] = {"role": message.role, "content": content}
    if message.calls:
        out["content"] = content or None
        out["tool_calls"] = [_call(call, ids) for call in message.calls]
    if message.role == "tool":
        out["tool_call_id"] = ids[message.call_id or ""]
    return out


def _call(call: CallRequest, ids: Mapping[str, str]) -> dict[str, JSON]:
    function = {"name": call.name, "arguments": json_text(dict(call.input))}
    return {"id": ids[call.id], "type": "function", "function": function}


def _tool(schema: Mapping[str, JSON]) -> dict[str, JSON] | None:
    """A tool's schema as a function, whichever of three forms it came in; ``None`` if in none."""
    given = schema.get("function")
    given = given if isinstance(given, Mapping) else schema
    if not isinstance(given.get("name"), str):
        return None
    parameters = given.get("parameters") or given.get("input_schema")
    return {
        "type": "function",
        "function": {
            "name": given["name"],
            "description": given.get("description") or "",
            "parameters": to_jsonable(parameters or {"type": "object", "properties": {}}),
        },
    }


def _check_names(
    messages: Iterable[ChatMessage], tools: Iterable[Mapping[str, JSON]], losses: list[str]
) -> None:
    called = {call.name: None for message in messages for call in message.calls}
    odd = [name for name in called if not _NAME.fullmatch(name)]
    if odd:
        losses.append(f"OpenAI takes no tool of such a name: {odd[0]!r:.100}")
    unknown = called.keys() - {tool["function"]["name"] for tool in tools}
    if unknown:
        named = ", ".join(sorted(unknown)[:MOST_NAMED])
        losses.append(f"there are no schemas of tools: {named}")


TARGET = Target(name=NAME, write=write)
