"""Tool calls in a model's reply, whatever surrounds them. Knows no prompt and no registry."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from looplet.core.codec import JSON
from looplet.core.records import ToolCall

THEORY = "__theory__"
"""Under this key hooks find the reply's theory among a call's arguments; tools never do."""
RAW_ARGUMENT = "_raw_arg"
_ARGUMENT_KEYS = ("args", "input", "parameters", "arguments")
_REASONING_KEYS = ("reasoning", "thinking", "thought")
_OWN_KEYS = frozenset({"tool", "name", "theory", *_ARGUMENT_KEYS, *_REASONING_KEYS})
_OPENING = re.compile(r"\{(?=\s*\")|\[(?=\s*\{)")
_DECODER = json.JSONDecoder(strict=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedReply:
    """What a reply asks for: calls, or the complaint that there are none."""

    calls: tuple[ToolCall, ...] = ()
    text: str = ""
    """What the model said beside its calls; the whole reply if there are none."""
    complaint: str | None = None
    ids_given: bool = field(default=False)
    """Whether the calls carry the provider's own ids."""


def parse_reply(reply: object) -> ParsedReply:
    """Read a reply: a list of blocks, or text with JSON in it. Never raises.

    >>> parse_reply('I will look: {"tool": "price", "args": {"fruit": "apple"}}').calls[0].args
    {'fruit': 'apple'}
    """
    if isinstance(reply, list):
        parsed = _parse_blocks(reply)
        if parsed is not None:
            return parsed
        reply = "\n".join(_texts_of(reply))
    return parse_text(reply if isinstance(reply, str) else str(reply))


def parse_text(text: str) -> ParsedReply:
    """Read JSON in text: the first value in it that is a call, or several, counts."""
    for value in _values_in(text):
        calls = _calls_of(value)
        if calls:
            return ParsedReply(calls=calls, text=text)
    return ParsedReply(text=text, complaint=_complain(text))


def _parse_blocks(blocks: list[Any]) -> ParsedReply | None:
    uses = [
        block
        for block in blocks
        if isinstance(block, Mapping) and block.get("type") == "tool_use" and block.get("name")
    ]
    if not uses:
        return None
    text = "\n".join(_texts_of(blocks))
    return ParsedReply(
        calls=tuple(_call_of_block(use, text) for use in uses), text=text, ids_given=True
    )


def _texts_of(blocks: list[Any]) -> list[str]:
    return [
        str(block.get("text") or "")
        for block in blocks
        if isinstance(block, Mapping) and block.get("type") == "text"
    ]


def _call_of_block(block: Mapping[str, Any], text: str) -> ToolCall:
    args = _arguments(block.get("input"))
    name, call_id = str(block["name"]), block.get("id")
    if call_id:
        return ToolCall(name, args, text, str(call_id))
    return ToolCall(name, args, text)


def _values_in(text: str) -> Iterator[JSON]:
    """JSON values in a text, outermost first, in the order in which they begin."""
    stripped = text.strip()
    if stripped[:1] in ("{", "["):
        found = _decode(stripped, 0)
        if found is not None:
            yield found
    for opening in _OPENING.finditer(text):
        found = _decode(text, opening.start())
        if found is not None:
            yield found


def _decode(text: str, start: int) -> JSON | None:
    try:
        return _DECODER.raw_decode(text, start)[0]
    except (ValueError, RecursionError):
        return None


def _calls_of(value: JSON) -> tuple[ToolCall, ...]:
    if isinstance(value, list):
        return _several(value, "")
    if not isinstance(value, dict):
        return ()
    theory = value.get("theory")
    theory = theory if isinstance(theory, str) else ""
    if isinstance(value.get("tools"), list):
        return _several(value["tools"], theory)
    call = _single(value, theory)
    return (call,) if call is not None else ()


def _several(items: list[JSON], theory: str) -> tuple[ToolCall, ...]:
    calls = [_single(item, theory) if isinstance(item, dict) else None for item in items]
    return tuple(call for call in calls if call) if all(calls) else ()


def _single(value: Mapping[str, JSON], theory: str) -> ToolCall | None:
    tool = value.get("tool")
    given = next((key for key in _ARGUMENT_KEYS if key in value), None)
    if not isinstance(tool, str):
        tool = value.get("name") if given else None
    if not isinstance(tool, str) or not tool:
        return None
    if given is not None:
        args = _arguments(value[given])
    else:
        args = {key: item for key, item in value.items() if key not in _OWN_KEYS}
    own = value.get("theory")
    theory = own if isinstance(own, str) and own else theory
    call = ToolCall(tool, args, _reasoning(value))
    if theory:
        call.args[THEORY] = theory
        call.metadata["theory"] = theory
    return call


def _arguments(value: JSON) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    return {} if value is None else {RAW_ARGUMENT: value}


def _reasoning(value: Mapping[str, JSON]) -> str:
    found = next((value[key] for key in _REASONING_KEYS if value.get(key)), "")
    return found if isinstance(found, str) else json.dumps(found)


def _complain(text: str) -> str:
    if not text.strip():
        return "the reply was empty"
    if "{" not in text:
        return "the reply had no JSON and no tool call in it"
    return "the reply had no complete JSON object that is a tool call"
