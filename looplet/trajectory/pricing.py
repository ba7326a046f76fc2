"""What recorded model calls cost. Knows calls and prices; knows no run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from looplet.backends.ledger import PricedCall, Prices, PriceTable
from looplet.core.records import Usage
from looplet.trajectory.model import LLMCall

_Pricer = Callable[[PricedCall], float | None]


def cost_of(calls: Iterable[LLMCall], prices: Prices) -> float | None:
    """The cost of all calls that were answered, in USD; ``None`` if that of one is not known.

    ``prices`` are a table, or USD for 1000 tokens sent and received. Without a call, nothing is
    known.
    """
    costs = [cost for cost, _ in costs_of(calls, prices)]
    known = [cost for cost in costs if cost is not None]
    return math.fsum(known) if costs and len(known) == len(costs) else None


def costs_of(calls: Iterable[LLMCall], prices: Prices) -> Iterator[tuple[float | None, str]]:
    """The cost of each call that was answered, in USD or not known, and what it is the cost of."""
    price = _pricer(prices)
    for call in calls:
        if call.error is not None:
            continue
        sent, received = call.input_tokens, call.output_tokens
        if sent is None or received is None:
            yield None, f"call {call.index}, which does not tell its tokens"
            continue
        usage = Usage(sent, received, sent + received, estimated=call.tokens_estimated)
        cached = call.cached_tokens or 0
        priced = PricedCall(model=call.model, base_url=None, usage=usage, cached_tokens=cached)
        yield price(priced), f"the model {call.model}" if call.model else "a call without a model"


def _pricer(prices: Prices) -> _Pricer:
    if not isinstance(prices, tuple):
        return lambda call: _as_float(prices, call)
    sent, received = prices
    return lambda call: (
        (call.usage.input_tokens * sent + call.usage.output_tokens * received) / 1000
    )


def _as_float(table: PriceTable, call: PricedCall) -> float | None:
    cost = table.cost(call)
    return None if cost is None else float(cost)
