"""Recording: calls go into the journal one by one and into the cassette at the end.

Knows the vcrpy tape and the journal; knows nothing of backends and loops.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from looplet.core.codec import JSON
from looplet.core.messages import ModelRequest
from looplet.errors import CassetteError
from looplet.replay import _vcr
from looplet.replay.journal import Journal, Journaled, journal_path
from looplet.replay.persister import FORMAT, Persister, Serializer
from looplet.replay.requests import Asked, LaneKeys, Packer
from looplet.replay.serializer import storable


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A call that was begun; calls that are alike are told apart by the order they began in."""

    lane: str
    asked: Asked
    ordinal: int


class Recorder:
    """Keeps calls. Threads may share it; each call is on disk when ``keep`` returns."""

    def __init__(self, path: Path, *, mode: str, about: Mapping[str, JSON]) -> None:
        self.path = path
        self._place = path.absolute()  # the working directory may change before the end
        self.persister = Persister()
        self._mode, self._about = mode, about
        self._lock = threading.Lock()
        self._tape = _tape(self._place, mode, self.persister)
        self._journal = Journal(journal_path(self._place), metadata=storable(dict(about)))
        self._closed = False
        self._keys: dict[str, LaneKeys] = {}
        self._begun: Counter[tuple[str, str]] = Counter()
        self._packer = Packer()
        self._lanes: dict[str, JSON] = {}

    def __len__(self) -> int:
        return len(self._tape)

    def begin(self, lane: str, request: ModelRequest, *, model: str | None) -> Ticket:
        """Note what is asked, before the model is."""
        with self._lock:
            self._open()
            asked = self._keys.setdefault(lane, LaneKeys()).of_request(request, model=model)
            ordinal = self._begun[lane, asked.key]
            self._begun[lane, asked.key] += 1
        return Ticket(lane=lane, asked=asked, ordinal=ordinal)

    def keep(self, ticket: Ticket, response: dict[str, JSON], *, shape: JSON) -> None:
        """Store what a call came to; ``shape`` tells of the backend, once a lane."""
        with self._lock:
            self._open()
            if ticket.lane not in self._lanes:
                self._journal.append({"lane": ticket.lane, "shape": shape})
                self._lanes[ticket.lane] = shape
            headers = {"key": ticket.asked.key}
            if ticket.ordinal:
                headers["ordinal"] = str(ticket.ordinal)
            call = {
                "uri": uri_of(ticket.lane, ticket.asked.method),
                "headers": headers,
                "body": self._packer.pack(ticket.lane, ticket.asked),
                "response": response,
            }
            self._journal.append(call)
            _add(self._tape, call)

    def close(self, error: BaseException | None) -> None:
        """Write the cassette; a re-recording that failed leaves the old one as it was."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._finish(error)
            finally:
                self._journal.close()

    def _finish(self, error: BaseException | None) -> None:
        if len(self._tape) and error is not None and self._mode == "all" and self._place.exists():
            error.add_note(
                f"cassette {self.path} was left as it was; the {len(self._tape)} calls of this "
                f"recording are in {journal_path(self.path)}"
            )
            return
        if len(self._tape):
            metadata = header(self._lanes, self._about, interrupted=error is not None)
            _vcr.save_tape(self._tape, metadata)
        self._journal.remove()

    def _open(self) -> None:
        if self._closed:
            raise CassetteError(
                f"cassette {self.path} is closed; make model calls inside its with block"
            )


def header(
    lanes: Mapping[str, JSON], about: Mapping[str, JSON], *, interrupted: bool
) -> dict[str, JSON]:
    """What stands before the interactions."""
    out: dict[str, JSON] = {"looplet_format": FORMAT}
    if interrupted:
        out["interrupted"] = True
    return out | {"lanes": storable(dict(lanes)), "about": storable(dict(about))}


def write_recovered(journal: Journaled, path: Path) -> None:
    """Write the calls of a journal as a cassette, marked as interrupted."""
    tape = _tape(path, "once", Persister())
    for call in journal.calls:
        _add(tape, call)
    about = dict(journal.metadata)
    out = header(journal.lanes, {}, interrupted=True) | {"about": about}
    _vcr.save_tape(tape, out)


def uri_of(lane: str, method: str) -> str:
    """Where a call goes, in vcrpy's terms.

    >>> uri_of("tool:search", "generate")
    'looplet://tool:search/generate'
    """
    return f"looplet://{quote(lane, safe=':/', errors='surrogatepass')}/{method}"


def _tape(path: Path, mode: str, persister: Persister) -> Any:
    return _vcr.new_tape(str(path), mode=mode, serializer=Serializer(), persister=persister)


def _add(tape: Any, call: Mapping[str, JSON]) -> None:
    request = _vcr.make_request(uri=call["uri"], headers=call["headers"], body=call["body"])
    tape.append(request, call["response"])
