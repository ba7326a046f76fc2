"""From an agent to its blueprint. Knows objects and their attributes; tells no secret of them."""

from __future__ import annotations

import dataclasses
import inspect
import math
import os
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
from looplet.skills.credentials import (
    HIDDEN,
    credentials_among,
    is_credential,
    pair_name,
    without_credentials,
)
from looplet.skills.presets import AgentPreset

DEPTH = 8
"""How deep components within components are described."""
_NAMED = ("properties", "patternProperties", "$defs", "definitions")
"""Keys of a JSON Schema under which schemas stand by names."""


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
    shown = _mapping(told, DEPTH)
    if "system_prompt" in shown:
        shown["system_prompt"] = config.system_prompt  # words, and no setting
    return shown


def _same(value: object, plain: object) -> bool:
    return value is plain or (type(value) is type(plain) and value == plain)


def _tool(spec: ToolSpec) -> ToolBlueprint:
    return ToolBlueprint(
        name=spec.name,
        description=spec.description,
        parameters={
            str(key): _schema(each, DEPTH * 4, str(key)) for key, each in spec.parameters.items()
        },
        handler=_named(spec.execute),
        concurrent_safe=spec.concurrent_safe,
        free=spec.free,
        timeout_s=spec.timeout_s,
    )


def _schema(given: Any, depth: int, under: str) -> JSON:
    """What stands under a key of a JSON Schema, as it is: names are those of parameters there.

    Only defaults and examples are values, and may be credentials.
    """
    if under in ("default", "examples") or depth <= 0:
        return _value(given, min(depth, DEPTH))
    if isinstance(given, list | tuple):
        return [_schema(each, depth - 1, "") for each in given]
    if not isinstance(given, Mapping):
        return given if isinstance(given, str) else _value(given, 1)
    if under in _NAMED:
        return {str(name): _parameter(str(name), each, depth) for name, each in given.items()}
    return {str(key): _schema(each, depth - 1, str(key)) for key, each in given.items()}


def _parameter(name: str, schema: Any, depth: int) -> JSON:
    told = _schema(schema, depth - 1, "")
    if isinstance(told, dict):
        if is_credential(name, told.get("default")):
            told["default"] = HIDDEN
        examples = told.get("examples")
        if isinstance(examples, list):
            told["examples"] = [HIDDEN if is_credential(name, one) else one for one in examples]
    return told


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
    told: dict[str, JSON] = {}
    label = given.get("name")
    for key, value in given.items():
        name = label if key == "value" and isinstance(label, str) else str(key)
        hidden = is_credential(name, value) or is_credential(str(key), value)
        told[str(key)] = HIDDEN if hidden else _value(value, depth - 1)
    return told


def _list(given: Sequence[Any], depth: int) -> list[JSON]:
    hidden = credentials_among(given)
    return [HIDDEN if place in hidden else _pair(each, depth) for place, each in enumerate(given)]


def _pair(given: Any, depth: int) -> JSON:
    """An entry of a list; of one with name and value, such as a header, the value may be hidden."""
    name = pair_name(given)
    if name is not None and is_credential(name, given[1]):
        return [name, HIDDEN]
    return _value(given, depth)


def _value(given: Any, depth: int) -> JSON:  # noqa: PLR0911 - a case each
    if isinstance(given, Enum):
        return _value(given.value, depth)
    if isinstance(given, str):
        return without_credentials(given)
    if given is None or isinstance(given, bool | int):
        return given
    if isinstance(given, float):
        return given if math.isfinite(given) else str(given)
    if isinstance(given, PurePath):
        return given.as_posix()
    if isinstance(given, bytes | bytearray):
        return f"{len(given)} bytes"
    if depth <= 0:
        return f"{type(given).__module__}:{type(given).__qualname__}"
    if isinstance(given, Mapping):
        return _mapping(given, depth)
    if isinstance(given, list | tuple):
        return _list(given, depth - 1)
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
