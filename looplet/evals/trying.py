"""Contexts made up in a line, to try an eval out without a run. Knows contexts and records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from looplet.core.codec import JSON
from looplet.core.records import Step, ToolCall, ToolResult, summarize_args
from looplet.errors import EvalError
from looplet.evals.context import EvalContext

MadeUpCall: TypeAlias = str | tuple[str, Mapping[str, Any]] | tuple[str, Mapping[str, Any], Any]
"""A tool; with its arguments; with its result, where an exception stands for an error."""


def context_of_calls(
    *calls: MadeUpCall,
    task: JSON = None,
    final_output: JSON = None,
    stop_reason: str | None = "done",
    expected: JSON = None,
) -> EvalContext:
    """The context of a run that made these calls, numbered from 1.

    A result that is not told is ``None``. Raises ``EvalError`` for what is no such call.

    >>> ctx = context_of_calls("search", ("price", {"fruit": "fig"}, KeyError("no figs")))
    >>> for step in ctx.steps:
    ...     print(step.pretty())
    #1 ✓ search() → None
    #2 ✗ price(fruit=fig) → ERROR: 'no figs'
    """
    return EvalContext(
        [_step(number, call) for number, call in enumerate(calls, 1)],
        task,
        final_output,
        stop_reason=stop_reason,
        expected=expected,
    )


def _step(number: int, call: MadeUpCall) -> Step:
    parts: tuple[Any, ...] = (call,) if isinstance(call, str) else tuple(call)
    tool, args, result = (*parts, *({}, None)[len(parts) - 1 :])[:3]
    if not parts or len(parts) > 3 or not isinstance(tool, str) or not isinstance(args, Mapping):  # noqa: PLR2004
        raise EvalError(f"{call!r} is no call; write tool, (tool, args) or (tool, args, result)")
    args = dict(args)
    failed = isinstance(result, Exception)
    return Step(
        number,
        ToolCall(tool, args, call_id=f"call-{number}"),
        ToolResult(
            tool,
            summarize_args(args),
            None if failed else result,
            error=str(result) if failed else None,
            call_id=f"call-{number}",
        ),
    )
