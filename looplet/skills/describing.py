"""From an agent to its blueprint. Knows objects and their attributes; tells no secret of them."""

from __future__ import annotations

import dataclasses
import inspect
import math
import os
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import PurePath
from typing import Any

from looplet.core.codec import JSON
from looplet.core.config import LoopConfig
from looplet.core.tools import ToolSpec
from looplet.redaction import Redactor, redact_strings
from looplet.skills.blueprint import (
    AgentBlueprint,
    ComponentBlueprint,
    SourceBlueprint,
    ToolBlueprint,
)
from looplet.skills.bundle import SkillBundle, SkillRuntime, entrypoint_name, load_skill_bundle
from looplet.skills.presets import AgentPreset

HIDDEN = "[REDACTED]"
DEPTH = 8
"""How deep components within components are described."""
_SECRET = re.compile(
    r"key|token|secret|passw|pwd|passphrase|authori[sz]ation|(^|_)auth(_|$)|bearer|credential"
    r"|cookie|signature|(^|_)dsn(_|$)|(^|_)pin(_|$)|connection_string",
    re.IGNORECASE,
)
"""Names of attributes that hold credentials."""


def blueprint_from_bundle(
    bundle: SkillBundle | str | os.PathLike[str], runtime: SkillRuntime | None = None
) -> AgentBlueprint:
    """The blueprint of a bundle: it is loaded, and its agent is built.

    Raises what loading and building raise.
    """
    loaded = bundle if isinstance(bundle, SkillBundle) else load_skill_bundle(bundle)
    skill, preset = loaded.skill, loaded.build_preset(runtime)
    factory = skill.metadata.get("factory")
    return blueprint_from_preset(
        preset,
        name=skill.name,
        description=skill.description,
        tags=skill.tags,
        instructions=skill.instructions,
        metadata={key: value for key, value in skill.metadata.items() if key not in _WIRING},
        source=SourceBlueprint(
            kind="bundle",
            path=str(loaded.root),
            entrypoint=entrypoint_name(skill),
            factory_ref=factory if isinstance(factory, str) else None,
        ),
    )


_WIRING = ("entrypoint", "factory")
"""Keys of the front matter that say how a bundle is loaded, and nothing of its agent."""


def blueprint_from_preset(
    preset: AgentPreset,
    *,
    name: str,
    description: str = "",
    tags: Sequence[str] = (),
    instructions: str = "",
    metadata: Mapping[str, Any] | None = None,
    source: SourceBlueprint | None = None,
) -> AgentBlueprint:
    """The blueprint of an agent. What looks like a credential is not in it.

    >>> from looplet.skills import minimal_preset
    >>> blueprint_from_preset(minimal_preset(), name="plain").tools[0].name
    'done'
    """
    redactor = Redactor()
    blueprint = AgentBlueprint(
        name=name,
        description=description,
        tags=list(tags),
        source=source or SourceBlueprint(kind="preset"),
        instructions=instructions,
        config=_config(preset.config),
        tools=[_tool(spec) for spec in preset.tools or ()],
        hooks=[_component(hook) for hook in preset.hooks],
        memory_sources=[_component(each) for each in preset.config.memory_sources],
        state=None if preset.state is None else _component(preset.state),
        metadata=_mapping(metadata or {}, DEPTH),
    )
    return AgentBlueprint.from_dict(redact_strings(blueprint.to_dict(), redactor.text))


def _config(config: LoopConfig) -> dict[str, JSON]:
    plain = LoopConfig()
    told: dict[str, Any] = {"max_steps": config.max_steps}
    for each in dataclasses.fields(config):
        value = getattr(config, each.name)
        if each.name != "memory_sources" and not _same(value, getattr(plain, each.name)):
            told[each.name] = value
    return _mapping(told, DEPTH)


def _same(value: object, plain: object) -> bool:
    return value is plain or (type(value) is type(plain) and value == plain)


