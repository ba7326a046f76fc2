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
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from looplet.core.codec import JSON
from looplet.errors import CassetteError
from looplet.replay.entries import STEP, address
from looplet.replay.persister import damaged, sync_directory

VERSION = 2
_READ = (1, 2)
"""Versions that are read; the first had no checksums."""
_SUM = 16
_ABOUT = ("tools", "parent", "recorded")


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
    about: Mapping[str, JSON] = field(default_factory=dict)
    """What else the cassette's head was to say: ``tools``, ``parent``, ``recorded``, ``seed``."""

    @property
    def count(self) -> int:
        """How many calls it holds; steps do not count."""
        return sum(address(str(call["uri"]))[1] != STEP for call in self.calls)


class Journal:
    """An open journal; it is locked, so that two recordings do not mix in one file."""

    def __init__(
        self, path: Path, *, metadata: Mapping[str, JSON], about: Mapping[str, JSON] | None = None
    ) -> None:
        self.path = path
        self.broken = False
        """Whether the disk refused something, after which nothing more is written."""
        self.on_disk = 0
        """The last line that is known to be on the disk, counted from 1."""
        self._written = 0
        self._flushing = threading.Lock()
        self._starting = threading.Lock()
        self._flusher: ThreadPoolExecutor | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = path.open("x", encoding="ascii")
        except FileExistsError:
            raise _busy(path) from None
        # Whoever looks for leftovers may have found it before it was locked, and taken it away.
        if not _lock(self._file) or not _is_at(self._file, path):
            self._file.close()
            raise _busy(path)
        head = {"looplet_journal": VERSION, "metadata": metadata, **(about or {})}
        self.flush(self.append(head))
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

    async def aflush(self, line: int) -> None:
        """Do so without holding up an event loop.

        The thread is the journal's own: those of the event loop may all be busy with tools, which
        wait for the very reply that is to be flushed.
        """
        import asyncio  # loaded by those who have it anyway

        with self._starting:
            if self._flusher is None:
                self._flusher = ThreadPoolExecutor(1, thread_name_prefix="looplet-journal")
        await asyncio.get_running_loop().run_in_executor(self._flusher, self.flush, line)

    def close(self) -> None:
        """Leave the file where it is."""
        if self._flusher is not None:
            self._flusher.shutdown()
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


@contextmanager
def leftover(path: Path) -> Iterator[Journaled | None]:
    """What a killed recording left, if it left a call; an empty journal is tidied away.

    It is locked as long as the block lasts, so that no other process takes it. Raises
    ``CassetteError`` if the recording is still running.
    """
    file = _claimed(path)
    if file is None:
        yield None
        return
    with file:
        found = read_journal(path)
        if not found.calls:
            path.unlink()
        yield found if found.calls else None


def in_use(path: Path) -> bool:
    """Whether somebody is recording into that journal."""
    try:
        with path.open("r+b") as file:
            return not _lock(file)
    except FileNotFoundError:
        return False


def _claimed(path: Path) -> IO[bytes] | None:
    """The journal, open and locked; ``None`` if there is none. Raises ``CassetteError``."""
    while True:
        try:
            file = path.open("r+b")
        except FileNotFoundError:
            return None
        if not _lock(file):
            file.close()
            raise _busy(path)
        if _is_at(file, path):
            return file
        file.close()  # it was taken away, and perhaps another one begun, before it was locked


def read_journal(path: Path, data: bytes | None = None) -> Journaled:
    """Every call of a journal; a last line that was not finished is left out.

    ``data`` is what is read instead of the file.
    """
    metadata: Mapping[str, JSON] = {}
    about: dict[str, JSON] = {}
    lanes: dict[str, JSON] = {}
    runs: list[dict[str, JSON]] = []
    calls: list[Mapping[str, JSON]] = []
    for record in _records(path, path.read_bytes() if data is None else data):
        if "looplet_journal" in record:
            metadata = record["metadata"]
            about = {name: record[name] for name in _ABOUT if record.get(name)}
        elif "lane" in record:
            lanes[record["lane"]] = record["shape"]
        elif "task" in record:
            runs.append({"task": record["task"]})
        elif "ended" in record:
            runs[record["ended"]] |= {key: record[key] for key in ("stop_reason", "digest")}
        elif "seed" in record:
            about["seed"] = record["seed"]
        else:
            calls.append(record)
    return Journaled(
        metadata=metadata, lanes=lanes, calls=tuple(calls), runs=tuple(runs), about=about
    )


def set_aside(path: Path) -> Path:
    """Rename a journal so that a new recording can begin; nothing is written over."""
    for number in range(1, 10_000):
        place = path.with_name(f"{path.name}.{number}")
        if not place.exists():
            path.rename(place)
            return place
    raise CassetteError(f"there are 9999 old journals beside {path}; delete those not needed")


def _records(path: Path, data: bytes) -> list[dict[str, JSON]]:
    lines = data.split(b"\n")
    rest = lines.pop()  # empty after a finished line, else the line that was being written
    if _is_whole(rest[:-1]):
        raise damaged(path, "its last line is whole, and does not end as it was written")
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
        text = line.partition(b" ")[2]
        if not _is_whole(line):
            raise damaged(path, f"line {number} of the journal is not what was written")
    try:
        record = json.loads(text)
    except ValueError as error:
        raise damaged(path, f"line {number} of the journal is not JSON ({error})") from error
    if not isinstance(record, dict):
        raise damaged(path, f"line {number} of the journal is no record")
    return record


def _is_whole(line: bytes) -> bool:
    """Whether a line has its checksum."""
    given, _, text = line.partition(b" ")
    return given.decode(errors="replace") == _checksum(text.decode(errors="replace"))


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


def _is_at(file: IO[str] | IO[bytes], path: Path) -> bool:
    """Whether an open file is still the one that lies there."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


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
