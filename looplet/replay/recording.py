"""Recording: calls go into the journal one by one and into the cassette at the end.

Knows the vcrpy tape and the journal; knows nothing of backends and loops.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from looplet.core.codec import JSON, canonical, digest
from looplet.core.messages import ModelRequest
from looplet.core.records import Step, ToolCall, ToolResult
from looplet.core.runtime import Runtime
from looplet.errors import CassetteError
from looplet.replay import _vcr
from looplet.replay.clock import Notes
from looplet.replay.entries import DISPATCH, SHORT, STEP, RunLog, Ticket, response, uri_of
from looplet.replay.journal import Journal, Journaled, journal_path
from looplet.replay.outcomes import stored_failure
from looplet.replay.persister import FORMAT, Persister, Serializer
from looplet.replay.requests import LaneKeys, Packer
from looplet.replay.runs import Chain
from looplet.replay.serializer import storable
from looplet.replay.tooling import Progress, stored_result, tool_body, tool_key, tool_lane
from looplet.replay.within import within


class Recorder:
    """Keeps calls and steps. Threads may share it; each call is on disk when ``keep`` returns."""

    live = True
    """Whether what is asked goes to the model and the tools themselves."""
    replaying = False
    """Whether answers come from a recording now."""

    def __init__(
        self,
        path: Path,
        *,
        mode: str,
        about: Mapping[str, JSON],
        redactor: Any = None,
        parent: Mapping[str, JSON] | None = None,
        keeps_old: bool = False,
        tools: str = "live",
        notes: Notes | None = None,
        played_ms: float = 0.0,
    ) -> None:
        self.path = path
        self._place = path.absolute()  # the working directory may change before the end
        self.persister = Persister()
        self._mode, self._parent = mode, parent
        self.redactor = redactor
        self._redact = redact = None if redactor is None else redactor.value
        self._keeps_old, self.tools = keeps_old, tools
        self._about: dict[str, JSON] = dict(about) if redact is None else redact(dict(about))
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._tape = _tape(self._place, mode, self.persister)
        self._began, self.started = time.perf_counter() - played_ms / 1000, time.time()
        self.started -= played_ms / 1000
        self._journal = Journal(
            journal_path(self._place),
            metadata=storable(self._about),
            about=_head(tools, parent, self.started),
        )
        self._closed = False
        self._pending: dict[int, tuple[Ticket, Callable[[], Exception | None]]] = {}
        """Calls under way, and what tells whether somebody still waits for them."""
        self._keys: dict[str, LaneKeys] = {}
        self._begun: Counter[tuple[str, str]] = Counter()
        self._packer = Packer()
        self._lanes: dict[str, JSON] = {}
        self._runs: list[Chain] = []
        self._lines: list[int] = []
        """The journal's line of each interaction."""
        self._steps = 0
        self._results: dict[str, tuple[Ticket, str]] = {}
        """Of each call whose step has not come yet: where its result is stored, and its digest."""
        self._numbers: dict[str, str] = {}
        """The step of each call that is about to be run."""
        self.notes = Notes() if notes is None else notes
        self.seed: int | None = None
        """Seed of the cassette's random numbers, if anybody asked for them."""

    def __len__(self) -> int:
        """How many calls are recorded."""
        return len(self._tape) - self._steps

    @property
    def runs(self) -> list[RunLog]:
        """The runs that went through the cassette."""
        return [chain.log for chain in self._runs]

    def play(self, *_: Any, **__: Any) -> None:
        """Nothing is answered from a tape that is being recorded."""

    def play_tool(self, call: ToolCall, *, lane: str = "main") -> None:
        """Nor is a tool's call."""

    def shape(self, lane: str) -> None:
        """The shape of another backend that stands for the one that is asked: there is none."""

    def seed_with(self, seed: int) -> None:
        """Remember from what the cassette's random numbers are drawn."""
        with self._lock:
            self._open()
            self.seed = seed
            self._journal.append({"seed": seed})

    def begin(
        self, lane: str, request: ModelRequest, *, model: str | None, caller: str | None = None
    ) -> Ticket:
        """Note what is asked, before the model is."""
        with self._lock:
            self._open()
            keys = self._keys.get(lane) or self._keys.setdefault(lane, LaneKeys(self._redact))
            asked = keys.of_request(request, model=model)
            return self._ticket(lane, asked.method, asked.key, asked, caller)

    def begin_tool(self, call: ToolCall, *, lane: str = "main") -> Ticket:
        """Note what is asked, before the tool runs."""
        with self._lock:
            self._open()
            caller = self._numbers.pop(call.call_id, None)
            body = tool_body(call, self._redact)
            lane = tool_lane(body, lane)
            return self._ticket(lane, DISPATCH, tool_key(body, lane), body, caller)

    def adopt(self, ticket: Ticket, stored: Mapping[str, JSON]) -> None:
        """Take over what another recording has, under the same address."""
        with self._lock:
            begun = self._begun
            address = ticket.lane, ticket.key
            begun[address] = max(begun[address], ticket.ordinal + 1)
            self._write(ticket, stored)

    def watch(self, ticket: Ticket, given_up: Callable[[], Exception | None]) -> None:
        """A call is under way; ``given_up`` tells what its caller went on with, if nobody waits."""
        with self._lock:
            self._pending[id(ticket)] = ticket, given_up

    def keep(self, ticket: Ticket, stored: Mapping[str, JSON]) -> int:
        """Store what a call came to, on the disk."""
        line = self.write(ticket, stored)
        self.flush(line)
        return line

    def keep_tool(self, ticket: Ticket, result: ToolResult, progress: Progress) -> None:
        """Store what a tool gave, and what it told meanwhile."""
        self.keep(ticket, stored_result(result, self._redact, progress))
        self.remember(ticket, result)

    async def akeep_tool(self, ticket: Ticket, result: ToolResult, progress: Progress) -> None:
        """Do so without holding up an event loop while the disk writes."""
        line = self.write(ticket, stored_result(result, self._redact, progress))
        self.remember(ticket, result)
        await self.aflush(line)

    def keep_interrupt(self, ticket: Ticket, stored: Mapping[str, JSON]) -> None:
        """Store what ended a call from outside."""
        passed = (time.perf_counter() - self._began) * 1000 - (ticket.started_ms or 0.0)
        self.keep(ticket, {**stored, "duration_ms": round(passed, 3)})

    def write(self, ticket: Ticket, stored: Mapping[str, JSON]) -> int:
        """Store it, to be flushed to the disk with what is returned."""
        with self._lock:
            self._open()
            # Of a tool's call it is what the tool read itself; what the run read comes with the
            # next call of the run.
            noted = self.notes.take(ticket.name if ticket.method == DISPATCH else ticket.within)
            stored = {**stored, "runtime": noted} if noted else stored
            return self._write(ticket, stored)

    def _write(self, ticket: Ticket, stored: Mapping[str, JSON]) -> int:
        self._pending.pop(id(ticket), None)
        body: JSON = ticket.body
        if ticket.method == DISPATCH:
            body = storable(body)
        elif ticket.method != STEP:
            body = self._packer.pack(ticket.lane, body)
        if ticket.started_ms is not None:
            stored = {**stored, "started_ms": round(ticket.started_ms, 3)}
        return self._add(ticket, body, stored)

    def knows(self, lane: str) -> bool:
        """Whether the shape of that lane's backend was described."""
        return lane in self._lanes

    def describe(self, lane: str, shape: JSON) -> None:
        """Store the shape of a lane's backend, once."""
        with self._lock:
            if lane in self._lanes:
                return
            like = next((name for name, own in self._lanes.items() if own == shape), None)
            self._lanes[lane] = shape if like is None else {"like": like}
            self._journal.append({"lane": lane, "shape": self._lanes[lane]})

    def flush(self, line: int) -> None:
        """Wait until that line of the journal is on the disk."""
        self._journal.flush(line)

    async def aflush(self, line: int) -> None:
        """Do so without holding up an event loop."""
        await self._journal.aflush(line)

    def begin_run(self, task: JSON) -> int:
        """A loop begins; the number by which its steps are told."""
        with self._lock:
            self._open()
            chain = Chain(task, self._redact)
            self._runs.append(chain)
            self._journal.append({"task": storable(chain.log.task)})
            return len(self._runs) - 1

    def at_step(self, number: int) -> None:
        """The model is about to be asked for that step."""

    def at_call(self, call: ToolCall, number: int) -> None:
        """The step's tool is about to run."""
        with self._lock:
            self._numbers[call.call_id] = str(number)

    def end_step(self, run: int, step: Step) -> None:
        """Store a step; its result is named where the tool's own call has it."""
        with self._lock:
            self._open()
            kept = self._runs[run].add(step)
            link = self._runs[run].log.digests[-1]
            shown: dict[str, JSON] = {"step": step.number, "tool": kept.tool_call.tool}
            if run:
                shown["run"] = run
            args, reasoning = kept.tool_call.args, kept.tool_call.reasoning
            shown["args"] = storable(args)
            if reasoning:
                shown["reasoning"] = storable(reasoning)
            known = self._results.pop(step.tool_result.call_id or "", None)
            if known is not None and known[1] == _digest_of(step.tool_result):
                name: dict[str, JSON] = {"key": known[0].key[:SHORT]}
                if known[0].ordinal:
                    name["ordinal"] = known[0].ordinal
                stored = response({"of": name})
            else:
                stored = stored_result(step.tool_result, self._redact)
                stored["summary"] = storable(kept.tool_result.args_summary)
            ticket = Ticket(lane="main", method=STEP, key=link, ordinal=0, body=None)
            self._steps += 1
            self._add(ticket, shown, stored)

    def end_run(self, run: int, stop_reason: str | None) -> None:
        """A loop is over."""
        with self._lock:
            self._open()
            log = self._runs[run].end(stop_reason)
            ended = {"ended": run, "stop_reason": log.stop_reason, "digest": log.digest}
            self._journal.append(ended)

    def runtime(self, inner: Runtime) -> Runtime:
        """``inner``, with what it gives noted."""
        return self.notes.recording(inner)

    def close(self, error: BaseException | None) -> None:
        """Write the cassette; a re-recording that failed leaves the old one as it was."""
        with self._lock:
            if self._closed or os.getpid() != self._process:
                return
            try:
                self._keep_given_up()
            finally:
                self._closed = True
            try:
                self._finish(error)
            finally:
                self._journal.close()

    def _ticket(self, lane: str, method: str, key: str, body: Any, caller: str | None) -> Ticket:
        ordinal = self._begun[lane, key]
        self._begun[lane, key] += 1
        return Ticket(
            lane=lane,
            method=method,
            key=key,
            ordinal=ordinal,
            body=body,
            caller=caller,
            within=within(),
            started_ms=(time.perf_counter() - self._began) * 1000,
        )

    def _add(self, ticket: Ticket, body: JSON, stored: Mapping[str, JSON]) -> int:
        call = {
            "uri": uri_of(ticket.lane, ticket.method),
            "headers": ticket.headers(),
            "body": body,
            "response": dict(stored),
        }
        line = self._journal.append(call)
        _add(self._tape, call)
        self._lines.append(line)
        return line

    def _leave_out_unwritten(self) -> None:
        """Forget calls that the disk did not take: whoever made them was told so."""
        if self._journal.broken:
            kept = bisect_right(self._lines, self._journal.on_disk)
            del self._tape.data[kept:]

    def remember(self, ticket: Ticket, result: ToolResult) -> None:
        """A step that has this result need not repeat it."""
        if result.call_id is not None:
            self._results[result.call_id] = (ticket, _digest_of(result))

    def _keep_given_up(self) -> None:
        """Store what became of calls that nobody waits for, and that are still under way."""
        if self._journal.broken:
            return
        for ticket, given_up in [*self._pending.values()]:
            failure = given_up()
            if failure is not None:
                passed = (time.perf_counter() - self._began) * 1000 - (ticket.started_ms or 0.0)
                stored = stored_failure(failure, duration_ms=passed, redact=self._redact)
                self._write(ticket, stored)

    def _finish(self, error: BaseException | None) -> None:
        self._leave_out_unwritten()
        if len(self._tape) and error is not None and self._keeps_old and self._place.exists():
            error.add_note(
                f"cassette {self.path} was left as it was; the {len(self)} calls of this "
                f"recording are in {journal_path(self.path)}"
            )
            return
        if len(self._tape):
            rest = self.notes.take()
            metadata = header(
                self._lanes,
                self._about,
                interrupted=error is not None,
                tools=self.tools,
                runs=[chain.log.to_dict() for chain in self._runs],
                recorded=self.started,
                parent=self._parent,
                seed=self.seed,
                rest=rest,
            )
            _vcr.save_tape(self._tape, metadata)
        self._journal.remove()

    def _open(self) -> None:
        if self._closed:
            raise CassetteError(
                f"cassette {self.path} is closed; make model calls inside its with block"
            )
        if os.getpid() != self._process:
            raise CassetteError(
                f"cassette {self.path} is recorded by the process that opened it, and this is a "
                "child of it. Give the child a cassette of its own."
            )


