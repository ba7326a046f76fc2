"""A list that only grows, seen up to a length. Knows no messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import eq, is_
from typing import TypeVar, overload

T = TypeVar("T")


class SoFar(Sequence[T]):
    """The first items of a list that only ever grows, without a copy of it.

    A request names every message so far. A tuple of them, made anew for each step, would cost a
    run of thousands of steps more than all the rest of the loop.

    >>> first = SoFar([1, 2])
    >>> longer = first.with_more([3])
    >>> list(first), list(longer), longer.shares(first)
    ([1, 2], [1, 2, 3], True)
    """

    __slots__ = ("_items", "_length")

    def __init__(self, items: list[T], length: int | None = None) -> None:
        self._items = items
        self._length = len(items) if length is None else length

    def shares(self, other: object) -> bool:
        """Whether both are of one list, so that the shorter is how the longer begins."""
        return isinstance(other, SoFar) and other._items is self._items  # noqa: SLF001 - its kind

    def with_more(self, items: Iterable[T]) -> SoFar[T]:
        """These and more: in the same list if nobody has gone on from here before, else in a copy.

        Only for whoever gave the list, since it changes it.
        """
        whole = self._items if len(self._items) == self._length else self._items[: self._length]
        whole.extend(items)
        return SoFar(whole)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        return islice(self._items, self._length)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[T, ...]: ...
    def __getitem__(self, place: int | slice) -> T | tuple[T, ...]:
        places = range(self._length)[place]
        if isinstance(places, int):
            return self._items[places]
        if places.step == 1:
            return tuple(self._items[places.start : places.stop])
        return tuple([self._items[each] for each in places])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and (self.shares(other) or all(map(eq, self, other)))

    __hash__ = None  # type: ignore[assignment]  # equal to tuples and lists, which differ in theirs

    def __repr__(self) -> str:
        return repr(tuple(self))


def same_start(old: Sequence[T], new: Sequence[T]) -> int:
    """How many items both begin with, the very same objects, which is quick to see.

    >>> first, second = "a", "b"
    >>> same_start([first], [first, second]), same_start([first, second], [second])
    (1, 0)
    """
    if isinstance(old, SoFar) and old.shares(new):
        return min(len(old), len(new))
    if len(old) <= len(new) and all(map(is_, old, new)):
        return len(old)
    pairs = zip(old, new, strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one is not other), len(new))
