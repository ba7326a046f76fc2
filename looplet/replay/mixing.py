"""Replaying first and recording from some point on: new episodes, and forks.

Knows both halves of a cassette; knows nothing of backends and loops.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from looplet.core.codec import JSON
from looplet.core.messages import ModelRequest
from looplet.core.records import Step, ToolCall, ToolResult
from looplet.core.runtime import Runtime
from looplet.errors import CassetteError
from looplet.replay.clock import Notes
from looplet.replay.divergence import Divergence
from looplet.replay.entries import Entry, RunLog, Ticket, header
from looplet.replay.outcomes import Answer, answer_of
from looplet.replay.playback import Player
from looplet.replay.recording import Recorder
from looplet.replay.runs import copied
from looplet.replay.tooling import Progress, ToolAnswer, result_of, tool_answer
from looplet.replay.within import within

Begin = Callable[[Notes, float], Recorder]
"""Begins the recording, with what was read so far and how many milliseconds were played."""


class Mixed:
    """Answers from a recording up to a point, and from there asks and records.

    Once it is live it stays live, whatever is asked: an old answer never stands behind a step that
    changed. What was played is copied into the new recording, in order, when that begins.
    ``at`` is the step from which on a fork is live; ``None`` waits for the first request that was
    not recorded. ``record`` begins the recording.
    """

    live = True

    def __init__(self, player: Player, record: Begin, *, at: int | None = None) -> None:
        self.player, self._record, self.at = player, record, at
        self.recorder: Recorder | None = None
        """The recording, from when it is live."""
        self._lock = threading.RLock()
        self._told: list[Callable[[Recorder, _Copies], object]] = []
        """What the recording is told of the time before it began."""
        self._played: list[int] = []
        """Places of what was played, with what belongs to it."""
        self._calls: dict[str, int] = {}
        """The step of each call that is about to be run."""
        self._notes = Notes()
        self._outer = Runtime()
        self._live_since = 0.0

    @property
    def replaying(self) -> bool:
        """Whether answers come from a recording now."""
        return self.recorder is None

    def shape(self, lane: str) -> Mapping[str, JSON] | None:
        """The recorded backend's shape, as long as a fork is to ask what that was asked."""
        if self.at is None or not self.replaying:
            return None
        return self.player.lanes.get(lane)

    @property
    def path(self) -> Path:
        """Where the recording goes, or where the answers come from."""
        return self.player.path if self.recorder is None else self.recorder.path

    @property
    def persister(self) -> Any:
        """Reads or writes that file."""
        return self.player.persister if self.recorder is None else self.recorder.persister

    @property
    def runs(self) -> list[RunLog]:
        """The runs as they are now."""
        if self.recorder is not None:
            return self.recorder.runs
        return self.player.runs

    @property
    def redactor(self) -> Any:
        """What hides secrets."""
        return self.player.redactor

    @property
    def metadata(self) -> Mapping[str, JSON]:
        """What was said of the recording."""
        return self.player.metadata

    @property
    def lanes(self) -> Mapping[str, JSON]:
        """What is known of the backend of each lane."""
        return self.player.lanes

    @property
    def seed(self) -> int | None:
        """Seed of the cassette's random numbers."""
        return self.player.seed

    def __len__(self) -> int:
        """How many calls are recorded."""
        return len(self.player if self.recorder is None else self.recorder)

    def seed_with(self, seed: int) -> None:
        """Remember from what the cassette's random numbers are drawn."""
        with self._lock:
            self.player.seed = seed
            if self.recorder is not None:
                self.recorder.seed_with(seed)

    def play(
        self,
        lane: str,
        request: ModelRequest,
        *,
        model: str | None,
        caller: str | None = None,
        any_model: bool = False,
    ) -> Answer | None:
        """The recorded answer; ``None``, from the point on: the model is to be asked."""
        with self._lock:
            if self.recorder is not None:
                return None
            player = self.player
            any_model = any_model or self.at is not None
            entry, asked = player._find(lane, request, model, caller, any_model=any_model)  # noqa: SLF001 - its own half
            if entry is None:
                if self.at is not None:
                    raise player._diverge(lane, asked, caller)  # noqa: SLF001 - its own half
                self._go_live()
                return None
            return answer_of(self._take(entry))

    def play_tool(self, call: ToolCall, *, lane: str = "main") -> ToolAnswer | None:
        """The recorded result; ``None``: the tool is to be run."""
        with self._lock:
            step = self._calls.pop(call.call_id, None)
            if step is not None and self.at is not None and step >= self.at:
                self._go_live()
            if self.recorder is not None:
                self._number(self.recorder, call, step)
                return None
            caller = None if step is None else str(step)
            player = self.player
            entry, where, body = player._find_tool(call, lane, caller)  # noqa: SLF001 - its own half
            if entry is None:
                if self.at is not None:
                    raise player._diverge_tool(where, body, caller)  # noqa: SLF001 - its own half
                self._number(self._go_live(), call, step)
                return None
            return tool_answer(call, self._take(entry, call))

    def _take(self, entry: Entry, call: ToolCall | None = None) -> Mapping[str, Any]:
        """Play an entry; the recording is told of it, and of what was done in its course."""
        stored = self.player._played(entry)  # noqa: SLF001 - its own half
        is_tool = call is not None  # what the run read comes with the next call of a model
        noted = None if is_tool else self._notes.take(within())
        for inner in self.player.inside(entry):
            self._copy(inner, None)
        self._copy(entry, noted)
        if call is not None and "interrupt" not in stored["body"]:
            place, result = entry.place, result_of(call, stored)
            self._told.append(lambda recorder, copies: recorder.remember(copies.at(place), result))
        return stored

    def _copy(self, entry: Entry, noted: Mapping[str, JSON] | None) -> None:
        """Have an entry copied; ``noted`` is what was read before it, in place of what is there.

        Without it what is there stays: what a tool read in the course of its call.
        """
        place = entry.place
        self._played.append(place)

        def tell(recorder: Recorder, copies: _Copies) -> None:
            ticket = copies.at(place)
            _, stored = self.player._tape.data[place]  # noqa: SLF001 - its own half
            stored = _copied(stored)
            if noted is not None:
                stored.pop("runtime", None)
                stored |= {"runtime": noted} if noted else {}
            recorder.adopt(ticket, stored)

        self._told.append(tell)

    @staticmethod
    def _number(recorder: Recorder, call: ToolCall, step: int | None) -> None:
        if step is not None:
            recorder.at_call(call, step)

    def begin(
        self, lane: str, request: ModelRequest, *, model: str | None, caller: str | None = None
    ) -> Ticket:
        """Note what is asked, before the model is."""
        return self._live().begin(lane, request, model=model, caller=caller)

    def begin_tool(self, call: ToolCall, *, lane: str = "main") -> Ticket:
        """Note what is asked, before the tool runs."""
        return self._live().begin_tool(call, lane=lane)

    def watch(self, ticket: Ticket, given_up: Callable[[], Exception | None]) -> None:
        """A call is under way."""
        self._live().watch(ticket, given_up)

    def knows(self, lane: str) -> bool:
        """Whether the recording has the shape of that lane's backend."""
        return self._live().knows(lane)

    def keep_tool(self, ticket: Ticket, result: ToolResult, progress: Progress) -> None:
        """Store what a tool gave."""
        self._live().keep_tool(ticket, result, progress)

    async def akeep_tool(self, ticket: Ticket, result: ToolResult, progress: Progress) -> None:
        """Store what a tool gave, inside an event loop."""
        await self._live().akeep_tool(ticket, result, progress)

    def keep_interrupt(self, ticket: Ticket, stored: Mapping[str, JSON]) -> None:
        """Store what ended a call from outside."""
        self._live().keep_interrupt(ticket, stored)

    def describe(self, lane: str, shape: JSON) -> None:
        """Store the shape of a lane's backend."""
        self._live().describe(lane, shape)

    def write(self, ticket: Ticket, stored: Mapping[str, JSON]) -> int:
        """Store what a call came to, to be flushed to the disk."""
        return self._live().write(ticket, stored)

    def flush(self, line: int) -> None:
        """Wait until that line of the journal is on the disk."""
        self._live().flush(line)

    async def aflush(self, line: int) -> None:
        """Wait for it inside an event loop."""
        await self._live().aflush(line)

    def begin_run(self, task: JSON) -> int:
        """A loop begins."""
        with self._lock:
            number = self.player.begin_run(task)
            self._tell(lambda recorder: recorder.begin_run(task))
            return number

    def at_step(self, number: int) -> None:
        """The model is about to be asked for that step: a fork there goes live."""
        with self._lock:
            if self.at is not None and number >= self.at:
                self._go_live()

    def at_call(self, call: ToolCall, number: int) -> None:
        """The step's tool is about to run."""
        with self._lock:
            self._calls[call.call_id] = number

    def end_step(self, run: int, step: Step) -> None:
        """A step is what it is."""
        with self._lock:
            self.player.end_step(run, step)
            kept = step if self.recorder is not None else copied(step)
            self._tell(lambda recorder: recorder.end_step(run, kept))

    def end_run(self, run: int, stop_reason: str | None) -> None:
        """A loop is over."""
        with self._lock:
            self.player.end_run(run, stop_reason)
            self._tell(lambda recorder: recorder.end_run(run, stop_reason))

    def runtime(self, inner: Runtime) -> Runtime:
        """A runtime that gives what was read in the recording, later what ``inner`` gives."""
        self._outer = inner
        return self._notes.recording(self.player.notes.replaying())

    def clock(self) -> Runtime:
        """A clock for whoever records the run: that of the recording, and it goes on from there."""
        clock = self.player.clock

        def passed() -> float:
            live = 0.0 if self.recorder is None else time.perf_counter() - self._live_since
            return clock.ms / 1000 + live

        return Runtime(now=lambda: clock.start + passed(), perf=passed, sleep=lambda _: None)

    def close(self, error: BaseException | None) -> None:
        """Write the new recording, if it was begun."""
        if self.recorder is not None:
            self.recorder.close(error)

    def _go_live(self) -> Recorder:
        if self.recorder is not None:
            return self.recorder
        self.player._check()  # noqa: SLF001 - what has diverged does not go live
        recorder = self._record(self._notes, self.player.clock.ms)
        if self.player.seed is not None:
            recorder.seed_with(self.player.seed)
        for lane, shape in self.player.lanes.items():
            recorder.describe(lane, shape)
        copies = _Copies(self.player, self._played)
        for tell in self._told:
            tell(recorder, copies)
        self._told, self._played = [], []
        self.player.notes.go_live(self._outer)
        self._live_since = time.perf_counter()
        self.recorder = recorder
        return recorder

    def _live(self) -> Recorder:
        if self.recorder is None:
            raise CassetteError(f"cassette {self.path} is not being recorded yet")
        return self.recorder

    def _tell(self, tell: Callable[[Recorder], object]) -> None:
        if self.recorder is not None:
            tell(self.recorder)
        else:
            self._told.append(lambda recorder, _: tell(recorder))

    @property
    def divergence(self) -> Divergence | None:
        """What was asked before the point and was not recorded."""
        return self.player.divergence