def header(
    lanes: Mapping[str, JSON],
    about: Mapping[str, JSON],
    *,
    interrupted: bool,
    tools: str = "live",
    runs: Sequence[Mapping[str, JSON]] = (),
    recorded: float | None = None,
    parent: Mapping[str, JSON] | None = None,
    seed: int | None = None,
    rest: Mapping[str, JSON] | None = None,
) -> dict[str, JSON]:
    """What stands before the interactions."""
    out: dict[str, JSON] = {"looplet_format": FORMAT}
    if interrupted:
        out["interrupted"] = True
    out |= _head(tools, parent, recorded)
    out |= {"lanes": storable(dict(lanes)), "about": storable(dict(about))}
    if runs:
        out["runs"] = storable([dict(run) for run in runs])
    if seed is not None:
        out["seed"] = seed
    if rest:
        out["runtime"] = dict(rest)
    return out


def _head(tools: str, parent: Mapping[str, JSON] | None, recorded: float | None) -> dict[str, JSON]:
    out: dict[str, JSON] = {}
    if recorded is not None:
        out["recorded"] = datetime.fromtimestamp(recorded, UTC).isoformat()
    if tools != "live":
        out["tools"] = tools
    if parent:
        out["parent"] = dict(parent)
    return out


def write_recovered(journal: Journaled, path: Path) -> None:
    """Write the calls of a journal as a cassette, marked as interrupted."""
    tape = _tape(path, "once", Persister())
    for call in journal.calls:
        _add(tape, call)
    unknown: dict[str, JSON] = {"steps": None, "stop_reason": None, "digest": None}
    runs = [unknown | dict(run) for run in journal.runs]
    out = header(journal.lanes, {}, interrupted=True) | dict(journal.about)
    out |= {"about": dict(journal.metadata)} | ({"runs": runs} if runs else {})
    _vcr.save_tape(tape, out)


def _digest_of(result: ToolResult) -> str:
    """What tells whether a step's result is still the one that its tool gave."""
    kind = result.error_kind
    told = [result.data, result.error, kind.value if kind else None, result.warnings]
    return digest(canonical([*told, result.metadata]))


def _tape(path: Path, mode: str, persister: Persister) -> Any:
    return _vcr.new_tape(str(path), mode=mode, serializer=Serializer(), persister=persister)


def _add(tape: Any, call: Mapping[str, JSON]) -> None:
    request = _vcr.make_request(uri=call["uri"], headers=call["headers"], body=call["body"])
    _vcr.add(tape, request, call["response"])
