"""Time and identifiers through a cassette. Knows runtimes; knows no file.

What a run reads from its ``Runtime`` is noted beside the call that follows it, and a replay is
given the same values in the same order. Beyond the last one time stands still and identifiers go
on, so that an agent that reads the clock more often than it did has no other harm from it.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Mapping

from looplet.core.codec import JSON
from looplet.core.runtime import Runtime

_MICROS = 1_000_000
_CLOCKS = ("now", "perf")


class Notes:
    """What was read since the last call was kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: dict[str, list[int]] = {name: [] for name in _CLOCKS}
        self._last = dict.fromkeys(_CLOCKS, 0)
        self._ids: list[str] = []

    def recording(self, inner: Runtime) -> Runtime:
        """A runtime that notes what it gives, in whole microseconds."""

        def new_id() -> str:
            made = inner.new_id()
            with self._lock:
                self._ids.append(made)
            return made

        return Runtime(
            now=lambda: self._note("now", inner.now()),
            perf=lambda: self._note("perf", inner.perf()),
            sleep=inner.sleep,
            new_id=new_id,
        )

    def take(self) -> dict[str, JSON]:
        """What was noted, in the form that a file has; it is then forgotten.

        Each time is given as the difference to the one before it, in microseconds.
        """
        with self._lock:
            out: dict[str, JSON] = {}
            for name, times in self._read.items():
                if times:
                    out[name] = " ".join(map(str, self._steps(name, times)))
                    self._read[name] = []
            if self._ids:
                out["ids"] = " ".join(self._ids)
                self._ids = []
        return out

    def _note(self, name: str, seconds: float) -> float:
        micros = round(seconds * _MICROS)
        with self._lock:
            self._read[name].append(micros)
        return micros / _MICROS

    def _steps(self, name: str, times: list[int]) -> list[int]:
        last, self._last[name] = self._last[name], times[-1]
        return [time - before for before, time in zip([last, *times], times, strict=False)]


class PlayedNotes:
    """The recorded readings, handed out in their order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: dict[str, deque[int]] = {name: deque() for name in _CLOCKS}
        self._read_to = dict.fromkeys(_CLOCKS, 0)
        self._given = dict.fromkeys(_CLOCKS, 0.0)
        self._ids: deque[str] = deque()
        self._last_id = ""
        self.live: Runtime | None = None
        """What is read instead, once a fork has gone live."""

    def add(self, noted: Mapping[str, JSON]) -> None:
        """Take in what one interaction holds."""
        for name in _CLOCKS:
            for step in str(noted.get(name) or "").split():
                self._read_to[name] += int(step)
                self._left[name].append(self._read_to[name])
        self._ids.extend(str(noted.get("ids") or "").split())

    def replaying(self) -> Runtime:
        """A runtime that gives what was noted, and does not pause."""
        return Runtime(
            now=lambda: self._next("now"),
            perf=lambda: self._next("perf"),
            sleep=self._sleep,
            new_id=self._next_id,
        )

    def _next(self, name: str) -> float:
        if self.live is not None:
            value: float = getattr(self.live, name)()
            return value
        with self._lock:
            if self._left[name]:
                self._given[name] = self._left[name].popleft() / _MICROS
            return self._given[name]

    def _sleep(self, seconds: float) -> object:
        return self.live.sleep(seconds) if self.live is not None else None

    def _next_id(self) -> str:
        if self.live is not None:
            return self.live.new_id()
        with self._lock:
            if self._ids:
                self._last_id = self._ids.popleft()
            else:
                self._last_id = hashlib.sha256(self._last_id.encode()).hexdigest()[:12]
            return self._last_id


class PlayedClock:
    """A clock for whoever records a replay: it stands where the recording stood."""

    def __init__(self, start: float) -> None:
        self.start = start
        """When the recording began; Unix time in seconds."""
        self._ms = 0.0

    def move_to(self, ms: float) -> None:
        """Move on to so many milliseconds after the beginning; never back."""
        self._ms = max(self._ms, ms)

    def runtime(self) -> Runtime:
        """The clock as a runtime; its identifiers are new ones."""
        return Runtime(
            now=lambda: self.start + self._ms / 1000,
            perf=lambda: self._ms / 1000,
            sleep=lambda _: None,
        )
