"""What the parcel desk is asked, and the right answers, computed by the desk itself."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

from looplet.core.codec import JSON
from looplet.examples.parcel_desk.desk import country_of, price_of, weight_of

TRIALS = (1, 2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One question with its right answer and the way there."""

    task_id: str
    goal: str
    """The question, as the model reads it."""
    answer: str
    tools: tuple[str, ...]
    """The tools that lead to the answer, in order, without ``done``."""

    @property
    def expected(self) -> dict[str, JSON]:
        """What evals compare a run with."""
        return {"answer": self.answer, "tools": list(self.tools)}

    def seed(self, trial: int) -> int:
        """The sampling seed of a trial; trials of two tasks do not share one.

        With one seed for all tasks, an unlucky first draw would spoil the same trial of each.
        """
        return crc32(f"{self.task_id}/{trial}".encode()) >> 1


def _weigh(order_id: str) -> Task:
    return Task(
        task_id=f"weigh-{order_id.lower()}",
        goal=f"How heavy is order {order_id}?",
        answer=weight_of(order_id),
        tools=("find_order",),
    )


def _ship(weight: str, country: str) -> Task:
    return Task(
        task_id=f"ship-{weight.replace(' ', '').replace('.', '_')}-{country.lower()}",
        goal=f"What is the shipping price of {weight} to {country}?",
        answer=price_of(weight, country),
        tools=("shipping_price",),
    )


def _pay(order_id: str) -> Task:
    return Task(
        task_id=f"pay-{order_id.lower()}",
        goal=f"What do I pay for order {order_id}?",
        answer=price_of(weight_of(order_id), country_of(order_id)),
        tools=("find_order", "shipping_price"),
    )


TASKS = (
    _weigh("A17"),
    _weigh("C08"),
    _weigh("D31"),
    _ship("3 kg", "Italy"),
    _ship("0.5 kg", "Spain"),
    _ship("2.6 kg", "Portugal"),
    _pay("B42"),
    _pay("E55"),
)
