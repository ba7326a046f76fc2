"""How a cassette is opened, and what becomes of a recording that was killed.

Knows paths, the journal and the halves of a cassette; knows nothing of backends and loops.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from looplet.core.codec import JSON
from looplet.errors import CassetteError, CassetteMissing
from looplet.replay.clock import Notes
from looplet.replay.journal import LeftoverJournal, in_use, journal_path, leftover, set_aside
from looplet.replay.mixing import Mixed
from looplet.replay.persister import content_hash
from looplet.replay.playback import Player
from looplet.replay.recording import Recorder, write_recovered

RecordMode = Literal["none", "once", "new_episodes", "all", "rewrite"]
"""Replay only; record if there is no cassette, else replay; replay and record what is new behind
the first change; record anew (two names of one mode)."""

Half: TypeAlias = Player | Recorder | Mixed

_RECORDING: set[Path] = set()
_RECORDING_LOCK = threading.Lock()
_ANEW = ("all", "rewrite")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A half of a cassette, and the place that is reserved for its recording."""

    half: Half
    reserved: Path | None = None


def open_half(
    path: Path, mode: str, about: Mapping[str, JSON], redactor: Any, tools: str
) -> Opened:
    """Begin to replay or to record, as the mode says.

    Raises ``CassetteMissing``, ``CassetteDamaged`` or ``CassetteError``.
    """
    check_mode(mode)
    if mode in _ANEW:
        return _record(path, mode, about, redactor, tools, keeps_old=True)
    if path.exists():
        return _replay(path, mode, about, redactor, tools)
    if mode == "none":
        raise _nothing_to_replay(path)
    if _recovered(path):
        return _replay(path, mode, about, redactor, tools)
    return _record(path, mode, about, redactor, tools, keeps_old=mode == "new_episodes")


def open_fork(path: Path, into: Path, at: int, about: Mapping[str, JSON], redactor: Any) -> Opened:
    """Begin to replay ``path``, to go on live from a step into a new cassette."""
    if into.exists():
        raise CassetteError(f"{into} is there already; fork into a new file")
    player = Player(path, redactor=redactor)
    _check_tools(player, "recorded")
    parent = {"sha256": player.persister.content_hash, "at": at}
    reserved = _reserve(into)

    def record(notes: Notes, played_ms: float) -> Recorder:
        _set_leftover_aside(into)
        recorder = Recorder(
            into, mode="once", about={**player.metadata, **about}, redactor=redactor,
            parent=parent, tools="recorded", notes=notes, played_ms=played_ms,
        )  # fmt: skip
        return _unless(into.exists(), recorder, f"{into} is there by now; fork into a new file")

    return Opened(half=Mixed(player, record, at=at), reserved=reserved)


def _unless(gone: bool, recorder: Recorder, what: str) -> Recorder:  # noqa: FBT001 - as one reads it
    """The recording that was begun, unless another process was quicker."""
    if gone:
        recorder.close(None)
        raise CassetteError(what)
    return recorder


def _check_tools(player: Player, tools: str) -> None:
    if tools == "recorded" and player.tools != tools:
        raise CassetteError(
            f'the results of tools are not in {player.path}: it was recorded with tools="live". '
            'Record it with tools="recorded", or let the tools run: tools="live"'
        )


def check_mode(mode: str) -> None:
    """Raise ``CassetteError`` for a record mode that is none."""
    if mode not in get_args(RecordMode):
        modes = ", ".join(repr(each) for each in get_args(RecordMode))
        raise CassetteError(f"record_mode {mode!r} is not known; it is one of {modes}")


def _replay(path: Path, mode: str, about: Mapping[str, JSON], redactor: Any, tools: str) -> Opened:
    _warn_of_leftover(path)
    player = Player(path, redactor=redactor)
    _check_tools(player, tools)
    if mode != "new_episodes":
        return Opened(half=player)
    reserved = _reserve(path)

    def record(notes: Notes, played_ms: float) -> Recorder:
        _set_leftover_aside(path)
        recorder = Recorder(
            path, mode="once", about={**player.metadata, **about}, redactor=redactor,
            keeps_old=True, parent=player.parent, tools=tools, notes=notes, played_ms=played_ms,
        )  # fmt: skip
        return _unless(
            content_hash(path) != player.persister.content_hash, recorder,
            f"cassette {path} was replaced by another process while it was replayed; run again",
        )  # fmt: skip

    return Opened(half=Mixed(player, record), reserved=reserved)


def _record(
    path: Path, mode: str, about: Mapping[str, JSON], redactor: Any, tools: str, *, keeps_old: bool
) -> Opened:
    reserved = _reserve(path)
    try:
        _set_leftover_aside(path)
        recorder = Recorder(
            path, mode=mode, about=about, redactor=redactor, keeps_old=keeps_old, tools=tools
        )
    except BaseException:
        release(reserved)
        raise
    if mode in _ANEW or not path.exists():
        return Opened(half=recorder, reserved=reserved)
    # Another process recorded it between our look and our lock.
    recorder.close(None)
    release(reserved)
    return _replay(path, mode, about, redactor, tools)


def _nothing_to_replay(path: Path) -> CassetteError:
    journal = journal_path(path)
    if in_use(journal):
        return CassetteError(
            f"there is no cassette {path} yet: it is being recorded now. Wait for the end of that."
        )
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
    if journal.exists() and not in_use(journal):
        _warn(
            f"beside cassette {path} lies {journal}, of a recording that did not end; it is not "
            "used. looplet.replay.recover(journal, into=...) makes a cassette of it; delete it "
            "if you do not need it."
        )


def _recovered(path: Path) -> bool:
    """Make a cassette of the journal that a killed recording left, if it did."""
    journal = journal_path(path)
    with leftover(journal) as found:
        if found is None or path.exists():  # another process was quicker
            return path.exists()
        write_recovered(found, path)
        journal.unlink()
    _warn(
        f"cassette {path} was made of the {found.count} calls that a killed recording left, "
        "and is replayed; it may end too early. Record it whole with "
        'record_mode="all".'
    )
    return True


def _set_leftover_aside(path: Path) -> None:
    journal = journal_path(path)
    with leftover(journal) as found:
        if found is None:
            return
        place = set_aside(journal)
    _warn(
        f"a recording of {path} did not end; its {found.count} calls were moved to "
        f"{place}. looplet.replay.recover(journal, into=...) makes a cassette of them."
    )


def _warn(text: str) -> None:
    warnings.warn(text, LeftoverJournal, stacklevel=_depth_of_user())


def _depth_of_user() -> int:
    """How many frames above ``_warn`` somebody else's code stands."""
    frame, depth = sys._getframe(2), 2  # noqa: SLF001 - what warnings itself counts by
    while frame.f_back is not None and frame.f_globals.get("__name__", "") in _OURS:
        frame, depth = frame.f_back, depth + 1
    return depth


_OURS = {"looplet.replay.opening", "looplet.replay.cassette", "contextlib"}


def _reserve(given: Path) -> Path:
    path = given.resolve()
    with _RECORDING_LOCK:
        if path in _RECORDING:
            raise CassetteError(
                f"cassette {path} is being recorded already in this process. "
                "Give each recording a cassette of its own."
            )
        _RECORDING.add(path)
    return path


def release(path: Path | None) -> None:
    """Let others record there."""
    with _RECORDING_LOCK:
        if path is not None:
            _RECORDING.discard(path)
