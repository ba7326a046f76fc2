"""Results as a prompt shows them: shortened, never changed. Knows steps; knows no prompt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from looplet.core.codec import fast_encoder, to_jsonable
from looplet.core.records import Step, ToolCall, ToolResult, summarize_args

if TYPE_CHECKING:
    from looplet.core.conversation import Message

LIST_ROWS, TEXT_CHARS = 50, 6000
RESULT_CHARS, RECENT_CHARS, RECENT_STEPS = 3000, 20_000, 5
"""Characters of one result, of all recent results together, and how many steps are recent."""


def _in_words(value: object) -> str:
    """What JSON lacks; of a set the items in one order, which every process has again."""
    if type(value) not in (set, frozenset) or not value:
        return str(value)
    items = sorted(_in_words(each) if type(each) is frozenset else repr(each) for each in value)  # type: ignore[attr-defined]
    text = f"{{{', '.join(items)}}}"
    return text if type(value) is set else f"frozenset({text})"


encode = fast_encoder(default=_in_words)
"""JSON as a model reads it."""
PREVIEW_CHARS = 2000
"""How much a prompt shows of a result that went to a file."""
PERSISTED = "persisted_to"
"""The key of a result's metadata under which path and length of its file are."""


def shorten(data: Any) -> Any:
    """A result with long lists and texts cut, and a note where; the given value stays whole.

    >>> shorten(list(range(60)))["note"]
    '10 more rows are not shown'
    """
    if isinstance(data, list) and len(data) > LIST_ROWS:
        return _shorten_rows(data)
    if isinstance(data, str) and len(data) > TEXT_CHARS:
        return cut(data, TEXT_CHARS)
    if isinstance(data, dict) and ("rows" in data or "per_table" in data):
        long = [key for key in ("rows", "per_table") if isinstance(data.get(key), list)]
        if any(len(data[key]) > LIST_ROWS for key in long):
            return {key: shorten(value) if key in long else value for key, value in data.items()}
    return data


def result_text(data: Any) -> str:
    """A result as text for a model: JSON, or the text itself."""
    shown = shorten(data)
    return shown if isinstance(shown, str) else json_text(shown)


def json_text(data: Any) -> str:
    """Data as JSON for a model; what JSON lacks is told in words."""
    try:
        return encode(data)
    except (TypeError, ValueError, RecursionError):
        return encode(to_jsonable(data))


def told_text(result: ToolResult) -> str:
    """What a prompt tells of a result: itself, its error, or where it is and how it begins."""
    kept = result.metadata.get(PERSISTED)
    if isinstance(kept, dict) and kept.keys() == {"path", "chars"}:  # a hook may use the name too
        return _preview(result, kept)
    return result_text(result.data) if result.error is None else f"ERROR: {result.error}"


def _preview(result: ToolResult, kept: dict[str, Any]) -> str:
    mark, whole = "", result.error
    if whole is not None:
        mark = "ERROR: "
    else:
        whole = result.data if isinstance(result.data, str) else json_text(result.data)
    where = f"[all {kept['chars']} characters are in {kept['path']}; it begins:]"
    return f"{mark}{where}\n{whole[:PREVIEW_CHARS]}"


def step_text(step: Step, limit: int = RESULT_CHARS) -> str:
    """One step for the recent results: the call and its result, or its error."""
    result = step.tool_result
    return line_text(step.number, step.tool_call, told_text(result), result, limit)


def message_text(message: Message, limit: int) -> str:
    """The same of a step's message in the conversation, with what the message says by now."""
    result, call = message.tool_result, message.tool_call
    assert result is not None
    assert call is not None
    return line_text(message.metadata["step"], call, message.content, result, limit)


def line_text(number: int, call: ToolCall, told: str, result: ToolResult, limit: int) -> str:
    """A call and what was told of its result, in one line."""
    mark = "✓" if result.error is None else "✗"
    told = told if len(told) <= limit else cut(told, limit)
    return f"S{number} {mark} {call.tool}({summarize_args(call.args)}) → {told}"


def recent_text(lines: Iterable[str]) -> str:
    """The newest lines that fit, in order; ``lines`` are in order too."""
    return "\n".join(recent_lines(lines))


def recent_lines(lines: Iterable[str]) -> tuple[str, ...]:
    """The same, line by line."""
    told = tuple(lines)
    if sum(map(len, told)) + len(told) <= RECENT_CHARS:
        return told
    kept: list[str] = []
    left = RECENT_CHARS
    for line in reversed(told):
        left -= len(line) + 1
        if left < 0 and kept:
            break
        kept.append(line)
    return tuple(reversed(kept))


def cut(text: str, limit: int) -> str:
    """At most so many characters of a text, and a marker that says how many are missing.

    >>> cut("abcdef", 4)
    'abcd… [2 more characters]'
    """
    return text if len(text) <= limit else f"{text[:limit]}… [{len(text) - limit} more characters]"


def _shorten_rows(rows: list[Any]) -> dict[str, Any]:
    left = len(rows) - LIST_ROWS
    return {
        "rows": rows[:LIST_ROWS],
        "total": len(rows),
        "showing": LIST_ROWS,
        "truncated": True,
        "note": f"{left} more rows are not shown",
    }
