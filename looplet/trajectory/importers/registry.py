"""The formats there are, in the order in which they are asked. A new one is a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import Trajectory

_MODULES = (
    "looplet_traces",
    "tau_bench",
    "intercode",
    "swe_agent",
    "mini_swe_agent",
    "inspect_logs",
    "atif",
    "otlp",
    "vcr",
    "claude_code",
    "anthropic_messages",
    "openai_messages",
)
"""Modules of this package. Formats that say more of themselves stand before those that say less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One foreign format: how it is known, and how it is read.

    Neither function raises anything but `Malformed`, which is reported, and looplet's own errors.
    """

    name: str
    sniff: Callable[[Source], bool]
    """Whether a file, or a folder, is of this format: by its content, never by its name."""
    read: Callable[[Source], Iterator[Trajectory]]
    """Its runs one at a time; what is malformed is reported to the source, and the rest read.

    It may be given any file at all, since a user may insist on a format.
    """


@cache
def known_formats() -> dict[str, Format]:
    """The formats by name."""
    found: list[Format] = [
        import_module(f"looplet.trajectory.importers.{name}").FORMAT for name in _MODULES
    ]
    return {each.name: each for each in found}


def formats() -> tuple[str, ...]:
    """Names of the formats that can be imported.

    >>> "tau-bench" in formats()
    True
    """
    return tuple(known_formats())
