"""Cassettes written anew: in today's smallest form, or without secrets that are in them.

Knows how a cassette is read and written; asks no model and runs no tool. The old file is replaced
when the new one was read back and found to be what it should be.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from looplet.core.codec import JSON, canonical
from looplet.errors import CassetteDamaged, CassetteError
from looplet.redaction import Redactor
from looplet.redaction.placeholders import PLACEHOLDER
from looplet.replay import _vcr, persister
from looplet.replay.checking import checked
from looplet.replay.entries import header
from looplet.replay.journal import journal_path, leftover, read_journal
from looplet.replay.persister import Persister, Serializer
from looplet.replay.playback import Player
from looplet.replay.rewriter import Rewriter, plain
from looplet.replay.sameness import says_the_same


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """What became of a cassette."""

    path: Path
    calls: int
    before: int
    """Bytes of the old file."""
    after: int
    """Bytes of the new one; the same if the file was left as it was."""
    changed: bool
    placeholders: tuple[str, ...] = ()
    """Placeholders that stand in the new file and did not in the old one."""
    mended: tuple[str, ...] = ()
    """What did not fit its digest before, by an edit, and does now that the digest is new."""
    removed: tuple[Path, ...] = ()
    """Journals of killed recordings that held nothing but what is in the cassette."""
    left: tuple[Path, ...] = ()
    """Journals that hold more, or cannot be read; they are as they were, secrets included."""


def compact_cassette(path: str | os.PathLike[str]) -> Rewritten:
    """Write a cassette in today's format and in its smallest form, and tidy up beside it.

    Requests, replies, steps and digests stay what they are. A journal beside it, all of whose calls
    are in the cassette, is removed. Raises what opening the cassette raises, and ``CassetteError``
    while it is being recorded.
    """
    return _rewrite(Path(path), None)


def redact_cassette(path: str | os.PathLike[str], redactor: Redactor) -> Rewritten:
    """Take secrets out of a cassette, as if it had been recorded with that redactor.

    Keys and digests are made anew, so a replay with the same redactor finds everything, with the
    secrets or without them. A file in which nothing is found is left as it is. Raises what opening
    the cassette raises, and ``CassetteError`` while it is being recorded.

    >>> import tempfile
    >>> from looplet.replay import use_cassette
    >>> from looplet.testing import MockLLMBackend
    >>> path = tempfile.mkdtemp() + "/door.yaml"
    >>> with use_cassette(path, record_mode="once") as cassette:
    ...     cassette.wrap_llm(MockLLMBackend(["Open."])).generate("I say sesame99.")
    'Open.'
    >>> redactor = Redactor(secrets={"door": "sesame99"})
    >>> redact_cassette(path, redactor).placeholders
    ('[REDACTED:door]',)
    >>> with use_cassette(path, redact=redactor) as cassette:
    ...     cassette.wrap_llm(None).generate("I say sesame99.")
    'Open.'
    """
    return _rewrite(Path(path), redactor)


def _rewrite(path: Path, redactor: Redactor | None) -> Rewritten:
    data = persister.read(path)
    beside = [*_journals(path)]
    player = Player(path, data)
    writer = Rewriter(player, redactor)
    new = _bytes(path, *writer.written())
    if redactor is not None and not writer.found:
        new = data
    mended = () if redactor is None or new == data else checked(player).problems
    if new != data:
        _check(player, Player(path, new), redactor)
        persister.write_whole(path, new)
    removed = [*_told_already(beside, player)]
    for place in removed:
        place.unlink()
    return Rewritten(
        path=path,
        calls=len(player),
        before=len(data),
        after=len(new),
        changed=new != data,
        placeholders=tuple(sorted(_placeholders(new) - _placeholders(data))),
        mended=mended,
        removed=tuple(removed),
        left=tuple(place for place in beside if place not in removed),
    )


def _placeholders(data: bytes) -> set[str]:
    return {match[0] for match in PLACEHOLDER.finditer(data.decode())}


class _InMemory(Persister):
    """Keeps what would be written."""

    written = b""

    def save_cassette(self, _path: str, recorded: Mapping[str, Any], serializer: object) -> None:
        """Keep it."""
        self.written = _vcr.to_text(recorded, serializer).encode()


def _bytes(path: Path, calls: list[dict[str, JSON]], metadata: Mapping[str, JSON]) -> bytes:
    kept = _InMemory()
    tape = _vcr.new_tape(str(path), mode="once", serializer=Serializer(), persister=kept)
    for call in calls:
        request = _vcr.make_request(uri=call["uri"], headers=call["headers"], body=call["body"])
        _vcr.add(tape, request, call["response"])
    _vcr.save_tape(tape, metadata)
    return kept.written


def _check(old: Player, new: Player, redactor: Redactor | None) -> None:
    """Raise ``CassetteError`` if the new file does not say what the old one said, less secrets."""
    same = says_the_same(old, new, None if redactor is None else redactor.value)
    problems = () if redactor is not None else checked(old).problems
    if not same or checked(new).problems != problems:
        raise CassetteError(
            f"cassette {old.path} could not be written anew so that it says the same; it was left "
            "as it was. Please report this"
        )


def _journals(path: Path) -> Iterator[Path]:
    """Journals of recordings that did not end. Raises ``CassetteError`` while one is going on."""
    journal = journal_path(path)
    try:
        with leftover(journal) as found:
            there = found is not None
    except CassetteDamaged:
        there = True
    if there:
        yield journal
    yield from sorted(journal.parent.glob(f"{glob.escape(journal.name)}.[0-9]*"))


def _told_already(journals: Sequence[Path], player: Player) -> Iterator[Path]:
    """Those that hold no call which the cassette does not hold."""
    if not journals:
        return
    held = {
        _told(request.uri, header(request, "key"), header(request, "ordinal"), plain(stored))
        for request, stored, _, _ in player.recorded()
    }
    for journal in journals:
        try:
            calls = read_journal(journal).calls
        except CassetteError:
            continue
        told = (
            _told(call["uri"], call["headers"]["key"], call["headers"].get("ordinal"),
                  call["response"])
            for call in calls
        )  # fmt: skip
        if calls and held.issuperset(told):
            yield journal


def _told(uri: str, key: JSON, ordinal: JSON, stored: Mapping[str, JSON]) -> str:
    return canonical([uri, key, ordinal, stored])
