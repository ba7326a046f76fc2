"""A run into checkpoints and back. Knows runs and checkpoints; knows no order of things.

A checkpoint is where a run stands at a step: beside steps, log and conversation it holds what the
next request is built from, and the calls of the turn that are still to be run or recorded.
"""

from __future__ import annotations

import json
import os
import re
import threading
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from operator import is_
from pathlib import Path
from typing import Any, NamedTuple

from looplet.core.checkpoint import (
    FORMAT,
    LISTS,
    TASK_CHARS,
    Checkpoint,
    FileCheckpointStore,
    StoredFile,
    assemble,
    decode_call,
    decode_pairs,
    decode_result,
    decode_step,
    digest_of,
    encode_file,
    encode_result,
    encode_step,
    newest,
    read_files,
    warn_damaged,
    write_whole,
)
from looplet.core.codec import JSON, canonical, from_jsonable, plain_text, to_jsonable
from looplet.core.conversation import Conversation, Message
from looplet.core.failures import describe
from looplet.core.messages import ChatMessage
from looplet.core.records import ToolCall, ToolResult
from looplet.core.run import Run, put
from looplet.core.session import LogEntry
from looplet.core.show import RECENT_STEPS, cut, step_text
from looplet.errors import CheckpointError

ABRUPT = frozenset({None, "stream_closed", "error", "interrupted"})
"""Ends that may come in the middle of a turn; after any other, the turn is over."""
ADDRESS = r" at 0x[0-9a-fA-F]+"
"""What the ``repr`` of an object has in it that is another in every process."""


def begin(run: Run) -> None:
    """Put a run where its checkpoint stands, and give it a keeper if it has a directory.

    Raises ``CheckpointError``, a ``ValueError``, if the directory holds another task; nothing in
    it is changed.
    """
    config, task = run.config, task_key(run.task)
    start = _explicit(config.initial_checkpoint)
    if start is not None and start.task not in {None, task}:
        text = f"initial_checkpoint is of another task: {_told(start.task)}, not {_told(task)}"
        warnings.warn(text, stacklevel=2)
    if config.checkpoint_dir is not None:
        directory = Path(config.checkpoint_dir)
        run.keeper = Keeper(directory, task)
        files = read_files(directory)
        name = newest(files)
        _refuse_other_task(directory, files, name, {None, task, start.task if start else None})
        warn_damaged(directory, files, name)
        if start is None and name is not None:
            start = assemble(files, name)
            _restore(run, start, f"{directory / name}")
            run.keeper.go_on(run, name, files[name], start)
            return
    if start is not None:
        _restore(run, start, "initial_checkpoint")


def task_key(task: Any) -> str:
    """The canonical JSON that tells whether two runs have the same task."""
    return re.sub(ADDRESS, "", canonical(task))


def _restore(run: Run, cp: Checkpoint, where: str) -> None:
    try:
        restore(run, cp)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{where} holds what cannot be read ({describe(error)}); "
            "mend it, move it away, or use another directory"
        ) from error


def restore(run: Run, cp: Checkpoint) -> None:
    """Put a run where a checkpoint stands."""
    _restore_records(run, cp)
    loop = cp.loop
    run.pending[:] = loop.get("pending", ())
    recent = loop.get("recent")
    if recent is None:
        recent = [step_text(step) for step in run.state.steps[-RECENT_STEPS:]]
    run.recent = deque(recent, maxlen=RECENT_STEPS)
    run.remedies = list(loop.get("remedies", run.remedies))
    run.result_chars = loop.get("result_chars", run.result_chars)
    run.left = [decode_call(call) for call in loop.get("left", ())]
    run.unrun[:] = [decode_call(call) for call in loop.get("unrun", ())]
    run.ahead = [
        (decode_call(pair["call"]), decode_result(pair["result"])) for pair in loop.get("ahead", ())
    ]
    run.turn_from = loop.get("turn_from", run.next_number)
    native = loop.get("opening") is not None
    if native and run.history is None:
        run.follow_conversation()  # the results were in the history
    if native and run.history is not None:
        told = [_decode_chat(message) for message in (loop["opening"], *loop["history"])]
        run.history.restore(zip(told, (None, *loop["answered"]), strict=True))
        run.earlier_results = loop.get("earlier_results", "")
    elif cp.steps:
        run.earlier_results = "\n".join(run.recent_results())
    _restore_end(run, cp)


