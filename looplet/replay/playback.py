"""Replaying: the recorded answer to a request, or what differs. Knows the tape; asks no model."""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from looplet.core.codec import JSON
from looplet.core.messages import Method, ModelRequest
from looplet.core.records import Step, ToolCall
from looplet.core.runtime import Runtime
from looplet.replay import _vcr
from looplet.replay.clock import PlayedClock, PlayedNotes
from looplet.replay.deltas import common_prefix
from looplet.replay.divergence import Divergence, diverged, diverged_tool
from looplet.replay.entries import (
    DISPATCH,
    MODEL_METHODS,
    STEP,
    Entry,
    RunLog,
    address,
    header,
    name_of,
)
from looplet.replay.outcomes import Answer, answer_of
from looplet.replay.overlooking import LooseKeys
from looplet.replay.persister import Persister, Serializer, damaged
from looplet.replay.requests import Asked, LaneKeys, Unpacker
from looplet.replay.runs import Chain
from looplet.replay.serializer import restored
from looplet.replay.tooling import ToolAnswer, tool_answer, tool_body, tool_key, tool_lane


@dataclass(slots=True, kw_only=True)
class _Alike:
    """The recorded calls of one lane that ask the same."""

    entries: list[Entry] = field(default_factory=list)
    left: deque[Entry] = field(default_factory=deque)
    by_caller: dict[str | None, deque[Entry]] = field(default_factory=dict)

    def close(self) -> None:
        """No more come: put them in the order in which they began."""
        self.entries.sort(key=lambda entry: entry.ordinal)
        self.left.extend(self.entries)
        for entry in self.entries:
            self.by_caller.setdefault(entry.caller, deque()).append(entry)

    def take(self, caller: str | None) -> Entry | None:
        """The next one of that caller, else of any."""
        for waiting in (self.by_caller.get(caller), self.left):
            while waiting:
                entry = waiting.popleft()
                if not entry.played:
                    entry.played = True
                    return entry
        return None


