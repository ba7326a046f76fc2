"""Checkpoints as files: each holds what its step added and names the file before it.

Knows records, JSON and a directory; knows nothing of a run (``resume`` does).
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PureWindowsPath
from typing import Any, Protocol

from looplet.core.codec import JSON, from_jsonable, to_jsonable
from looplet.core.failures import describe
from looplet.core.records import ErrorKind, Step, ToolCall, ToolError, ToolResult, Usage
from looplet.core.state import DefaultState
from looplet.errors import CheckpointError

FORMAT = 1
LISTS: Mapping[str, tuple[str, ...]] = {
    "steps": ("steps",),
    "entries": ("session_log_data", "entries"),
    "messages": ("conversation_data", "messages"),
    "history": ("loop", "history"),
    "answered": ("loop", "answered"),
    "recent": ("loop", "recent"),
    "ahead": ("loop", "ahead"),
    "left": ("loop", "left"),
    "unrun": ("loop", "unrun"),
}
"""Lists of which a file holds the new items alone, and where they stand in it."""
TASK_CHARS = 500
"""How much of a task an error shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where a run stood after a step, assembled from as many files as it took.

    >>> Checkpoint(step_number=2, metadata={"status": "done"}).status
    'done'
    """

    step_number: int
    base: str | None = None
    """Name of the file that this one's file builds on."""
    session_log_data: Mapping[str, JSON] = field(default_factory=dict)
    conversation_data: Mapping[str, JSON] = field(default_factory=dict)
    config_snapshot: Mapping[str, JSON] = field(default_factory=dict)
    tool_results_store: Mapping[str, JSON] = field(default_factory=dict)
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    """The task as text, and ``status`` once the run has ended."""
    created_at: float = field(default_factory=time.time)
    """Unix time, in seconds."""
    task: str | None = None
    """The task's canonical JSON; ``None``: any task may go on from here."""
    steps: Sequence[JSON] = field(default_factory=list)
    loop: Mapping[str, JSON] = field(default_factory=dict)
    """What else the next request is built from."""

    @property
    def status(self) -> str | None:
        """Why the run ended; ``None`` if it was killed."""
        return self.metadata.get("status")


class CheckpointStore(Protocol):
    """Where a ``CheckpointHook`` puts checkpoints."""

    def save(self, checkpoint: Checkpoint, key: str) -> object:
        """Keep a checkpoint under a key."""
        ...


class FileCheckpointStore:
    """Checkpoints in a directory, one JSON file a key.

    >>> import tempfile
    >>> store = FileCheckpointStore(tempfile.mkdtemp())
    >>> store.save(Checkpoint(step_number=3), "../../best").name
    'best.json'
    >>> store.load("best").step_number, store.load_latest().step_number
    (3, 3)
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)

    def save(self, checkpoint: Checkpoint, key: str) -> Path:
        """Write a checkpoint whole; of a key that is a path, the last part counts."""
        place = self.directory / file_name(key)
        data = {"format": FORMAT, **asdict(checkpoint), "base": None}
        write_whole(place, encode_file(data))
        return place

    def load(self, key: str) -> Checkpoint:
        """Assemble the checkpoint of a key.

        Raises ``FileNotFoundError`` if there is none, and ``CheckpointError``, which is a
        ``ValueError``, if it or a file that it builds on is damaged.
        """
        name = file_name(key)
        files = read_files(self.directory)
        if name not in files:
            raise FileNotFoundError(f"there is no checkpoint {name} in {self.directory}")
        if files[name].problem:
            raise CheckpointError(f"{self.directory / name} {files[name].problem}")
        return assemble(files, name)

    def load_latest(self) -> Checkpoint | None:
        """Assemble the valid checkpoint with the highest step number; ``None`` if there is none.

        Files that cannot be used are named in a warning.
        """
        files = read_files(self.directory)
        name = newest(files)
        warn_damaged(self.directory, files, name)
        return None if name is None else assemble(files, name)


class CheckpointHook:
    """Saves what ``get_checkpoint_data(state, step_num)`` gives, every few steps and at the end.

    It returns a ``Checkpoint``, or ``None`` to save nothing. For a store of your own;
    ``LoopConfig(checkpoint_dir=...)`` needs no hook.
    """

    def __init__(
        self,
        store: CheckpointStore,
        get_checkpoint_data: Callable[[Any, int], Checkpoint | None],
        save_every_n_steps: int = 5,
    ) -> None:
        if save_every_n_steps < 1:
            raise ValueError(f"save_every_n_steps is {save_every_n_steps}, and must be at least 1")
        self._store = store
        self._data = get_checkpoint_data
        self._every = save_every_n_steps
        self._saved = 0

    def pre_loop(self, state: Any, session_log: Any, context: Any) -> None:
        """Begin anew with each run; steps that the state has already were saved by another."""
        del session_log, context
        self._saved = state.step_count

    def should_stop(self, state: Any, step_num: int, new_entities: Sequence[str]) -> None:
        """Save if enough steps came since the last time; the run goes on."""
        del new_entities
        if step_num // self._every > self._saved // self._every:
            self._save(state, step_num)

    def on_loop_end(self, state: Any, session_log: Any, context: Any, llm: Any) -> None:
        """Save what came last."""
        del session_log, context, llm
        if state.step_count > self._saved:
            self._save(state, state.step_count)

    def _save(self, state: Any, step_num: int) -> None:
        data = self._data(state, step_num)
        if data is not None:
            self._store.save(data, f"step_{step_num}")
        self._saved = step_num


def resume_loop_state(cp: Checkpoint) -> DefaultState:
    """The state that a checkpoint holds: steps, counters and metadata.

    >>> resume_loop_state(Checkpoint(step_number=0, config_snapshot={"max_steps": 6})).max_steps
    6
    """
    snapshot = cp.config_snapshot
    return DefaultState(
        steps=[decode_step(step) for step in cp.steps],
        queries_used=snapshot.get("queries_used", 0),
        max_steps=snapshot.get("max_steps", DefaultState.max_steps),
        metadata=decode_pairs(cp.loop.get("state_metadata", ())),
    )


@dataclass(slots=True, kw_only=True)
class StoredFile:
    """One file of a directory."""

    data: dict[str, JSON]
    digest: str
    problem: str = ""
    """What is wrong with it, or with what it builds on."""

    @property
    def order(self) -> tuple[int, bool]:
        """By step, the file of the accepted done after its step's own."""
        return self.data["step_number"], self.data.get("metadata", {}).get("status") == "done"


