"""What an open HTTP cassette answers, asks for, and keeps. Knows requests; patches nothing.

Every request is claimed once, under a lock: it gets a recorded response, or leave to go to the
network, or it is a divergence. So threads never share an answer, and nothing is looked for twice.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from looplet.core.codec import JSON
from looplet.errors import CassetteError
from looplet.replay.divergence import Divergence
from looplet.replay.http.bodies import Unreadable
from looplet.replay.http.differences import differences, nearest
from looplet.replay.http.interactions import Asked, Censor, played, stored

_CLAIM = "_looplet_claim"
"""The attribute of vcrpy's request that says what became of it."""


class Policy(Enum):
    """What is done with a request."""

    REPLAY = "replay"
    """It is answered as recorded, or is a divergence."""
    RECORD = "record"
    """It goes to the network, and is kept."""
    EXTEND = "extend"
    """It is answered as recorded, until one was not recorded: from there on as ``RECORD``."""


@dataclass(slots=True, kw_only=True, eq=False)
class Kept:
    """A request and, once it is there, its response, in vcrpy's form."""

    asked: Asked
    response: dict[str, Any] | None = None
    plays: int = 0
    """How often it was handed out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a request got: a recorded response, or a place for one from the network."""

    kept: Kept
    recorded: bool


class Tape:
    """The interactions of one cassette, and how far they were used."""

    def __init__(
        self,
        path: Path,
        *,
        policy: Policy,
        censor: Censor,
        recorded: Iterable[tuple[Asked, dict[str, Any]]] = (),
        repeats: bool = False,
    ) -> None:
        self.path, self.policy = path, policy
        self.old = [Kept(asked=asked, response=response) for asked, response in recorded]
        self.new: list[Kept] = []
        self.divergence: Divergence | None = None
        self.failure: CassetteError | None = None
        """What cannot be kept, so that the recording must not be used."""
        self._diverged_in = 0
        self._censor, self._repeats = censor, repeats
        self._live = policy is Policy.RECORD
        self._calls = 0
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[Kept]] = defaultdict(deque)
        for each in self.old:
            self._waiting[each.asked.key].append(each)

    def claims(self, request: Any) -> bool:
        """Whether a recorded response is there for a request; if not, it goes to the network.

        Raises ``Divergence`` if it may not. Asked again for the same request it says the same.
        """
        claim = getattr(request, _CLAIM, None)
        if claim is None:
            with self._lock:
                claim = self._claim(self._asked(request))
            setattr(request, _CLAIM, claim)
        return bool(claim.recorded)

    def play(self, request: Any) -> dict[str, Any]:
        """Hand out a copy of the response that the request has claimed."""
        self.claims(request)
        response = getattr(request, _CLAIM).kept.response
        self._censor.noticed(response)
        return played(response)

    def keep(self, request: Any, response: Mapping[str, Any]) -> None:
        """Keep the response that a request got from the network."""
        with self._lock:
            try:
                redacted = self._censor.response(response, request)
            except Unreadable as error:
                raise self._fails(
                    f"the response to {request.uri.partition('?')[0]}", error
                ) from error
            claim = getattr(request, _CLAIM, None)
            # A client that follows redirects by itself tells of them only when it is done.
            kept = self._kept_anew(self._asked(request)) if claim is None else claim.kept
            kept.response = redacted

    def interactions(self) -> list[dict[str, JSON]]:
        """All that is to be written, in the order in which the requests began.

        Recorded anew, a request takes the place of those that were recorded and not used.
        """
        new = [each for each in self.new if each.response is not None]
        anew = {each.asked.key for each in new}
        old = [] if self.policy is Policy.RECORD else self.old
        kept = [each for each in old if each.plays or each.asked.key not in anew]
        return [stored(each.asked, each.response or {}) for each in (*kept, *new)]

    def lost_divergence(self) -> Divergence | None:
        """A divergence that ended another thread than this one, where nobody may have seen it."""
        return self.divergence if self._diverged_in != threading.get_ident() else None

    def diverge(self, text: str, *, diff: str = "") -> Divergence:
        """Make the error that ends a replay, and remember it."""
        self.divergence = Divergence(
            f"HTTP cassette {self.path}, {text}",
            cassette=str(self.path),
            lane="http",
            call=self._calls,
            diff=diff,
        )
        self._diverged_in = threading.get_ident()
        return self.divergence

    def _asked(self, request: Any) -> Asked:
        try:
            return self._censor.request(request)
        except Unreadable as error:
            raise self._fails(f"the request to {request.uri.partition('?')[0]}", error) from error

    def _claim(self, asked: Asked) -> Claim:
        self._calls += 1
        found = None if self._live else self._next(asked.key)
        if found is not None:
            found.plays += 1
            return Claim(kept=found, recorded=True)
        if self.policy is Policy.REPLAY:
            raise self._diverged(asked)
        self._live = True
        return Claim(kept=self._kept_anew(asked), recorded=False)

    def _next(self, key: str) -> Kept | None:
        """The next response to equal requests; the last one for ever if repeats are allowed."""
        waiting = self._waiting.get(key)
        if not waiting:
            return None
        return waiting[0] if self._repeats and len(waiting) == 1 else waiting.popleft()

    def _kept_anew(self, asked: Asked) -> Kept:
        kept = Kept(asked=asked)
        self.new.append(kept)
        return kept

    def _diverged(self, asked: Asked) -> Divergence:
        unused = [each.asked for each in self.old if not each.plays]
        equal = sum(each.asked.key == asked.key for each in self.old)
        if equal:
            diff = f"it was recorded {equal} times, and is asked once more"
        else:
            near = nearest(asked, unused or [each.asked for each in self.old])
            diff = "\n".join(differences(near, asked)) if near else "nothing was recorded"
        return self.diverge(
            f"request {self._calls}, {asked.place}, was not recorded. Nearest recording: {diff}\n"
            "Nothing was sent. If the change is meant, record again: "
            f'use_cassette({str(self.path)!r}, record_mode="rewrite").',
            diff=diff,
        )

    def _fails(self, what: str, error: Unreadable) -> CassetteError:
        self.failure = CassetteError(f"HTTP cassette {self.path}: {what} cannot be kept: {error}")
        return self.failure
