"""Skills in folders: found, listed, searched. Reads ``SKILL.md`` and nothing beside it."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from looplet.core.logs import log
from looplet.errors import SkillError, SkillMissing
from looplet.skills.skill import FILE, Skill, SkillCard, read_skill

EXACT_NAME, IN_NAME, TAG, IN_DESCRIPTION, IN_BODY = 12, 6, 5, 4, 1
"""What a word of a query counts for, by where it stands."""
Cards = list[SkillCard]
_WORD = re.compile(r"[^\W_](?:[\w.+#-]*[^\W_])?")


class FileSkillStore:
    r"""The skills in some folders and all folders below them.

    A ``SKILL.md`` that cannot be read is logged and stands in ``errors``; the others are there all
    the same. Files are read once, and again after ``refresh``.

    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> _ = (root / "SKILL.md").write_text("---\nname: fruit\ndescription: Prices.\n---\n")
    >>> [card.name for card in FileSkillStore(root).search("what are prices?")]
    ['fruit']
    """

    def __init__(self, *roots: str | os.PathLike[str]) -> None:
        self.roots = tuple(Path(root) for root in roots)
        self._skills: dict[str, Skill] | None = None
        self._errors: dict[str, str] = {}

    @property
    def errors(self) -> dict[str, str]:
        """What is wrong with each file that could not be read, by its path."""
        self._read()
        return dict(self._errors)

    def list(self) -> Cards:
        """All skills, by name. Raises ``SkillError`` if two have the same name."""
        return [skill.card() for skill in self._read().values()]

    def load(self, name: str) -> Skill:
        """The skill of that name. Raises ``SkillMissing``, a ``KeyError``, if there is none."""
        skills = self._read()
        if name not in skills:
            near = difflib.get_close_matches(name, skills, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(skills) or '-'}"
            raise SkillMissing(f"there is no skill {name!r}; {hint}")
        return skills[name]

    def search(self, query: str, *, limit: int = 5) -> Cards:
        """The skills that have words of the query in them, best first, at most ``limit``.

        A word counts 12 if it is the name, 6 in the name, 5 as a tag, 4 in the description and 1
        in the instructions, each once. Equal ones stand by name.
        """
        words = dict.fromkeys([query.strip().lower(), *_WORD.findall(query.lower())])
        scored = [(score_of(skill, words), skill) for skill in self._read().values()]
        found = sorted((each for each in scored if each[0]), key=lambda each: -each[0])
        return [skill.card() for _, skill in found[: max(0, limit)]]

    def refresh(self) -> None:
        """Forget what was read."""
        self._skills = None

    def _read(self) -> dict[str, Skill]:
        if self._skills is None:
            self._errors = {}
            found: dict[str, Skill] = {}
            for path in skill_files(*self.roots):
                self._add(path, found)
            self._skills = dict(sorted(found.items()))
        return self._skills

    def _add(self, path: Path, found: dict[str, Skill]) -> None:
        try:
            skill = read_skill(path)
        except (SkillError, OSError) as error:
            log().warning("a skill cannot be read: %s", error)
            self._errors[str(path)] = str(error)
            return
        if skill.name in found:
            raise SkillError(
                f"two skills are named {skill.name!r}: {found[skill.name].source_path} and {path}"
            )
        found[skill.name] = skill


def score_of(skill: Skill, words: dict[str, None]) -> int:
    """How well a skill answers to words, all of them in small letters."""
    name, description, body = (
        text.lower() for text in (skill.name, skill.description, skill.instructions)
    )
    tags = {tag.lower() for tag in skill.tags}
    score = 0
    for word in filter(None, words):
        score += EXACT_NAME if word == name else IN_NAME * (word in name)
        score += TAG * (word in tags)
        score += IN_DESCRIPTION * (word in description) + IN_BODY * (word in body)
    return score


def skill_files(*roots: Path) -> Iterator[Path]:
    """Every ``SKILL.md`` under some folders, each file once, in the order of their paths.

    Folders that begin with a dot are passed, and so are links to folders; one that cannot be looked
    into is logged. Raises ``SkillError`` if a root is not there.
    """
    seen: set[str] = set()
    for root in roots:
        if not root.is_dir():
            raise SkillError(f"there is no folder {root} to look for skills in")
        for folder, names, files in os.walk(root, onerror=_tell):
            names[:] = sorted(name for name in names if not name.startswith("."))
            path = Path(folder, FILE)
            real = os.path.realpath(path)  # of a link that leads to itself, too
            if FILE in files and real not in seen:
                seen.add(real)
                yield path


def _tell(error: OSError) -> None:
    log().warning("a folder cannot be looked into: %s", error)
