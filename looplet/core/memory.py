"""Texts that stand above the task in every prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StaticMemorySource:
    """The same text in every prompt.

    >>> StaticMemorySource("Prices are in euro.").load(None)
    'Prices are in euro.'
    """

    text: str

    def load(self, state: Any) -> str:  # noqa: ARG002 - every source is given the state
        """The text."""
        return self.text


@dataclass(frozen=True, slots=True)
class CallableMemorySource:
    """A text that a function makes of the state, each turn."""

    fn: Callable[[Any], str | None]

    def load(self, state: Any) -> str | None:
        """What the function gives."""
        return self.fn(state)
