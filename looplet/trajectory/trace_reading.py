"""A trace directory, read back: also one that a killed process left. Knows files and records."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from looplet.core.failures import describe
from looplet.errors import TraceDamaged, TraceError, TraceMissing
from looplet.trajectory.call_texts import read_prompt, read_response
from looplet.trajectory.model import DONE_TOOL, INTERRUPTED, LLMCall, Trajectory
from looplet.trajectory.trace_dir import (
    HEAD,
    MANIFEST,
    MESSAGES,
    RUN,
    STEP_FILE,
    STEPS,
)
from looplet.trajectory.trace_format import (
    Record,
    call_from_record,
    check_version,
    decode,
    run_from_record,
    step_from_record,
)
from looplet.trajectory.trace_messages import put_messages

_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What reading a record may raise that is not what was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The records of a trace directory, without the texts of its calls."""

    path: Path
    run: Record
    """What is known of the whole run: ``trajectory.json``, or what stands in for it."""
    steps: list[Record]
    calls: list[Record]
    steps_from: Path
    calls_from: Path
    """The files that the records were read from, for messages."""

    @property
    def done_tool(self) -> str:
        """The name of the tool that ends the run."""
        return self.run.get("done_tool") or DONE_TOOL

    def trajectory(self, *, texts: bool = True) -> Trajectory:
        """The run; with ``texts=False`` its calls are without prompts and replies."""
        with naming(self.steps_from):
            steps = [step_from_record(record) for record in self.steps]
        with naming(self.calls_from):
            calls = [call_from_record(record) for record in self.calls]
        if texts:
            self._read_texts(calls)
        with naming(self.path / RUN):
            return run_from_record(self.run, calls=calls, steps=steps)

    def _read_texts(self, calls: list[LLMCall]) -> None:
        """Read the calls' files; one that is not there leaves its texts empty."""
        told = {}
        for call, record in zip(calls, self.calls, strict=True):
            if "messages" in record:
                told[call.index] = record["messages"]
            exact = record.get("exact") or {}
            for what, read in (("prompt", read_prompt), ("response", read_response)):
                place = call_file(self.path, call.index, what)
                if place.is_file():
                    with naming(place):
                        read(call, place.read_bytes().decode(), exact)
        messages = _lines(self.path / MESSAGES)
        with naming(self.path / MESSAGES):
            put_messages(calls, told, messages)


def read_trace(path: str | os.PathLike[str]) -> Trajectory:
    """The run that a trace directory holds, as it was recorded.

    A directory that a killed process left has every call and step that were finished; its stop
    reason is ``interrupted``. Raises ``TraceMissing``, which is a ``FileNotFoundError``, if there
    is no trace; ``TraceDamaged`` if a file of it cannot be read; ``UnknownTraceVersion``. The
    messages say which file it is.
    """
    return open_trace(path).trajectory()


def open_trace(path: str | os.PathLike[str]) -> Trace:
    """The records of a trace directory; raises as ``read_trace`` does."""
    path = Path(path)
    if not path.exists():
        raise TraceMissing(f"{path} does not exist")
    if not any((path / name).exists() for name in (RUN, MANIFEST, STEPS)):
        raise TraceMissing(
            f"{path} is not a trace directory: there is no {RUN}, no {MANIFEST} and no {STEPS}/"
        )
    whole = read_json(path / RUN)
    head = path / (HEAD if whole is None else RUN)
    run = whole if whole is not None else read_json(head) or {}
    with naming(head):
        check_version(run, where=str(head))
    steps, steps_from = _listed(run, "steps", head), head
    if whole is None or _goes_on(run):
        steps_from = path / STEPS
        steps = _newer_steps(steps_from, steps)
    calls_from = path / MANIFEST
    calls = _in_order(_lines(calls_from), calls_from)
    if not calls:
        calls, calls_from = _listed(run, "llm_calls", head), head
    if whole is None and (steps or run.get("started_at") is not None or not run):
        run = {**run, "stop_reason": INTERRUPTED}
    return Trace(
        path=path,
        run=run,
        steps=steps,
        calls=calls,
        steps_from=steps_from,
        calls_from=calls_from,
    )


def call_file(path: Path, index: int, what: str) -> Path:
    """One of the two files of a call."""
    return path / f"call_{index:02d}_{what}.txt"


def read_json(place: Path) -> Record | None:
    """A file's object, or ``None`` if there is no file. Raises ``TraceDamaged``."""
    if not place.is_file():
        return None
    with naming(place):
        return decode(place.read_bytes())


def _goes_on(run: Record) -> bool:
    """Whether what stands in for the whole run was written while it went on."""
    return run.get("stop_reason") == INTERRUPTED and run.get("ended_at") is None


def _listed(run: Record, name: str, place: Path) -> list[Record]:
    found = run.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise TraceDamaged(f"{place} cannot be read: its {name} are no list of objects")
    return list(found)


def _newer_steps(folder: Path, steps: list[Record]) -> list[Record]:
    """Steps with those of the files put over them, by number."""
    found = {int(record["step_num"]): record for record in steps if "step_num" in record}
    for place in folder.iterdir() if folder.is_dir() else ():
        name = STEP_FILE.fullmatch(place.name)
        if name is not None:
            found[int(name[1])] = read_json(place) or {}
    return [found[number] for number in sorted(found)]


def _in_order(records: list[Record], place: Path) -> list[Record]:
    with naming(place):
        return sorted(records, key=lambda record: int(record["index"]))


def _lines(place: Path) -> list[Record]:
    """The objects of a file with one a line. A last line that was not written whole is none."""
    if not place.is_file():
        return []
    *whole, last = place.read_bytes().split(b"\n")
    found = []
    for number, line in enumerate(whole, 1):
        if line.strip():
            with naming(place, f"line {number} of "):
                found.append(decode(line))
    with suppress(ValueError):
        found += [decode(last)] if last.strip() else []
    return found


@contextmanager
def naming(place: Path, part: str = "") -> Iterator[None]:
    """Turn what goes wrong inside into ``TraceDamaged`` that names the file."""
    try:
        yield
    except TraceError:
        raise
    except _DAMAGE as error:
        raise TraceDamaged(f"{part}{place} cannot be read: {describe(error)}") from error
