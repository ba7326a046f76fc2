"""What an agent consists of, as JSON that can be kept and compared. Runs and imports nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from looplet.core.codec import JSON
from looplet.errors import SkillError

SCHEMA_VERSION = "looplet.agent-blueprint.v1"
_DIFFERENCES = 50
"""How many differences are told, at most."""


@dataclass(frozen=True, slots=True)
class SourceBlueprint:
    """Where an agent comes from; it is not part of what is compared or hashed."""

    kind: str
    """``bundle`` or ``preset``."""
    path: str | None = None
    entrypoint: str | None = None
    factory_ref: str | None = None
    """``module:attribute`` of the function that builds it, where that is known."""


@dataclass(frozen=True, slots=True)
class ToolBlueprint:
    """A tool as the model sees it, and who does its work."""

    name: str
    description: str = ""
    parameters: dict[str, JSON] = field(default_factory=dict)
    handler: str | None = None
    """``module:qualname`` of the function; ``None`` for one that has no name of its own."""
    concurrent_safe: bool = False
    free: bool = False
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class ComponentBlueprint:
    """A hook, a memory source or a state: its class and its public attributes."""

    kind: str
    """``module:Class``."""
    config: dict[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AgentBlueprint:
    """What an agent consists of.

    >>> one = AgentBlueprint("grocer", tools=[ToolBlueprint("price")])
    >>> AgentBlueprint.from_dict(one.to_dict()) == one
    True
    """

    name: str
    description: str = ""
    schema_version: str = SCHEMA_VERSION
    tags: list[str] = field(default_factory=list)
    source: SourceBlueprint | None = None
    instructions: str = ""
    config: dict[str, JSON] = field(default_factory=dict)
    """What differs from ``LoopConfig()``, and ``max_steps``."""
    tools: list[ToolBlueprint] = field(default_factory=list)
    hooks: list[ComponentBlueprint] = field(default_factory=list)
    memory_sources: list[ComponentBlueprint] = field(default_factory=list)
    state: ComponentBlueprint | None = None
    metadata: dict[str, JSON] = field(default_factory=dict)

    def to_dict(self) -> dict[str, JSON]:
        """The blueprint as JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AgentBlueprint:
        """The blueprint that ``to_dict`` was called on.

        Raises ``SkillError``, a ``ValueError``, on another schema version, an unknown field or a
        missing name.
        """
        version = data.get("schema_version", SCHEMA_VERSION)
        if version != SCHEMA_VERSION:
            raise SkillError(
                f"the blueprint has schema version {version!r}; this looplet reads {SCHEMA_VERSION}"
            )
        parts = _known(cls, data)
        for name in ("source", "state"):
            if parts.get(name) is not None:
                kind = SourceBlueprint if name == "source" else ComponentBlueprint
                parts[name] = _part(kind, parts[name])
        for name, kind in _LISTS.items():
            if name in parts:
                parts[name] = [_part(kind, each) for each in parts[name]]
        made: AgentBlueprint = _part(cls, parts)
        return made

    def fingerprint(self, include_metadata: bool = True) -> str:  # noqa: FBT001, FBT002 - as promised
        """SHA-256 of the sorted JSON, in hex: the same on every machine and in every run.

        Where the agent comes from is not in it, since a path is one machine's.
        """
        text = json.dumps(_compared(self, ignore_metadata=not include_metadata), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


_LISTS: Mapping[str, type[Any]] = {
    "tools": ToolBlueprint,
    "hooks": ComponentBlueprint,
    "memory_sources": ComponentBlueprint,
}


def _known(made: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise SkillError(f"a blueprint's part is a mapping, not {data!r:.80}")
    unknown = sorted(set(data) - {each.name for each in fields(made)})
    if unknown:
        raise SkillError(f"{made.__name__} has no field {', '.join(unknown)}")
    return dict(data)


def _part(made: type[Any], data: Any) -> Any:
    try:
        return made(**_known(made, data))
    except TypeError as error:
        raise SkillError(f"{made.__name__} is not whole: {error}") from error


@dataclass(frozen=True, slots=True)
class BlueprintComparison:
    """Whether two agents consist of the same; true if they do."""

    ok: bool
    differences: tuple[str, ...] = ()
    """One line each: where, and both values."""

    def __bool__(self) -> bool:
        """Whether nothing differs."""
        return self.ok


def compare_blueprints(
    a: AgentBlueprint, b: AgentBlueprint, *, ignore_metadata: bool = False
) -> BlueprintComparison:
    """What differs between two blueprints; where they come from does not count.

    >>> one, other = AgentBlueprint("grocer"), AgentBlueprint("baker")
    >>> compare_blueprints(one, other).differences
    ("name: 'grocer' and 'baker'",)
    """
    left, right = (_compared(each, ignore_metadata=ignore_metadata) for each in (a, b))
    found = [*_differences(left, right, "")]
    told = found[:_DIFFERENCES]
    if len(found) > len(told):
        told.append(f"... and {len(found) - len(told)} more")
    return BlueprintComparison(ok=not found, differences=tuple(told))


def _compared(blueprint: AgentBlueprint, *, ignore_metadata: bool) -> dict[str, Any]:
    data = blueprint.to_dict()
    del data["source"]
    if ignore_metadata:
        del data["metadata"]
    return data


def _differences(a: Any, b: Any, where: str) -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            place = f"{where}.{key}" if where else str(key)
            if key not in a or key not in b:
                yield f"{place}: only in the {'second' if key not in a else 'first'}"
            else:
                yield from _differences(a[key], b[key], place)
    elif isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            yield f"{where}: {len(a)} and {len(b)} entries"
        for index, (left, right) in enumerate(zip(a, b, strict=False)):
            yield from _differences(left, right, f"{where}[{index}]")
    elif type(a) is not type(b) or a != b:
        yield f"{where}: {a!r:.120} and {b!r:.120}"
