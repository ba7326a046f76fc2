"""looplet's own trace directories, each taken whole and kept as it was recorded.

A directory is known by what a trace alone has: files of its calls or steps, or a head that tells
looplet's version of the format. A name like ``trajectory.json`` is used by others, too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from looplet.errors import TraceError
from looplet.trajectory.importers import parsing
from looplet.trajectory.importers.kinds import check_kinds
from looplet.trajectory.importers.problems import Malformed
from looplet.trajectory.importers.registry import Format
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import Trajectory
from looplet.trajectory.trace_dir import CALL_FILE, HEAD, RUN, STEP_FILE, STEPS
from looplet.trajectory.trace_reading import read_trace

NAME = "looplet"
_OWN = frozenset({"run_id", "schema_version"})


def sniff(source: Source) -> bool:
    """A folder with a head of looplet's, or with files of calls or steps."""
    if not source.is_folder:
        return False
    path = source.path
    if any(_is_head(path / name) for name in (HEAD, RUN)):
        return True
    return _has(path, CALL_FILE) or _has(path / STEPS, STEP_FILE)


def read(source: Source) -> Iterator[Trajectory]:
    """The one run of a directory."""
    if not source.is_folder:
        raise Malformed("", "it is no trace directory, but a file; name the directory")
    try:
        run = read_trace(source.path)
    except (TraceError, OSError, ArithmeticError, RecursionError) as error:
        raise Malformed("", str(error)) from None
    check_kinds(run, "$")
    yield run


def _is_head(place: Path) -> bool:
    """Whether a file says that it is of a run of looplet's, also if it breaks off."""
    try:
        text = place.read_text("utf-8", "replace") if place.is_file() else ""
    except OSError:
        return False
    members = parsing.outline_of(text).members
    return members.keys() >= _OWN and isinstance(members["schema_version"], int)


def _has(folder: Path, name: re.Pattern[str]) -> bool:
    """Whether there is a file of such a name in a folder."""
    try:
        with os.scandir(folder) as entries:
            return any(name.fullmatch(entry.name) for entry in entries)
    except OSError:
        return False


FORMAT = Format(name=NAME, sniff=sniff, read=read)