class Keeper:
    """Writes a run's checkpoints; each holds what came since the one before."""

    def __init__(self, directory: Path, task: str) -> None:
        self._directory = directory
        self._task = task
        self._seen = Seen({name: [] for name in LISTS}, {}, {})
        self._newest: _Written | None = None
        self._lock = threading.Lock()
        """A save that was cancelled goes on in its thread while the end of the run is saved."""

    def go_on(self, run: Run, name: str, stored: StoredFile, cp: Checkpoint) -> None:
        """Build on the file that the run was restored from."""
        alone = set(cp.loop) - set(_IN_LOOP)
        texts = {name: json.dumps(cp.loop[name]) for name in alone}
        pairs = {json.dumps(key): json.dumps(value) for key, value in _metadata_of(cp)}
        items = _items(run)
        items.update({name: [] for name in _IN_LOOP if name not in cp.loop})
        if items["recent"] != cp.loop.get("recent"):  # made anew, of a conversation or of steps
            items["recent"] = []
        self._seen = Seen(items, texts, pairs)
        self._newest = _Written(name, stored.digest, stored.data)

    def save(self, run: Run) -> None:
        """Write the checkpoint of the newest step; what goes wrong is warned about."""
        with self._lock:
            self._save(run)

    def end(self, run: Run) -> None:
        """Note why the run ended: in a file of its own after ``done``, else in the newest."""
        with self._lock:
            done = run.stop_reason == "done"
            if done and not self._has_step(run.state.step_count):
                self._save(run)  # which failed before
            if self._newest is None or (done and not self._has_step(run.state.step_count)):
                return
            name, _, data = self._newest
            if done:
                name, data = name.removesuffix(".json") + "_done.json", self._nothing_new()
            data = {**data, "metadata": {**data.get("metadata", {}), "status": run.stop_reason}}
            try:
                self._write(name, data)
            except Exception as error:  # noqa: BLE001 - a save never ends a run
                self._warn(name, error)

    def _has_step(self, number: int) -> bool:
        return self._newest is not None and self._newest.data["step_number"] == number

    def _save(self, run: Run) -> None:
        name = f"step_{run.state.step_count}.json"
        try:
            data, seen = self._changes(run)
            self._write(name, data)
        except Exception as error:  # noqa: BLE001 - as above
            self._warn(name, error)
        else:
            self._seen = seen

    def _write(self, name: str, data: dict[str, JSON]) -> None:
        content = encode_file(data)
        write_whole(self._directory / name, content)
        self._newest = _Written(name, digest_of(content), data)

    def _warn(self, name: str, error: Exception) -> None:
        place = self._directory / name
        warnings.warn(f"{place} could not be written: {describe(error)}", stacklevel=3)

    def _head(self) -> dict[str, JSON]:
        below = self._newest
        return {
            "format": FORMAT,
            "base": None if below is None else below.name,
            "base_digest": None if below is None else below.digest,
            "task": self._task,
        }

    def _nothing_new(self) -> dict[str, JSON]:
        assert self._newest is not None
        kept = ("step_number", "config_snapshot", "created_at")
        same = {name: self._newest.data[name] for name in kept if name in self._newest.data}
        return {**self._head(), **same, "from_base": {name: [0, None] for name in LISTS}}

    def _changes(self, run: Run) -> tuple[dict[str, JSON], Seen]:
        """What is new in a run since the newest file, and what has been seen with it."""
        state, items = run.state, _items(run)
        added: dict[str, JSON] = {}
        from_base: dict[str, JSON] = {}
        for name, encode in _ENCODERS.items():
            seen = self._seen.items[name]
            if name == "entries":
                seen = seen[:-1]  # hooks add findings to the newest entry after its step
            start, stop = stretch(seen, items[name])
            added[name] = [encode(item) for item in items[name][stop - start :]]
            from_base[name] = [start, stop]
        loop = _loop(run)
        texts = {name: json.dumps(value) for name, value in loop.items()}
        fresh = {name: loop[name] for name in loop if texts[name] != self._seen.texts.get(name)}
        pairs, metadata = self._metadata(getattr(state, "metadata", {}))
        data = {
            **self._head(),
            "step_number": state.step_count,
            "session_log_data": {"entries": added["entries"], **_log_data(run)},
            "conversation_data": {**Conversation().serialize(), "messages": added["messages"]},
            "config_snapshot": {
                "max_steps": run.config.max_steps,
                "queries_used": state.queries_used,
                "budget_remaining": state.budget_remaining,
            },
            "tool_results_store": {},
            "metadata": {} if self._newest else {"task": plain_text(run.task)},
            "created_at": run.config.runtime.now(),
            "steps": added["steps"],
            "loop": {**fresh, **pairs, **{name: added[name] for name in _IN_LOOP}},
            "from_base": from_base if self._newest else {},
        }
        return data, Seen(items, texts, metadata)

    def _metadata(self, metadata: Any) -> tuple[dict[str, JSON], dict[str, str]]:
        """Entries of ``state.metadata`` that are new, changed or gone, and all as texts."""
        pairs = [(to_jsonable(key), to_jsonable(value)) for key, value in metadata.items()]
        texts = {json.dumps(key): json.dumps(value) for key, value in pairs}
        seen = self._seen.metadata
        new = [pair for pair, key in zip(pairs, texts, strict=True) if texts[key] != seen.get(key)]
        gone = [json.loads(key) for key in seen if key not in texts]
        return {"state_metadata": new, "gone": gone} if new or gone else {}, texts


