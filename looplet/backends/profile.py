"""What a router is given, as a list of named backends with prices. Makes no call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from looplet.core.backend import is_async
from looplet.errors import BackendError

DEFAULT_NAME = "default"
"""The name of a backend that comes without one."""


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """A backend with its name and its prices, in USD per 1000 tokens."""

    name: str
    backend: Any
    cost_per_1k_input: float = 0
    cost_per_1k_output: float = 0
    context_window: int = 100_000
    """In tokens."""
    strengths: list[str] = field(default_factory=list)


Backends: TypeAlias = Any
"""One backend; a mapping name → backend or profile; or a sequence of profiles."""


def profiles_of(backends: Backends, *, alone: str = DEFAULT_NAME) -> list[ModelProfile]:
    """What a router was given, as profiles; ``alone`` names a backend that came by itself."""
    profiles = _as_given(backends, alone)
    if not profiles:
        raise BackendError("a router needs at least one backend")
    for each in profiles:
        if not isinstance(each, ModelProfile):
            raise TypeError(f"a router's list holds ModelProfile(name, backend), not {each!r}")
        if not callable(getattr(each.backend, "generate", None)):
            raise TypeError(f"backend {each.name!r} has no generate(): {each.backend!r}")
    if len({is_async(each.backend) for each in profiles}) > 1:
        raise TypeError("a router's backends are all sync or all async; make one router for each")
    if len({each.name for each in profiles}) < len(profiles):
        raise BackendError("two of the router's backends have the same name")
    return profiles


def _as_given(backends: Backends, alone: str) -> list[Any]:
    if isinstance(backends, Mapping):
        return [_named(name, backend) for name, backend in backends.items()]
    if isinstance(backends, ModelProfile):
        return [backends]
    if isinstance(backends, Sequence):
        return list(backends)
    return [ModelProfile(alone, backends)]


def _named(name: str, backend: Any) -> ModelProfile:
    if isinstance(backend, ModelProfile):
        return replace(backend, name=name)
    return ModelProfile(name, backend)
