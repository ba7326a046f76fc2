"""Model calls as rows: each message once, each conversation as what it adds to the one before.

Knows calls and messages; knows no column type and no file.

A long native conversation is sent anew with every call, so a list of all its messages in each call
would grow with the square of the calls. A call is therefore kept relative to the call before it in
the same lane: ``input_kept`` says how many of that call's messages, from the front, it begins
with, and ``input`` lists the messages after those, as places in the trajectory's ``messages``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from looplet.core.codec import JSON, canonical, digest
from looplet.core.messages import CallRequest, ChatMessage
from looplet.core.parse import parse_reply
from looplet.core.sofar import SoFar
from looplet.trajectory.model import LLMCall
from looplet.trajectory.text import JsonText, to_json_text

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
_plain_of = attrgetter(*PLAIN)


def to_rows(calls: Sequence[LLMCall]) -> tuple[list[Row], list[Row]]:
    """The rows of ``messages`` and of ``calls``."""
    messages = _Messages()
    lanes: dict[str, tuple[Sequence[ChatMessage], list[int]]] = {}
    tools: dict[int, JsonText] = {}
    rows = []
    for call in calls:
        before = lanes.get(call.lane, ((), []))
        places, kept = messages.places(call.messages, *before)
        lanes[call.lane] = (call.messages, places)
        rows.append(_call_row(call, messages, tools, kept=kept, added=places[kept:]))
    return messages.rows(), rows


def from_rows(messages: Sequence[Row], rows: Iterable[Row]) -> list[LLMCall]:
    """The calls that ``to_rows`` was given. Raises ``LookupError`` on a place that is not there."""
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
    text, rest = "", list(blocks)
    if rest and _is_text(rest[0]):
        text = rest.pop(0)["text"]
    if not all(_is_call(block) for block in rest):
        return None
    calls = tuple(
        CallRequest(id=block["id"], name=block["name"], input=block["input"]) for block in rest
    )
    return ChatMessage(role="assistant", content=text, calls=calls)


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
    is_text = block.keys() == {"type", "text"} and block["type"] == "text"
    return is_text and isinstance(block["text"], str) and block["text"] != ""


def _is_call(block: Mapping[str, JSON]) -> bool:
    is_call = block.keys() == {"type", "id", "name", "input"} and block["type"] == "tool_use"
    return is_call and isinstance(block["input"], dict)


def message_digest(row: Row) -> str:
    """The digest that a row of ``messages`` should have, from the rest of it."""
    content = row["content"]
    if isinstance(content, list) and _said_in(content) is None:
        return _digest_of_blocks(content)
    return _message(row).digest[:DIGEST_CHARS]


def _digest_of_blocks(blocks: Sequence[Mapping[str, JSON]]) -> str:
    """The digest of a reply that no message carries."""
    return digest(canonical({"role": "assistant", "content": blocks}))[:DIGEST_CHARS]


class _Messages:
    """The messages of one trajectory, each once, in the order in which they first appear."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._said: list[ChatMessage | None] = []
        """Beside each row a message that says it, with its digest computed if any has."""
        self._by_text: dict[tuple[str, str, str | None, str | None], int] = {}
        self._by_id: dict[int, int] = {}
        """Objects already placed; the trajectory keeps them alive, so no id is given twice."""

    def rows(self) -> list[Row]:
        """The rows of all messages placed; content and calls are JSON text."""
        for row, message in zip(self._rows, self._said, strict=True):
            if message is not None:
                row["digest"] = message.digest[:DIGEST_CHARS]
        return self._rows

    def places(
        self, sent: Sequence[ChatMessage], before: Sequence[ChatMessage], known: list[int]
    ) -> tuple[list[int], int]:
        """Places of the messages sent, and how many of them the call before begins with."""
        begins_alike = isinstance(sent, SoFar) and sent.shares(before)
        kept = min(len(sent), len(before)) if begins_alike else 0
        for new, old, place in () if begins_alike else zip(sent, before, known, strict=False):
            if new is not old and self.add(new) != place:
                break
            kept += 1
        return known[:kept] + [self.add(message) for message in sent[kept:]], kept

    def add(self, message: ChatMessage) -> int:
        """The place of a message."""
        place = self._by_id.get(id(message))
        if place is None:
            place = self._by_id[id(message)] = self._place(message)
        return place

    def add_reply(self, response: str | list[dict[str, JSON]]) -> int:
        """The place of a reply, which is the same as that of the message that repeats it."""
        if isinstance(response, str):
            return self._place(ChatMessage(role="assistant", content=response))
        message = reply_message(response) or _said_in(response)
        if message is not None:
            return self._place(message)
        place = self._row("assistant", response, None, None, None)
        self._rows[place]["digest"] = _digest_of_blocks(response)
        return place

    def _place(self, message: ChatMessage) -> int:
        calls = [call.to_dict() for call in message.calls] or None
        content: JSON = message.content
        if message.blocks:
            blocks = [dict(block) for block in message.blocks]
            usual = _said_in(blocks)
            if usual is not None and usual.encoded == message.encoded:
                return self._row(message.role, blocks, None, None, message)
            content = {"text": content, "blocks": blocks}
        return self._row(message.role, content, calls, message.call_id, message)

    def _row(
        self, role: str, content: JSON, calls: JSON, call_id: str | None, said: ChatMessage | None
    ) -> int:
        text, calls_text = JsonText(to_json_text(content)), calls and JsonText(to_json_text(calls))
        place = self._by_text.setdefault((role, text, calls_text, call_id), len(self._rows))
        if place == len(self._rows):
            row = {"role": role, "content": text, "tool_calls": calls_text, "call_id": call_id}
            self._rows.append({**row, "digest": None})
            self._said.append(said)
        elif said is not None and "digest" in vars(said):
            self._said[place] = said
        return place


