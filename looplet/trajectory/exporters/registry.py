"""The formats there are. A new one is a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from looplet.core.records import escape_controls
from looplet.trajectory.model import Trajectory

_MODULES: tuple[str, ...] = (
    "looplet_traces",
    "openai_messages",
    "atif",
    "otlp",
    "scout",
)
"""Modules of this package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What a format has no place for, or a whole run that it cannot hold.

    >>> print(Loss(trajectory_id="t1", message="there is no place for the tool's warnings"))
    t1: there is no place for the tool's warnings
    """

    trajectory_id: str
    message: str

    def __str__(self) -> str:
        return escape_controls(f"{self.trajectory_id}: {self.message}")


OnLoss = Callable[[Loss], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One foreign format: its name, and how runs are written in it."""

    name: str
    write: Callable[[Iterable[Trajectory], Path, OnLoss], int]
    """Write runs, one in memory at a time, into a folder that exists and is empty.

    Gives how many runs were written. A run that the format cannot hold is told and passed; each
    file that appears is whole.
    """


@cache
def known_targets() -> dict[str, Target]:
    """The formats by name."""
    found: list[Target] = [
        import_module(f"looplet.trajectory.exporters.{name}").TARGET for name in _MODULES
    ]
    return {each.name: each for each in found}


def targets() -> tuple[str, ...]:
    """Names of the formats that can be exported."""
    return tuple(known_targets())
