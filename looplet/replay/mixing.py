"""Replaying first and recording from some point on: new episodes, and forks.

Knows both halves of a cassette; knows nothing of backends and loops.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from looplet.core.codec import JSON
from looplet.core.messages import ModelRequest
from looplet.core.records import Step, ToolCall, ToolResult
from looplet.core.runtime import Runtime
from looplet.errors import CassetteError
from looplet.replay.divergence import Divergence
from looplet.replay.entries import RunLog, Ticket
from looplet.replay.outcomes import Answer, answer_of
from looplet.replay.playback import Player
from looplet.replay.recording import Recorder
from looplet.replay.tooling import result_of


class Mixed:
    """Answers from a recording up to a point, and from there asks and records.

    Once it is live it stays live, whatever is asked: an old answer never stands behind a step that
    changed. What was played is copied into the new recording, in order, when that begins.
    ``at`` is the step from which on a fork is live; ``None`` waits for the first request that was
    not recorded. ``record`` begins the recording.
    """

    live = True

    def __init__(
        self, player: Player, record: Callable[[], Recorder], *, at: int | None = None
    ) -> None:
        self.player, self._record, self.at = player, record, at
        self.recorder: Recorder | None = None
        """The recording, from when it is live."""
        self._lock = threading.RLock()
        self._told: list[Callable[[Recorder], object]] = []
        """What the recording is told of the time before it began."""
        self._calls: dict[str, int] = {}
        """The step of each call that is about to be run."""
        self._outer: Runtime = Runtime()

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
    def started(self) -> float:
        """When the recording began; Unix time."""
        return self.recorder.started if self.recorder is not None else 0.0

    def __len__(self) -> int:
        """How many calls are recorded."""
        return len(self.player if self.recorder is None else self.recorder)

    def play(
        self, lane: str, request: ModelRequest, *, model: str | None, caller: str | None = None
    ) -> Answer | None:
        """The recorded answer; ``None``, from the point on: the model is to be asked."""
        with self._lock:
            if self.recorder is not None:
                return None
            player = self.player
            entry, asked = player._find(lane, request, model=model, caller=caller)  # noqa: SLF001 - its own half
            if entry is None:
                if self.at is not None:
                    raise player._diverge(lane, asked, caller)  # noqa: SLF001 - its own half
                self._go_live()
                return None
            stored = player._played(entry)  # noqa: SLF001 - its own half

            def tell(recorder: Recorder) -> None:
                ticket = recorder.begin(lane, request, model=model, caller=caller)
                recorder.write(ticket, _copied(stored), shape=player.lanes.get(lane))

            self._told.append(tell)
            return answer_of(stored)

    def play_tool(self, call: ToolCall) -> ToolResult | None:
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
            entry, body = player._find_tool(call, caller)  # noqa: SLF001 - its own half
            if entry is None:
                if self.at is not None:
                    raise player._diverge_tool(call, body, caller)  # noqa: SLF001 - its own half
                self._number(self._go_live(), call, step)
                return None
            stored = player._played(entry)  # noqa: SLF001 - its own half
            result = result_of(call, stored)

            def tell(recorder: Recorder) -> None:
                self._number(recorder, call, step)
                ticket = recorder.begin_tool(call)
                recorder.write(ticket, _copied(stored))
                recorder.remember(ticket, result)

            self._told.append(tell)
            return result_of(call, stored)

    @staticmethod
    def _number(recorder: Recorder, call: ToolCall, step: int | None) -> None:
        if step is not None:
            recorder.at_call(call, step)

    def begin(
        self, lane: str, request: ModelRequest, *, model: str | None, caller: str | None = None
    ) -> Ticket:
        """Note what is asked, before the model is."""
        return self._live().begin(lane, request, model=model, caller=caller)

    def begin_tool(self, call: ToolCall) -> Ticket:
        """Note what is asked, before the tool runs."""
        return self._live().begin_tool(call)

    def keep(self, ticket: Ticket, stored: Mapping[str, JSON], *, shape: JSON = None) -> int:
        """Store what a call came to."""
        return self._live().keep(ticket, stored, shape=shape)

    def keep_tool(self, ticket: Ticket, result: ToolResult) -> None:
        """Store what a tool gave."""
        self._live().keep_tool(ticket, result)

    async def akeep_tool(self, ticket: Ticket, result: ToolResult) -> None:
        """Store what a tool gave, inside an event loop."""
        await self._live().akeep_tool(ticket, result)

    def write(self, ticket: Ticket, stored: Mapping[str, JSON], *, shape: JSON = None) -> int:
        """Store it, to be flushed to the disk."""
        return self._live().write(ticket, stored, shape=shape)

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
            self._tell(lambda recorder: recorder.end_step(run, step))

    def end_run(self, run: int, stop_reason: str | None) -> None:
        """A loop is over."""
        with self._lock:
            self.player.end_run(run, stop_reason)
            self._tell(lambda recorder: recorder.end_run(run, stop_reason))

    def runtime(self, inner: Runtime) -> Runtime:
        """A runtime that gives what was read in the recording, later what ``inner`` gives."""
        self._outer = inner
        return self.player.notes.replaying()

    def close(self, error: BaseException | None) -> None:
        """Write the new recording, if it was begun."""
        if self.recorder is not None:
            self.recorder.close(error)

    def _go_live(self) -> Recorder:
        if self.recorder is not None:
            return self.recorder
        recorder = self._record()
        recorder.seed = self.player.seed
        for tell in self._told:
            tell(recorder)
        self._told = []
        self.player.notes.live = recorder.runtime(self._outer)
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
            self._told.append(tell)

    @property
    def divergence(self) -> Divergence | None:
        """What was asked before the point and was not recorded."""
        return self.player.divergence


def _copied(stored: Mapping[str, Any]) -> dict[str, JSON]:
    """A response as it was recorded; vcrpy made bytes of its text."""
    body = stored["body"]
    if isinstance(body.get("string"), bytes):
        return {**stored, "body": {**body, "string": body["string"].decode()}}
    return dict(stored)
