"""A backend that counts what it uses. Knows no provider and no loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from looplet.backends.ledger import Counted, Ledger, Prices, PriceTable, priced_call
from looplet.core.backend import Reply, is_async
from looplet.core.codec import JSON
from looplet.core.messages import Method
from looplet.core.usage import count_tokens
from looplet.core.wrapping import AsyncWrapper, SyncWrapper, request_of

NAME = "default"
DEFAULT_PURPOSE = "reasoning"


class CostTracker(Counted, SyncWrapper):
    """A backend around ``backend`` whose tokens are counted, at prices in USD per 1000 tokens.

    Where neither is given, ``prices`` may be a table of prices, such as ``GenAIPrices()``. Around
    an async backend its calls are awaited. Tokens are the provider's own if given, else
    ``ceil(chars / 4)``, and ``tokens_estimated`` tells. Calls that failed are not counted.
    Threads may share a tracker.

    >>> from looplet.testing import MockLLMBackend
    >>> llm = CostTracker(MockLLMBackend(["four"]), cost_per_1k_input=1, cost_per_1k_output=2)
    >>> llm.generate("12345678"), llm.total_input_tokens, llm.total_output_tokens, llm.total_cost
    ('four', 2, 1, 0.004)
    """

    own_keywords = frozenset({"purpose"})

    def __new__(cls, backend: Any, **_prices: Any) -> CostTracker:  # noqa: PYI034  # or its async kind
        """A tracker whose calls are awaited if the backend's calls are."""
        if cls is CostTracker and is_async(backend):
            cls = AsyncCostTracker  # noqa: PLW0642  # the kind of tracker is the kind of backend
        return super().__new__(cls)

    def __init__(
        self,
        backend: Any,
        *,
        cost_per_1k_input: float = 0,
        cost_per_1k_output: float = 0,
        prices: PriceTable | None = None,
    ) -> None:
        super().__init__(backend)
        by_hand = (cost_per_1k_input, cost_per_1k_output)
        known: Prices = prices if prices is not None and not any(by_hand) else by_hand
        self._ledger = Ledger({NAME: known})

    def __getnewargs__(self) -> tuple[Any]:
        """What ``copy`` hands to ``__new__``."""
        return (self.inner,)

    def report(self) -> dict[str, JSON]:
        """The five figures, and the same under ``purposes`` by purpose.

        With a table of prices also ``unpriced``: models that it does not know, and their calls.
        """
        purposes = self._ledger.by_purpose()
        return {
            **self._ledger.total().to_dict(),
            **self._ledger.report_unpriced(),
            "purposes": {name: each.to_dict() for name, each in purposes.items()},
        }

    def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Make one call, and count it."""
        reply: Reply = self.forward(method, prompt, keywords)
        return self._count(method, prompt, keywords, reply)

    def _count(
        self, method: Method, prompt: str, keywords: Mapping[str, Any], reply: Reply
    ) -> Reply:
        request = request_of(method, prompt, self._forwarded(method, keywords))
        usage = getattr(self.inner, "last_usage", None)
        purpose = keywords.get("purpose") or DEFAULT_PURPOSE
        tokens = count_tokens(request, reply, usage)
        self._ledger.add(NAME, purpose, priced_call(self.inner, tokens, usage))
        return reply


class AsyncCostTracker(AsyncWrapper, CostTracker):
    """What ``CostTracker`` makes of an async backend."""

    async def around(  # type: ignore[override]  # the same, awaited
        self, method: Method, prompt: str, keywords: dict[str, Any]
    ) -> Reply:
        """Make one call, and count it."""
        reply: Reply = await self.forward(method, prompt, keywords)
        return self._count(method, prompt, keywords, reply)
