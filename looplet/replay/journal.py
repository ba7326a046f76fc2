"""The journal beside a cassette: every call on disk before its reply is used. Knows no YAML.

One JSON value a line: first what is recorded, then lanes and calls as they come. A process that is
killed leaves the journal; a line that it did not finish was of a call whose reply nobody had seen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from looplet.core.codec import JSON
from looplet.errors import CassetteError
from looplet.replay.persister import damaged, sync_directory

VERSION = 1


class LeftoverJournal(UserWarning):
    """Beside a cassette lies the journal of a recording that did not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Journaled:
    """What a journal holds."""

    metadata: Mapping[str, JSON]
    lanes: Mapping[str, JSON]
    calls: tuple[Mapping[str, JSON], ...]


class Journal:
    """An open journal; it is locked, so that two recordings do not mix in one file."""

    def __init__(self, path: Path, *, metadata: Mapping[str, JSON]) -> None:
        self.path, self._broken = path, False
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = path.open("x", encoding="ascii")
        except FileExistsError:
            raise _busy(path) from None
        if not _lock(self._file):
            raise _busy(path)
        self.append({"looplet_journal": VERSION, "metadata": metadata})
        sync_directory(path.parent)

    def append(self, record: Mapping[str, JSON]) -> None:
        """Write one line, and wait until the disk has it."""
        if self._broken:
            raise CassetteError(f"journal {self.path} could not be written; see the error before")
        self._broken = True  # a line cut short must stay the last one
        self._file.write(json.dumps(record, separators=(",", ":")) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._broken = False

    def close(self) -> None:
        """Leave the file where it is."""
        self._file.close()

    def remove(self) -> None:
        """Close and delete it: the cassette has everything."""
        self.path.unlink()
        self._file.close()


def journal_path(cassette: Path) -> Path:
    """Where the journal of a cassette lies.

    >>> journal_path(Path("runs/refund.yaml")).name
    'refund.yaml.journal'
    """
    return cassette.with_name(cassette.name + ".journal")


def leftover(path: Path) -> Journaled | None:
    """What a killed recording left, if it left a call; an empty journal is tidied away.

    Raises ``CassetteError`` if the recording is still running.
    """
    if not path.exists():
        return None
    with path.open("r+b") as file:
        if not _lock(file):
            raise _busy(path)
        found = read_journal(path)
        if not found.calls:
            path.unlink()
            return None
    return found


def read_journal(path: Path) -> Journaled:
    """Every call of a journal; a last line that was not finished is left out."""
    metadata: Mapping[str, JSON] = {}
    lanes: dict[str, JSON] = {}
    calls: list[Mapping[str, JSON]] = []
    for record in _records(path):
        if "looplet_journal" in record:
            _known_version(record["looplet_journal"], path)
            metadata = record["metadata"]
        elif "lane" in record:
            lanes[record["lane"]] = record["shape"]
        else:
            calls.append(record)
    return Journaled(metadata=metadata, lanes=lanes, calls=tuple(calls))


def set_aside(path: Path) -> Path:
    """Rename a journal so that a new recording can begin; nothing is written over."""
    for number in range(1, 10_000):
        place = path.with_name(f"{path.name}.{number}")
        if not place.exists():
            path.rename(place)
            return place
    raise CassetteError(f"there are 9999 old journals beside {path}; delete those not needed")


def _records(path: Path) -> list[dict[str, JSON]]:
    lines = path.read_bytes().split(b"\n")
    lines.pop()  # empty after a finished line, else the line that was being written
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise damaged(path, f"line {number} of the journal is not JSON ({error})") from error
        if not isinstance(record, dict):
            raise damaged(path, f"line {number} of the journal is no record")
        records.append(record)
    return records


def _known_version(version: JSON, path: Path) -> None:
    if version != VERSION:
        raise CassetteError(
            f"journal {path} has version {version}, and this looplet knows version {VERSION}"
        )


def _busy(path: Path) -> CassetteError:
    return CassetteError(
        f"{path} is in use: this cassette is being recorded already. "
        "Give each recording a cassette of its own."
    )


def _lock(file: IO[str] | IO[bytes]) -> bool:
    """Lock until the file is closed or the process ends; ``False`` if another holds it."""
    try:
        import fcntl
    except ImportError:  # not on this system; creating the file exclusively has to do
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
