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
    from looplet.skills.blueprint import (
        AgentBlueprint,
        BlueprintComparison,
        ComponentBlueprint,
        SourceBlueprint,
        ToolBlueprint,
        compare_blueprints,
    )
    from looplet.skills.bundle import SkillBundle, SkillRuntime, load_skill_bundle
    from looplet.skills.claude import (
        ClaudeSkillCompatibility,
        claude_skill_compatibility,
        wrap_claude_skill_as_bundle,
    )
    from looplet.skills.describing import (
        blueprint_from_bundle,
        blueprint_from_preset,
    )
    from looplet.skills.discovery import BundleCard, discover_skill_bundles
    from looplet.skills.exporting import (
        export_bundle_to_library_code,
        package_agent_factory_as_bundle,
    )
    from looplet.skills.presets import (
        AgentPreset,
        coding_agent_preset,
        minimal_preset,
        research_agent_preset,
    )
    from looplet.skills.running import run_skill_bundle
    from looplet.skills.skill import Skill, SkillCard
    from looplet.skills.store import FileSkillStore
    from looplet.skills.validation import BundleValidation, validate_skill_bundle

__all__ = [
    "AgentBlueprint",
    "AgentPreset",
    "BlueprintComparison",
    "BundleCard",
    "BundleValidation",
    "ClaudeSkillCompatibility",
    "ComponentBlueprint",
    "FileSkillStore",
    "Skill",
    "SkillActivationHook",
    "SkillBundle",
    "SkillCard",
    "SkillManager",
    "SkillRuntime",
    "SourceBlueprint",
    "ToolBlueprint",
    "blueprint_from_bundle",
    "blueprint_from_preset",
    "claude_skill_compatibility",
    "coding_agent_preset",
    "compare_blueprints",
    "discover_skill_bundles",
    "export_bundle_to_library_code",
    "install_skills",
    "load_skill_bundle",
    "make_skill_tools",
    "minimal_preset",
    "package_agent_factory_as_bundle",
    "research_agent_preset",
    "run_skill_bundle",
    "validate_skill_bundle",
    "wrap_claude_skill_as_bundle",
]

_HOMES = {
    "blueprint": (
        "AgentBlueprint BlueprintComparison ComponentBlueprint SourceBlueprint ToolBlueprint "
        "compare_blueprints"
    ),
    "describing": ("blueprint_from_bundle blueprint_from_preset"),
    "exporting": ("export_bundle_to_library_code package_agent_factory_as_bundle"),
    "claude": ("ClaudeSkillCompatibility claude_skill_compatibility wrap_claude_skill_as_bundle"),
    "activation": "SkillActivationHook SkillManager install_skills make_skill_tools",
    "bundle": "SkillBundle SkillRuntime load_skill_bundle",
    "discovery": "BundleCard discover_skill_bundles",
    "presets": "AgentPreset coding_agent_preset minimal_preset research_agent_preset",
    "running": "run_skill_bundle",
    "skill": "Skill SkillCard",
    "store": "FileSkillStore",
    "validation": "BundleValidation validate_skill_bundle",
}

__getattr__, __dir__ = lazy_names(
    __name__,
    {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names.split()},
)
