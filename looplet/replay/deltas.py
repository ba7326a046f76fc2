"""What changed between two texts, and between two lists. Knows strings; knows no files."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TypeAlias

from looplet.core.sofar import SoFar

Span: TypeAlias = tuple[int, int]
"""A half-open range of positions in the old text."""
Part: TypeAlias = Span | str
"""A piece of the new text: a range of the old one, or text of its own."""

WORTH = 40
"""A range shorter than this many characters costs more to name than to repeat."""

NEAR = 100
"""A change is widened to whole lines where those end within so many characters."""

_PIECE = re.compile(r"[^\n,;.]*[\n,;.]|[^\n,;.]+")


def common_prefix(left: Sequence[object] | str, right: Sequence[object] | str) -> int:
    """How many leading items are equal, in a logarithmic number of slice comparisons.

    >>> common_prefix("careful", "careless"), common_prefix((1, 2), (1, 2, 3))
    (4, 2)
    """
    low, high = 0, min(len(left), len(right))
    if isinstance(left, SoFar) and left.shares(right):
        return high
    if left[:high] == right[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle
    return low


def common_suffix(left: str, right: str, *, limit: int) -> int:
    """How many trailing characters are equal, at most ``limit``.

    >>> common_suffix("a tail", "another tail", limit=9)
    5
    """
    low, high = 0, limit
    if left[len(left) - high :] == right[len(right) - high :]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if left.endswith(right[len(right) - middle : len(right) - low], 0, len(left) - low):
            low = middle
        else:
            high = middle
    return low


def alike(old: str, new: str) -> bool:
    """Whether half of ``new`` may stand in ``old``, by their ends and pieces; quick to tell.

    >>> alike("one,two,three,", "two,one,five,"), alike("one,two,three,", "four,five,six,")
    (True, False)
    """
    start = common_prefix(old, new)
    if 2 * start >= len(new):
        return True
    known = _pieces(old)[1]
    again = start + sum(map(len, filter(known.__contains__, _pieces(new)[0])))
    if 2 * again >= len(new):
        return True
    end = common_suffix(old, new, limit=min(len(old), len(new)) - start)
    return 2 * (again + end) >= len(new)


def text_delta(old: str, new: str) -> list[Part]:
    """``new`` as ranges of ``old`` and text between them.

    >>> text_delta("x" * 50 + "old" + "y" * 50, "x" * 50 + "new" + "y" * 50)
    [(0, 50), 'new', (53, 103)]
    """
    start = common_prefix(old, new)
    end = common_suffix(old, new, limit=min(len(old), len(new)) - start)
    start, end = _whole_lines(new, start, end)
    middle = new[start : len(new) - end]
    if len(middle) > WORTH:
        inner = _pieces_delta(old[start : len(old) - end], middle, offset=start)
    else:
        inner = iter([middle])
    return _merged(new, [(0, start), *inner, (len(old) - end, len(old))], old)


def apply_delta(old: str, parts: Sequence[Part]) -> str:
    """The new text. Raises ``ValueError`` for a range that the old text does not have.

    >>> apply_delta("a tail", ["long", (1, 6)])
    'long tail'
    """
    return "".join(part if isinstance(part, str) else _cut(old, part) for part in parts)


def added(parts: Sequence[Part]) -> int:
    """About how many characters a delta costs to write down."""
    return sum(len(part) if isinstance(part, str) else WORTH for part in parts)


def _whole_lines(text: str, start: int, end: int) -> Span:
    """The kept ends without the pieces of lines beside the change, so that a change reads well."""
    if start < len(text):
        start = text.rfind("\n", max(0, start - NEAR), start) + 1 or start
    tail = len(text) - end
    if tail and text[tail - 1] != "\n":
        line_end = text.find("\n", tail, tail + NEAR)
        end = end if line_end < 0 else len(text) - line_end - 1
    return start, end


def _cut(old: str, span: Span) -> str:
    start, end = span
    if not 0 <= start <= end <= len(old):
        raise ValueError(f"a delta names characters {start}..{end} of a text of {len(old)}")
    return old[start:end]


def _merged(new: str, parts: Sequence[Part], old: str) -> list[Part]:
    """Join neighbours, and write short ranges out."""
    out: list[Part] = []
    written: list[str] = []
    for part in parts:
        if isinstance(part, str):
            written.append(part)
        elif part[1] - part[0] < min(WORTH, len(new)):
            written.append(old[part[0] : part[1]])
        else:
            _end_text(out, written)
            last = out[-1] if out else None
            if isinstance(last, tuple) and last[1] == part[0]:
                out[-1] = (last[0], part[1])
            else:
                out.append(part)
    _end_text(out, written)
    return out


def _end_text(out: list[Part], written: list[str]) -> None:
    text = "".join(written)
    written.clear()
    if text:
        out.append(text)


@lru_cache(maxsize=8)
def _pieces(text: str) -> tuple[list[str], frozenset[str]]:
    """Sentences and lines; remembered, since each prompt is compared with a few before it."""
    pieces = _PIECE.findall(text)
    return pieces, frozenset(pieces)


def _pieces_delta(old: str, new: str, *, offset: int) -> Iterator[Part]:
    """Greedy matching of sentences and lines; linear but for looking up repeated pieces.

    A prompt whose first line changes ("Step 7") and whose history grows has its changes far apart,
    so cutting equal ends off is not enough to keep it linear.
    """
    places: dict[str, list[int]] = {}
    at = 0
    for piece in _PIECE.findall(old):
        places.setdefault(piece, []).append(at)
        at += len(piece)
    run = (0, 0)
    for piece in _PIECE.findall(new):
        place = _next_place(places.get(piece, ()), run[1])
        if place is not None and place == run[1] > run[0]:
            run = (run[0], place + len(piece))
            continue
        yield from _shifted(run, offset)
        run = (0, 0) if place is None else (place, place + len(piece))
        if place is None:
            yield piece
    yield from _shifted(run, offset)


def _shifted(run: Span, offset: int) -> Iterator[Part]:
    if run[1] > run[0]:
        yield (run[0] + offset, run[1] + offset)


def _next_place(places: Sequence[int], cursor: int) -> int | None:
    """Where a piece stands in the old text: at the cursor or after it, else its first place."""
    if not places:
        return None
    index = bisect_left(places, cursor)
    return places[index] if index < len(places) else places[0]
