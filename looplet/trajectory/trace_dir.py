"""A run as a directory of files that people read, written as it goes on. Knows files and records.

A file is written beside its place and renamed into it, or grows by whole lines, so that a process
that is killed leaves every call and every step that it finished. One directory holds one run.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from looplet.errors import TraceError, TraceTaken, TraceUnwritable
from looplet.trajectory.call_texts import exact_texts, prompt_text, response_text
from looplet.trajectory.model import DONE_TOOL, LLMCall, StepRecord, Trajectory
from looplet.trajectory.trace_format import (
    SCHEMA_VERSION,
    Record,
    call_to_record,
    decode,
    encode,
    head_to_record,
    run_to_record,
    step_to_record,
)
from looplet.trajectory.trace_messages import MessageNames

RUN, HEAD = "trajectory.json", "run.json"
"""The whole run · what is known of it from its beginning."""
MANIFEST, MESSAGES, STEPS = "manifest.jsonl", "messages.jsonl", "steps"
CALL_FILE = re.compile(r"call_(\d{2,})_(prompt|response)\.txt")
STEP_FILE = re.compile(r"step_(\d{2,})\.json")
_BESIDE = re.compile(r"\.(.+)\.tmp")


class _Written(NamedTuple):
    """What is on disk of a call."""

    extra: Record
    """What its line has beside its record."""
    line: bytes
    step_num: int | None


class TraceDir:
    """Writes one run into a directory. Threads may share it.

    What is there of another run is removed when the first of this one is written; files that are
    none of a trace stay. Raises ``TraceTaken`` when another run has begun there meanwhile, and
    ``TraceUnwritable``, which is an ``OSError``, for what the disk refuses.
    """

    def __init__(self, path: str | os.PathLike[str], *, run_id: str) -> None:
        self.path = Path(path)
        self._root = self.path.absolute()
        """Where it is, also when the process goes to another directory."""
        self.begun = False
        self._run_id = run_id
        self._lock = threading.RLock()
        self._stamp: tuple[int, int] | None = None
        self._calls: dict[int, _Written] = {}
        self._steps: dict[int, int] = {}
        """Hashes of what is on disk of each."""
        self._names = MessageNames()

    def begin(self, trajectory: Trajectory | None = None, *, done_tool: str = DONE_TOOL) -> None:
        """Make the directory this run's, and write what is known of the run."""
        head: Record = {"schema_version": SCHEMA_VERSION, "run_id": self._run_id}
        if trajectory is not None:
            head = head_to_record(trajectory, done_tool=done_tool)
        with self._writing():
            if self.begun:
                self._check_own()
            else:
                self._root.mkdir(parents=True, exist_ok=True)
                if run_id_in(self._root) != self._run_id:
                    remove_trace(self._root)
                self.begun = True
            if trajectory is not None:  # without a step yet it is a trace, too
                (self._root / STEPS).mkdir(exist_ok=True)
            write_whole(self._root / HEAD, encode(head, indent=2))
            self._stamp = _stamp_of(self._root / HEAD)

    def write_call(self, call: LLMCall) -> None:
        """Write a call that has ended: its files, and then its line in the manifest."""
        with self._writing():
            self._ready()
            if call.index not in self._calls:  # complete() may have been quicker
                written = self._write_files(call)
                self._calls[call.index] = written
                append(self._root / MANIFEST, written.line)

    def write_step(self, step: StepRecord) -> None:
        """Write a step's file, if it is not there as it is by now."""
        with self._writing():
            self._ready()
            self._write_step(step.step_num, encode(step_to_record(step), indent=2))

    def write_calls(self, calls: Sequence[LLMCall]) -> None:
        """Write every call that is not there as it is by now, and the manifest in order."""
        with self._writing():
            self._ready()
            lines = {index: written.line for index, written in self._calls.items()}
            for call in calls:
                written = self._calls.get(call.index)
                if written is None or written.step_num != call.step_num:
                    written = self._write_files(call, written)
                line = _line(call, written.extra)
                self._calls[call.index] = written._replace(line=line, step_num=call.step_num)
            now = {index: self._calls[index].line for index in sorted(self._calls)}
            in_order = [*lines.items()] == [*now.items()]
            if not in_order or not (self._root / MANIFEST).exists():
                write_whole(self._root / MANIFEST, b"".join(now.values()))
                self._calls = {index: self._calls[index] for index in now}

    def complete(
        self, trajectory: Trajectory, *, calls: Sequence[LLMCall], done_tool: str = DONE_TOOL
    ) -> None:
        """Write the whole run as far as it went; may be called again."""
        with self._writing():
            if not self.begun:
                self.begin(trajectory, done_tool=done_tool)
            self.write_calls(calls)
            steps = [step_to_record(step) for step in trajectory.steps]
            for step, record in zip(trajectory.steps, steps, strict=True):
                self._write_step(step.step_num, encode(record, indent=2))
            record = run_to_record(
                trajectory,
                done_tool=done_tool,
                calls=[_record(call, self._calls[call.index].extra) for call in calls],
                steps=steps,
            )
            write_whole(self._root / RUN, encode(record, indent=2))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Let one thread write at a time; what the disk refuses is a ``TraceUnwritable``."""
        with self._lock:
            try:
                yield
            except TraceError:
                raise
            except OSError as error:
                raise TraceUnwritable(
                    f"the trace directory {self.path} cannot be written: {error}"
                ) from error

    def _ready(self) -> None:
        if self.begun:
            self._check_own()
        else:
            self.begin()

    def _check_own(self) -> None:
        """Raise ``TraceTaken`` if the directory is another run's by now, or gone."""
        head = self._root / HEAD
        if _stamp_of(head) == self._stamp:
            return
        if run_id_in(self._root) != self._run_id:
            raise TraceTaken(
                f"run {self._run_id} is being written to {self.path}, and another run has begun "
                "there, or its files were removed; give each run a directory of its own"
            )
        self._stamp = _stamp_of(head)

    def _write_step(self, number: int, content: bytes) -> None:
        mark = hash(content)
        if self._steps.get(number) != mark:
            write_whole(self._root / STEPS / f"step_{number:02d}.json", content)
            self._steps[number] = mark

    def _write_files(self, call: LLMCall, before: _Written | None = None) -> _Written:
        """Write a call's two files, and the messages that are new with it."""
        prompt = prompt_text(call)
        write_whole(self._call_file(call, "prompt"), prompt.encode())
        if before is not None:  # only the step that it belongs to has changed
            return before._replace(step_num=call.step_num)
        response = response_text(call)
        write_whole(self._call_file(call, "response"), response.encode())
        messages, new = self._names.add(call)
        if new:
            append(self._root / MESSAGES, b"".join(encode(each) + b"\n" for each in new))
        extra: Record = {} if messages is None else {"messages": messages}
        exact = exact_texts(call, prompt, response)
        if exact:
            extra["exact"] = exact
        return _Written(extra, _line(call, extra), call.step_num)

    def _call_file(self, call: LLMCall, what: str) -> Path:
        return self._root / f"call_{call.index:02d}_{what}.txt"