def _call_row(
    call: LLMCall, messages: _Messages, known: dict[int, JsonText], *, kept: int, added: list[int]
) -> Row:
    response = call.response
    row: Row = dict(zip(PLAIN, _plain_of(call), strict=True))
    row |= {
        "input_kept": kept,
        "input": added,
        "output": None if response is None else messages.add_reply(response),
        "output_blocks": isinstance(response, list),
        "prompt": None if call.prompt == _last_text(call.messages) else call.prompt,
        "system_prompt": (
            None if call.system_prompt == _system_text(call.messages) else call.system_prompt
        ),
        "latency_ms": call.duration_ms,
        "params": call.params or None,
        "metadata": call.metadata or None,
        "tools": _tools_text(call, known),
    }
    return row


def _tools_text(call: LLMCall, known: dict[int, JsonText]) -> JsonText | None:
    """The schemas as JSON; calls that share them share the text."""
    tools = call.tools
    if tools is None:
        return None
    text = known.get(id(tools))
    if text is None:
        text = known[id(tools)] = JsonText(to_json_text(tools))
    return text


def _call(row: Row, sent: Sequence[ChatMessage], messages: Sequence[Row]) -> LLMCall:
    plain = {name: row[name] for name in PLAIN if name != "lane"}
    prompt, system_prompt = row["prompt"], row["system_prompt"]
    last = _last_text(sent) or ""
    return LLMCall(
        **plain,
        duration_ms=row["latency_ms"],
        prompt=last if prompt is None else prompt,
        system_prompt=_system_text(sent) if system_prompt is None else system_prompt,
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


def _said_in(blocks: Sequence[Mapping[str, JSON]]) -> ChatMessage | None:
    return whole_reply(blocks) or thoughtful_reply(blocks)


def _last_text(messages: Sequence[ChatMessage]) -> str | None:
    return messages[-1].content if messages else None


def _system_text(messages: Sequence[ChatMessage]) -> str:
    return messages[0].content if messages and messages[0].role == "system" else ""


def _message_at(messages: Sequence[Row], place: int, known: dict[int, ChatMessage]) -> ChatMessage:
    if place not in known:
        known[place] = _message(_at(messages, place))
    return known[place]


def _message(row: Row) -> ChatMessage:
    content, calls = row["content"], tuple(CallRequest(**each) for each in row["tool_calls"] or ())
    if isinstance(content, list) and (whole := _said_in(content)) is not None:
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
