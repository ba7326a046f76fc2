"""What calls took, by backend and by purpose. Knows tokens and prices; knows no backend."""

from __future__ import annotations

import threading
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, TypeAlias, runtime_checkable

from looplet.core.codec import JSON
from looplet.core.records import Usage

Price: TypeAlias = tuple[float, float]
"""USD for 1000 tokens sent, and for 1000 received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedCall:
    """What a table of prices is asked about: one call that gave a reply."""

    model: str | None
    base_url: str | None
    """The address that was asked, where the backend tells it."""
    usage: Usage
    cached_tokens: int = 0
    """Of those sent, from a cache."""
    cache_write_tokens: int = 0
    """Of those sent, into a cache."""


@runtime_checkable
class PriceTable(Protocol):
    """Prices by model, where nobody gives them by hand."""

    def cost(self, call: PricedCall) -> Decimal | None:
        """What the call cost, in USD; ``None`` if nobody knows."""
        ...


Prices: TypeAlias = Price | PriceTable
"""How one backend's calls are priced: by hand, or by a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Calls that gave a reply, and what they took."""

    call_count: int = 0
    total_input_tokens: int = 0
    total_output_tokens: int = 0
    total_cost: float = 0.0
    """In USD."""
    tokens_estimated: bool = False
    """Whether any of the counts is an estimate."""

    def to_dict(self) -> dict[str, JSON]:
        """The five figures."""
        return {name: getattr(self, name) for name in self.__slots__}


class Ledger:
    """Counts calls; threads may write and read at the same time.

    >>> ledger = Ledger({"small": (0.5, 1.0)})
    >>> call = PricedCall(model=None, base_url=None, usage=Usage(2000, 1000, 3000))
    >>> ledger.add("small", "reasoning", call)
    >>> ledger.total().total_cost
    2.0
    """

    def __init__(self, prices: Mapping[str, Prices]) -> None:
        self._by_hand: dict[str, Price] = {}
        self._tables: dict[str, PriceTable] = {}
        for name, each in prices.items():
            if isinstance(each, PriceTable):
                self._tables[name] = each
            else:
                self._by_hand[name] = each
        self._lock = threading.Lock()
        self._cells: dict[tuple[str, str], Figures] = {}
        self._exact: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        """What tables gave, exactly: a sum of floats would depend on the order of calls."""
        self._unpriced: Counter[str] = Counter()
        self._warned: set[str] = set()

    def add(self, name: str, purpose: str, call: PricedCall) -> None:
        """Count one call of the backend ``name``; one that nobody can price is warned about."""
        table = self._tables.get(name)
        cost = table.cost(call) if table is not None else Decimal(0)
        usage, cell, model = call.usage, (name, purpose), call.model or name
        with self._lock:
            before = self._cells.get(cell, Figures())
            sent = before.total_input_tokens + usage.input_tokens
            received = before.total_output_tokens + usage.output_tokens
            self._exact[cell] += cost or 0
            self._cells[cell] = Figures(
                call_count=before.call_count + 1,
                total_input_tokens=sent,
                total_output_tokens=received,
                # From whole counts, so that the sum does not depend on the order of calls.
                total_cost=self._cost(name, sent, received) + float(self._exact[cell]),
                tokens_estimated=before.tokens_estimated or usage.estimated,
            )
            new = cost is None and model not in self._warned
            if cost is None:
                self._unpriced[model] += 1
                self._warned.add(model)
        if new:
            _warn_unpriced(name, model)

    def unpriced(self) -> dict[str, int]:
        """Models that a table was asked for and does not know, and how often they were called."""
        with self._lock:
            return dict(self._unpriced)

    def report_unpriced(self) -> dict[str, JSON]:
        """The same as the part of a report; nothing where no table gives prices."""
        return {"unpriced": self.unpriced()} if self._tables else {}

    def total(self) -> Figures:
        """All calls together."""
        return _sum(figures for _, figures in self._read())

    def by_backend(self) -> dict[str, Figures]:
        """The figures of each backend that was called."""
        return self._grouped(lambda cell: cell[0])

    def by_purpose(self) -> dict[str, Figures]:
        """The figures of each purpose that was asked for."""
        return self._grouped(lambda cell: cell[1])

    def reset(self) -> None:
        """Begin at zero."""
        with self._lock:
            self._cells.clear()
            self._exact.clear()
            self._unpriced.clear()

    def _cost(self, name: str, sent: int, received: int) -> float:
        price_in, price_out = self._by_hand.get(name, (0.0, 0.0))
        return (sent * price_in + received * price_out) / 1000

    def _read(self) -> list[tuple[tuple[str, str], Figures]]:
        with self._lock:
            return sorted(self._cells.items(), key=lambda item: item[0])

    def _grouped(self, group: Callable[[tuple[str, str]], str]) -> dict[str, Figures]:
        groups: dict[str, list[Figures]] = defaultdict(list)
        for cell, figures in self._read():
            groups[group(cell)].append(figures)
        return {name: _sum(figures) for name, figures in groups.items()}


def _sum(parts: Iterable[Figures]) -> Figures:
    figures = list(parts)
    return Figures(
        call_count=sum(each.call_count for each in figures),
        total_input_tokens=sum(each.total_input_tokens for each in figures),
        total_output_tokens=sum(each.total_output_tokens for each in figures),
        total_cost=float(sum(each.total_cost for each in figures)),
        tokens_estimated=any(each.tokens_estimated for each in figures),
    )


def priced_call(backend: object, usage: Usage, told: Mapping[str, Any] | None) -> PricedCall:
    """A call of a backend, as a table of prices is asked about it; ``told`` is its last usage."""
    model, base_url = getattr(backend, "model", None), getattr(backend, "base_url", None)
    return PricedCall(
        model=model if isinstance(model, str) else None,
        base_url=base_url if isinstance(base_url, str) else None,
        usage=usage,
        cached_tokens=_count(told, "cached_tokens"),
        cache_write_tokens=_count(told, "cache_write_tokens"),
    )


def _count(told: Mapping[str, Any] | None, name: str) -> int:
    count = told.get(name) if told else None
    return count if type(count) is int and count > 0 else 0


def _warn_unpriced(name: str, model: str) -> None:
    warnings.warn(
        f"no price is known for the model {model!r} of backend {name!r}: its calls are counted as "
        "0 USD, and report()['unpriced'] counts them. To do: give its price by hand, for a router "
        f"as prices={{{name!r}: (input, output)}}, in USD per 1000 tokens",
        stacklevel=5,
    )


class Counted:
    """The five figures of a backend that keeps a ledger."""

    _ledger: Ledger

    @property
    def total_input_tokens(self) -> int:
        """Tokens sent so far."""
        return self._ledger.total().total_input_tokens

    @property
    def total_output_tokens(self) -> int:
        """Tokens received so far."""
        return self._ledger.total().total_output_tokens

    @property
    def total_cost(self) -> float:
        """Cost so far, in USD, by the prices known; what has no price is counted as 0.

        ``unpriced`` tells which calls a table of prices did not know.
        """
        return self._ledger.total().total_cost

    @property
    def call_count(self) -> int:
        """Calls that gave a reply."""
        return self._ledger.total().call_count

    @property
    def tokens_estimated(self) -> bool:
        """Whether any count of tokens is an estimate."""
        return self._ledger.total().tokens_estimated

    @property
    def unpriced(self) -> dict[str, int]:
        """Models without a known price, and their calls; only a table of prices asks."""
        return self._ledger.unpriced()

    def reset(self) -> None:
        """Count from zero."""
        self._ledger.reset()
