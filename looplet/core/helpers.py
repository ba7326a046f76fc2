"""Small things that hooks and hosts ask of a run. Knows steps and text; knows no loop."""

from __future__ import annotations

import re
from collections.abc import Iterator

from looplet.core.protocols import AgentState
from looplet.core.records import Step


def iter_done_steps(state: AgentState, *, tool_name: str = "done") -> Iterator[Step]:
    """The steps of the done tool, accepted and rejected, newest first."""
    return (step for step in reversed(state.steps) if step.tool_call.tool == tool_name)


def is_rejected_done(step: Step) -> bool:
    """Whether a done-call was rejected, by a hook, the schema, or the done tool itself.

    >>> from looplet.core.records import ToolCall, ToolResult
    >>> data = {"rejected": True, "reason": "no source"}
    >>> is_rejected_done(Step(4, ToolCall("done"), ToolResult("done", "rejected", data)))
    True
    """
    data = step.tool_result.data
    return isinstance(data, dict) and data.get("rejected") is True


def last_accepted_done(state: AgentState, *, tool_name: str = "done") -> Step | None:
    """The newest done-call that ended a run, or ``None``; one with an error never did."""
    for step in iter_done_steps(state, tool_name=tool_name):
        if step.tool_result.error is None and not is_rejected_done(step):
            return step
    return None


def last_rejected_done(state: AgentState, *, tool_name: str = "done") -> Step | None:
    """The newest done-call that was rejected, or ``None``."""
    return next(filter(is_rejected_done, iter_done_steps(state, tool_name=tool_name)), None)


def excerpt_around_match(
    text: str,
    pattern: str | re.Pattern[str],
    *,
    context: int = 40,
    case_insensitive: bool = True,
    collapse_newlines: bool = True,
) -> str | None:
    """The first match of a regular expression with ``context`` characters on either side.

    ``None`` if nothing matches; an ellipsis marks a cut. ``case_insensitive`` is for a pattern
    that is text: a compiled one has flags of its own. Raises ``re.error`` for a bad pattern.

    >>> excerpt_around_match("The order was refunded on Monday.", "refund", context=6)
    '…r was refunded on …'
    """
    if isinstance(pattern, str):
        pattern = re.compile(pattern, re.IGNORECASE if case_insensitive else 0)
    found = pattern.search(text)
    if found is None:
        return None
    start, stop = max(0, found.start() - context), min(len(text), found.end() + context)
    excerpt = text[start:stop]
    if collapse_newlines:
        excerpt = re.sub(r"\s*[\r\n]\s*", " ", excerpt)
    return ("…" if start else "") + excerpt + ("…" if stop < len(text) else "")
