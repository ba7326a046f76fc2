"""Evals that are ready to be used: one call each, of a context, with what may be chosen.

Each returns a `Match`, so that an eval is one line::

    def eval_ended_by_itself(ctx):
        return library.completed(ctx)

Knows the matchers; every rule stands there.
"""

from __future__ import annotations

from collections.abc import Iterable

from looplet.backends.ledger import Prices
from looplet.errors import EvalError, NotEvaluable
from looplet.evals.context import EvalContext
from looplet.evals.grounding import grounded
from looplet.evals.matchers.budgets import within
from looplet.evals.matchers.conduct import never, no_errors, no_repeats
from looplet.evals.matchers.match import Match, Miss
from looplet.evals.schemas import valid_arguments

__all__ = [
    "completed",
    "grounded",
    "no_forbidden_tool",
    "no_repeated_calls",
    "no_tool_errors",
    "valid_arguments",
    "within_budget",
]


def completed(ctx: EvalContext) -> Match:
    """Whether the run ended by an accepted done-call.

    Raises ``NotEvaluable`` if nobody knows how it ended.

    >>> from looplet.evals.trying import context_of_calls
    >>> completed(context_of_calls("price", "done"))
    <completed holds: the run ended by itself>
    >>> completed(context_of_calls("price", stop_reason="budget_exhausted"))
    <completed fails: the run ended by budget_exhausted, after 1 steps>
    """
    if ctx.stop_reason is None:
        raise NotEvaluable("how the run ended is not known")
    ended = f"the run ended by {ctx.stop_reason}, after {ctx.step_count} steps"
    misses = () if ctx.completed else (Miss(text=ended),)
    return Match(matcher="completed", misses=misses, held="the run ended by itself")


def within_budget(
    ctx: EvalContext,
    *,
    steps: int | None = None,
    tokens: int | None = None,
    cost_usd: float | None = None,
    seconds: float | None = None,
    prices: Prices | None = None,
) -> Match:
    """Whether the run took no more than it may, as ``matchers.within`` says it.

    >>> from looplet.evals.trying import context_of_calls
    >>> bool(within_budget(context_of_calls("price", "done"), steps=2))
    True
    """
    return within(
        ctx, steps=steps, tokens=tokens, cost_usd=cost_usd, seconds=seconds, prices=prices
    )


def no_tool_errors(ctx: EvalContext, *, ignore_tools: str | Iterable[str] = ()) -> Match:
    """Whether no call of a tool failed. A reply that was no call is not a tool's error.

    >>> from looplet.evals.trying import context_of_calls
    >>> no_tool_errors(context_of_calls("search", ("price", {"n": 1}, ValueError("too few"))))
    <no_errors fails: step 2: price(n=1) → ERROR: too few>
    """
    ignored = (ignore_tools,) if isinstance(ignore_tools, str) else tuple(ignore_tools)
    return no_errors(ctx, ignore_tools=("__*__", *ignored))


def no_repeated_calls(
    ctx: EvalContext, *, ignore: str | Iterable[str] = (), ignore_tools: str | Iterable[str] = ()
) -> Match:
    """Whether no call is made twice with the same arguments; a failed one may be tried again.

    >>> from looplet.evals.trying import context_of_calls
    >>> bool(no_repeated_calls(context_of_calls("price", ("price", {"n": 1}))))
    True
    >>> bool(no_repeated_calls(context_of_calls("price", "price")))
    False
    """
    return no_repeats(ctx, count_failed=False, ignore=ignore, ignore_tools=ignore_tools)


def no_forbidden_tool(ctx: EvalContext, *tools: str) -> Match:
    """Whether none of these tools is called, by name or pattern; also not in vain.

    Raises ``EvalError`` if no tool is named.

    >>> from looplet.evals.trying import context_of_calls
    >>> bool(no_forbidden_tool(context_of_calls("search", "price"), "delete_*", "bash"))
    True
    """
    if not all(isinstance(tool, str) for tool in tools):
        raise EvalError(f"no_forbidden_tool takes names of tools, not {tools!r}; see never()")
    return never(ctx, *tools)
