"""Skills, bundles and presets: agents as folders that are shared. Runs nothing by looking at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from looplet.lazy import lazy_names

if TYPE_CHECKING:
    from looplet.skills.activation import (
        SkillActivationHook,
        SkillManager,
        install_skills,
        make_skill_tools,
    )
    from looplet.skills.bundle import SkillBundle, SkillRuntime, load_skill_bundle
    from looplet.skills.discovery import BundleCard, discover_skill_bundles
    from looplet.skills.presets import AgentPreset, minimal_preset
    from looplet.skills.running import run_skill_bundle
    from looplet.skills.skill import Skill, SkillCard
    from looplet.skills.store import FileSkillStore
    from looplet.skills.validation import BundleValidation, validate_skill_bundle

__all__ = [
    "AgentPreset",
    "BundleCard",
    "BundleValidation",
    "FileSkillStore",
    "Skill",
    "SkillActivationHook",
    "SkillBundle",
    "SkillCard",
    "SkillManager",
    "SkillRuntime",
    "discover_skill_bundles",
    "install_skills",
    "load_skill_bundle",
    "make_skill_tools",
    "minimal_preset",
    "run_skill_bundle",
    "validate_skill_bundle",
]

_HOMES = {
    "activation": "SkillActivationHook SkillManager install_skills make_skill_tools",
    "bundle": "SkillBundle SkillRuntime load_skill_bundle",
    "discovery": "BundleCard discover_skill_bundles",
    "presets": "AgentPreset minimal_preset",
    "running": "run_skill_bundle",
    "skill": "Skill SkillCard",
    "store": "FileSkillStore",
    "validation": "BundleValidation validate_skill_bundle",
}

__getattr__, __dir__ = lazy_names(
    __name__,
    {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names.split()},
)