class _Copies:
    """Entries of a recording as tickets of another, rebuilt in their order."""

    def __init__(self, player: Player, wanted: list[int]) -> None:
        self._player = player
        self._wanted = set(wanted)
        self._recorded: Iterator[tuple[int, str, str, Any]] = player._recorded()  # noqa: SLF001 - its own half
        self._there: dict[int, Ticket] = {}

    def at(self, place: int) -> Ticket:
        """The ticket of the entry there."""
        while place not in self._there:
            found, lane, method, what = next(self._recorded)
            if found in self._wanted:
                self._there[found] = self._ticket(found, lane, method, what)
        return self._there[place]

    def _ticket(self, place: int, lane: str, method: str, what: Any) -> Ticket:
        request, stored = self._player._tape.data[place]  # noqa: SLF001 - its own half
        return Ticket(
            lane=lane,
            method=method,
            key=header(request, "key") or "",
            ordinal=int(header(request, "ordinal") or 0),
            body=what,
            caller=header(request, "step"),
            within=header(request, "within"),
            started_ms=stored.get("started_ms"),
        )


def _copied(stored: Mapping[str, Any]) -> dict[str, JSON]:
    """A response as it was recorded; vcrpy made bytes of its text."""
    body = stored["body"]
    if isinstance(body.get("string"), bytes):
        return {**stored, "body": {**body, "string": body["string"].decode()}}
    return dict(stored)
