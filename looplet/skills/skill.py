"""A skill: instructions for a model, with tools and memory. Knows SKILL.md; runs nothing."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from looplet.core.codec import JSON
from looplet.core.registry import BaseToolRegistry
from looplet.core.tools import ToolSpec, as_spec
from looplet.errors import SkillError
from looplet.skills.front_matter import split_front_matter

FILE = "SKILL.md"
_OWN = ("name", "description", "tags")
"""Keys of the front matter that are fields; all others are metadata."""


@dataclass(frozen=True, slots=True)
class SkillCard:
    """What a catalog shows of a skill."""

    name: str
    description: str = ""
    path: str | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, JSON]:
        """The card as JSON."""
        return {**asdict(self), "tags": list(self.tags)}


@dataclass(slots=True)
class Skill:
    """Instructions, and what comes with them.

    >>> skill = Skill("fruit", tags=["shop"], instructions="Prices are in euro.")
    >>> skill.as_catalog_entry()
    'fruit [shop]'
    """

    name: str
    tools: list[Any] = field(default_factory=list)
    """``ToolSpec`` or plain functions."""
    instructions: str = ""
    memory: Any = None
    """A text, or a memory source: an object with ``load(state)``."""
    description: str = ""
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    source_path: str | None = None
    """The ``SKILL.md`` that it was read from."""

    @classmethod
    def from_markdown(
        cls,
        text: str,
        *,
        source_path: str | Path | None = None,
        default_name: str | None = None,
    ) -> Skill:
        r"""A skill of the text of a ``SKILL.md``.

        Without a ``name`` in the front matter it is ``default_name``, else the folder's. Keys that
        are not a skill's own go to ``metadata``. Raises ``SkillError``, a ``ValueError``, if name
        or description is missing, or the front matter cannot be read.

        >>> text = "---\nname: fruit\ndescription: Prices.\ntags: a, b\nlicense: MIT\n---\nSay it."
        >>> skill = Skill.from_markdown(text)
        >>> skill.tags, skill.metadata, skill.instructions
        (['a', 'b'], {'license': 'MIT'}, 'Say it.')
        """
        front, body = split_front_matter(text)
        if default_name is None and source_path is not None:
            default_name = Path(source_path).absolute().parent.name
        return cls(
            name=_text(front, "name", default_name or ""),
            description=_text(front, "description", ""),
            tags=_tags(front.get("tags", "")),
            instructions=body.strip(),
            metadata={key: value for key, value in front.items() if key not in _OWN},
            source_path=None if source_path is None else str(source_path),
        )

    def register(self, registry: BaseToolRegistry) -> int:
        """Register the tools; how many there are."""
        for spec in self._specs():
            registry.register(spec)
        return len(self.tools)

    def tool_names(self) -> list[str]:
        """Names of the tools."""
        return [spec.name for spec in self._specs()]

    def as_catalog_entry(self) -> str:
        """One line for a prompt: name, description and tags."""
        head = f"{self.name}: {self.description}" if self.description else self.name
        return f"{head} [{', '.join(self.tags)}]" if self.tags else head

    def card(self) -> SkillCard:
        """What a catalog shows of it."""
        return SkillCard(
            name=self.name,
            description=self.description,
            path=self.source_path,
            tags=tuple(self.tags),
            metadata=dict(self.metadata),
        )

    def _specs(self) -> list[ToolSpec]:
        return [as_spec(each) for each in self.tools]


def read_skill(path: Path) -> Skill:
    """The skill in a file. Raises ``SkillError`` that names it; ``OSError`` if it is not there."""
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe is never read to its end
        raise SkillError(f"{path} is no plain file")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise SkillError(f"{path} is no UTF-8 text: {error}") from error
    try:
        return Skill.from_markdown(text, source_path=path)
    except SkillError as error:
        raise SkillError(f"{path}: {error}") from error


def _text(front: Mapping[str, Any], key: str, default: str) -> str:
    value = front.get(key, default)
    if not isinstance(value, str):
        raise SkillError(f"a skill's {key} is a text, not {value!r:.80}")
    value = value.strip() or default
    if not value:
        raise SkillError(f"a skill needs a {key}: write `{key}: ...` between two lines of ---")
    return value


def _tags(value: Any) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(each, str) for each in parts):
        raise SkillError(f"a skill's tags are a list of words, not {value!r:.80}")
    return [each.strip() for each in parts if each.strip()]
