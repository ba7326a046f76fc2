"""JSON values with their places, read by kind. What is absent is ``None``; what is wrong is told.

Knows no format. A null counts as absent everywhere, as most writers mean it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from looplet.core.codec import JSON
from looplet.trajectory.importers.problems import Malformed

LARGEST_LABEL = 10**18
SHOWN = 60
"""How much of a wrong value a message quotes."""
DIGITS_SHOWN = 64
"""Bits of a whole number that a message writes out."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Node:
    """One value and where it stands.

    >>> run = Node({"trial": 2, "traj": [{"role": "user"}]}, "$[0]")
    >>> run.get("trial").integer(), run.get("reward").number(), run.get("traj").items()[0].place
    (2, None, '$[0].traj[0]')

    Every reader raises `Malformed` on a value of another kind, and never any other error.
    """

    value: JSON
    place: str = "$"

    @property
    def known(self) -> bool:
        """Whether there is a value, and not null."""
        return self.value is not None

    def get(self, key: str) -> Node:
        """A member of an object; absent if the object is."""
        if self.value is None:
            return Node(None, f"{self.place}.{key}")
        return Node(self.fields().get(key), f"{self.place}.{key}")

    def need(self, key: str) -> Node:
        """A member that must be there."""
        node = self.get(key)
        if not node.known:
            raise Malformed(self.place, f"has no {key!r}")
        return node

    def first(self, *keys: str) -> Node:
        """The first of these members that is there."""
        for key in keys:
            node = self.get(key)
            if node.known:
                return node
        return self.get(keys[-1])

    def fields(self) -> dict[str, JSON]:
        """The members of an object; none of one that is absent."""
        if self.value is None:
            return {}
        if isinstance(self.value, dict):
            return self.value
        raise self.wrong("an object")

    def rest(self, *known: str) -> dict[str, JSON]:
        """The members beside those named, without nulls: what no field of ours takes."""
        return {
            key: value
            for key, value in self.fields().items()
            if key not in known and value is not None
        }

    def members(self) -> Iterator[tuple[str, Node]]:
        """Keys and values of an object."""
        for key, value in self.fields().items():
            yield key, Node(value, f"{self.place}.{key}")

    def items(self) -> list[Node]:
        """The elements of a list; none of one that is absent."""
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return [Node(item, f"{self.place}[{index}]") for index, item in enumerate(self.value)]

    def text(self) -> str | None:
        """A text."""
        if self.value is None or isinstance(self.value, str):
            return self.value
        raise self.wrong("a text")

    def label(self) -> str | None:
        """A name, which some write as a number."""
        if isinstance(self.value, int | float) and not isinstance(self.value, bool):
            if not abs(self.value) < LARGEST_LABEL:
                raise self._too_large()
            return repr(self.value)
        return self.text()

    def number(self) -> float | None:
        """A finite number."""
        if self.value is None:
            return None
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong("a number")
        try:
            number = float(self.value)
        except OverflowError:
            raise self._too_large() from None
        if not math.isfinite(number):
            raise self._too_large()
        return number

    def integer(self, *, bits: int = 64) -> int | None:
        """A whole number that fits into so many bits."""
        if self.value is None:
            return None
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong("a whole number")
        if isinstance(self.value, float) and not self.value.is_integer():
            raise self.wrong("a whole number")
        if not -(1 << bits - 1) <= self.value < 1 << bits - 1:
            raise self._too_large()
        return int(self.value)

    def count(self) -> int | None:
        """A whole number, not negative: tokens for example."""
        number = self.integer()
        if number is not None and number < 0:
            raise self.wrong("a count")
        return number

    def flag(self) -> bool | None:
        """True or false."""
        if self.value is None or isinstance(self.value, bool):
            return self.value
        raise self.wrong("true or false")

    def time(self) -> datetime | None:
        """A moment: ISO 8601, in UTC where no zone is said, or Unix seconds."""
        if not self.known or self.value == "":
            return None
        try:
            if isinstance(self.value, str):
                moment = datetime.fromisoformat(self.value)
                moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
                return moment.astimezone(UTC)
            return _EPOCH + timedelta(seconds=self.number() or 0.0)
        except (ValueError, OverflowError):
            raise self.wrong("a time") from None

    def wrong(self, kind: str) -> Malformed:
        """The complaint that the value is not of a kind."""
        return Malformed(self.place, f"is not {kind}: {self._shown()}")

    def _too_large(self) -> Malformed:
        return self.wrong("a number that can be stored")

    def _shown(self) -> str:
        value = self.value
        if isinstance(value, dict):
            return f"an object with {len(value)} members"
        if isinstance(value, list):
            return f"a list of {len(value)}"
        if isinstance(value, int) and value.bit_length() > DIGITS_SHOWN:
            return "a number of too many digits"
        return repr(value[:SHOWN] if isinstance(value, str) else value)
