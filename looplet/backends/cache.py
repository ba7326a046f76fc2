"""What of a prompt a provider should keep between calls. Knows no provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from looplet.core.codec import JSON, canonical, digest


class CacheControl(str, Enum):
    """How long a part of the prompt is kept."""

    EPHEMERAL = "ephemeral"
    """Five minutes."""
    ONE_HOUR = "1h"

    @property
    def ttl(self) -> str:
        """The time as the breakpoint tells it: ``5m`` or ``1h``."""
        return "1h" if self is CacheControl.ONE_HOUR else "5m"


class CacheBreakpoint(NamedTuple):
    """The end of a part of the prompt that is to be kept."""

    label: str
    """``system_prompt``, ``tool_schemas`` or ``memory``."""
    sha256: str
    """Of the part, in hex: as long as it stays, the cache serves."""
    ttl: str
    """``5m`` or ``1h``."""


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Which parts of the prompt are kept, and for how long; ``None`` keeps a part out.

    A control may be given by its name. Backends that take ``cache_breakpoints=`` are given them.

    >>> policy = CachePolicy(system_prompt="1h")
    >>> [(mark.label, mark.ttl) for mark in policy.breakpoints(system_prompt="Be brief.")]
    [('system_prompt', '1h')]
    """

    system_prompt: CacheControl | str | None = None
    tool_schemas: CacheControl | str | None = None
    memory: CacheControl | str | None = None

    def __post_init__(self) -> None:
        """Refuse a control of another name, with ``ValueError``."""
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, CacheControl(value))

    def breakpoints(
        self,
        *,
        system_prompt: str = "",
        tools: Sequence[Mapping[str, JSON]] = (),
        memory: str = "",
    ) -> list[CacheBreakpoint]:
        """The marks for a request with these parts; a part that is empty has none."""
        parts = {
            "tool_schemas": canonical(list(tools)) if tools else "",
            "system_prompt": system_prompt,
            "memory": memory,
        }
        return [
            CacheBreakpoint(label, digest(text), control.ttl)
            for label, text in parts.items()
            if text and isinstance(control := getattr(self, label), CacheControl)
        ]
