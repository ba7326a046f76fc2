"""A bundle as a Python module, and a function as a bundle. Writes files; replaces none unasked."""

from __future__ import annotations

import inspect
import keyword
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from looplet.core.checkpoint import write_whole
from looplet.errors import FileThere, LoopletError, MissingExtra, SkillError
from looplet.skills.blueprint import AgentBlueprint
from looplet.skills.bundle import ENTRYPOINT, SkillBundle, SkillRuntime, load_skill_bundle
from looplet.skills.describing import blueprint_from_bundle
from looplet.skills.literals import literal, text_literal
from looplet.skills.presets import AgentPreset
from looplet.skills.skill import FILE, Skill

_TAKEN = ("BUNDLE", "BLUEPRINT", "AgentPreset", "SkillRuntime", "load_skill_bundle")
"""Names that the module that is written has of its own."""
_LINE = 88
"""Characters of a line that formatters leave as it is."""
_MARK = "Written by looplet from a bundle; write it again instead of editing it."


def export_bundle_to_library_code(
    bundle: SkillBundle | str | os.PathLike[str],
    out_file: str | os.PathLike[str],
    *,
    function_name: str = "build",
) -> Path:
    """Write a module with ``BLUEPRINT`` and ``function_name(runtime=None)``; its path.

    The function loads the bundle from where it is now. A module that was written so before is
    written anew. Raises ``SkillError`` (a ``ValueError``) for a name that no function can have,
    ``FileThere`` (a ``FileExistsError``) for any other file that is there, and what loading and
    building raise.
    """
    _check_name(function_name)
    path = Path(out_file)
    if path.exists() and not (path.is_file() and _MARK in _start_of(path)):
        raise FileThere(f"{path} is there, and export-code did not write it; name another file")
    loaded = bundle if isinstance(bundle, SkillBundle) else load_skill_bundle(bundle)
    blueprint = blueprint_from_bundle(loaded)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, _module(loaded.root, blueprint, function_name).encode())
    return path


def _check_name(function: str) -> None:
    """Raises ``SkillError`` for what is no name to Python, or is another one in the module."""
    plain = unicodedata.normalize("NFKC", function) == function  # Python takes it for the plain one
    if not function.isidentifier() or keyword.iskeyword(function) or not plain:
        raise SkillError(f"{function!r} cannot be the name of a function")
    if function in _TAKEN:
        raise SkillError(f"{function} has a meaning in the module already; name another function")


def _start_of(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(1000)


def _module(root: Path, blueprint: AgentBlueprint, function: str) -> str:
    head = f"def {function}(runtime: SkillRuntime | None = None) -> AgentPreset:"
    if len(head) > _LINE:
        head = head.replace("(", "(\n    ").replace(")", ",\n)")
    return f'''"""An agent. {_MARK}"""

from looplet.skills import AgentPreset, SkillRuntime, load_skill_bundle

BUNDLE = {text_literal(str(root))}
BLUEPRINT = {literal(blueprint.to_dict())}


{head}
    """Build the agent."""
    return load_skill_bundle(BUNDLE).build_preset(runtime or SkillRuntime())
'''


def package_agent_factory_as_bundle(
    factory: str,
    out_dir: str | os.PathLike[str],
    *,
    name: str,
    description: str,
    tags: Iterable[str] = (),
    instructions: str = "",
    entrypoint: str = ENTRYPOINT,
    overwrite: bool = False,
) -> Path:
    """Write a bundle around a function, named ``module:attribute``; its folder.

    The module is imported, and must be importable wherever the bundle runs. Raises ``SkillError``
    (a ``ValueError``) if it cannot be, or has no such function, or the entrypoint's name is no
    file's in the folder; ``FileThere`` (a ``FileExistsError``) for files that are there, unless
    ``overwrite``.
    """
    factory_of(factory)
    root = Path(out_dir)
    if Path(entrypoint).name != entrypoint or not entrypoint.endswith(".py"):
        raise SkillError(f"the entrypoint {entrypoint!r} is not the name of a .py file")
    if Path(entrypoint).stem == factory.partition(":")[0].partition(".")[0]:
        raise SkillError(f"the entrypoint {entrypoint!r} would hide the module of {factory}")
    text = _skill_text(
        {
            "name": name,
            "description": description,
            "tags": list(tags),
            "entrypoint": entrypoint,
            "factory": factory,
        },
        instructions,
    )
    files = {root / FILE: text, root / entrypoint: _WRAPPER.format(factory=text_literal(factory))}
    there = [str(path) for path in files if path.exists() or path.is_symlink()]
    if there and not overwrite:
        raise FileThere(f"{' and '.join(there)}: already there; --force replaces what is there")
    root.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        write_whole(path, content.encode())
    return root


_WRAPPER = '''"""Builds an agent by a function of a module that is installed beside looplet."""

from looplet.skills import AgentPreset, SkillRuntime
from looplet.skills.exporting import build_by

FACTORY = {factory}


def build(runtime: SkillRuntime) -> AgentPreset:
    """Build the agent."""
    return build_by(FACTORY, runtime)
'''


def factory_of(factory: str) -> Any:
    """The function, or the agent, that ``module:attribute`` names. Raises ``SkillError``."""
    module_name, colon, attribute = factory.partition(":")
    if not colon or not module_name or not attribute:
        raise SkillError(f"{factory!r} names no function; write module:attribute")
    try:
        found: Any = resolve_name(factory)
    except LoopletError:
        raise
    except (Exception, SystemExit) as error:  # somebody's module; told with its own words
        told = f"{type(error).__name__}: {error}"
        raise SkillError(f"{factory} cannot be imported: {told}") from error
    if not callable(found) and not isinstance(found, AgentPreset):
        raise SkillError(
            f"{factory} is {type(found).__name__}, not a function that builds an agent"
        )
    return found


def build_by(factory: str, runtime: SkillRuntime) -> AgentPreset:
    """The agent of a function that takes the runtime, or nothing; or the agent that is named."""
    found = factory_of(factory)
    if isinstance(found, AgentPreset):
        return found
    built: AgentPreset = found(runtime) if _takes_one(found) else found()
    return built


def _takes_one(function: Any) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    return True


def _skill_text(front: dict[str, Any], body: str) -> str:
    """A ``SKILL.md`` in which each value is quoted, so that none can add a key."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("pyyaml", needed_for=FILE, extra="skills") from error
    text = yaml.safe_dump(
        front, default_style='"', sort_keys=False, allow_unicode=True, width=10**9
    )
    whole = f"---\n{text}---\n\n{body.strip()}\n"
    read = Skill.from_markdown(whole)
    if (read.name, read.description) != (front["name"].strip(), front["description"].strip()):
        raise SkillError("name and description are texts that YAML can hold")
    return whole
