"""Prices of models by published tables. Knows tokens and models; knows no backend and no loop.

The tables are those of the package genai-prices, as they came with it: nothing is fetched. They
are as old as the installed version; ``pip install --upgrade genai-prices`` brings newer ones.
"""

from __future__ import annotations

from decimal import Decimal
from types import ModuleType
from typing import Any

from looplet.backends.ledger import PricedCall
from looplet.errors import MissingExtra


class GenAIPrices:
    """Prices by the tables of genai-prices, for ``BackendRouter`` and ``CostTracker``.

    ``provider`` names whose prices count (``"openai"``, ``"azure"``, ``"aws"``); without it a
    backend's own address tells, and where that is nobody's in the tables, the model's name.
    Tokens from a cache, and into one, cost what the tables say for such. Raises ``MissingExtra``
    without the package, and ``ValueError`` for a provider that the tables do not have.

    >>> from looplet.backends import CostTracker
    >>> from looplet.testing import ScriptedToolBackend
    >>> usage = {"input_tokens": 1000, "output_tokens": 100}
    >>> llm = CostTracker(ScriptedToolBackend(["hi"], usage=usage, model="gpt-4o"),
    ...                   prices=GenAIPrices())
    >>> llm.generate("hello"), llm.total_cost > 0, llm.unpriced
    ('hi', True, {})
    """

    def __init__(self, provider: str | None = None) -> None:
        tables = _tables()
        if provider is not None:
            try:
                tables.data_snapshot.get_snapshot().find_provider(None, provider, None)
            except LookupError:
                raise ValueError(
                    f"genai-prices has no provider {provider!r}; "
                    "leave it out, and the model's name tells"
                ) from None
        self.provider = provider

    def cost(self, call: PricedCall) -> Decimal | None:
        """What a call cost, in USD; ``None`` if the tables do not know its model."""
        if call.model is None:
            return None
        sent = call.usage.input_tokens
        read = min(call.cached_tokens, sent)
        tables = _tables()
        usage = tables.Usage(
            input_tokens=sent,
            cache_read_tokens=read,
            cache_write_tokens=min(call.cache_write_tokens, sent - read),
            output_tokens=call.usage.output_tokens,
        )
        for place in self._places(call.base_url):
            try:
                return Decimal(tables.calc_price(usage, call.model, **place).total_price)
            except LookupError:
                continue
        return None

    def _places(self, base_url: str | None) -> list[dict[str, Any]]:
        """Where to look, the surest place first."""
        if self.provider is not None:
            return [{"provider_id": self.provider}]
        return [*([{"provider_api_url": base_url}] if base_url else []), {}]


def _tables() -> ModuleType:
    try:
        import genai_prices
    except ImportError as error:
        package = "genai-prices"
        raise MissingExtra(package, needed_for="GenAIPrices", extra="prices") from error
    return genai_prices
