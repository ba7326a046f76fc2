"""Front matter: the YAML between two lines of ``---`` at the top of a text. Knows no skill.

Every value is text, a list or a mapping: nothing is turned into a number, a date or a truth value,
so that a skill named ``on`` or a version ``1.10`` stays what was typed.
"""

from __future__ import annotations

import re
from typing import Any

from looplet.errors import MissingExtra, SkillError

FENCE = "---"
DEPTH = 50
"""How deep lists and mappings may be nested: reading them is recursive."""
LONGEST = 100_000
"""Characters of a front matter, at most: YAML takes seconds for each million."""
_ENTRY = re.compile(r"([A-Za-z_][\w.-]*):[ \t]+(\S.*)")
"""A top-level key with its value on the same line."""
_MARKED = tuple("\"'[{|>&*!#")
"""How a value begins that is YAML's own business."""


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    r"""The front matter as a mapping, and the text below it; no front matter is an empty mapping.

    Raises ``SkillError`` if it does not end, is longer than ``LONGEST`` or cannot be read;
    ``MissingExtra`` without PyYAML.

    >>> split_front_matter("---\nname: pdf\ntags: [a, b]\nnote:\n---\nRead it.\n")
    ({'name': 'pdf', 'tags': ['a', 'b'], 'note': ''}, 'Read it.\n')
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines[0] != FENCE:
        return {}, "\n".join(lines)
    try:
        end = lines.index(FENCE, 1)
    except ValueError:
        raise SkillError(
            f"the front matter begins with a line of {FENCE} and has no such line at its end"
        ) from None
    front = lines[1:end]
    if sum(map(len, front)) > LONGEST:
        raise SkillError(
            f"the front matter has more than {LONGEST:,} characters; move text below it"
        )
    return _mapping(front), "\n".join(lines[end + 1 :])


def _mapping(lines: list[str]) -> dict[str, Any]:
    try:
        found = _load("\n".join(lines))
    except SkillError as error:
        # A colon in a plain value is no YAML, and common in skills: such values are text.
        repaired = [_quoted(line) for line in lines]
        if repaired == lines:
            raise
        try:
            found = _load("\n".join(repaired))
        except SkillError:
            raise error from None
    if found in (None, ""):
        return {}
    if not isinstance(found, dict):
        raise SkillError("the front matter is no list of `key: value`")
    for key in found:
        if not isinstance(key, str):
            raise SkillError(f"the front matter has a key that is no text: {key!r:.80}")
    return found


def _quoted(line: str) -> str:
    entry = _ENTRY.fullmatch(line)
    if entry is None or entry[2].startswith(_MARKED):
        return line
    value = entry[2].rstrip().replace("'", "''")
    return f"{entry[1]}: '{value}'"


def _load(text: str) -> Any:
    """YAML with plain scalars as text. Aliases are refused: a few lines of them fill the memory.

    So is a key that stands twice in a mapping, of which YAML would take the last.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("pyyaml", needed_for="SKILL.md", extra="skills") from error
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.BaseLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH:
                raise SkillError(f"the front matter is nested more than {DEPTH} levels deep")
            if isinstance(event, yaml.AliasEvent):
                raise SkillError(
                    f"the front matter has an alias, *{event.anchor}; write the value out"
                )
        loader = yaml.BaseLoader(text)  # makes nothing but text
        node = loader.get_single_node()
        _refuse_twins(node)
        return None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise SkillError(f"the front matter cannot be read: {_told(error)}") from error
    except (TypeError, ValueError) as error:  # a key that cannot be one, a character it refuses
        if isinstance(error, SkillError):
            raise
        raise SkillError(f"the front matter cannot be read: {error}") from error


def _refuse_twins(node: Any) -> None:
    """Refuse a mapping with a key that stands twice; nodes are YAML's, of any kind."""
    parts = node.value if node is not None and not isinstance(node.value, str) else []
    seen: set[str] = set()
    for part in parts:
        pair = part if isinstance(part, tuple) else (part,)
        for each in pair:
            _refuse_twins(each)
        key = pair[0]
        if len(pair) == 1 or not isinstance(key.value, str):
            continue
        if key.value in seen:
            line = key.start_mark.line + 2
            raise SkillError(f"the front matter has {key.value!r} twice, again in line {line}")
        seen.add(key.value)


def _told(error: Any) -> str:
    """YAML's complaint in one line, with the line of the file."""
    problem = str(getattr(error, "problem", None) or error).split("\n", 1)[0]
    mark = getattr(error, "problem_mark", None)
    return problem if mark is None else f"line {mark.line + 2}: {problem}"
