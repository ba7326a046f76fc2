"""Which bundles there are in some folders. Reads ``SKILL.md``; imports and runs nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from looplet.core.codec import JSON
from looplet.core.logs import log
from looplet.errors import SkillError
from looplet.skills.bundle import ENTRYPOINT, entrypoint_name, entrypoint_of, skill_of
from looplet.skills.store import skill_files

OnDuplicate = Literal["raise", "first_wins", "warn"]


@dataclass(frozen=True, slots=True)
class BundleCard:
    """What a list shows of a bundle."""

    name: str
    description: str = ""
    path: str = ""
    """Its folder."""
    entrypoint: str = ENTRYPOINT
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    ok: bool = True
    """Whether ``SKILL.md`` can be read and the entrypoint is there; it was not imported."""
    errors: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, JSON]:
        """The card as JSON."""
        return {
            "name": self.name,
            "description": self.description,
            "path": self.path,
            "entrypoint": self.entrypoint,
            "tags": list(self.tags),
            "metadata": dict(self.metadata),
            "ok": self.ok,
            "errors": list(self.errors),
        }


def discover_skill_bundles(
    *roots: str | os.PathLike[str],
    include_invalid: bool = False,
    on_duplicate: OnDuplicate = "raise",
) -> list[BundleCard]:
    """The bundles in some folders and all folders below them, by name.

    A folder without an entrypoint's file is left out, and so is one whose ``SKILL.md`` cannot be
    read, which is logged; with ``include_invalid`` both are there and say what is wrong. If two
    have the same name the first one found counts after ``first_wins`` and, with a warning in the
    log, ``warn``; else ``SkillError`` is raised. One that cannot be loaded takes no name.
    """
    if on_duplicate not in ("raise", "first_wins", "warn"):
        raise SkillError(f"on_duplicate is raise, first_wins or warn, not {on_duplicate!r}")
    cards = [_card(path) for path in skill_files(*map(Path, roots))]
    found = _distinct([card for card in cards if card.ok], on_duplicate)
    if include_invalid:
        found += [card for card in cards if not card.ok]
    return sorted(found, key=lambda card: card.name)


def _card(file: Path) -> BundleCard:
    folder = str(file.parent)
    try:
        root, skill = skill_of(file)
    except (SkillError, OSError) as error:
        log().warning("a bundle cannot be read: %s", error)
        return BundleCard(name=file.parent.name, path=folder, ok=False, errors=(str(error),))
    errors: tuple[str, ...] = ()
    try:
        entrypoint = entrypoint_name(skill)
        entrypoint_of(skill, root)
    except SkillError as error:
        entrypoint, errors = str(skill.metadata.get("entrypoint", ENTRYPOINT)), (str(error),)
    return BundleCard(
        name=skill.name,
        description=skill.description,
        path=folder,
        entrypoint=entrypoint,
        tags=tuple(skill.tags),
        metadata=dict(skill.metadata),
        ok=not errors,
        errors=errors,
    )


def _distinct(cards: Iterable[BundleCard], on_duplicate: OnDuplicate) -> list[BundleCard]:
    found: dict[str, BundleCard] = {}
    for card in cards:
        first = found.setdefault(card.name, card)
        if first is card:
            continue
        told = f"two bundles are named {card.name!r}: {first.path} and {card.path}"
        if on_duplicate == "raise":
            raise SkillError(told)
        if on_duplicate == "warn":
            log().warning("%s; the first one counts", told)
    return list(found.values())
