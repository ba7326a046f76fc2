"""Skills that a run takes up while it goes on: a manager, a hook and two tools for the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from looplet.core.memory import StaticMemorySource
from looplet.core.registry import BaseToolRegistry
from looplet.core.tools import ToolSpec, tool
from looplet.skills.skill import Skill, SkillCard
from looplet.skills.store import FileSkillStore


class SkillManager:
    """Which skills of a store are active in a run."""

    def __init__(self, store: FileSkillStore) -> None:
        self.store = store
        self._active: dict[str, Skill] = {}

    def activate(self, name: str) -> Skill:
        """Make a skill active; once is enough. Raises ``SkillMissing`` if there is none."""
        skill = self.store.load(name)
        self._active[skill.name] = skill
        return skill

    @property
    def active_names(self) -> list[str]:
        """Names, in order of activation."""
        return list(self._active)

    def active_skills(self) -> list[Skill]:
        """The skills, in order of activation."""
        return list(self._active.values())

    def search(self, query: str, *, limit: int = 5) -> list[SkillCard]:
        """The store's answer."""
        return self.store.search(query, limit=limit)

    def render_active_instructions(self) -> str:
        """The instructions of all active skills, each under its name; empty if there are none."""
        return "\n\n".join(
            f"## Skill: {skill.name}\n{skill.instructions}".rstrip()
            for skill in self._active.values()
        )


class SkillActivationHook:
    """Puts the instructions of active skills into each prompt."""

    def __init__(self, manager: SkillManager) -> None:
        self.manager = manager

    def pre_prompt(
        self,
        state: Any,  # noqa: ARG002 - the slot's signature
        session_log: Any,  # noqa: ARG002
        context: Any,  # noqa: ARG002
        step_num: int,  # noqa: ARG002
    ) -> str | None:
        """The instructions; ``None`` if no skill is active."""
        return self.manager.render_active_instructions() or None


def make_skill_tools(
    manager: SkillManager,
    *,
    search_tool_name: str = "search_skills",
    activate_tool_name: str = "activate_skill",
) -> list[ToolSpec]:
    """Two tools by which a model finds skills and takes them up; they cost no query."""

    def search_skills(query: str, limit: int = 5) -> dict[str, Any]:
        return {"skills": [card.to_dict() for card in manager.search(query, limit=limit)]}

    def activate_skill(name: str) -> dict[str, Any]:
        skill = manager.activate(name)
        return {
            "activated": skill.name,
            "description": skill.description,
            "active_skills": manager.active_names,
        }

    return [
        tool(
            name=search_tool_name,
            description="Find skills, which are instructions for a kind of work, by words.",
            free=True,
        )(search_skills),
        tool(
            name=activate_tool_name,
            description="Take up a skill: its instructions are in the prompt from then on.",
            free=True,
        )(activate_skill),
    ]


def install_skills(
    skills: Iterable[Skill],
    registry: BaseToolRegistry,
    *,
    base_system_prompt: str = "",
    base_memory_sources: Sequence[Any] | None = None,
    separator: str = "\n\n",
) -> tuple[str, list[Any]]:
    """Register the tools of skills, for a run that has them from its start.

    Gives the system prompt with their instructions, and the memory sources with theirs.
    """
    prompts, memory = [base_system_prompt], list(base_memory_sources or ())
    for skill in skills:
        skill.register(registry)
        prompts.append(skill.instructions)
        if skill.memory is not None:
            given = skill.memory
            memory.append(StaticMemorySource(given) if isinstance(given, str) else given)
    return separator.join(filter(None, prompts)), memory
