"""Results too long for any prompt, in files. Knows results and a directory; knows no run.

A file's name is made of the step, the tool and a digest of the text, and so is the path that the
model is told: a replay says the same, and another run's file is never written over.
"""

from __future__ import annotations

import os
import re
import threading
import warnings
from pathlib import Path
from typing import NamedTuple

from looplet.core.codec import digest
from looplet.core.records import ToolResult
from looplet.core.show import PERSISTED, json_text

LONGEST_SHOWN = 50_000
"""Characters of a result from which on it goes to a file."""
NAME_CHARS = 40
"""How much of a tool's name a file's name has."""


class LongResult(NamedTuple):
    """What goes to a file: the text that the result is to a model."""

    text: str
    suffix: str


class ResultFiles:
    """A directory for long results; one that cannot be written is warned about once.

    ``directory`` is told to the model as it was given, so give a relative one if a run is to be
    replayed elsewhere.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory)
        self._works = True

    def wants(self, result: ToolResult) -> LongResult | None:
        """What of a result is to be written; ``None`` if it is short enough for prompts.

        An error counts as its text, a text as itself, anything else as its JSON.
        """
        if not self._works:
            return None
        if result.error is not None:
            long = LongResult(result.error, "txt")
        elif isinstance(result.data, str):
            long = LongResult(result.data, "txt")
        else:
            long = LongResult(json_text(result.data), "json")
        return long if len(long.text) > LONGEST_SHOWN else None

    def write(self, long: LongResult, *, tool: str, step: int) -> str | None:
        """Write a file whole, and return its path as the model is told it; ``None`` if it failed.

        Lone surrogates are escaped.
        """
        safe = re.sub(r"[^A-Za-z0-9_-]", "_", tool)[:NAME_CHARS]
        place = self._directory / f"step_{step}_{safe}_{digest(long.text)[:12]}.{long.suffix}"
        try:
            _write_once(place, long.text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            self._works = False
            warnings.warn(
                f"tool_result_persist_dir {self._directory} cannot be written ({error}); "
                "the run goes on, and long results are only cut",
                stacklevel=2,
            )
            return None
        return place.as_posix()


def note_place(result: ToolResult, long: LongResult, path: str) -> None:
    """Note in a result where the whole of it is, and how long that is, in characters."""
    # In place: hooks hold on to the result that they were told of.
    result.metadata[PERSISTED] = {"path": path, "chars": len(long.text)}


def _write_once(place: Path, content: bytes) -> None:
    """Write a file beside its place and rename it; one that is there already is the same."""
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    # Runs may share the directory, and two of them the file.
    beside = place.with_name(f".{place.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)
