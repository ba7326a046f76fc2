"""What a run was made of, as data. Knows configurations and names of classes; runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from looplet.core.codec import JSON, to_jsonable
from looplet.core.config import LoopConfig
from looplet.core.wrapping import innermost

_SETTINGS = (
    "system_prompt",
    "max_steps",
    "max_tokens",
    "temperature",
    "use_native_tools",
    "concurrent_dispatch",
    "done_tool",
)


def serialize_harness(
    *,
    config: LoopConfig | None = None,
    hooks: Iterable[Any] | None = None,
    tools: Any = None,
    memory_sources: Iterable[Any] | None = None,
    llm: Any = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, JSON]:
    """What of a harness a trajectory should tell: settings, tools, and the names of its parts.

    Hooks, memory sources and the backend inside of all wrappers are told by the names of their
    classes. Only what is given has a key, beside ``schema_version`` and ``extra``.

    >>> serialize_harness(config=LoopConfig(max_steps=6), extra={"branch": "main"})["max_steps"]
    6
    """
    snapshot: dict[str, JSON] = {"schema_version": 1, "extra": to_jsonable(dict(extra or {}))}
    if config is not None:
        snapshot |= {name: to_jsonable(getattr(config, name)) for name in _SETTINGS}
    if tools is not None:
        snapshot["tools"] = [
            {"name": schema["name"], "description": schema["description"]}
            for schema in tools.tool_schemas()
        ]
    if hooks is not None:
        snapshot["hooks"] = [_name_of(hook) for hook in hooks]
    if memory_sources is not None:
        snapshot["memory_sources"] = [_name_of(source) for source in memory_sources]
    if llm is not None:
        snapshot["llm_backend"] = _name_of(innermost(llm))
    return snapshot


def _name_of(part: object) -> str:
    return part.__name__ if isinstance(part, type) else type(part).__name__
