"""Runs from a store: objects like the live ones whose fields are decoded when they are asked for.

Each class here is its plain class with slots that begin unset. Reading an unset slot falls
through to ``__getattr__``, which reads the value from the row group and sets the slot; from then
on it is an ordinary attribute. Equality, ``repr``, copies and pickles are those of the plain
class. Knows columns and records; knows no file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import MISSING, fields
from typing import Any, ClassVar

from looplet.core.records import Step, ToolCall, ToolResult
from looplet.errors import StoreError
from looplet.trajectory import rows, talk
from looplet.trajectory.columns import RowGroup, is_scalar
from looplet.trajectory.model import LLMCall, StepRecord, Trajectory

Reader = Callable[[Any], Any]
"""Reads one field of a lazy object."""
_new = object.__new__


class Lazy:
    """What the lazy classes share; ``group`` and ``place`` say where the values stand."""

    __slots__ = ()
    plain: ClassVar[type]
    """The class whose instances these are equal to."""
    readers: ClassVar[Mapping[str, Reader]]
    slots: ClassVar[tuple[str, ...]]
    group: RowGroup
    place: int

    def __init_subclass__(cls) -> None:
        cls.slots = tuple(name for each in cls.__mro__ for name in vars(each).get("__slots__", ()))

    def __getattr__(self, name: str) -> Any:
        reader = self.readers.get(name)
        if reader is None:
            raise AttributeError(f"{self.plain.__name__!r} object has no attribute {name!r}")
        try:
            value = reader(self)
        except (LookupError, ValueError, TypeError) as error:
            if isinstance(error, StoreError):
                raise
            raise self.group.damage(error) from error
        setattr(self, name, value)
        return value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, self.plain):
            return NotImplemented
        return _compared(self) == _compared(other)

    __hash__ = None  # type: ignore[assignment] # as every dataclass that can be changed

    def __repr__(self) -> str:
        return repr(_make(self.plain, _values(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        return _make, (self.plain, _values(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """One that reads for itself what was not read yet."""
        made = memo[id(self)] = _new(type(self))
        for name in self.slots:
            if _is_set(self, name):
                setattr(made, name, deepcopy(getattr(self, name), memo))
        return made


def _values(lazy: Any) -> dict[str, Any]:
    return {each.name: getattr(lazy, each.name) for each in fields(lazy)}


def _compared(record: Any) -> tuple[Any, ...]:
    return tuple(getattr(record, each.name) for each in fields(record) if each.compare)


def _make(plain: type, values: Mapping[str, Any]) -> Any:
    return plain(**values)


def _is_set(lazy: object, name: str) -> bool:
    try:
        object.__getattribute__(lazy, name)
    except AttributeError:
        return False
    return True


def _read(column: str) -> Reader:
    """Reads a column, or a leaf such as ``steps.tool``, at the object's place."""
    if is_scalar(column):
        return lambda lazy: lazy.group.values(column)[lazy.place]
    return lambda lazy: lazy.group.value(column, lazy.place)


def _read_dict(column: str) -> Reader:
    """The same of a column where null stands for an empty dict."""
    return lambda lazy: lazy.group.value(column, lazy.place) or {}


def _readers(plain: type, whole: Reader) -> dict[str, Reader]:
    """Reads any field from the whole object; for those that follow from several columns."""

    def reader(name: str) -> Reader:
        return lambda lazy: getattr(whole(lazy), name)

    return {each.name: reader(each.name) for each in fields(plain)}


class _Row:
    """One row of a dataset or of a nested list, as the mapping that ``rows`` and ``talk`` take."""

    __slots__ = ("_group", "_head", "_place")

    def __init__(self, group: RowGroup, place: int, head: str = "") -> None:
        self._group, self._place, self._head = group, place, head

    def __getitem__(self, name: str) -> Any:
        return self._group.value(self._head + name, self._place)


def _nested_rows(group: RowGroup, row: int, head: str) -> list[Any]:
    return [_Row(group, place, f"{head}.") for place in range(*group.bounds(head, row))]


class StoredToolCall(Lazy, ToolCall):
    """A tool call in a store."""

    __slots__ = ("group", "place")
    plain = ToolCall
    readers: ClassVar = {
        "tool": _read("steps.tool"),
        "args": _read("steps.args"),
        "reasoning": _read("steps.reasoning"),
        "call_id": _read("steps.call_id"),
        "metadata": _read_dict("steps.call_metadata"),
    }


def _record_of(lazy: Any) -> StepRecord:
    """The whole step, for fields that follow from others."""
    return rows.step_of(_Row(lazy.group, lazy.place, "steps."))


class StoredToolResult(Lazy, ToolResult):
    """A tool's result in a store."""

    __slots__ = ("group", "place")
    plain = ToolResult
    readers: ClassVar = {
        **_readers(ToolResult, lambda lazy: _record_of(lazy).tool_result),
        "data": _read("steps.result"),
        "error": _read("steps.error"),
        "error_detail": lambda lazy: rows.detail_of(_Row(lazy.group, lazy.place, "steps.")),
        "duration_ms": _read("steps.result_duration_ms"),
        "result_key": _read("steps.result_key"),
        "warnings": _read("steps.warnings"),
        "metadata": _read_dict("steps.result_metadata"),
    }


def _part_of_step(made: type) -> Reader:
    def read(lazy: Any) -> Any:
        part: Any = _new(made)
        part.group, part.place = lazy.group, lazy.place
        return part

    return read


