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
from dataclasses import dataclass, field

from looplet.core.codec import JSON
from looplet.core.runtime import Runtime
from looplet.replay.within import within

_MICROS = 1_000_000
_CLOCKS = ("now", "perf")


@dataclass(slots=True)
class _Read:
    """What was read in one stream, in whole microseconds."""

    times: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in _CLOCKS})
    last: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_CLOCKS, 0))
    ids: list[str] = field(default_factory=list)


class Notes:
    """What was read since it was last taken; what each recorded tool call reads, by itself.

    A tool does not run in a replay with recorded tools, so what it reads must not stand between
    the values of the run itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: dict[str | None, _Read] = {}

    def recording(self, inner: Runtime) -> Runtime:
        """A runtime that notes what it gives, in whole microseconds."""

        def new_id() -> str:
            made = inner.new_id()
            with self._lock:
                self._stream().ids.append(made)
            return made

        return Runtime(
            now=lambda: self._note("now", inner.now()),
            perf=lambda: self._note("perf", inner.perf()),
            sleep=inner.sleep,
            new_id=new_id,
        )

    def take(self, stream: str | None = None) -> dict[str, JSON]:
        """What a stream read, in the form that a file has; it is then forgotten.

        Each time is given as the difference to the one before it, in microseconds.
        """
        with self._lock:
            read = self._streams.get(stream)
            if read is None:
                return {}
            out: dict[str, JSON] = {}
            for name, times in read.times.items():
                if times:
                    before = [read.last[name], *times]
                    steps = (time - past for past, time in zip(before, times, strict=False))
                    out[name] = " ".join(map(str, steps))
                    read.last[name], read.times[name] = times[-1], []
            if read.ids:
                out["ids"] = " ".join(read.ids)
                read.ids = []
        return out

    def _note(self, name: str, seconds: float) -> float:
        micros = round(seconds * _MICROS)
        with self._lock:
            self._stream().times[name].append(micros)
        return micros / _MICROS

    def _stream(self) -> _Read:
        return self._streams.setdefault(within(), _Read())


@dataclass(slots=True)
class _Left:
    """What is left to read in one stream."""

    times: dict[str, deque[int]] = field(default_factory=lambda: {n: deque() for n in _CLOCKS})
    read_to: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_CLOCKS, 0))
    given: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_CLOCKS, 0.0))
    ids: deque[str] = field(default_factory=deque)
    last_id: str = ""


class PlayedNotes:
    """The recorded readings, handed out in the order of their stream."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: dict[str | None, _Left] = {None: _Left()}
        self._live: Runtime | None = None
        self._ahead = 0.0

    def add(self, noted: Mapping[str, JSON], stream: str | None = None) -> None:
        """Take in what one interaction holds."""
        if not noted:
            return
        left = self._streams.setdefault(stream, _Left())
        for name in _CLOCKS:
            for step in str(noted.get(name) or "").split():
                left.read_to[name] += int(step)
                left.times[name].append(left.read_to[name])
        left.ids.extend(str(noted.get("ids") or "").split())

    def go_live(self, runtime: Runtime) -> None:
        """Read from there from now on; its clock for durations goes on where this one stood."""
        with self._lock:
            given = max(left.given["perf"] for left in self._streams.values())
            self._ahead, self._live = given - runtime.perf(), runtime

    def replaying(self) -> Runtime:
        """A runtime that gives what was noted, and does not pause."""
        return Runtime(
            now=lambda: self._next("now"),
            perf=lambda: self._next("perf"),
            sleep=self._sleep,
            new_id=self._next_id,
        )

    def _next(self, name: str) -> float:
        if self._live is not None:
            return self._live.now() if name == "now" else self._live.perf() + self._ahead
        with self._lock:
            left = self._stream()
            if left.times[name]:
                left.given[name] = left.times[name].popleft() / _MICROS
            return left.given[name] or self._streams[None].given[name]

    def _sleep(self, seconds: float) -> object:
        return self._live.sleep(seconds) if self._live is not None else None

    def _next_id(self) -> str:
        if self._live is not None:
            return self._live.new_id()
        with self._lock:
            left = self._stream()
            if left.ids:
                left.last_id = left.ids.popleft()
            else:
                name = f"{within() or ''}{left.last_id}"
                left.last_id = hashlib.sha256(name.encode()).hexdigest()[:12]
            return left.last_id

    def _stream(self) -> _Left:
        return self._streams.setdefault(within(), _Left())


class PlayedClock:
    """A clock for whoever records a replay: it stands where the recording stood."""

    def __init__(self, start: float) -> None:
        self.start = start
        """When the recording began; Unix time in seconds."""
        self.ms = 0.0
        """Where it stands, in milliseconds after the beginning."""

    def move_to(self, ms: float) -> None:
        """Move on to so many milliseconds after the beginning; never back."""
        self.ms = max(self.ms, ms)

    def runtime(self) -> Runtime:
        """The clock as a runtime; its identifiers are new ones."""
        return Runtime(
            now=lambda: self.start + self.ms / 1000,
            perf=lambda: self.ms / 1000,
            sleep=lambda _: None,
        )