def file_name(key: str) -> str:
    """Name of a key's file. Raises ``ValueError`` for a key without a name in it."""
    name = PureWindowsPath(key).name  # knows both kinds of slashes
    if name in {"", ".", ".."} or "\0" in name:
        raise ValueError(f"{key!r} is no name for a checkpoint")
    return name if name.endswith(".json") else f"{name}.json"


def read_files(directory: Path) -> dict[str, StoredFile]:
    """Every checkpoint file of a directory, each checked with all that it builds on.

    Raises ``CheckpointError`` for a file of a format that is not known.
    """
    paths = sorted(directory.glob("*.json")) if directory.is_dir() else []
    files = {path.name: _read(path) for path in paths}
    for stored in sorted(files.values(), key=lambda stored: stored.order):
        stored.problem = stored.problem or _broken_base(stored, files)
    return files


def newest(files: Mapping[str, StoredFile]) -> str | None:
    """Name of the valid file with the highest step number."""
    valid = [name for name, stored in files.items() if not stored.problem]
    return max(valid, key=lambda name: files[name].order, default=None)


def warn_damaged(directory: Path, files: Mapping[str, StoredFile], used: str | None) -> None:
    """Name every file that cannot be used, and the one that is used instead."""
    bad = [f"{name} {stored.problem}" for name, stored in files.items() if stored.problem]
    if bad:
        instead = f"going on from {used}" if used else "beginning anew"
        text = f"checkpoints in {directory} cannot be used: {'; '.join(bad)}. Now {instead}"
        warnings.warn(text, stacklevel=2)


def assemble(files: Mapping[str, StoredFile], name: str) -> Checkpoint:
    """The whole checkpoint of a valid file. Raises ``CheckpointError`` if it has another shape."""
    chain: list[dict[str, JSON]] = []
    step: str | None = name
    while step is not None:
        chain.append(files[step].data)
        step = chain[-1].get("base")
    whole: dict[str, JSON] = {}
    try:
        for data in reversed(chain):
            whole = _merge(whole, data)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{name}, or what it builds on, holds what cannot be read ({describe(error)}); "
            "mend it, move it away, or use another directory"
        ) from error
    known = {each.name for each in fields(Checkpoint)}
    return Checkpoint(**{key: value for key, value in whole.items() if key in known})


def encode_file(data: Mapping[str, JSON]) -> bytes:
    """A file's bytes: ASCII, so that odd Unicode can be written anywhere."""
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"


def digest_of(content: bytes) -> str:
    """SHA-256 of a file, in hex."""
    import hashlib  # loads OpenSSL, which only checkpoints need here

    return hashlib.sha256(content).hexdigest()


def write_whole(place: Path, content: bytes) -> None:
    """Write a file beside its place, have it on the disk, and rename it into its place."""
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{place.name}.tmp")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(place)


def encode_step(step: Step) -> JSON:
    """A step whole, as JSON."""
    return {
        "number": step.number,
        "tool_call": step.tool_call.to_dict(),
        "tool_result": encode_result(step.tool_result),
        "usage": None if step.usage is None else asdict(step.usage),
    }


