"""Replaying: the recorded answer to a request, or what differs. Knows the tape; asks no model."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast
from urllib.parse import unquote

from looplet.core.codec import JSON
from looplet.core.messages import Method, ModelRequest
from looplet.replay import _vcr
from looplet.replay.deltas import common_prefix
from looplet.replay.divergence import Divergence, diverged
from looplet.replay.outcomes import Answer, answer_of
from looplet.replay.persister import Persister, Serializer, damaged
from looplet.replay.requests import Asked, LaneKeys, Unpacker
from looplet.replay.serializer import restored


class Player:
    """Hands out recorded answers by (lane, key, ordinal). Threads may share it."""

    def __init__(self, path: Path, data: bytes | None = None) -> None:
        self.path = path
        self.persister = Persister(data)
        self._tape, metadata = _vcr.load_tape(
            str(path), serializer=Serializer(), persister=self.persister
        )
        self.metadata: Mapping[str, JSON] = restored(metadata.get("about", {}))
        self.lanes: Mapping[str, JSON] = restored(metadata.get("lanes", {}))
        self.interrupted = bool(metadata.get("interrupted"))
        self._lock = threading.Lock()
        self._keys: dict[str, LaneKeys] = {}
        self._calls: Counter[str] = Counter()
        self._asked: Counter[tuple[str, str]] = Counter()
        self._places = self._addresses()
        self.divergence: Divergence | None = None

    def __len__(self) -> int:
        return len(self._tape)

    @property
    def played(self) -> int:
        """How many recorded calls were asked for."""
        return len(self._tape.play_counts)

    def play(self, lane: str, request: ModelRequest, *, model: str | None) -> Answer:
        """Give the recorded answer, made anew. Raises ``Divergence``."""
        with self._lock:
            asked = self._keys.setdefault(lane, LaneKeys()).of_request(request, model=model)
            self._calls[lane] += 1
            places = self._places.get((lane, asked.key), [])
            ordinal = self._asked[lane, asked.key]
            if ordinal >= len(places):
                self.divergence = self._diverged(lane, asked, len(places))
                raise self.divergence
            self._asked[lane, asked.key] += 1
            self._tape.play_counts[places[ordinal]] += 1
            response = self._tape.data[places[ordinal]][1]
        return answer_of(response)

    def _addresses(self) -> dict[tuple[str, str], list[int]]:
        """Places on the tape by lane and key, in the order the calls began; keys are verified."""
        found: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for place, lane, asked, ordinal in self._recorded():
            found.setdefault((lane, asked.key), []).append((ordinal, place))
        return {address: [place for _, place in sorted(each)] for address, each in found.items()}

    def _recorded(self) -> Iterator[tuple[int, str, Asked, int]]:
        """Each recorded request in full, one after the other: all at once would be large."""
        unpacker = Unpacker()
        for place, (request, _) in enumerate(self._tape.data):
            try:
                lane, method = _address(request.uri)
                asked = unpacker.unpack(lane, method, request.body)
                ordinal = int(request.headers.get("ordinal", 0))
            except ValueError as error:
                raise self._bad(place, str(error)) from error
            if asked.key != request.headers.get("key"):
                raise self._bad(place, "its request is not the one that was recorded")
            yield place, lane, asked, ordinal

    def _bad(self, place: int, what: str) -> Exception:
        return damaged(
            self.path,
            f"interaction {place + 1}: {what}. Replies may be edited, requests may not: the agent "
            "asks them itself. Record again if the agent has changed",
        )

    def _diverged(self, lane: str, asked: Asked, times: int) -> Divergence:
        call = self._calls[lane]
        note = ""
        nearest = None if times else self._nearest(lane, asked)
        if times:
            note = f"this request was recorded {times} times and is asked once more"
        elif nearest is None:
            lanes = ", ".join(self.lanes) or "none"
            note = f"nothing was recorded in this lane (recorded lanes: {lanes})"
        error = diverged(asked, nearest, cassette=str(self.path), lane=lane, call=call, note=note)
        if self.interrupted:
            error.add_note("this cassette's recording was interrupted, so it may end too early")
        return error

    def _nearest(self, lane: str, asked: Asked) -> Asked | None:
        """The lane's next request if one is left, else the one with the longest common start."""
        best, score = None, -1
        for place, other, recorded, _ in self._recorded():
            if other != lane:
                continue
            if place not in self._tape.play_counts:
                return recorded
            shared = common_prefix(recorded.digests, asked.digests)
            if shared > score:
                best, score = recorded, shared
        return best


def _address(uri: str) -> tuple[str, Method]:
    scheme, _, rest = uri.partition("://")
    lane, _, method = rest.rpartition("/")
    if scheme != "looplet" or method not in {"generate", "generate_with_tools"}:
        raise ValueError(f"{uri!r} is no address of a model call")
    return unquote(lane, errors="surrogatepass"), cast("Method", method)


def verify(path: Path, data: bytes) -> int:
    """Rebuild every request of what is to be the cassette ``path``; how many there are.

    Raises ``CassetteMissing``, ``CassetteDamaged`` or ``CassetteError``.
    """
    return len(Player(path, data))
