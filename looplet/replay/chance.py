"""Random numbers through a cassette: drawn from a seed, apart for each recorded tool call.

Knows which tool call runs; knows no file.
"""

from __future__ import annotations

from random import Random

from looplet.replay.within import within


class Chance(Random):
    """Random numbers from a seed, that a replay draws again.

    In the course of a recorded tool call others are drawn: the tool does not run in a replay, and
    tools that run at the same time draw in no order.

    >>> Chance(7).random() == Random(7).random()
    True
    """

    def __init__(self, seed: int) -> None:
        self._from = seed
        self._of_tools: dict[str, Random] = {}
        super().__init__(seed)

    def random(self) -> float:
        """A number from 0 up to 1."""
        own = self._own()
        return super().random() if own is None else own.random()

    def getrandbits(self, k: int, /) -> int:
        """So many random bits."""
        own = self._own()
        return super().getrandbits(k) if own is None else own.getrandbits(k)

    def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        """A number from a normal distribution; the generator keeps every other one for later."""
        own = self._own()
        return super().gauss(mu, sigma) if own is None else own.gauss(mu, sigma)

    def _own(self) -> Random | None:
        """The generator of the tool call that runs here."""
        name = within()
        if name is None:
            return None
        made = Random(f"{self._from}/{name}")  # noqa: S311 - to be repeated, not to be secret
        return self._of_tools.setdefault(name, made)
