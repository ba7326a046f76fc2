"""Rows of text as aligned lines. Knows text alone."""

from __future__ import annotations

from collections.abc import Sequence

Row = Sequence[str]


def aligned(header: Row, rows: Sequence[Row], *, width: int = 80) -> list[str]:
    """A header and its rows: a name, numbers to the right, and a last word to the left.

    A name that does not fit the width stands on its own line, the numbers on the next.

    >>> for line in aligned(("eval", "n", "gate"), [("eval_x", "10", "held")]):
    ...     print(line)
    eval     n  gate
    eval_x  10  held
    """
    sizes = [max(len(row[place]) for row in (header, *rows)) for place in range(1, len(header))]
    room = max(4, width - sum(sizes) - 2 * len(sizes))
    first = max([len(header[0]), *(len(row[0]) for row in rows if len(row[0]) <= room)])
    lines = [_line(header, first, sizes)]
    for row in rows:
        if len(row[0]) > first:
            lines += [row[0], _line(("", *row[1:]), first, sizes)]
        else:
            lines.append(_line(row, first, sizes))
    return lines


def _line(cells: Row, first: int, sizes: Sequence[int]) -> str:
    numbers = [cell.rjust(size) for cell, size in zip(cells[1:-1], sizes[:-1], strict=True)]
    return "  ".join([cells[0].ljust(first), *numbers, cells[-1]]).rstrip()
