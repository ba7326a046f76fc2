"""Tool calls in a model's reply, whatever surrounds them. Knows no prompt and no registry."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from looplet.core.codec import JSON
from looplet.core.records import ToolCall

THEORY = "__theory__"
"""Under this key hooks find the reply's theory among a call's arguments; tools never do."""
RAW_ARGUMENT = "_raw_arg"
_ARGUMENT_KEYS = ("args", "input", "parameters", "arguments")
_REASONING_KEYS = ("reasoning", "thinking", "thought")
_OWN_KEYS = frozenset({"tool", "theory", *_REASONING_KEYS})
"""What is no argument where arguments stand beside ``tool``; a ``name`` there is one."""
_OPENING = r"\{(?=\s*\")|\[(?=\s*\{)"
_MARKS = r'(?s)[{}\[\]]|"[^"\\]*+(?:\\.[^"\\]*+)*+"|(?P<unfinished>")'
"""Patterns are compiled, and kept, by their first use."""
_CLOSING = {"{": "}", "[": "]"}
_DECODER = json.JSONDecoder(strict=False)
_OBJECTS = (dict, Mapping)  # the first is found out faster
DEEPEST = 600
"""Brackets within brackets that are read; what is nested deeper is no call."""


@dataclass(slots=True, kw_only=True, eq=False)
class ParsedReply:
    """What a reply asks for: calls, or the complaint that there are none.

    One is made each turn; a frozen one would take three times as long to make.
    """

    calls: tuple[ToolCall, ...] = ()
    text: str = ""
    """What the model said beside its calls; the whole reply if there are none."""
    complaint: str | None = None
    ids_given: bool = field(default=False)
    """Whether the calls carry the provider's own ids."""
    blocks: tuple[Mapping[str, JSON], ...] = ()
    """The whole reply, where it has blocks beside texts and calls: what the model thought."""


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
    whole = _whole(text)
    if whole is not None and (calls := _calls_of(whole)):
        return ParsedReply(calls=calls, text=text)
    for value in _values_in(text) if whole is None else _inside(whole):
        calls = _calls_of(value)
        if calls:
            return ParsedReply(calls=calls, text=text)
    return ParsedReply(text=text, complaint=_complain(text))


def text_of(reply: object) -> str | None:
    """The text of a reply that is nothing but text; ``None`` if it has native calls in it."""
    if not isinstance(reply, list):
        return str(reply)
    uses = (each for each in reply if isinstance(each, Mapping) and each.get("type") == "tool_use")
    return None if any(True for _ in uses) else "\n".join(_texts_of(reply))