def _tool(spec: ToolSpec) -> ToolBlueprint:
    return ToolBlueprint(
        name=spec.name,
        description=spec.description,
        parameters=_parameters(spec),
        handler=_named(spec.execute),
        concurrent_safe=spec.concurrent_safe,
        free=spec.free,
        timeout_s=spec.timeout_s,
    )


def _parameters(spec: ToolSpec) -> dict[str, JSON]:
    """The schema as it is; what is named like a credential there holds none but its default."""
    told = _value(_NoNames(spec.parameters), DEPTH * 4)
    assert isinstance(told, dict)
    properties = told.get("properties")
    for name, schema in properties.items() if isinstance(properties, dict) else ():
        if isinstance(schema, dict) and _holds_secret(name, schema.get("default")):
            schema["default"] = HIDDEN
    return told


class _NoNames(dict[str, Any]):
    """A mapping whose keys say nothing of what its values are."""


def _component(given: object) -> ComponentBlueprint:
    told = _object(given, DEPTH)
    return ComponentBlueprint(kind=told["kind"], config=told["config"])


def _object(given: object, depth: int) -> dict[str, Any]:
    made = type(given)
    config = _mapping(_attributes(given), depth - 1) if depth else {}
    return {"kind": f"{made.__module__}:{made.__qualname__}", "config": config}


def _attributes(given: object) -> dict[str, Any]:
    """Public attributes: those of the instance, its slots and a dataclass's fields."""
    names = [*getattr(given, "__dict__", ())]
    for each in type(given).__mro__:
        slots = each.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    public = (name for name in dict.fromkeys(names) if not name.startswith("_"))
    return {name: getattr(given, name) for name in public if hasattr(given, name)}


def _mapping(given: Mapping[Any, Any], depth: int) -> dict[str, JSON]:
    free = isinstance(given, _NoNames)
    told: dict[str, JSON] = {}
    for key, value in given.items():
        hidden = not free and _holds_secret(str(key), value)
        inner = _NoNames(value) if free and isinstance(value, Mapping) else value
        told[str(key)] = HIDDEN if hidden else _value(inner, depth - 1, free=free)
    return told


def _holds_secret(name: str, value: object) -> bool:
    """Whether a value stands under a credential's name; numbers and functions are none.

    ``max_tokens=2000`` is no secret, ``token="2000"`` is one.
    """
    if value is None or isinstance(value, bool | int | float) or callable(value):
        return False
    return _SECRET.search(name) is not None


def _value(given: Any, depth: int, *, free: bool = False) -> JSON:  # noqa: PLR0911 - a case each
    if given is None or (isinstance(given, bool | int | str) and not isinstance(given, Enum)):
        return given
    if isinstance(given, float):
        return given if math.isfinite(given) else str(given)
    if isinstance(given, Enum):
        return _value(given.value, depth)
    if isinstance(given, PurePath):
        return given.as_posix()
    if isinstance(given, bytes | bytearray):
        return f"{len(given)} bytes"
    if depth <= 0:
        return f"{type(given).__module__}:{type(given).__qualname__}"
    if isinstance(given, Mapping):
        return _mapping(given, depth)
    if isinstance(given, list | tuple):
        each_free = [
            _NoNames(each) if free and isinstance(each, Mapping) else each for each in given
        ]
        return [_value(each, depth - 1, free=free) for each in each_free]
    if isinstance(given, set | frozenset):
        return sorted((_value(each, depth - 1) for each in given), key=repr)
    if inspect.isroutine(given) or inspect.isclass(given):
        return _named(given) or f"{given.__module__}:{given.__qualname__}"
    return _object(given, depth)


def _named(function: Any) -> str | None:
    """``module:qualname``; ``None`` for a function that cannot be found by it."""
    found = inspect.unwrap(function) if callable(function) else function
    module, name = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
    if not module or not name or "<" in name:
        return None
    return f"{module}:{name}"