class StoredStep(Lazy, StepRecord):
    """A step in a store."""

    __slots__ = ("group", "place")
    plain = StepRecord
    readers: ClassVar = {
        **_readers(StepRecord, _record_of),
        "step_num": _read("steps.step_num"),
        "tool_call": _part_of_step(StoredToolCall),
        "tool_result": _part_of_step(StoredToolResult),
        "timestamp": _read("steps.timestamp"),
        "duration_ms": _read("steps.duration_ms"),
        "context_before": _read("steps.context_before"),
        "llm_call_indices": _read("steps.call_indices"),
        "metadata": _read_dict("steps.metadata"),
        "digest": _read("steps.digest"),
    }

    def to_step(self) -> Step:
        """The step as the loop yielded it."""
        step: Any = _new(StoredLoopStep)
        step.group, step.record, step.tool_call = self.group, self, self.tool_call
        return step  # type: ignore[no-any-return] # it is one


class StoredLoopStep(Lazy, Step):
    """A step in a store, as the loop yielded it; reads of the step that it was made of."""

    __slots__ = ("group", "place", "record")
    plain = Step
    readers: ClassVar = {
        **_readers(Step, lambda lazy: StepRecord.to_step(lazy.record)),
        "number": lambda lazy: lazy.record.step_num,
        "tool_call": lambda lazy: lazy.record.tool_call,
        "tool_result": lambda lazy: lazy.record.tool_result,
    }


class _Talk:
    """The model calls of one run, whole; decoded when the first of them is needed whole."""

    __slots__ = ("_calls", "_group", "_row")

    def __init__(self, group: RowGroup, row: int) -> None:
        self._group, self._row = group, row
        self._calls: list[LLMCall] | None = None

    def __getitem__(self, index: int) -> LLMCall:
        if self._calls is None:
            messages = _nested_rows(self._group, self._row, "messages")
            calls = _nested_rows(self._group, self._row, "calls")
            self._calls = talk.from_rows(messages, calls)
        return self._calls[index]


class StoredCall(Lazy, LLMCall):
    """A model call in a store."""

    __slots__ = ("group", "index_in_run", "place", "talk")
    plain = LLMCall
    readers: ClassVar = {
        **_readers(LLMCall, lambda lazy: lazy.talk[lazy.index_in_run]),
        **{name: _read(f"calls.{name}") for name in talk.PLAIN if name != "lane"},
        "duration_ms": _read("calls.latency_ms"),
        "params": _read_dict("calls.params"),
        "metadata": _read_dict("calls.metadata"),
    }


def _read_steps(run: Any) -> list[Any]:
    """Steps with the names of their tools, which is what is looked at most."""
    group, steps = run.group, []
    tools = group.values("steps.tool")
    for place in range(*group.bounds("steps", run.place)):
        call: Any = _new(StoredToolCall)
        call.group, call.place, call.tool = group, place, tools[place]
        step: Any = _new(StoredStep)
        step.group, step.place, step.tool_call = group, place, call
        steps.append(step)
    return steps


def _read_calls(run: Any) -> list[Any]:
    whole, calls = _Talk(run.group, run.place), []
    for index, place in enumerate(range(*run.group.bounds("calls", run.place))):
        call: Any = _new(StoredCall)
        call.group, call.place, call.talk, call.index_in_run = run.group, place, whole, index
        calls.append(call)
    return calls


def _new_default(factory: Callable[[], Any]) -> Reader:
    return lambda _: factory()


_DEFAULTS = {
    each.name: _new_default(each.default_factory)
    for each in fields(Trajectory)
    if each.default_factory is not MISSING
}
"""Readers of fields that no column holds."""


def _stored(name: str, *sources: str) -> Any:
    """A derived property that has a column of its own, until one of its sources is read."""
    derived = vars(Trajectory)[name]

    def read(run: Any) -> Any:
        if any(_is_set(run, source) for source in sources):
            return derived.fget(run)
        return run.group.values(name)[run.place]

    return property(read, doc=derived.__doc__)


class StoredTrajectory(Lazy, Trajectory):
    """A run in a store.

    What is derived from its fields comes from columns of its own, until the fields are read.
    """

    __slots__ = ("group", "place")
    plain = Trajectory
    readers: ClassVar = {
        **_DEFAULTS,
        **{name: _read(name) for name in rows.KEPT},
        "artifacts": _read_dict("artifacts"),
        "metadata": _read_dict("metadata"),
        "steps": _read_steps,
        "llm_calls": _read_calls,
    }

    n_steps = _stored("n_steps", "steps")
    duration_ms = _stored("duration_ms", "started_at", "ended_at")
    n_tool_errors = _stored("n_tool_errors", "steps")
    input_tokens = _stored("input_tokens", "llm_calls")
    output_tokens = _stored("output_tokens", "llm_calls")
    cached_tokens = _stored("cached_tokens", "llm_calls")
    tokens_estimated = _stored("tokens_estimated", "llm_calls")
    digest = _stored("digest", "task", "steps", "stop_reason")


def stored_run(group: RowGroup, row: int) -> Trajectory:
    """The run in one row of a group; nothing of it is read yet."""
    run: Any = _new(StoredTrajectory)
    run.group, run.place = group, row
    return run  # type: ignore[no-any-return] # it is one


def anew(run: Trajectory) -> Trajectory:
    """The run for somebody who may change it: a stored one as it is stored, else a deep copy."""
    if type(run) is StoredTrajectory:
        return stored_run(run.group, run.place)
    return deepcopy(run)