def _parse_blocks(blocks: list[Any]) -> ParsedReply | None:
    uses = [
        block
        for block in blocks
        if isinstance(block, Mapping) and block.get("type") == "tool_use" and block.get("name")
    ]
    if not uses:
        return None
    text = "\n".join(_texts_of(blocks))
    known = [block for block in blocks if isinstance(block, Mapping)]
    beside = any(block.get("type") not in ("text", "tool_use") for block in known)
    return ParsedReply(
        calls=tuple(_call_of_block(use, text) for use in uses),
        text=text,
        ids_given=True,
        blocks=tuple(known) if beside else (),
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
    """JSON objects and arrays in a text, outermost first, in the order in which they begin."""
    for value in outermost_values(text):
        yield from _inside(value)


def outermost_values(text: str) -> Iterator[JSON]:
    """JSON objects and arrays in a text that are in no other, in the order in which they begin.

    The time taken grows with the text's length, also where nothing in it is ever closed.

    >>> list(outermost_values('I say {"a": {"b": 1}}, and {"c": 2}.'))
    [{'a': {'b': 1}}, {'c': 2}]
    """
    spans: dict[int, _Span] = {}
    broken: dict[int, int] = {}
    read_to = 0
    for opening in re.finditer(_OPENING, text):
        start = opening.start()
        if start < read_to:
            continue
        if start not in spans:
            spans.update(_spans_from(text, start))
        span = spans[start]
        if span.end is None or span.height > DEEPEST or start < broken.get(span.walk, 0) < span.end:
            continue
        try:
            value, _ = _DECODER.raw_decode(text, start)
        except json.JSONDecodeError as error:
            broken[span.walk] = error.pos  # so is all that encloses this place
            continue
        except (ValueError, RecursionError):
            continue
        yield value
        read_to = span.end


def _whole(text: str) -> JSON | None:
    """The value of a text that is JSON and nothing else, as most replies are; else ``None``."""
    text = text.strip()
    if text[:1] not in _CLOSING or text.count("{") + text.count("[") > DEEPEST:
        return None
    try:
        value, end = _DECODER.raw_decode(text)
    except ValueError:
        return None
    return value if end == len(text) else None


class _Span(NamedTuple):
    end: int | None
    """Where the bracket is closed; ``None`` if it never is."""
    height: int
    """How many brackets deep it is."""
    walk: int
    """Where the walk began that found it."""


def _spans_from(text: str, start: int) -> dict[int, _Span]:
    """Match the brackets from one on until it is closed, or until they cannot be JSON."""
    spans: dict[int, _Span] = {}
    still_open: list[int] = []
    heights: list[int] = []
    for token in re.compile(_MARKS).finditer(text, start):
        place = token.start()
        mark = text[place]
        if mark in _CLOSING:
            spans[place] = _Span(None, 0, start)
            still_open.append(place)
            heights.append(0)
        elif token.lastgroup == "unfinished":
            break
        elif mark != '"':
            begin, height = still_open.pop(), heights.pop() + 1
            if _CLOSING[text[begin]] != mark:
                break
            spans[begin] = _Span(token.end(), height, start)
            if not still_open:
                break
            heights[-1] = max(heights[-1], height)
    return spans


def _inside(value: JSON) -> Iterator[JSON]:
    """A value and the objects and arrays in it, outermost first."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        yield value
        items = list(value.values()) if isinstance(value, dict) else value
        waiting += [item for item in reversed(items) if isinstance(item, dict | list)]


def _calls_of(value: JSON) -> tuple[ToolCall, ...]:
    if isinstance(value, list):
        return _several(value, "")
    if not isinstance(value, dict):
        return ()
    theory = value.get("theory", "")
    theory = theory if isinstance(theory, str) else ""
    if "tools" in value:
        several = value["tools"]
        if isinstance(several, list) and (calls := _several(several, theory)):
            return calls
    call = _single(value, theory)
    return (call,) if call is not None else ()


def _several(items: list[JSON], theory: str) -> tuple[ToolCall, ...]:
    """The calls among the items; one that is no call takes nothing from the others."""
    calls = (_single(item, theory) for item in items if isinstance(item, dict))
    return tuple(call for call in calls if call is not None)


def _single(value: Mapping[str, JSON], theory: str) -> ToolCall | None:
    given = "args" if "args" in value else next((k for k in _ARGUMENT_KEYS if k in value), None)
    tool = value.get("tool")
    if given is not None and not isinstance(tool, str):
        tool = value.get("name")
    if not isinstance(tool, str) or not tool:
        return None
    if given is not None:
        args = _arguments(value[given])
    else:
        args = {key: item for key, item in value.items() if key not in _OWN_KEYS}
    if "theory" in value:
        own = value["theory"]
        theory = own if isinstance(own, str) and own else theory
    call = ToolCall(sys.intern(tool), args, _reasoning(value))  # the same few names again and again
    if theory:
        call.args[THEORY] = theory
        call.metadata["theory"] = theory
    return call


def _arguments(value: JSON) -> dict[str, Any]:
    if isinstance(value, _OBJECTS):
        return dict(value)
    return {} if value is None else {RAW_ARGUMENT: value}


def _reasoning(value: Mapping[str, JSON]) -> str:
    found = value.get("reasoning") or next((value[k] for k in _REASONING_KEYS if value.get(k)), "")
    return found if isinstance(found, str) else json.dumps(found)


def _complain(text: str) -> str:
    if not text.strip():
        return "the reply was empty"
    if "{" not in text:
        return "the reply had no JSON and no tool call in it"
    return "the reply had no complete JSON object that is a tool call"