def decode_step(data: Mapping[str, JSON]) -> Step:
    """The step that ``encode_step`` was given."""
    usage = data["usage"]
    return Step(
        data["number"],
        decode_call(data["tool_call"]),
        decode_result(data["tool_result"]),
        usage=None if usage is None else Usage(**usage),
    )


def decode_call(data: Mapping[str, JSON]) -> ToolCall:
    """The call that ``ToolCall.to_dict`` was called on."""
    return ToolCall(**{key: from_jsonable(value) for key, value in data.items()})


def encode_result(result: ToolResult) -> JSON:
    """A result whole, as JSON."""
    names = (each.name for each in fields(ToolResult) if each.name != "error_detail")
    out = {name: to_jsonable(getattr(result, name)) for name in names}
    detail = result.error_detail
    if detail is not None:
        out["error_detail"] = {
            "kind": detail.kind.value,
            "message": detail.message,
            "retriable": detail.retriable,
            "context": to_jsonable(detail.context),
            "recovery_hint": to_jsonable(detail.recovery_hint),
        }
    return out


def decode_result(data: Mapping[str, JSON]) -> ToolResult:
    """The result that ``encode_result`` was given."""
    known = {key: from_jsonable(value) for key, value in data.items()}
    detail = known.pop("error_detail", None)
    if detail is not None:
        detail = ToolError(**{**detail, "kind": ErrorKind(detail["kind"])})
    return ToolResult(**known, error_detail=detail)


def decode_pairs(pairs: Sequence[JSON]) -> dict[Any, Any]:
    """The dict whose keys and values were stored as pairs."""
    return {from_jsonable(key): from_jsonable(value) for key, value in pairs}


def _read(path: Path) -> StoredFile:
    try:
        content = path.read_bytes()
        data = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        empty = {"step_number": -1}
        return StoredFile(data=empty, digest="", problem=f"is torn or unreadable ({error})")
    if not _has_shape(data):
        return StoredFile(data={"step_number": -1}, digest="", problem="is no checkpoint")
    if data.get("format", FORMAT) != FORMAT:
        raise CheckpointError(
            f"{path} has the format {data['format']!r}, and this version reads {FORMAT}; "
            "use the version of looplet that wrote it, or another directory"
        )
    return StoredFile(data=data, digest=digest_of(content))


def _has_shape(data: JSON) -> bool:
    parts = ("metadata", "loop", "session_log_data", "conversation_data", "from_base")
    return (
        isinstance(data, dict)
        and isinstance(data.get("step_number"), int)
        and all(isinstance(data.get(part, {}), dict) for part in parts)
        and all(isinstance(data.get(name), str | None) for name in ("base", "task"))
    )


def _broken_base(stored: StoredFile, files: Mapping[str, StoredFile]) -> str:
    """What is wrong with the file that this one builds on; empty if all is well."""
    base = stored.data.get("base")
    if base is None:
        return ""
    below = files.get(base)
    if below is None:
        return f"builds on {base}, which is missing"
    if below.problem:
        return f"builds on {base}"
    if below.digest != stored.data.get("base_digest") or below.order >= stored.order:
        return f"builds on another {base} than the one there"
    return ""


def _merge(below: Mapping[str, JSON], data: Mapping[str, JSON]) -> dict[str, JSON]:
    """A checkpoint on top of the assembled one below it."""
    kept = {key: value for key, value in below.get("metadata", {}).items() if key != "status"}
    loop = {**below.get("loop", {}), **data.get("loop", {})}
    whole = {**below, **data, "metadata": {**kept, **data.get("metadata", {})}, "loop": loop}
    for part in ("session_log_data", "conversation_data"):
        whole[part] = {**below.get(part, {}), **data.get(part, {})}
    _merge_lists(whole, below, data)
    pairs = data.get("loop", {}).get("state_metadata")
    if pairs is not None:
        loop["state_metadata"] = _merge_pairs(below.get("loop", {}), pairs, loop.pop("gone", ()))
    return whole


def _merge_lists(
    whole: dict[str, JSON], below: Mapping[str, JSON], data: Mapping[str, JSON]
) -> None:
    for name, (start, stop) in data.get("from_base", {}).items():
        *parents, last = LISTS[name]
        old, new, into = below, data, whole
        for parent in parents:
            old, new, into = old.get(parent, {}), new.get(parent, {}), into[parent]
        into[last] = [*old.get(last, ())[start:stop], *new.get(last, ())]


def _merge_pairs(
    below: Mapping[str, JSON], pairs: Sequence[JSON], gone: Sequence[JSON]
) -> list[JSON]:
    merged = {json.dumps(pair[0]): pair for pair in below.get("state_metadata", ())}
    for key in gone:
        merged.pop(json.dumps(key), None)
    merged.update((json.dumps(pair[0]), pair) for pair in pairs)
    return list(merged.values())
