"""The cassette a user holds: opened in a record mode, wrapped around backends, closed.

Decides between recording and replaying, and what becomes of a killed recording. Knows the
recorder and the player; knows nothing of loops and nothing of YAML.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from looplet.core.backend import is_async
from looplet.core.codec import JSON
from looplet.errors import CassetteError, CassetteMissing
from looplet.replay import persister
from looplet.replay.divergence import Divergence
from looplet.replay.journal import LeftoverJournal, journal_path, leftover, read_journal, set_aside
from looplet.replay.playback import Player, verify
from looplet.replay.recording import Recorder, write_recovered
from looplet.replay.session import (
    AsyncRecordingBackend,
    AsyncReplayBackend,
    RecordingBackend,
    ReplayBackend,
)

RecordMode = Literal["none", "once", "all"]
"""Replay only; record if there is no cassette, else replay; record anew."""

_RECORDING: set[Path] = set()
_RECORDING_LOCK = threading.Lock()


class Cassette:
    """Recorded calls of models; made by ``use_cassette``."""

    def __init__(
        self,
        half: Player | Recorder,
        *,
        metadata: Mapping[str, JSON],
        reserved: Path | None = None,
    ) -> None:
        self._half = half
        self._reserved = reserved
        self.metadata = metadata
        """What ``use_cassette(metadata=...)`` was given when the cassette was recorded."""

    @property
    def path(self) -> Path:
        """The cassette's file."""
        return self._half.path

    @property
    def recording(self) -> bool:
        """Whether calls go to a model and are kept; else they are answered from the file."""
        return isinstance(self._half, Recorder)

    @property
    def content_hash(self) -> str | None:
        """SHA-256 of the file, in hex; ``None`` until a recording is written."""
        return self._half.persister.content_hash

    @property
    def played(self) -> int:
        """How many recorded calls were replayed."""
        return self._half.played if isinstance(self._half, Player) else 0

    @property
    def unplayed(self) -> int:
        """How many recorded calls no one has asked for, in a replay."""
        return len(self._half) - self.played if isinstance(self._half, Player) else 0

    @property
    def divergence(self) -> Divergence | None:
        """The last divergence of this replay, also if somebody caught it."""
        return self._half.divergence if isinstance(self._half, Player) else None

    def __len__(self) -> int:
        """How many calls are recorded."""
        return len(self._half)

    def wrap_llm(self, llm: Any, *, lane: str = "main", async_: bool | None = None) -> Any:
        """Put the cassette around a backend; the result is a backend of the same shape.

        A replay asks nothing of ``llm`` but its model's name and its keywords, and takes ``None``
        for a backend as the cassette describes it (``async_=True`` for the async loop). ``lane``
        keeps the calls of one caller apart from those of others; a call's own ``scope=`` names
        it too.
        """
        asynchronous = is_async(llm) if async_ is None else async_
        if isinstance(self._half, Player):
            replay = AsyncReplayBackend if asynchronous else ReplayBackend
            return replay(llm, self._half, lane=lane)
        if llm is None:
            raise CassetteError(
                f"cassette {self.path} is being recorded, and that needs a backend: "
                "wrap_llm(None) is for a replay"
            )
        record = AsyncRecordingBackend if asynchronous else RecordingBackend
        return record(llm, self._half, lane=lane)

    def close(self, error: BaseException | None = None) -> None:
        """Write what was recorded; ``error`` is what ended the run early, if anything."""
        if isinstance(self._half, Recorder):
            try:
                self._half.close(error)
            finally:
                _release(self._reserved)


@contextmanager
def use_cassette(
    path: str | os.PathLike[str],
    *,
    record_mode: RecordMode = "none",
    metadata: Mapping[str, JSON] | None = None,
) -> Iterator[Cassette]:
    """Record model calls into a file, or replay them from it.

    Modes: ``none`` replays and never asks a model; ``once`` records if there is no cassette and
    replays otherwise; ``all`` records anew and replaces the cassette when the block ends well.
    Raises ``CassetteMissing``, ``CassetteDamaged`` or ``CassetteError``; a replay that is asked
    for what was not recorded raises ``Divergence``, which is no ``Exception``.

    >>> import tempfile
    >>> from looplet.testing import MockLLMBackend
    >>> path = tempfile.mkdtemp() + "/greeting.yaml"
    >>> with use_cassette(path, record_mode="once") as cassette:
    ...     cassette.wrap_llm(MockLLMBackend(responses=["Hello!"])).generate("Say hello.")
    'Hello!'
    >>> with use_cassette(path) as cassette:
    ...     cassette.wrap_llm(None).generate("Say hello.")
    'Hello!'
    """
    cassette = _open(Path(path), record_mode, metadata or {})
    try:
        yield cassette
    except BaseException as error:
        cassette.close(error)
        raise
    cassette.close()


