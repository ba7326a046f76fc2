"""What calls took, by backend and by purpose. Knows tokens and prices; knows no backend."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from looplet.core.codec import JSON
from looplet.core.records import Usage

Price: TypeAlias = tuple[float, float]
"""USD for 1000 tokens sent, and for 1000 received."""


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
    >>> ledger.add("small", "reasoning", Usage(2000, 1000, 3000))
    >>> ledger.total().total_cost
    2.0
    """

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self._prices = dict(prices)
        self._lock = threading.Lock()
        self._cells: dict[tuple[str, str], Figures] = {}

    def add(self, name: str, purpose: str, usage: Usage) -> None:
        """Count one call of the backend ``name``."""
        with self._lock:
            before = self._cells.get((name, purpose), Figures())
            sent = before.total_input_tokens + usage.input_tokens
            received = before.total_output_tokens + usage.output_tokens
            self._cells[name, purpose] = Figures(
                call_count=before.call_count + 1,
                total_input_tokens=sent,
                total_output_tokens=received,
                # From whole counts, so that the sum does not depend on the order of calls.
                total_cost=self._cost(name, sent, received),
                tokens_estimated=before.tokens_estimated or usage.estimated,
            )

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

    def _cost(self, name: str, sent: int, received: int) -> float:
        price_in, price_out = self._prices.get(name, (0.0, 0.0))
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
        """Cost so far, in USD, by the prices known; what has no price costs nothing."""
        return self._ledger.total().total_cost

    @property
    def call_count(self) -> int:
        """Calls that gave a reply."""
        return self._ledger.total().call_count

    @property
    def tokens_estimated(self) -> bool:
        """Whether any count of tokens is an estimate."""
        return self._ledger.total().tokens_estimated

    def reset(self) -> None:
        """Count from zero."""
        self._ledger.reset()
