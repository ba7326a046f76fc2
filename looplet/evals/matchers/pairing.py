"""As many pairs as there can be between two sides. Knows numbers alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


def pair(options: Sequence[Sequence[int]]) -> list[int | None]:
    """Give each place one of its options, no option twice, so that as few as can be get none.

    The answer is the option of each place, or ``None``. Places with the same options may hold the
    same sequence object, which is then walked once for all of them. This is a maximum matching of
    a bipartite graph by augmenting paths (Kuhn 1955; Berge 1957); what a search without success has
    visited is left out of all later ones, as no path leads out of it.

    >>> pair([[0, 1], [0]])
    [1, 0]
    >>> pair([[3], [3], []])
    [3, None, None]
    """
    return _Pairing(options).run()


class _Pairing:
    def __init__(self, options: Sequence[Sequence[int]]) -> None:
        self._options = options
        self._chosen: list[int | None] = [None] * len(options)
        self._owner: dict[int, int] = {}
        self._start: dict[int, int] = {}
        """Of each sequence the first place that may be free: what is taken stays taken."""
        self._hopeless: set[int] = set()

    def run(self) -> list[int | None]:
        for place, options in enumerate(self._options):
            free = self._free(options)
            if free is None:
                self._search(place)
            else:
                self._give(place, free)
        return self._chosen

    def _free(self, options: Sequence[int]) -> int | None:
        start = self._start.get(id(options), 0)
        while start < len(options) and options[start] in self._owner:
            start += 1
        self._start[id(options)] = start
        return options[start] if start < len(options) else None

    def _give(self, place: int, option: int) -> None:
        self._chosen[place] = option
        self._owner[option] = place

    def _search(self, place: int) -> None:
        """Look for a path of options that can be passed on until one is free."""
        reached: dict[int, int] = {}
        walked: set[int] = set()
        queue = deque([place])
        while queue:
            asking = queue.popleft()
            options = self._options[asking]
            if id(options) in walked:
                continue
            walked.add(id(options))
            for option in options:
                if option in reached or option in self._hopeless:
                    continue
                reached[option] = asking
                if option not in self._owner:
                    self._pass_on(option, reached)
                    return
                queue.append(self._owner[option])
        self._hopeless.update(reached)

    def _pass_on(self, free: int, reached: dict[int, int]) -> None:
        option: int | None = free
        while option is not None:
            place = reached[option]
            before = self._chosen[place]
            self._give(place, option)
            option = before