class Seen(NamedTuple):
    """What the newest file and those below it hold."""

    items: dict[str, list[Any]]
    """The items of each list, as the run has them."""
    texts: dict[str, str]
    metadata: dict[str, str]


class _Written(NamedTuple):
    name: str
    digest: str
    data: dict[str, JSON]


def stretch(old: Sequence[Any], new: Sequence[Any]) -> tuple[int, int]:
    """Which stretch of ``old`` the list ``new`` begins with, item by identical item.

    >>> one, two, three = "one", "two", "three"
    >>> stretch([one, two], [one, two, three]), stretch([one, two, three], [three])
    ((0, 2), (2, 3))
    """
    start = next((place for place, item in enumerate(old) if new and item is new[0]), None)
    if start is None:
        return 0, 0
    rest = old[start:]
    if all(map(is_, rest, new)):
        return start, start + min(len(rest), len(new))
    pairs = enumerate(zip(rest, new, strict=False))
    return start, start + next(place for place, pair in pairs if not is_(*pair))


def _items(run: Run) -> dict[str, list[Any]]:
    """Every list of a run that grows; the opening of the history stands by itself."""
    history = run.history
    return {
        "steps": list(run.state.steps),
        "entries": list(run.log.entries),
        "messages": list(run.conversation.messages),
        "history": list(history.messages()[1:]) if history is not None else [],
        "answered": list(history.steps()[1:]) if history is not None else [],
        "recent": list(run.recent),
        "ahead": list(run.ahead),
        "left": list(run.left),
        "unrun": list(run.unrun),
    }


def _loop(run: Run) -> dict[str, JSON]:
    """What else the next request is built from."""
    told = run.history.messages() if run.history is not None else ()
    return {
        "opening": _encode_chat(told[0]) if told else None,
        "earlier_results": run.earlier_results,
        "pending": list(run.pending),
        "remedies": list(run.remedies),
        "result_chars": run.result_chars,
        "stop_reason": run.stop_reason,
        "turn_from": run.turn_from,
    }


