"""Whether a bundle can be run: it is loaded and its agent is built, and nothing is raised."""

from __future__ import annotations

import os
from dataclasses import dataclass

from looplet.core.registry import BaseToolRegistry
from looplet.skills.bundle import SkillBundle, SkillRuntime, load_skill_bundle
from looplet.skills.presets import AgentPreset


@dataclass(frozen=True, slots=True)
class BundleValidation:
    """What was found."""

    ok: bool
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    skill_name: str | None = None
    preset: AgentPreset | None = None
    """The agent that was built."""


def validate_skill_bundle(
    bundle_or_path: SkillBundle | str | os.PathLike[str], runtime: SkillRuntime | None = None
) -> BundleValidation:
    """Load a bundle, build its agent and look at it. Never raises: errors are in what it gives."""
    given = bundle_or_path
    name = given.skill.name if isinstance(given, SkillBundle) else None
    runtime = runtime or SkillRuntime()
    try:
        loaded = given if isinstance(given, SkillBundle) else load_skill_bundle(given)
        name = loaded.skill.name
        preset = loaded.build_preset(runtime)
        errors, warnings = _errors(preset), _warnings(preset, runtime)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody's code; it is told, not lost
        told = f"{type(error).__name__}: {error}"
        return BundleValidation(ok=False, errors=(told,), skill_name=name)
    return BundleValidation(
        ok=not errors, errors=errors, warnings=warnings, skill_name=name, preset=preset
    )


def _errors(preset: AgentPreset) -> tuple[str, ...]:
    config, tools = preset.config, preset.tools
    errors = []
    if not isinstance(tools, BaseToolRegistry):
        errors.append(f"its tools are no registry but {type(tools).__name__}")
    else:
        errors += [f"two tools are named {each!r}" for each in dict.fromkeys(tools.replaced)]
        if config.done_tool not in tools:
            errors.append(f"it has no done tool {config.done_tool!r}")
    if config.max_steps <= 0:
        errors.append(f"its max_steps is {config.max_steps}; it needs one at least")
    return tuple(errors)


def _warnings(preset: AgentPreset, runtime: SkillRuntime) -> tuple[str, ...]:
    found = {"its config": preset.config.max_steps, "its runtime": runtime.max_steps}
    steps = getattr(preset.state, "max_steps", None)
    if steps is not None:
        found["its state"] = steps
    if len(set(found.values())) == 1:
        return ()
    told = ", ".join(f"{value} in {name}" for name, value in found.items())
    return (f"max_steps disagree: {told}",)
