"""Model calls from rows: each message once, each conversation as what it adds to the one before.

Knows calls and messages; knows no column type and no file. ``placing`` makes the columns.

A long native conversation is sent anew with every call, so a list of all its messages in each call
would grow with the square of the calls. A call is therefore kept relative to the call before it in
the same lane: ``input_kept`` says how many of that call's messages, from the front, it begins
with, and ``input`` lists the messages after those, as places in the trajectory's ``messages``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from looplet.core.codec import JSON, canonical, digest
from looplet.core.messages import CallRequest, ChatMessage
from looplet.core.parse import parse_reply
from looplet.core.sofar import SoFar
from looplet.trajectory.model import LLMCall

Row = dict[str, Any]
DIGEST_CHARS = 32
"""How much of a message's digest is kept: enough to tell all messages apart, in half the room."""
PLAIN = (
    "index",
    "lane",
    "scope",
    "model",
    "method",
    "temperature",
    "max_tokens",
    "step_num",
    "finish_reason",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "tokens_estimated",
    "timestamp",
    "first_token_ms",
    "error",
    "key",
    "tools",
)
"""Columns that are attributes of the call."""
_TEXT_KEYS, _CALL_KEYS = frozenset({"type", "text"}), frozenset({"type", "id", "name", "input"})


def from_rows(messages: Sequence[Row], rows: Iterable[Row]) -> list[LLMCall]:
    """The calls that ``placing.to_columns`` was given.

    Raises ``LookupError`` on a place that is not there.
    """
    known: dict[int, ChatMessage] = {}
    lanes: dict[str, list[ChatMessage]] = {}
    calls = []
    for row in rows:
        said, kept = lanes.get(row["lane"], []), row["input_kept"]
        if not 0 <= kept <= len(said):
            raise LookupError(f"call {row['index']} keeps more messages than there were")
        said = said if kept == len(said) else said[:kept]  # what a call was sent is not shortened
        said.extend(_message_at(messages, place, known) for place in row["input"])
        lanes[row["lane"]] = said
        calls.append(_call(row, SoFar(said, len(said)), messages))
    return calls


def reply_message(blocks: Sequence[Mapping[str, JSON]]) -> ChatMessage | None:
    """The assistant's message that says what ``blocks`` say; ``None`` if no message can.

    >>> reply_message([{"type": "text", "text": "hm"}]).content
    'hm'
    """
    parts = text_and_calls(blocks)
    if parts is None:
        return None
    text, asked = parts
    calls = tuple(
        CallRequest(id=block["id"], name=block["name"], input=block["input"]) for block in asked
    )
    return ChatMessage(role="assistant", content=text, calls=calls)


def text_and_calls(
    blocks: Sequence[Mapping[str, JSON]],
) -> tuple[str, Sequence[Mapping[str, JSON]]] | None:
    """A reply's text and its blocks that call; ``None`` if there is anything else in it."""
    text, rest = "", blocks
    if blocks and _is_text(blocks[0]):
        text, rest = blocks[0]["text"], blocks[1:]
    return (text, rest) if all(map(_is_call, rest)) else None


def blocks_of(message: ChatMessage) -> list[dict[str, JSON]]:
    """The blocks that ``reply_message`` was given."""
    head: list[dict[str, JSON]] = []
    if message.content:
        head = [{"type": "text", "text": message.content}]
    return head + [{"type": "tool_use", **call.to_dict()} for call in message.calls]


def whole_reply(blocks: Sequence[Mapping[str, JSON]]) -> ChatMessage | None:
    """The message that carries a reply with more than texts and calls; ``None`` if none does.

    It is the one that the loop sends back, unless the reply's calls came without ids.

    >>> thought = {"type": "thinking", "thinking": "a pear, then"}
    >>> call = {"type": "tool_use", "id": "c1", "name": "price", "input": {"fruit": "pear"}}
    >>> whole_reply([thought, call]).calls[0].name
    'price'
    """
    parsed = parse_reply(list(blocks))
    ids_given = all(block.get("id") for block in blocks if _asks(block))
    if len(parsed.blocks) < max(1, len(blocks)) or not ids_given:
        return None
    calls = tuple(
        CallRequest(id=call.call_id, name=call.tool, input=call.args) for call in parsed.calls
    )
    return ChatMessage(role="assistant", content=parsed.text, calls=calls, blocks=parsed.blocks)