def _log_data(run: Run) -> dict[str, JSON]:
    dropped, summary = run.log.left_out()
    data: dict[str, JSON] = {"current_theory": run.log.current_theory}
    if dropped or summary is not None:
        data["dropped"] = dropped
        data["summary"] = None if summary is None else _encode_entry(summary)
    return data


def _encode_entry(entry: LogEntry) -> JSON:
    return {name: to_jsonable(getattr(entry, name)) for name in LogEntry.__slots__}


def _encode_message(message: Message) -> JSON:
    return Conversation([message]).serialize()["messages"][0]


def _encode_chat(message: ChatMessage) -> JSON:
    return to_jsonable(message.to_dict())


def _encode_ahead(pair: tuple[ToolCall, ToolResult]) -> JSON:
    return {"call": pair[0].to_dict(), "result": encode_result(pair[1])}


_ENCODERS: Mapping[str, Callable[[Any], JSON]] = {
    "steps": encode_step,
    "entries": _encode_entry,
    "messages": _encode_message,
    "history": _encode_chat,
    "answered": lambda number: number,
    "recent": lambda line: line,
    "ahead": _encode_ahead,
    "left": ToolCall.to_dict,
    "unrun": ToolCall.to_dict,
}
_IN_LOOP = tuple(name for name, place in LISTS.items() if place[0] == "loop")


def _decode_entry(data: Mapping[str, JSON]) -> LogEntry:
    return LogEntry(**{name: from_jsonable(value) for name, value in data.items()})


def _decode_chat(data: JSON) -> ChatMessage:
    return ChatMessage.from_dict(from_jsonable(data))


def _restore_records(run: Run, cp: Checkpoint) -> None:
    """Put steps, counters, metadata, log and conversation back."""
    state, log = run.state, cp.session_log_data
    state.steps[:] = [decode_step(step) for step in cp.steps]
    put(state, "queries_used", cp.config_snapshot.get("queries_used", state.queries_used))
    if hasattr(state, "metadata"):
        state.metadata.update(decode_pairs(_metadata_of(cp)))
    summary = log.get("summary")
    run.log.restore(
        [_decode_entry(entry) for entry in log.get("entries", ())],
        theory=log.get("current_theory", ""),
        dropped=log.get("dropped"),
        summary=None if summary is None else _decode_entry(summary),
    )
    if cp.conversation_data:
        run.conversation.revise(Conversation.deserialize(cp.conversation_data).messages)


def _restore_end(run: Run, cp: Checkpoint) -> None:
    """Note whether the run is over, or stands in the middle of a turn."""
    steps = run.state.steps
    run.last_step = steps[-1] if steps else None
    reason = cp.loop.get("stop_reason")
    run.finished = cp.status == "done" or (cp.status is None and reason == "done")
    if run.finished:
        run.stop("done")
        return
    run.mid_turn = cp.status in ABRUPT and "turn_from" in cp.loop
    if cp.status is None:
        run.stop_reason = reason  # decided, and then the process was killed


def _metadata_of(cp: Checkpoint) -> Sequence[JSON]:
    pairs: Sequence[JSON] = cp.loop.get("state_metadata", ())
    return pairs


def _explicit(given: Checkpoint | str | os.PathLike[str] | None) -> Checkpoint | None:
    """The checkpoint that was asked for, read from its file if it is given by that."""
    if given is None or isinstance(given, Checkpoint):
        return given
    place = Path(given)
    return FileCheckpointStore(place.parent).load(place.name)


def _refuse_other_task(
    directory: Path,
    files: Mapping[str, StoredFile],
    name: str | None,
    welcome: set[str | None],
) -> None:
    """Raise if a directory is another task's; where no file is whole, each counts."""
    used = [files[name]] if name is not None else list(files.values())
    for stored in used:
        task = stored.data.get("task")
        if task not in welcome:
            own = " or ".join(sorted(_told(each) for each in welcome if each is not None))
            raise CheckpointError(
                f"checkpoint_dir {directory} holds another task: {_told(task)}, not {own}; "
                "use another directory for this task, or empty that one"
            )


def _told(task: str | None) -> str:
    return cut(str(task), TASK_CHARS)
