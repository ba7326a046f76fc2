"""What happened: calls, results, steps. Records that know nothing of the loop that made them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any

from looplet.core.codec import JSON, plain_text, to_jsonable

ARGUMENT_CHARS = 50
"""How much of an argument's value a line shows."""
PREVIEW_ITEMS, PREVIEW_CHARS = 20, 2000
REJECTED = "rejected"
"""What stands in place of its arguments' summary in the result of a rejected done-call."""


def new_id() -> str:
    """Twelve random hex digits.

    >>> len(new_id())
    12
    """
    try:
        return _IDS.pop()
    except IndexError:
        _fetch_ids()
        return new_id()


_IDS: list[str] = []
"""Ids in store: one call of the system gives many."""
_STOCK = 64


def _fetch_ids() -> None:
    _clear_after_fork()
    digits = os.urandom(6 * _STOCK).hex()
    _IDS.extend(digits[place : place + 12] for place in range(0, len(digits), 12))


@cache
def _clear_after_fork() -> None:
    """See that a forked process does not give the ids that its parent gives."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_IDS.clear)


class ErrorKind(str, Enum):
    """What sort of failure a tool's error is."""

    PERMISSION_DENIED = "permission_denied"
    TIMEOUT = "timeout"
    VALIDATION = "validation"
    EXECUTION = "execution"
    PARSE = "parse"
    CONTEXT_OVERFLOW = "context_overflow"
    RATE_LIMIT = "rate_limit"
    NETWORK = "network"
    CANCELLED = "cancelled"


@dataclass(slots=True)
class ToolError:
    """An error with its kind; ``str()`` is the message."""

    kind: ErrorKind
    message: str
    retriable: bool = False
    context: dict[str, Any] = field(default_factory=dict)
    recovery_hint: JSON = None

    def __str__(self) -> str:
        return self.message

    def __bool__(self) -> bool:
        return True


@dataclass(slots=True)
class ToolCall:
    """One tool invocation that the model asked for."""

    tool: str
    args: dict[str, Any] = field(default_factory=dict)
    reasoning: str = ""
    call_id: str = field(default_factory=new_id)
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, JSON]:
        """The five fields, as JSON."""
        return {
            "tool": self.tool,
            "args": to_jsonable(self.args),
            "reasoning": self.reasoning,
            "call_id": self.call_id,
            "metadata": to_jsonable(self.metadata) if self.metadata else {},
        }


@dataclass(slots=True)
class ToolResult:
    """What one call gave: ``data``, or an ``error``."""

    tool: str
    args_summary: str
    data: Any
    error: str | None = None
    error_detail: ToolError | None = None
    duration_ms: float = 0.0
    """Wall clock around the tool, in milliseconds."""
    result_key: str | None = None
    call_id: str | None = None
    warnings: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def error_message(self) -> str | None:
        """The error's text, or ``None``."""
        return self.error_detail.message if self.error_detail else self.error

    @property
    def error_kind(self) -> ErrorKind | None:
        """The error's kind; EXECUTION if only a text is known; ``None`` without an error."""
        if self.error_detail:
            return self.error_detail.kind
        return ErrorKind.EXECUTION if self.error is not None else None

    @property
    def error_retriable(self) -> bool:
        """Whether asking again may help."""
        return bool(self.error_detail and self.error_detail.retriable)

    def to_dict(self, *, full: bool = False) -> dict[str, JSON]:
        """The result as JSON: a preview, or with ``full=True`` the uncut form that is saved."""
        out: dict[str, JSON] = {
            "tool": self.tool,
            "args": self.args_summary,
            "duration_ms": self.duration_ms,
        }
        if self.error is not None:
            out["error"] = self.error
            kind = self.error_kind
            out["error_kind"] = kind.value if kind else None
            out["error_retriable"] = self.error_retriable
        elif self.result_key is not None:
            out["result_key"] = self.result_key
        if full:
            out["data"] = to_jsonable(self.data)
        else:
            out.update(_preview(self.data))
        if self.warnings:
            out["warnings"] = list(self.warnings)
        if self.metadata:
            out["metadata"] = to_jsonable(self.metadata)
        return out


@dataclass(slots=True)
class Usage:
    """Tokens of the model calls behind a step."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    estimated: bool = False
    """True if any of the counts was estimated from the text's length."""


