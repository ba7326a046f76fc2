"""Tools that cannot run past a cassette. Knows registries; knows no cassette and no file."""

from __future__ import annotations

import copy
from typing import Any

from looplet.replay.divergence import SideEffectRefused

TELLS = frozenset(
    {"introspect", "set_resources", "tool_catalog_text", "tool_names", "tool_schemas"}
)
"""What a registry of any kind may be asked in a replay: it tells of tools and runs none."""
_KEPT = ("wants_ctx", "is_async")
"""What a tool tells of its function, found out before another one stands in its place."""


def guarded(given: Any, half: Any) -> Any:
    """A tool, or a registry with its tools, whose functions refuse to run in a replay.

    ``half`` tells by ``replaying`` whether this is one, each time. Anything else is given back as
    it is, and so is a registry of another kind: ``lent`` guards it.
    """
    if not half.replaying or given is None:
        return given
    if callable(getattr(given, "execute", None)):
        return _guarded_spec(given, half)
    specs = getattr(given, "_specs", None)
    if not isinstance(specs, dict):
        return given
    other = copy.copy(given)
    other._specs = {name: _guarded_spec(spec, half) for name, spec in specs.items()}  # noqa: SLF001 - its kind
    return other


def lent(tools: Any, name: str, half: Any) -> Any:
    """An attribute of a registry, for the one around it to have too.

    A registry that does not keep its tools as ours do may run them in any of its methods, so in a
    replay those that only tell of tools are lent and the others refuse.
    """
    value = getattr(tools, name)
    ours = isinstance(getattr(tools, "_specs", None), dict)
    if ours or not half.replaying or name in TELLS:
        return value
    if callable(getattr(value, "execute", None)):
        return _guarded_spec(value, half)
    if callable(value):
        return _guard(value, f"{type(tools).__name__}.{name}()", half)
    return _without_functions(value, f"{type(tools).__name__}.{name}", half)


def _guarded_spec(spec: Any, half: Any) -> Any:
    if getattr(spec.execute, "looplet_guard", False):
        return spec
    kept = {name: getattr(spec, name) for name in _KEPT if hasattr(spec, name)}
    other = copy.copy(spec)
    own = getattr(other, "__dict__", {})
    own.pop("__wrapped__", None)
    own.update(kept)
    object.__setattr__(other, "execute", _guard(spec.execute, f"tool {spec.name!r}", half))
    return other


def _guard(function: Any, what: str, half: Any) -> Any:
    def run(*args: Any, **keywords: Any) -> Any:
        if half.replaying:
            raise SideEffectRefused(
                f"{what} was to be run in a replay with recorded tools, by a way round the "
                "cassette; it was not run. Dispatch through the registry that wrap_tools() gives, "
                'or replay with tools="live".'
            )
        return function(*args, **keywords)

    run.looplet_guard = True  # type: ignore[attr-defined]  # so that it is not put on twice
    return run


def _without_functions(value: Any, what: str, half: Any) -> Any:
    """Data as it is; in a container functions and tools are guarded."""
    if isinstance(value, dict):
        return {key: _without_functions(item, what, half) for key, item in value.items()}
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(_without_functions(item, what, half) for item in value)
    if callable(getattr(value, "execute", None)):
        return _guarded_spec(value, half)
    return _guard(value, what, half) if callable(value) else value
