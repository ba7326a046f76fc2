"""Files and folders that have their names once they are whole. Knows no format.

What is written stands beside its place meanwhile, under a name that begins with a dot, which
importers pass.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

LONGEST_NAME = 80
"""Characters of a run's id that a name has."""
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


@contextmanager
def whole_file(place: Path) -> Iterator[BinaryIO]:
    """A file to write, renamed into its place at the end, and removed if something is raised."""
    beside = place.with_name(f".{place.name}.tmp")
    try:
        with beside.open("wb") as file:
            yield file
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    beside.replace(place)


@contextmanager
def whole_folder(place: Path) -> Iterator[Path]:
    """A folder to fill, renamed into its place at the end, and removed if something is raised."""
    beside = place.with_name(f".{place.name}.tmp")
    beside.mkdir()
    try:
        yield beside
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    beside.replace(place)


class Names:
    """Names for files, made of ids: without what a file system may not take, and each once.

    >>> names = Names()
    >>> names.of("a/b"), names.of("a b"), names.of("A_b"), names.of("..")
    ('a_b', 'a_b-2', 'A_b-3', 'run')
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def of(self, text: str) -> str:
        """A name that was not given before; some file systems do not tell great from small."""
        plain = _UNFIT.sub("_", text)[:LONGEST_NAME].strip(".") or "run"
        name = plain
        while name.lower() in self._counts:
            self._counts[plain.lower()] += 1
            name = f"{plain}-{self._counts[plain.lower()]}"
        self._counts[name.lower()] = 1
        return name