def accept_edit(path: str | os.PathLike[str]) -> int:
    """Seal a cassette anew after somebody edited replies in it; how many calls it has.

    Only the footer is rewritten. Requests are checked: an edited one is refused with
    ``CassetteDamaged``, since an agent asks its own requests, and the file stays as it was.
    """
    place = Path(path)
    sealed = persister.reseal(persister.read(place), place)
    count = verify(place, sealed)
    persister.write_whole(place, sealed)
    return count


def recover(path: str | os.PathLike[str], *, into: str | os.PathLike[str]) -> int:
    """Write the calls of a journal that a killed recording left as a cassette; how many they are.

    The journal stays. Raises ``CassetteError`` if ``into`` is there already.
    """
    if Path(into).exists():
        raise CassetteError(f"{into} is there already; recover into a new file")
    found = read_journal(Path(path))
    write_recovered(found, Path(into))
    return len(found.calls)


def _open(path: Path, mode: str, metadata: Mapping[str, JSON]) -> Cassette:
    if mode not in get_args(RecordMode):
        modes = ", ".join(repr(each) for each in get_args(RecordMode))
        raise CassetteError(f"record_mode {mode!r} is not known; it is one of {modes}")
    if mode == "all":
        return _record(path, mode, metadata)
    if path.exists():
        _warn_of_leftover(path)
        return _replay(path)
    if mode == "none":
        raise _nothing_to_replay(path)
    if _recovered(path):
        return _replay(path)
    return _record(path, mode, metadata)


def _replay(path: Path) -> Cassette:
    player = Player(path)
    return Cassette(player, metadata=player.metadata)


def _record(path: Path, mode: str, metadata: Mapping[str, JSON]) -> Cassette:
    place = path.resolve()
    _reserve(place)
    try:
        _set_leftover_aside(path)
        recorder = Recorder(path, mode=mode, about=metadata)
    except BaseException:
        _release(place)
        raise
    return Cassette(recorder, metadata=metadata, reserved=place)


def _nothing_to_replay(path: Path) -> CassetteError:
    journal = journal_path(path)
    if journal.exists():
        return CassetteError(
            f"there is no cassette {path}, but the journal {journal} of a recording that did not "
            'end. Open it once with record_mode="once" to make a cassette of the calls in it, '
            "or delete the journal and record again."
        )
    return CassetteMissing(
        f"there is no cassette {path}. Record it once with a live model: "
        f'use_cassette({str(path)!r}, record_mode="once")'
    )


def _warn_of_leftover(path: Path) -> None:
    journal = journal_path(path)
    if journal.exists():
        _warn(
            f"beside cassette {path} lies {journal}, of a recording that did not end; it is not "
            "used. looplet.replay.recover(journal, into=...) makes a cassette of it; delete it "
            "if you do not need it."
        )


def _recovered(path: Path) -> bool:
    """Make a cassette of the journal that a killed recording left, if it did."""
    journal = journal_path(path)
    found = leftover(journal)
    if found is None:
        return False
    write_recovered(found, path)
    journal.unlink()
    _warn(
        f"cassette {path} was made of the {len(found.calls)} calls that a killed recording left, "
        "and is replayed; it may end too early. Record it whole with "
        'record_mode="all".'
    )
    return True


def _set_leftover_aside(path: Path) -> None:
    found = leftover(journal_path(path))
    if found is not None:
        place = set_aside(journal_path(path))
        _warn(
            f"a recording of {path} did not end; its {len(found.calls)} calls were moved to "
            f"{place}. looplet.replay.recover(journal, into=...) makes a cassette of them."
        )


def _warn(text: str) -> None:
    # Over _open, use_cassette and contextlib's __enter__ to the with statement.
    warnings.warn(text, LeftoverJournal, stacklevel=6)


def _reserve(path: Path) -> None:
    with _RECORDING_LOCK:
        if path in _RECORDING:
            raise CassetteError(
                f"cassette {path} is being recorded already in this process. "
                "Give each recording a cassette of its own."
            )
        _RECORDING.add(path)


def _release(path: Path | None) -> None:
    with _RECORDING_LOCK:
        if path is not None:
            _RECORDING.discard(path)