def thoughtful_reply(blocks: Sequence[Mapping[str, JSON]]) -> ChatMessage | None:
    """The message that carries a reply which asks for nothing; ``None`` if it asks for a call.

    >>> thought = {"type": "thinking", "thinking": "a pear, then"}
    >>> thoughtful_reply([thought, {"type": "text", "text": "0.55"}]).content
    '0.55'
    """
    if not all(isinstance(block, Mapping) for block in blocks) or any(map(_asks, blocks)):
        return None
    texts = [block.get("text") for block in blocks if block.get("type") == "text"]
    text = "\n".join(each for each in texts if isinstance(each, str))
    return ChatMessage(role="assistant", content=text, blocks=tuple(blocks))


def _asks(block: Mapping[str, JSON]) -> bool:
    return block.get("type") == "tool_use" and bool(block.get("name"))


def _is_text(block: Mapping[str, JSON]) -> bool:
    is_text = block.keys() == _TEXT_KEYS and block["type"] == "text"
    return is_text and isinstance(block["text"], str) and block["text"] != ""


def _is_call(block: Mapping[str, JSON]) -> bool:
    is_call = block.keys() == _CALL_KEYS and block["type"] == "tool_use"
    return is_call and isinstance(block["input"], dict)


def message_digest(row: Row) -> str:
    """The digest that a row of ``messages`` should have, from the rest of it."""
    content = row["content"]
    if isinstance(content, list) and said_in(content) is None:
        return digest_of_blocks(content)
    return _message(row).digest[:DIGEST_CHARS]


def digest_of_blocks(blocks: Sequence[Mapping[str, JSON]]) -> str:
    """The digest of a reply that no message carries."""
    return digest(canonical({"role": "assistant", "content": blocks}))[:DIGEST_CHARS]


def _call(row: Row, sent: Sequence[ChatMessage], messages: Sequence[Row]) -> LLMCall:
    plain = {name: row[name] for name in PLAIN if name != "lane"}
    prompt, system_prompt = row["prompt"], row["system_prompt"]
    last = last_text(sent) or ""
    return LLMCall(
        **plain,
        duration_ms=row["latency_ms"],
        prompt=last if prompt is None else prompt,
        system_prompt=system_text(sent) if system_prompt is None else system_prompt,
        response=_response(row, messages),
        params=row["params"] or {},
        metadata=row["metadata"] or {},
        messages=sent,
    )


def _response(row: Row, messages: Sequence[Row]) -> str | list[dict[str, JSON]] | None:
    if row["output"] is None:
        return None
    said = _at(messages, row["output"])
    content: str | list[dict[str, JSON]] = said["content"]
    if not row["output_blocks"] or isinstance(content, list):
        return content
    return blocks_of(_message(said))


def said_in(blocks: Sequence[Mapping[str, JSON]]) -> ChatMessage | None:
    """The message that carries a reply of more than texts and calls; ``None`` if none does."""
    return whole_reply(blocks) or thoughtful_reply(blocks)


def last_text(messages: Sequence[ChatMessage]) -> str | None:
    """The last message's content, which is mostly the prompt."""
    return messages[-1].content if messages else None


def system_text(messages: Sequence[ChatMessage]) -> str:
    """The system's message, which is mostly the system prompt."""
    return messages[0].content if messages and messages[0].role == "system" else ""


def _message_at(messages: Sequence[Row], place: int, known: dict[int, ChatMessage]) -> ChatMessage:
    if place not in known:
        known[place] = _message(_at(messages, place))
    return known[place]


def _message(row: Row) -> ChatMessage:
    content, calls = row["content"], tuple(CallRequest(**each) for each in row["tool_calls"] or ())
    if isinstance(content, list) and (whole := said_in(content)) is not None:
        return whole
    text, blocks = (
        (content["text"], content["blocks"]) if isinstance(content, dict) else (content, ())
    )
    return ChatMessage(
        role=row["role"], content=text, calls=calls, call_id=row["call_id"], blocks=tuple(blocks)
    )


def _at(messages: Sequence[Row], place: int) -> Row:
    if not 0 <= place < len(messages):
        raise LookupError(f"there is no message {place} among {len(messages)}")
    return messages[place]
