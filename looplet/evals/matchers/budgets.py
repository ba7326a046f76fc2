"""Steps, tokens, cost and time of a run against what it may take. Knows contexts and prices.

Every figure is one that was recorded. One that was not is not evaluable, and never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from looplet.backends.ledger import Prices
from looplet.core.records import Usage
from looplet.errors import EvalError, NotEvaluable
from looplet.evals.context import EvalContext
from looplet.evals.matchers.match import Match, Miss, match_of
from looplet.trajectory.model import Trajectory
from looplet.trajectory.pricing import costs_of

_TOKENS: Final = ("input_tokens", "output_tokens")
_Side = Literal["input_tokens", "output_tokens"]
_MILLISECONDS = 1000


def within(
    ctx: EvalContext,
    *,
    steps: int | None = None,
    tokens: int | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    cost_usd: float | None = None,
    seconds: float | None = None,
    prices: Prices | None = None,
) -> Match:
    """Whether a run took at most so many steps, tokens, US dollars and seconds.

    Tokens are those of all model calls of the trajectory, of tools' own and of failed ones too;
    without a trajectory those of the steps. ``tokens`` counts both sides. Cost is the recorded one;
    where there is none, ``prices`` gives that of each call that was answered: a table, or USD for
    1000 tokens sent and received. ``seconds`` is the run's wall clock. The figures become metrics.

    A figure that is not known is not evaluable, unless the part of it that is known is too much
    already, or another figure is. Raises ``NotEvaluable`` for that, and ``EvalError`` if no limit
    is given, or one that is no limit.

    >>> from looplet.evals.trying import context_of_calls
    >>> within(context_of_calls("search", "price", "done"), steps=2)
    <within fails: 3 steps, of 2 allowed>
    """
    limits = {
        "steps": steps,
        "tokens": tokens,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cost_usd": cost_usd,
        "seconds": seconds,
    }
    given = {name: limit for name, limit in limits.items() if limit is not None}
    _check(given)
    figures = {name: _figure(ctx, name, limit, prices) for name, limit in given.items()}
    over = [name for name, limit in given.items() if figures[name].known > limit]
    unknown = [figure.lacking for figure in figures.values() if figure.lacking]
    if unknown and not over:
        raise NotEvaluable("; ".join(dict.fromkeys(unknown)))
    return match_of(
        "within",
        over,
        lambda name: Miss(text=f"{figures[name].text(name)}, of {given[name]:,} allowed"),
        held=", ".join(figures[name].text(name) for name in given),
        metrics={name: each.known for name, each in figures.items() if not each.lacking},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figure:
    known: float
    """The figure, or as much of it as is known."""
    lacking: str = ""
    """What is not known, if anything."""
    estimated: bool = False

    def text(self, name: str) -> str:
        least = "at least " if self.lacking else ""
        note = " (estimated)" if self.estimated else ""
        unit = "USD" if name == "cost_usd" else name.replace("_", " ")
        amount = f"{self.known:,.6f}".rstrip("0").rstrip(".")
        return f"{least}{amount} {unit}{note}"


def _check(given: Mapping[str, object]) -> None:
    if not given:
        raise EvalError("within() was given no limit; write for example within(ctx, steps=10)")
    for name, limit in given.items():
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit >= 0:
            raise EvalError(f"the limit of {name} is a number from 0 on, not {limit!r}")


def _figure(ctx: EvalContext, name: str, limit: float, prices: Prices | None) -> _Figure:
    if name == "steps":
        return _Figure(known=ctx.step_count)
    if name == "seconds":
        return _seconds(ctx)
    if name == "cost_usd":
        return _cost(ctx.trajectory, prices)
    sides: Sequence[_Side] = _TOKENS if name == "tokens" else (_side(name),)
    if ctx.trajectory is None:
        return _tokens_of_steps(ctx, sides)
    return _tokens(ctx.trajectory, sides, limit)


def _side(name: str) -> _Side:
    return "input_tokens" if name == "input_tokens" else "output_tokens"


def _seconds(ctx: EvalContext) -> _Figure:
    if ctx.trajectory is not None:
        taken = ctx.trajectory.duration_ms
        if taken is not None:
            return _Figure(known=taken / _MILLISECONDS)
    else:
        start, end = ctx.metadata.get("started_at"), ctx.metadata.get("ended_at")
        if isinstance(start, int | float) and isinstance(end, int | float):
            return _Figure(known=end - start)
    return _Figure(known=0, lacking="when the run began and ended is not known")


def _tokens_of_steps(ctx: EvalContext, sides: Sequence[_Side]) -> _Figure:
    """The tokens that steps tell; the first step of each turn tells the turn's."""
    told: list[Usage] = [step.usage for step in ctx.steps if step.usage is not None]
    if not told:
        return _Figure(known=0, lacking="no step tells its tokens")
    total = sum(getattr(usage, side) for usage in told for side in sides)
    return _Figure(known=total, estimated=any(usage.estimated for usage in told))


def _tokens(trajectory: Trajectory, sides: Sequence[_Side], limit: float) -> _Figure:
    sums = [getattr(trajectory, side) for side in sides]
    known = sum(each for each in sums if each is not None)
    if all(each is None for each in sums):
        return _Figure(known=0, lacking="no model call tells its tokens")
    if known > limit:  # settled, without looking at every call
        return _Figure(known=known, estimated=trajectory.tokens_estimated)
    dark = sum(any(getattr(call, side) is None for side in sides) for call in trajectory.llm_calls)
    calls = len(trajectory.llm_calls)
    lacking = f"{dark} of {calls} model calls do not tell their tokens" if dark else ""
    return _Figure(known=known, lacking=lacking, estimated=trajectory.tokens_estimated)


def _cost(trajectory: Trajectory | None, prices: Prices | None) -> _Figure:
    if trajectory is not None and trajectory.cost_usd is not None:
        return _Figure(known=trajectory.cost_usd)
    if prices is None or trajectory is None:
        return _Figure(known=0, lacking="the cost was not recorded, and no prices are given")
    if not trajectory.llm_calls:
        return _Figure(known=0, lacking="no model call was recorded, so that nothing has a price")
    costs = list(costs_of(trajectory.llm_calls, prices))
    dark = [what for cost, what in costs if cost is None]
    return _Figure(
        known=sum(cost for cost, _ in costs if cost is not None),
        lacking=f"nobody knows the price of {', '.join(dict.fromkeys(dark))}" if dark else "",
        estimated=trajectory.tokens_estimated,
    )
