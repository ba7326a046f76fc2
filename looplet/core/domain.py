"""What a field of work brings to every run of its agents. Knows no run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainAdapter:
    """What a field of work brings along; each part is optional, and the config's own wins."""

    build_briefing: Callable[[Any, Any, Any], str | None] | None = None
    build_prompt: Callable[..., str | None] | None = None
    build_trace: Callable[..., Any] | None = None
    extract_entities: Callable[[Any], Sequence[str]] | None = None
    extract_step_metadata: Callable[[Any, Any], Mapping[str, Any]] | None = None

    def parts(self) -> dict[str, Any]:
        """The parts that are set."""
        named = {name: getattr(self, name) for name in self.__slots__}
        return {name: part for name, part in named.items() if part is not None}
