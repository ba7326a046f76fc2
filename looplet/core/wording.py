"""How numbers of things are said. Knows nothing else."""

from __future__ import annotations


def counted(number: int, what: str) -> str:
    """A number and what it counts.

    >>> counted(1, "call"), counted(1200, "call")
    ('1 call', '1,200 calls')
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