class Player:
    """Hands out recorded answers by lane, key, caller and ordinal. Threads may share it."""

    live = False
    """Whether what is asked goes to the model and the tools themselves."""
    replaying = True
    """Whether answers come from a recording now."""

    def __init__(self, path: Path, data: bytes | None = None, *, redactor: Any = None) -> None:
        self.path = path
        self.persister = Persister(data)
        self.redactor = redactor
        self._redact = None if redactor is None else redactor.value
        self._tape, metadata = _vcr.load_tape(
            str(path), serializer=Serializer(), persister=self.persister
        )
        self.head: Mapping[str, JSON] = metadata
        """What stands before the interactions, as it is stored."""
        self.metadata: Mapping[str, JSON] = restored(metadata.get("about", {}))
        self.lanes: Mapping[str, JSON] = _whole(restored(metadata.get("lanes", {})))
        self.interrupted = bool(metadata.get("interrupted"))
        self.parent: Mapping[str, JSON] | None = metadata.get("parent")
        self.seed: int | None = metadata.get("seed")
        self.tools: str = metadata.get("tools", "live")
        """Whether results of tools were ``recorded`` too."""
        self._lock = threading.Lock()
        self._keys: dict[tuple[str, str | None], LaneKeys] = {}
        self._models: dict[str, list[str | None]] = {}
        """The models that were asked in each lane; the one that was asked last stands first."""
        self._calls: Counter[str] = Counter()
        self._alike: dict[tuple[str, str], _Alike] = {}
        self._within: dict[str, list[Entry]] = {}
        self._numbers: dict[str, str] = {}
        """The step of each call that is about to be run."""
        self.runs: list[RunLog] = [_run_log(run) for run in restored(metadata.get("runs", []))]
        """The recorded runs."""
        self.replayed: list[Chain] = []
        self.notes = PlayedNotes()
        self._count = self._read()
        self.notes.add(metadata.get("runtime") or {})
        recorded = metadata.get("recorded")
        self.clock = PlayedClock(datetime.fromisoformat(recorded).timestamp() if recorded else 0.0)
        self._loose: dict[tuple[str, str], _Alike] = {}
        """The recorded calls by what they ask but for tool results, where that is overlooked."""
        self._loose_keys: dict[tuple[str, str | None], LooseKeys] = {}
        self.overlooked = 0
        """How many questions were answered that differ from the recorded ones in that."""
        self.divergence: Divergence | None = None
        """The first divergence; every later call raises it again."""
        self.went_on = False
        """Whether the run went on after it: somebody caught it and asked again, or made a step."""
        self.diverged_in: int | None = None
        """The thread of the divergence."""

    def __len__(self) -> int:
        """How many calls are recorded."""
        return self._count

    @property
    def played(self) -> int:
        """How many recorded calls were asked for, or belong to a tool's call that was."""
        return len(self._tape.play_counts)

    def play(
        self,
        lane: str,
        request: ModelRequest,
        *,
        model: str | None,
        caller: str | None = None,
        any_model: bool = False,
    ) -> Answer:
        """Give the recorded answer, made anew. Raises ``Divergence``.

        ``any_model``: of whichever model was recorded. So it is in a fork too, where another model
        may have gone on.
        """
        with self._lock:
            any_model = any_model or self.parent is not None
            entry, asked = self._find(lane, request, model, caller, any_model=any_model)
            if entry is None:
                raise self._diverge(lane, asked, caller)
            return answer_of(self._played(entry))

    def play_tool(self, call: ToolCall, *, lane: str = "main") -> ToolAnswer:
        """Give the recorded result, made anew. Raises ``Divergence``."""
        with self._lock:
            caller = self._numbers.pop(call.call_id, None)
            entry, lane, body = self._find_tool(call, lane, caller)
            if entry is None:
                raise self._diverge_tool(lane, body, caller)
            stored = self._played(entry)
        return tool_answer(call, stored)

    def overlook_results(self) -> None:
        """From now on a question may differ from a recorded one in what tools gave."""
        entries = {each.place: each for alike in self._alike.values() for each in alike.entries}
        keys: dict[str, LooseKeys] = {}
        for place, lane, _, what in self._recorded():
            if isinstance(what, Asked):
                key = keys.setdefault(lane, LooseKeys()).of(what)
                self._loose.setdefault((lane, key), _Alike()).entries.append(entries[place])
        for alike in self._loose.values():
            alike.close()

    def shape(self, lane: str) -> None:
        """The shape of another backend that stands for the one that was given: there is none."""

    def begin_run(self, task: JSON) -> int:
        """A loop begins; the number by which its steps are told."""
        with self._lock:
            self.replayed.append(Chain(task, self._redact))
            return len(self.replayed) - 1

    def at_step(self, number: int) -> None:
        """The model is about to be asked for that step."""

    def at_call(self, call: ToolCall, number: int) -> None:
        """The step's tool is about to run."""
        with self._lock:
            self._numbers[call.call_id] = str(number)

    def end_step(self, run: int, step: Step) -> None:
        """Continue the run's digest chain."""
        with self._lock:
            self.replayed[run].add(step)
            self.went_on = self.went_on or self.divergence is not None

    def end_run(self, run: int, stop_reason: str | None) -> None:
        """A loop is over."""
        with self._lock:
            self.replayed[run].end(stop_reason)
            if self.divergence is not None and stop_reason not in _BROKEN_OFF:
                self.went_on = True

    def runtime(self, _inner: Runtime) -> Runtime:
        """A runtime that gives what was read in the recording."""
        return self.notes.replaying()

    def unplayed(self) -> Iterator[tuple[int, str, str]]:
        """Place (from 1), lane and method of each recorded call that nobody asked for."""
        for place, (request, _) in enumerate(self._tape.data):
            lane, method = address(request.uri)
            if method != STEP and place not in self._tape.play_counts:
                yield place + 1, lane, method

    def recorded(self) -> Iterator[tuple[Any, Mapping[str, Any], str, Any]]:
        """Each stored request and response, the method, and what was asked, whole; in order."""
        for place, _, method, what in self._recorded():
            request, stored = self._tape.data[place]
            yield request, stored, method, what

    def _find(
        self,
        lane: str,
        request: ModelRequest,
        model: str | None,
        caller: str | None,
        *,
        any_model: bool,
    ) -> tuple[Entry | None, Asked]:
        self._check()
        self._calls[lane] += 1
        models = (any_model and self._models.get(lane)) or [model]
        asked = []
        for each in models:
            keys = self._keys.get((lane, each))
            if keys is None:
                keys = self._keys[lane, each] = LaneKeys(self._redact)
            asked.append(keys.of_request(request, model=each))
            alike = self._alike.get((lane, asked[-1].key))
            entry = alike.take(caller) if alike else None
            if entry is not None:
                if each is not models[0]:
                    models.remove(each)
                    models.insert(0, each)
                return entry, asked[-1]
        return self._find_loosely(lane, asked, caller), asked[0]

    def _find_loosely(self, lane: str, asked: Sequence[Asked], caller: str | None) -> Entry | None:
        """The recorded call that asks the same but for tool results, where that is overlooked."""
        for each in asked if self._loose else ():
            keys = self._loose_keys.setdefault((lane, each.model), LooseKeys())
            alike = self._loose.get((lane, keys.of(each)))
            entry = alike.take(caller) if alike else None
            if entry is not None:
                self.overlooked += 1
                return entry
        return None

    def _find_tool(
        self, call: ToolCall, lane: str, caller: str | None
    ) -> tuple[Entry | None, str, dict[str, JSON]]:
        """The recorded call, its lane and what is asked."""
        self._check()
        body = tool_body(call, self._redact)
        lane = tool_lane(body, lane)
        self._calls[lane] += 1
        alike = self._alike.get((lane, tool_key(body, lane)))
        return alike.take(caller) if alike else None, lane, body

    def _check(self) -> None:
        if self.divergence is not None:
            self.went_on = True
            raise self.divergence

    def _played(self, entry: Entry) -> Mapping[str, Any]:
        stored: Mapping[str, Any] = self._tape.data[entry.place][1]
        self._tape.play_counts[entry.place] += 1
        for inner in self.inside(entry):
            inner.played = True
            self._tape.play_counts[inner.place] += 1
        if self._redact is not None and self.persister.redacted:
            # What is handed out has placeholders, whose numbers no other secret may get.
            self._redact(json.dumps(stored["body"], default=_text))
        started = stored.get("started_ms")
        if started is not None:
            self.clock.move_to(started + (stored.get("duration_ms") or 0.0))
        return stored

    def inside(self, entry: Entry) -> Iterator[Entry]:
        """The calls that were made in the course of a tool's call, and of those, and so on."""
        request, _ = self._tape.data[entry.place]
        if address(request.uri)[1] == DISPATCH:
            name = name_of(header(request, "key") or "", entry.ordinal)
            for inner in self._within.get(name, ()):
                yield from self.inside(inner)
                yield inner

    def _read(self) -> int:
        """Index the tape, whose requests are rebuilt and verified; how many calls it has."""
        count = 0
        steps: dict[int, list[str]] = {}
        for place, lane, method, what in self._recorded():
            request, stored = self._tape.data[place]
            if method == STEP:
                steps.setdefault(request.body.get("run", 0), []).append(what)
                continue
            count += 1
            entry = Entry(
                place=place,
                ordinal=int(header(request, "ordinal") or 0),
                caller=header(request, "step"),
            )
            key = what.key if isinstance(what, Asked) else tool_key(what, lane)
            self._alike.setdefault((lane, key), _Alike()).entries.append(entry)
            if isinstance(what, Asked):
                models = self._models.setdefault(lane, [])
                if what.model not in models:
                    models.append(what.model)
            stream = within = header(request, "within")
            if within:
                self._within.setdefault(within, []).append(entry)
            if method == DISPATCH:
                stream = name_of(key, entry.ordinal)
            self.notes.add(stored.get("runtime") or {}, stream)
        for alike in self._alike.values():
            alike.close()
        for run, digests in steps.items():
            while len(self.runs) <= run:
                self.runs.append(RunLog())
            self.runs[run].digests = digests
        return count

    def _recorded(self) -> Iterator[tuple[int, str, str, Any]]:
        """Each recorded request in full, one after the other: all at once would be large."""
        unpacker = Unpacker()
        for place, (request, _) in enumerate(self._tape.data):
            try:
                lane, method = address(request.uri)
                key = header(request, "key")
                int(header(request, "ordinal") or 0)
                what: Any
                if method in MODEL_METHODS:
                    what = unpacker.unpack(lane, cast("Method", method), request.body)
                    found = what.key
                elif method == DISPATCH:
                    what = restored(request.body)
                    found = tool_key(what, lane)
                else:
                    what = found = key
            except (ValueError, KeyError, TypeError) as error:
                raise self._bad(place, str(error)) from error
            if found != key:
                raise self._bad(place, "its request is not the one that was recorded")
            yield place, lane, method, what

    def _bad(self, place: int, what: str) -> Exception:
        return damaged(
            self.path,
            f"interaction {place + 1}: {what}. Replies may be edited, requests may not: the agent "
            "asks them itself. Record again if the agent has changed",
        )

    def _diverge(self, lane: str, asked: Asked, caller: str | None) -> Divergence:
        alike = self._alike.get((lane, asked.key))
        nearest, note = self._compared(lane, asked, len(alike.entries) if alike else 0)
        error = diverged(
            asked,
            nearest,
            cassette=str(self.path),
            lane=lane,
            call=self._calls[lane],
            caller=caller,
            note=note,
        )
        return self._noted(error)

    def _compared(self, lane: str, asked: Any, times: int) -> tuple[Any, str]:
        """What to compare with, or what to say where there is nothing."""
        if times:
            return None, f"this request was recorded {times} times and is asked once more"
        nearest = self._nearest(lane, asked)
        if nearest is None:
            lanes = ", ".join(sorted({lane for lane, _ in self._alike})) or "none"
            return None, f"nothing was recorded in this lane (recorded lanes: {lanes})"
        return nearest, ""

    def _diverge_tool(self, lane: str, body: dict[str, JSON], caller: str | None) -> Divergence:
        alike = self._alike.get((lane, tool_key(body, lane)))
        nearest, note = self._compared(lane, body, len(alike.entries) if alike else 0)
        error = diverged_tool(
            body,
            nearest,
            cassette=str(self.path),
            lane=lane,
            call=self._calls[lane],
            caller=caller,
            note=note,
        )
        return self._noted(error)

    def _noted(self, error: Divergence) -> Divergence:
        if self.interrupted:
            error.add_note("this cassette's recording was interrupted, so it may end too early")
        self.divergence, self.diverged_in = error, threading.get_ident()
        return error

    def _nearest(self, lane: str, asked: Any) -> Any:
        """The lane's next request if one is left, else the one with the longest common start."""
        best, score = None, -1
        for place, other, method, recorded in self._recorded():
            if other != lane or method == STEP or type(recorded) is not type(asked):
                continue
            if place not in self._tape.play_counts:
                return recorded
            shared = 0
            if isinstance(asked, Asked):
                shared = common_prefix(recorded.digests, asked.digests)
            if shared > score:
                best, score = recorded, shared
        return best


_BROKEN_OFF = ("error", "interrupted")
"""Stop reasons of runs that an exception ended."""


def _text(value: object) -> str:
    """Of the bytes that vcrpy makes of a text, the text."""
    return value.decode() if isinstance(value, bytes) else repr(value)


def _whole(lanes: Mapping[str, JSON]) -> dict[str, JSON]:
    """The shape of each lane's backend, also where it is said to be that of another."""
    return {
        name: lanes.get(shape["like"], shape) if "like" in shape else shape
        for name, shape in lanes.items()
    }


def _run_log(described: Mapping[str, JSON]) -> RunLog:
    return RunLog(
        task=described.get("task"),
        stop_reason=described.get("stop_reason"),
        digest=described.get("digest"),
    )


def verify(path: Path, data: bytes) -> int:
    """Rebuild every request of what is to be the cassette ``path``; how many calls there are.

    Raises ``CassetteMissing``, ``CassetteDamaged`` or ``CassetteError``.
    """
    return len(Player(path, data))
