"""The journal beside a cassette: every call on disk before its reply is used. Knows no YAML.

One JSON value a line, with a checksum before it: first what is recorded, then lanes, runs and calls
as they come. A process that is killed leaves the journal; a line that it did not finish was of a
call whose reply nobody had seen.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from looplet.core.codec import JSON
from looplet.errors import CassetteError
from looplet.replay.persister import damaged, sync_directory

VERSION = 2
_READ = (1, 2)
"""Versions that are read; the first had no checksums."""
_SUM = 16


class LeftoverJournal(UserWarning):
    """Beside a cassette lies the journal of a recording that did not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Journaled:
    """What a journal holds."""

    metadata: Mapping[str, JSON]
    lanes: Mapping[str, JSON]
    calls: tuple[Mapping[str, JSON], ...]
    """Calls and steps, in the order in which they ended."""
    runs: tuple[Mapping[str, JSON], ...] = ()
    """Task of each run, and how it ended if it did."""
    tools: str = "live"
    """Whether results of tools were ``recorded`` too."""


class Journal:
    """An open journal; it is locked, so that two recordings do not mix in one file."""

    def __init__(self, path: Path, *, metadata: Mapping[str, JSON], tools: str = "live") -> None:
        self.path = path
        self.broken = False
        """Whether the disk refused something, after which nothing more is written."""
        self.on_disk = 0
        """The last line that is known to be on the disk, counted from 1."""
        self._written = 0
        self._flushing = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = path.open("x", encoding="ascii")
        except FileExistsError:
            raise _busy(path) from None
        if not _lock(self._file):
            raise _busy(path)
        self.flush(self.append({"looplet_journal": VERSION, "metadata": metadata, "tools": tools}))
        sync_directory(path.parent)

    def append(self, record: Mapping[str, JSON]) -> int:
        """Write one line; ``flush`` with what it returns waits until the disk has it."""
        if self.broken:
            raise CassetteError(f"journal {self.path} could not be written; see the error before")
        self.broken = True  # a line cut short must stay the last one
        text = json.dumps(record, separators=(",", ":"))
        self._file.write(f"{_checksum(text)} {text}\n")
        self._file.flush()
        self.broken = False
        self._written += 1
        return self._written

    def flush(self, line: int) -> None:
        """Wait until that line is on the disk; threads that wait at one time wait but once."""
        with self._flushing:
            if self.on_disk >= line:
                return
            written = self._written
            try:
                os.fsync(self._file.fileno())
            except BaseException:
                self.broken = True
                raise
            self.on_disk = written

    def close(self) -> None:
        """Leave the file where it is."""
        with self._flushing:
            if not self._file.closed and not self.broken:
                os.fsync(self._file.fileno())
            self.on_disk = self._written
            self._file.close()

    def remove(self) -> None:
        """Close and delete it: the cassette has everything."""
        with self._flushing:
            self.path.unlink()
            self.on_disk = self._written
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
    tools = "live"
    lanes: dict[str, JSON] = {}
    runs: list[dict[str, JSON]] = []
    calls: list[Mapping[str, JSON]] = []
    for record in _records(path):
        if "looplet_journal" in record:
            metadata, tools = record["metadata"], record.get("tools", tools)
        elif "lane" in record:
            lanes[record["lane"]] = record["shape"]
        elif "task" in record:
            runs.append({"task": record["task"]})
        elif "ended" in record:
            runs[record["ended"]] |= {key: record[key] for key in ("stop_reason", "digest")}
        else:
            calls.append(record)
    return Journaled(
        metadata=metadata, lanes=lanes, calls=tuple(calls), runs=tuple(runs), tools=tools
    )


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
        record = _record(line, number, path)
        if number == 1:
            _check_version(record.get("looplet_journal"), path)
        records.append(record)
    return records


def _record(line: bytes, number: int, path: Path) -> dict[str, JSON]:
    text = line
    if not line.startswith(b"{"):  # else of version 1
        given, _, text = line.partition(b" ")
        if given.decode(errors="replace") != _checksum(text.decode(errors="replace")):
            raise damaged(path, f"line {number} of the journal is not what was written")
    try:
        record = json.loads(text)
    except ValueError as error:
        raise damaged(path, f"line {number} of the journal is not JSON ({error})") from error
    if not isinstance(record, dict):
        raise damaged(path, f"line {number} of the journal is no record")
    return record


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:_SUM]


def _check_version(version: JSON, path: Path) -> None:
    if version is None:
        raise damaged(path, "its first line does not say that it is a journal")
    if version not in _READ:
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