@dataclass(slots=True)
class Step:
    """The record of one call, or of one failure; what the loop yields."""

    number: int
    tool_call: ToolCall
    tool_result: ToolResult
    usage: Usage | None = field(default=None, kw_only=True)

    def pretty(self) -> str:
        """One line for a person.

        >>> call, data = ToolCall("greet", {"name": "Alice"}), {"greeting": "Hello, Alice!"}
        >>> result = ToolResult("greet", "name=Alice", data, duration_ms=0.2)
        >>> Step(1, call, result).pretty()
        '#1 ✓ greet(name=Alice) → greeting: Hello, Alice! [0ms]'
        """
        call = self.tool_call
        return pretty_line(self.number, call.tool, summarize_args(call.args), self.tool_result)

    def summary(self) -> str:
        """One line for a prompt."""
        result = self.tool_result
        mark = "✓" if result.error is None else "✗"
        return escape_controls(f"S{self.number} {mark} {self._call_text()} → {tail_text(result)}")

    def to_dict(self) -> dict[str, JSON]:
        """Number, call and uncut result, as JSON."""
        return {
            "step": self.number,
            "tool_call": self.tool_call.to_dict(),
            "tool_result": self.tool_result.to_dict(full=True),
        }

    def _call_text(self) -> str:
        return f"{self.tool_call.tool}({summarize_args(self.tool_call.args)})"


def pretty_line(number: int, tool: str, args_summary: str, result: ToolResult) -> str:
    """A step as one line for a person; its arguments as ``summarize_args`` gives them.

    >>> pretty_line(1, "price", "fruit=pear", ToolResult("price", "fruit=pear", 0.55))
    '#1 ✓ price(fruit=pear) → 0.55'
    """
    line = f"#{number} {mark_of(result)} {tool}({args_summary}) → {tail_text(result)}"
    if result.duration_ms > 0:
        line += f" [{result.duration_ms:.0f}ms]"
    return escape_controls(line)


def mark_of(result: ToolResult) -> str:
    """✗ for an error and for a done-call that was rejected, ✓ for anything else."""
    return "✗" if result.error is not None or is_rejection(result) else "✓"


def is_rejection(result: ToolResult) -> bool:
    """Whether a result is the loop's own of a rejected done-call, and no tool's that looks like it.

    >>> is_rejection(ToolResult("done", REJECTED, {"rejected": True, "reason": "no source"}))
    True
    """
    data = result.data
    refused = isinstance(data, dict) and data.get("rejected") is True
    return refused and result.args_summary == REJECTED


def summarize_args(args: dict[str, Any]) -> str:
    """Arguments as ``k=v, k=v``, each value cut at 50 characters, dunder keys left out.

    >>> summarize_args({"fruit": "apple", "n": 3})
    'fruit=apple, n=3'
    """
    shown = []
    for key, value in args.items():
        if str(key)[:2] != "__" or not is_dunder(key):
            text = value if type(value) is str else plain_text(value)
            shown.append(f"{key}={text[:ARGUMENT_CHARS]}")
    return ", ".join(shown)


def is_dunder(key: object) -> bool:
    """Whether a name is looplet's own, not a tool's: ``__theory__`` and its kind.

    >>> is_dunder("__theory__"), is_dunder("__")
    (True, False)
    """
    between = isinstance(key, str) and len(key) > len("____")
    return between and key.startswith("__") and key.endswith("__")  # type: ignore[attr-defined]


def escape_controls(text: str) -> str:
    r"""Control characters and lone surrogates as visible escapes, so that a terminal stays calm.

    >>> escape_controls("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def tail_text(result: ToolResult) -> str:
    """What a line shows of a result, unescaped.

    >>> tail_text(ToolResult("price", "", {"fruit": "pear", "euro": 0.55}))
    '2 keys'
    """
    if result.error is not None:
        return f"ERROR: {result.error[:80]}"
    data = result.data
    if isinstance(data, dict):
        return _dict_tail(data)
    if isinstance(data, list):
        return f"{len(data)} items"
    return plain_text(data)[:60]


def _dict_tail(data: dict[Any, Any]) -> str:
    if data.get("needs_approval"):
        description = str(data.get("approval_description") or "")[:80]
        return "⏸ awaiting approval" + (f": {description}" if description else "")
    lists = [key for key, value in data.items() if isinstance(value, list)]
    if len(lists) == 1:
        return f"{len(data[lists[0]])} {lists[0]}"
    if len(data) == 1:
        key, value = next(iter(data.items()))
        return f"{key}: {plain_text(value)[:60]}"
    return f"{len(data)} keys"


def _preview(data: object) -> dict[str, JSON]:
    if isinstance(data, list):
        items = to_jsonable(data[:PREVIEW_ITEMS])
        return {"data": items, "total_items": len(data)}
    if isinstance(data, dict) or data is None or isinstance(data, bool | int | float):
        return {"data": to_jsonable(data)}
    text = data if isinstance(data, str) else json.dumps(to_jsonable(data), ensure_ascii=False)
    return {"data": text[:PREVIEW_CHARS]}
