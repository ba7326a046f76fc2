"""Agent Skills, as Claude knows them, as bundles. Reads and copies; runs nothing."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from looplet.errors import SkillError
from looplet.skills.bundle import ENTRYPOINT, entrypoint_of
from looplet.skills.skill import FILE, Skill, read_skill

Level = Literal["looplet-bundle", "scripts-present", "resources-present", "instruction-only"]
_EXACT: tuple[Level, ...] = ("looplet-bundle", "instruction-only")
_SCRIPTS = frozenset({".py", ".sh", ".js", ".ts", ".rb", ".pl"})
_PASSED = ("__pycache__", ".git", ".DS_Store")
_WRAPPER = '''"""Runs the instructions of SKILL.md as an agent's system prompt."""

from pathlib import Path

from looplet.skills import AgentPreset, SkillRuntime, minimal_preset
from looplet.skills.skill import read_skill


def build(runtime: SkillRuntime) -> AgentPreset:
    """Build the agent."""
    skill = read_skill(Path(__file__).with_name("SKILL.md"))
    return minimal_preset(max_steps=runtime.max_steps, system_prompt=skill.instructions)
'''


@dataclass(frozen=True, slots=True)
class ClaudeSkillCompatibility:
    """How much of a skill works as a bundle."""

    level: Level
    can_wrap: bool
    """Whether ``SKILL.md`` can be read."""
    can_run_exactly: bool
    """Whether nothing of it asks for what a bundle of it does not have."""
    warnings: tuple[str, ...] = ()
    """A line for each gap."""
    skill_name: str | None = None


def claude_skill_compatibility(path: str | os.PathLike[str]) -> ClaudeSkillCompatibility:
    """Look at a skill's folder, or its ``SKILL.md``. Raises ``SkillError`` if there is none.

    The level is ``looplet-bundle`` with a key ``entrypoint``, ``scripts-present`` with files that
    a model is to run, ``resources-present`` with other files beside ``SKILL.md``, else
    ``instruction-only``.
    """
    root = _root(path)
    try:
        skill: Skill | None = read_skill(root / FILE)
        warnings: list[str] = []
    except SkillError as error:
        skill, warnings = None, [str(error)]
    files = sorted(each.relative_to(root).as_posix() for each in _files(root))
    scripts = [each for each in files if _is_script(each)]
    if skill is not None and skill.metadata.get("entrypoint"):
        level: Level = "looplet-bundle"
        warnings += _entrypoint_missing(skill, root)
    elif scripts:
        level = "scripts-present"
        warnings += [f"{each} is a script; it needs a tool that runs it" for each in scripts]
    elif files:
        level = "resources-present"
        warnings += [f"{each} is copied, and nothing reads it by itself" for each in files]
    else:
        level = "instruction-only"
    return ClaudeSkillCompatibility(
        level=level,
        can_wrap=skill is not None,
        can_run_exactly=level in _EXACT and not warnings,
        warnings=tuple(warnings),
        skill_name=None if skill is None else skill.name,
    )


def wrap_claude_skill_as_bundle(
    src: str | os.PathLike[str], out_dir: str | os.PathLike[str]
) -> Path:
    """Copy a skill and add an entrypoint, whose agent has the instructions as its system prompt.

    A folder that is a bundle already is copied as it is. The new folder appears whole or not at
    all, and can be written to. Raises ``SkillError``, a ``ValueError``, if it is there, or one of
    the two folders lies in the other, if ``SKILL.md`` cannot be read, or something in the skill's
    folder is no plain file, or a link that leads elsewhere than to a place in the new folder.
    """
    root, out = _root(src), Path(out_dir).absolute()
    skill = read_skill(root / FILE)
    _check_apart(root.resolve(), out.resolve())
    if os.path.lexists(out):
        raise SkillError(f"{out_dir} is there already; name a folder that is not")
    _check_plain(root)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as aside:
        made = Path(aside) / "bundle"
        shutil.copytree(root, made, symlinks=True, ignore=shutil.ignore_patterns(*_PASSED))
        _check_links(made, root)
        for place in (made, made / FILE):  # they may be somebody's to read only
            place.chmod(place.stat().st_mode | stat.S_IWUSR)
        if not skill.metadata.get("entrypoint"):
            _add_entrypoint(made, skill)
        made.rename(out)
    return out


def _root(path: str | os.PathLike[str]) -> Path:
    given = Path(path)
    root = given.parent if given.name == FILE and not given.is_dir() else given
    if not (root / FILE).is_file():
        raise SkillError(f"there is no {FILE} in {root}")
    return root


def _files(root: Path) -> Iterator[Path]:
    """Every file beside ``SKILL.md``."""
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in _PASSED]
        yield from (
            Path(folder, name)
            for name in files
            if name not in _PASSED and Path(folder, name) != root / FILE
        )


def _is_script(name: str) -> bool:
    path = Path(name)
    return path.suffix in _SCRIPTS or "scripts" in path.parts[:-1]


def _check_apart(root: Path, out: Path) -> None:
    if out == root or out.is_relative_to(root) or root.is_relative_to(out):
        raise SkillError(f"{out} and {root} are one folder, or one lies in the other")


def _entrypoint_missing(skill: Skill, root: Path) -> Iterator[str]:
    try:
        entrypoint_of(skill, root.resolve())
    except SkillError as error:
        yield str(error)


def _check_plain(root: Path) -> None:
    """Refuse what is never read to its end: pipes, devices, sockets."""
    for path in _files(root):
        if not path.is_symlink() and not path.is_file():
            raise SkillError(f"{path} is no plain file; move it out of the skill's folder")


def _check_links(made: Path, root: Path) -> None:
    """Refuse links that do not lead to a place in the copy, named as they stand in the skill."""
    real = Path(os.path.realpath(made))
    for folder, names, files in os.walk(made):
        for name in (*names, *files):
            path = Path(folder, name)
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(real):
                place = root / path.relative_to(made)
                raise SkillError(
                    f"{place} is a link that leads out of the skill's folder; "
                    "make it a file, or a relative link to one of the folder"
                )


def _add_entrypoint(made: Path, skill: Skill) -> None:
    name = ENTRYPOINT
    while (made / name).exists():
        name = f"run_{name}"
    (made / name).write_text(_WRAPPER, encoding="utf-8")
    file = made / FILE
    lines = file.read_text("utf-8").removeprefix("\ufeff").splitlines(keepends=True)
    added = [f"entrypoint: {name}\n"]
    text = "".join([lines[0], *added, *lines[1:]])
    if _read(text, made) != skill.name:  # it was named by its folder, which is another now
        named = f"name: {json.dumps(skill.name, ensure_ascii=False)}\n"  # JSON's texts are YAML's
        text = "".join([lines[0], named, *added, *lines[1:]])
    if _read(text, made) != skill.name:
        raise SkillError(f"{FILE}: there is no place for the key entrypoint in its front matter")
    file.write_text(text, encoding="utf-8", newline="")


def _read(text: str, made: Path) -> str | None:
    try:
        skill = Skill.from_markdown(text, source_path=made / FILE)
    except SkillError:
        return None
    return skill.name if skill.metadata.get("entrypoint") else None
