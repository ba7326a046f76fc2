"""Whether the numbers of an answer come from tools. Knows contexts and figures; asks no model."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from decimal import Context, Decimal
from typing import Any

from looplet.core.codec import JSON
from looplet.core.records import Step, ToolCall
from looplet.errors import EvalError, NotEvaluable
from looplet.evals.context import EvalContext
from looplet.evals.figures import DecimalSign, Figure, Reading, figures_in, short
from looplet.evals.matchers import globs
from looplet.evals.matchers.calls import is_call
from looplet.evals.matchers.match import Match, Miss, match_of
from looplet.evals.matchers.sameness import mark_of
from looplet.evals.matchers.showing import told
from looplet.trajectory.model import DONE_TOOL

_EXACT = Context(prec=500)


def grounded(
    ctx: EvalContext,
    *,
    rounded: bool = False,
    tolerance: float = 0.0,
    task: bool = False,
    decimal: DecimalSign = ".",
    ignore: str | Iterable[str] = (),
    ignore_tools: str | Iterable[str] = (),
) -> Match:
    """Whether every number, date and time of the final output appears in a tool's result.

    What counts as one stands in ``looplet.evals.figures``. Numbers are compared by their value,
    whole (5 is not in 15), with their sign. With ``rounded`` one that a result's number rounds to,
    at the digits that the answer shows, will do; with ``tolerance`` one that differs by no more
    than that part of it (0.01 is a hundredth). With ``task`` numbers of the task count as well.

    Results of failed calls, of the done tool and of ``ignore_tools`` prove nothing, nor does what a
    result only repeats of its call's arguments. ``ignore`` names places in the output that are not
    judged (``"confidence"``, ``"items.*.id"``). Raises ``NotEvaluable`` without an output, and
    without a number in it; ``EvalError`` for a tolerance outside 0 to 1.

    >>> from looplet.evals.trying import context_of_calls
    >>> ctx = context_of_calls(("price", {"n": 3}, "3 pears: EUR 1.65"), final_output="It is 1.6.")
    >>> grounded(ctx)
    <grounded fails: 1.6 in the final output is in no tool result; nearest: 1.65>
    >>> bool(grounded(ctx, rounded=True))
    True
    """
    if isinstance(tolerance, bool) or not 0 <= tolerance < 1:
        raise EvalError(f"tolerance is a part of the number, from 0 to below 1, not {tolerance!r}")
    if ctx.lacks("final_output"):
        raise NotEvaluable("the run has no final output")
    output = globs.without(ctx.final_output, globs.patterns_of(ignore, "ignore"))
    claims = list(figures_in(output, decimal=decimal, is_answer=True))
    if not claims:
        raise NotEvaluable("the final output has no number to be looked up")
    ignored = globs.names_of(ignore_tools, "ignore_tools")
    evidence = _Evidence(_evidence(ctx, ignored, with_task=task), decimal)
    slack = Decimal(repr(float(tolerance)))
    missed = [each for each in claims if not evidence.has(each, slack, rounded=rounded)]
    return match_of(
        "grounded",
        missed,
        evidence.miss,
        held=f"all {len(claims)} numbers of the final output are in tool results",
        metrics={"numbers": len(claims), "grounded": len(claims) - len(missed)},
    )


def _evidence(ctx: EvalContext, ignored: Iterable[str], *, with_task: bool) -> Iterator[JSON]:
    """The values that prove something."""
    done = _done_tool(ctx)
    for step in ctx.steps:
        failed = step.tool_result.error is not None
        if not failed and step.tool_call.tool != done and is_call(step, ignored):
            yield _beyond_echo(step)
    if with_task:
        yield ctx.task


def _done_tool(ctx: EvalContext) -> str:
    """The tool that ended the run: its result repeats the answer."""
    last = ctx.steps[-1].tool_call if ctx.steps else None
    ended = last is not None and ctx.completed and last.args == ctx.final_output
    return last.tool if last is not None and ended else DONE_TOOL


def _beyond_echo(step: Step) -> JSON:
    """A result without what it repeats of the call: the model's own words prove nothing."""
    call, data = step.tool_call, step.tool_result.data
    if isinstance(data, Mapping):
        return {key: each for key, each in data.items() if not _repeats(call, key, each)}
    marks = [mark_of(each) for each in call.args.values()]
    mark = mark_of(data)
    return None if mark is not None and mark in marks else data


def _repeats(call: ToolCall, key: Any, value: JSON) -> bool:
    mark = mark_of(value)
    return key in call.args and mark is not None and mark == mark_of(call.args[key])


class _Evidence:
    """The figures of results, to be looked up."""

    def __init__(self, values: Iterable[JSON], decimal: DecimalSign) -> None:
        found = [figure for each in values for figure in figures_in(each, decimal=decimal)]
        self._numbers = sorted({number for figure in found for number, _ in figure.numbers})
        self._known = set(self._numbers)
        self._names = {figure.name for figure in found if figure.name is not None}

    def has(self, claim: Figure, tolerance: Decimal, *, rounded: bool) -> bool:
        """Whether any reading of a figure is there."""
        if claim.name is not None:
            return claim.name in self._names
        if any(number in self._known for number, _ in claim.numbers):
            return True
        return any(self._is_near(each, tolerance, rounded=rounded) for each in claim.numbers)

    def _is_near(self, reading: Reading, tolerance: Decimal, *, rounded: bool) -> bool:
        number, unit = reading
        slack = _EXACT.multiply(tolerance, number.copy_abs())
        if rounded:
            slack = max(slack, _EXACT.divide(unit, Decimal(2)))
        place = bisect_left(self._numbers, _EXACT.subtract(number, slack))
        return place < len(self._numbers) and self._numbers[place] <= _EXACT.add(number, slack)

    def miss(self, claim: Figure) -> Miss:
        """Say that a figure is nowhere, and which comes nearest."""
        where = f" ({'.'.join(claim.path)})" if claim.path else ""
        text = f"{told(claim.text).strip(chr(39))} in the final output{where} is in no tool result"
        return Miss(text=text + self._nearest(claim))

    def _nearest(self, claim: Figure) -> str:
        if not claim.numbers or not self._numbers:
            return ""
        number = claim.numbers[0][0]
        place = bisect_left(self._numbers, number)
        around = self._numbers[max(0, place - 1) : place + 1]
        nearest = min(around, key=lambda each: _EXACT.subtract(each, number).copy_abs())
        return f"; nearest: {short(nearest)}"
