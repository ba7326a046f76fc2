"""What is wrong with a source: told with its file and place, and never in the way of the rest."""

from __future__ import annotations

from dataclasses import dataclass

from looplet.core.records import escape_controls


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that could not be imported.

    >>> print(Problem(file="runs.json", place="$[3].reward", message="is not a number"))
    runs.json: $[3].reward: is not a number
    """

    file: str
    """As it was given, or found under what was given; ``a.zip!member`` inside a zip."""
    place: str
    """Where in it: a JSON path, a line, an offset; empty for the whole file."""
    message: str

    def __str__(self) -> str:
        parts = (self.file, self.place, self.message) if self.place else (self.file, self.message)
        return escape_controls(": ".join(parts))


class Malformed(Exception):
    """A record is not what its format says. Never leaves this package: it becomes a `Problem`."""

    def __init__(self, place: str, message: str) -> None:
        self.place = place
        self.message = message
        super().__init__(f"{place}: {message}")
