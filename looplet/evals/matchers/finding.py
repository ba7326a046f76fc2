"""Which calls fit an expected one, and the other way round, without comparing all with all.

Calls whose arguments are plain values are found by a key; only predicates, patterns and parts of
arguments are tried out. Knows calls; knows no order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from functools import cached_property

from looplet.evals.matchers import globs
from looplet.evals.matchers.calls import Made, Want

Places = Sequence[int]


class CallFinder:
    """Calls by what is expected."""

    def __init__(self, made: Sequence[Made]) -> None:
        self._made = made
        self._by_tool: dict[str, list[int]] = defaultdict(list)
        for place, call in enumerate(made):
            self._by_tool[call.tool].append(place)
        self._known: dict[Hashable, Places] = {}

    def options(self, want: Want) -> Places:
        """Places of the calls that fit, in order; the same object for what is found by its key."""
        if want.key is not None:
            if want.key not in self._known:
                self._known[want.key] = self._by_key(want)
            return self._known[want.key]
        candidates = self._candidates(want)
        if want.args is None and want.test is None:
            return candidates
        return [place for place in candidates if want.fits(self._made[place])]

    def has(self, want: Want) -> bool:
        """Whether any call fits."""
        if want.key is not None:
            return bool(self.options(want))
        return any(want.fits(self._made[place]) for place in self._candidates(want))

    def _by_key(self, want: Want) -> Places:
        keyed, keyless = self._keys
        places = keyed.get(want.key, [])
        odd = [place for place in keyless.get(want.tool or "", ()) if want.fits(self._made[place])]
        return sorted([*places, *odd]) if odd else places

    @cached_property
    def _keys(self) -> tuple[dict[Hashable, list[int]], dict[str, list[int]]]:
        """Places by key, and by tool where an argument cannot be hashed."""
        keyed: dict[Hashable, list[int]] = defaultdict(list)
        keyless: dict[str, list[int]] = defaultdict(list)
        for place, call in enumerate(self._made):
            key = call.key()
            if key is None:
                keyless[call.tool].append(place)
            else:
                keyed[key].append(place)
        return dict(keyed), dict(keyless)

    def _candidates(self, want: Want) -> Places:
        if want.tool is not None and not globs.is_pattern(want.tool):
            return self._by_tool.get(want.tool, ())
        return [place for place, call in enumerate(self._made) if want.is_of(call.tool)]


class WantFinder:
    """What is expected, by calls."""

    def __init__(self, wants: Iterable[Want]) -> None:
        self._keys: set[Hashable] = set()
        self._keyed: dict[str, list[Want]] = defaultdict(list)
        self._tried: dict[str, list[Want]] = defaultdict(list)
        self._open: list[Want] = []
        for want in wants:
            self._add(want)

    def _add(self, want: Want) -> None:
        if want.tool is None or globs.is_pattern(want.tool):
            self._open.append(want)
        elif want.key is None:
            self._tried[want.tool].append(want)
        elif want.key not in self._keys:
            self._keys.add(want.key)
            self._keyed[want.tool].append(want)

    def has(self, call: Made) -> bool:
        """Whether a call is as expected by any."""
        tried = [*self._tried.get(call.tool, ()), *self._open]
        if call.tool in self._keyed:
            key = call.key()
            if key is not None and key in self._keys:
                return True
            if key is None:
                tried += self._keyed[call.tool]
        return any(want.fits(call) for want in tried)
