"""Many texts looked for at once. Knows texts; knows nothing of secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable

_RAREST_FIRST = '_-[:%/\\=+."{}$|~JXQZKYVWUGHBFPDNRLOMCITSEA9876543210qzjxkvwbygpfmcudhlrsnioate '
"""Characters of ASCII by how seldom they stand in what agents read and write, roughly."""


class Signs:
    """Texts of which one may stand in another.

    Each is looked for at its rarest character, since a single character is found many times
    more quickly than a text is, and most are found nowhere.

    >>> signs = Signs(["sk-", "ghp_"])
    >>> signs.any_in("a task - ghp"), signs.any_in("ghp_x")
    (False, True)
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts = dict.fromkeys(texts)
        self._searches: list[tuple[str, re.Pattern[str]]] | None = None
        """The rarest character, and what must stand around it; made when they are needed."""

    def with_more(self, texts: Iterable[str]) -> Signs:
        """These and others."""
        return Signs([*self._texts, *texts])

    def any_in(self, text: str) -> bool:
        """Whether one of them stands in the text."""
        searches = self._searches
        if searches is None:
            searches = self._searches = _searches(self._texts)
        for rare, pattern in searches:  # noqa: SIM110 - any() would take twice as long
            if rare in text and pattern.search(text):
                return True
        return False


def _searches(texts: Iterable[str]) -> list[tuple[str, re.Pattern[str]]]:
    around: dict[str, list[str]] = {}
    for text in texts:
        rare = min(text, key=_RAREST_FIRST.find)
        place = text.index(rare)
        before, after = re.escape(text[: place + 1]), re.escape(text[place + 1 :])
        around.setdefault(rare, []).append(f"(?<={before}){after}" if place else after)
    return [
        (rare, re.compile(f"{re.escape(rare)}(?:{'|'.join(each)})"))
        for rare, each in around.items()
    ]
