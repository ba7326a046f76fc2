"""Placeholders in texts, and spans of secrets made one. Knows positions; knows no secret."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from looplet.redaction.shapes import Span

START = "[REDACTED:"
PLACEHOLDER = re.compile(r"\[REDACTED:([A-Za-z0-9_.-]{1,64})\]")
NUMBERED = re.compile(r"(.+)-([0-9]{1,9})")
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def inside(span: Span, walls: Sequence[tuple[int, int]]) -> bool:
    """Whether a span lies in a placeholder."""
    place = bisect_right(walls, span.start, key=lambda wall: wall[0]) - 1
    return place >= 0 and span.end <= walls[place][1]


def merged(
    found: Iterable[Span], walls: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int, Span]]:
    """Spans that overlap as one, known by the longest; half a placeholder is taken in whole."""
    start = end = 0
    longest: Span | None = None
    for span in sorted(found, key=lambda span: span.start):
        left, right = _widened(span, walls)
        if longest and left < end:
            end = max(end, right)
            longest = max(longest, span, key=lambda span: span.end - span.start)
            continue
        if longest:
            yield start, end, longest
        start, end, longest = left, right, span
    if longest:
        yield start, end, longest


def _widened(span: Span, walls: Sequence[tuple[int, int]]) -> tuple[int, int]:
    start, end = span.start, span.end
    for place in (start, end - 1):
        at = bisect_right(walls, place, key=lambda wall: wall[0]) - 1
        if at >= 0 and place < walls[at][1]:
            start, end = min(start, walls[at][0]), max(end, walls[at][1])
    return start, end


def replaced(pieces: Sequence[str], spans: Sequence[tuple[int, int, str]]) -> list[str]:
    """Pieces with spans of the joined text replaced, each where it begins."""
    text = "".join(pieces)
    ends = list(accumulate(map(len, pieces)))
    out: list[list[str]] = [[] for _ in pieces]
    done = 0
    for start, end, placeholder in (*spans, (len(text), len(text), "")):
        while done < start:
            piece = bisect_right(ends, done)
            out[piece].append(text[done : min(ends[piece], start)])
            done = min(ends[piece], start)
        if placeholder:
            out[bisect_right(ends, start)].append(placeholder)
        done = end
    return ["".join(each) for each in out]
