"""A bundle: a folder with ``SKILL.md`` and a Python file that builds an agent. Loads it whole."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from looplet.errors import EntrypointMissing, NoAgent, SkillError
from looplet.skills.presets import AgentPreset
from looplet.skills.siblings import Siblings
from looplet.skills.skill import FILE, Skill, SkillCard, read_skill

ENTRYPOINT = "looplet.py"
"""The file that builds the agent, where the front matter names none."""
NAME_CHARS, NAME_BYTES = 64, 180
"""Of a name that becomes a folder's: file systems hold 255 bytes, and an id stands behind it."""
_UNSAFE = re.compile(r"[^\w-]+")


@dataclass(frozen=True, slots=True)
class SkillRuntime:
    """What a bundle is told of where it runs."""

    workspace: str | os.PathLike[str] = "."
    max_steps: int = 20
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    output_dir: str | os.PathLike[str] | None = None
    """Where the trace goes; ``None`` is a folder under the workspace."""

    def option(self, name: str, default: Any = None) -> Any:
        """An option, or the default.

        >>> SkillRuntime(options={"currency": "euro"}).option("currency")
        'euro'
        """
        return self.options.get(name, default)


@dataclass(frozen=True, slots=True)
class SkillBundle:
    """A bundle whose entrypoint was imported; ``build`` was not called."""

    skill: Skill
    root: Path
    build: Callable[[SkillRuntime], AgentPreset]
    module: ModuleType
    import_roots: tuple[Path, ...]
    """Folders whose modules the bundle imports by their plain names."""
    siblings: Siblings | None = field(default=None, kw_only=True, repr=False)

    @property
    def card(self) -> SkillCard:
        """What a catalog shows of it."""
        return self.skill.card()

    def import_context(self) -> AbstractContextManager[None]:
        """A block in which anybody's ``import`` finds the bundle's modules.

        The bundle's own code needs none: its imports find them always.
        """
        return (self.siblings or Siblings(self.root)).context()

    def build_preset(self, runtime: SkillRuntime | None = None) -> AgentPreset:
        """The agent. Raises what ``build`` raises; ``NoAgent``, a ``TypeError``, if it gives none.

        What it gives must have ``config``, ``hooks``, ``tools`` and ``state``.
        """
        with self.import_context():
            preset = self.build(runtime or SkillRuntime())
        if not isinstance(preset, AgentPreset):
            raise NoAgent(
                f"build of the bundle {self.skill.name!r} gave {type(preset).__name__}; "
                "it is to return an AgentPreset"
            )
        return preset


def load_skill_bundle(path: str | os.PathLike[str]) -> SkillBundle:
    """Load the bundle in a folder, or beside a ``SKILL.md``: its entrypoint is imported.

    Raises ``EntrypointMissing`` (a ``FileNotFoundError``) if a file is not there, ``SkillError``
    (a ``ValueError``) if ``SKILL.md`` cannot be read or the entrypoint lies outside the folder,
    ``NoAgent`` (a ``TypeError``) if it has no function ``build``, and what its import raises.
    """
    root, skill = skill_of(path)
    file = entrypoint_of(skill, root)
    siblings = Siblings(root)
    module = siblings.load(file, name=f"looplet_bundle_{safe_name(skill.name)}")
    build = getattr(module, "build", None)
    if not callable(build):
        raise NoAgent(f"{file} defines no function build(runtime)")
    return SkillBundle(
        skill=skill,
        root=root,
        build=build,
        module=module,
        import_roots=(root,),
        siblings=siblings,
    )


def skill_of(path: str | os.PathLike[str]) -> tuple[Path, Skill]:
    """A bundle's folder, and its skill as the front matter says; nothing is imported."""
    given = Path(path)
    file = given if given.name == FILE and not given.is_dir() else given / FILE
    if not file.is_file():
        raise EntrypointMissing(f"there is no {file}; a bundle is a folder with {FILE}")
    return file.parent.resolve(), read_skill(file)


def entrypoint_of(skill: Skill, root: Path) -> Path:
    """The entrypoint's file. Raises ``SkillError``, or ``EntrypointMissing``."""
    name = entrypoint_name(skill)
    try:
        file = (root / name).resolve()
        there = file.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise SkillError(f"the entrypoint {name!r} is no file's name: {error}") from error
    if not file.is_relative_to(root):
        raise SkillError(f"the entrypoint {name!r} lies outside of the bundle's folder {root}")
    if not there:
        raise EntrypointMissing(f"the bundle in {root} has no entrypoint {name!r}")
    return file


def entrypoint_name(skill: Skill) -> str:
    """The entrypoint as the front matter names it. Raises ``SkillError`` if it is no text."""
    name = skill.metadata.get("entrypoint") or ENTRYPOINT
    if not isinstance(name, str):
        raise SkillError(f"the entrypoint is a file's name, not {name!r:.80}")
    return name


def safe_name(name: str) -> str:
    """A name as the name of one folder: it leads nowhere else.

    >>> safe_name("../Grocer & Sons")
    'Grocer_Sons'
    """
    short = _UNSAFE.sub("_", name).strip("_-")[:NAME_CHARS].encode()[:NAME_BYTES]
    return short.decode(errors="ignore").rstrip("_-") or "bundle"