def run_id_in(path: Path) -> str | None:
    """The run whose trace is in a directory, if a file there says so."""
    for name in (HEAD, RUN):
        with suppress(OSError, ValueError):
            run_id = decode((path / name).read_bytes()).get("run_id")
            return run_id if isinstance(run_id, str) else None
    return None


def holds_trace(path: Path) -> bool:
    """Whether there are files of a trace in a directory."""
    return next(trace_files(path), None) is not None


def trace_files(path: Path) -> Iterator[Path]:
    """The files of a trace in a directory, those first that tell of the whole run."""
    whole = (RUN, HEAD, MANIFEST, MESSAGES)
    yield from (path / name for name in whole if (path / name).is_file())
    for folder, pattern in ((path, CALL_FILE), (path / STEPS, STEP_FILE)):
        for each in sorted(folder.iterdir()) if folder.is_dir() else ():
            beside = _BESIDE.fullmatch(each.name)
            name = beside[1] if beside else each.name
            if pattern.fullmatch(name) or (beside and name in whole):
                yield each


def remove_trace(path: Path) -> None:
    """Remove the files of a trace from a directory; others stay."""
    for each in list(trace_files(path)):
        each.unlink(missing_ok=True)
    with suppress(OSError):  # somebody has put a file of their own there, or it is not there
        (path / STEPS).rmdir()


def write_whole(place: Path, content: bytes) -> None:
    """Write a file beside its place and rename it, so that it is never seen in part."""
    beside = place.with_name(f".{place.name}.tmp")
    try:
        beside.write_bytes(content)
    except FileNotFoundError:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
    beside.replace(place)


def append(place: Path, lines: bytes) -> None:
    """Add whole lines to a file, in one write."""
    with place.open("ab", buffering=0) as file:
        written = file.write(lines)
        while written < len(lines):  # the disk is full, which the next write says
            written += file.write(lines[written:])


def _line(call: LLMCall, extra: Record) -> bytes:
    return encode(_record(call, extra)) + b"\n"


def _record(call: LLMCall, extra: Record) -> Record:
    return {**call_to_record(call), **extra}


def _stamp_of(head: Path) -> tuple[int, int] | None:
    """What tells one file of that name from another."""
    try:
        found = head.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
