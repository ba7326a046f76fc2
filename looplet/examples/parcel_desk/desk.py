"""Orders and prices of the parcel desk. Plain functions; knows no agent and no loop."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One parcel that waits to be sent."""

    weight_kg: str
    country: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What a country costs, in euro."""

    base: str
    per_kg: str


ORDERS = {
    "A17": Order(weight_kg="2.5", country="Spain"),
    "B42": Order(weight_kg="4.0", country="Italy"),
    "C08": Order(weight_kg="0.8", country="France"),
    "D31": Order(weight_kg="7.2", country="Poland"),
    "E55": Order(weight_kg="12.0", country="Norway"),
}
RATES = {
    "France": Rate(base="4.00", per_kg="1.00"),
    "Italy": Rate(base="4.50", per_kg="1.50"),
    "Norway": Rate(base="9.00", per_kg="2.50"),
    "Poland": Rate(base="3.50", per_kg="1.10"),
    "Portugal": Rate(base="5.50", per_kg="1.50"),
    "Spain": Rate(base="5.00", per_kg="1.20"),
}
_WEIGHT = re.compile(r"(\d+(?:\.\d+)?) ?kg")


def weight_of(order_id: str) -> str:
    """Weight of an order, with its unit. Raises ``LookupError`` if there is no such order.

    >>> weight_of("A17")
    '2.5 kg'
    """
    return f"{_order(order_id).weight_kg} kg"


def country_of(order_id: str) -> str:
    """Where an order goes. Raises ``LookupError`` if there is no such order."""
    return _order(order_id).country


def price_of(weight: str, country: str) -> str:
    """What shipping costs, with its unit.

    Raises ``ValueError`` on a weight without its unit, ``LookupError`` on an unknown country.

    >>> price_of("3 kg", "Italy")
    '9.00 euro'
    """
    read = _WEIGHT.fullmatch(weight)
    if read is None:
        raise ValueError(f"the weight must be a number and kg, not {weight!r}")
    if country not in RATES:
        raise LookupError(f"no parcels go to {country!r}")
    rate = RATES[country]
    return f"{Decimal(rate.base) + Decimal(rate.per_kg) * Decimal(read[1]):.2f} euro"


def _order(order_id: str) -> Order:
    if order_id not in ORDERS:
        raise LookupError(f"no order {order_id!r}")
    return ORDERS[order_id]
