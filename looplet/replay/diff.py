"""What differs first between two runs, and how they go on. Knows trajectories and no file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest

from looplet.core.records import escape_controls
from looplet.replay.value_diff import shown, value_changes
from looplet.trajectory.model import StepRecord, Trajectory, first_link, happened, next_link

MOST_CHANGES = 20
"""Changes that are shown, of each of task, step and end."""
MOST_STEPS = 10
"""Pairs of later steps that are shown."""
SIDE = 60
"""Characters of a later step that are shown."""
TASK = "task"
_AS_TEXT = ".* (has no JSON form|contains itself)"
_PATHS = {"data": "result", "step": "number"}
"""What a user calls the parts of a step that the digest has another name for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that differs."""

    path: str
    """``args.items[2].price``, ``result.euro``, ``tool``, ``task.goal``, ``stop_reason``."""
    text: str
    """``0.4 → 0.5``, ``added 3``, ``removed 'pear'``; of texts the words that differ."""
    step: int | None = None
    """Number of the step; ``None`` for what is no step's."""
    tool: str | None = None
    """The step's tool, if both runs called the same."""

    def __str__(self) -> str:
        tool = f" ({self.tool})" if self.tool is not None else ""
        where = f"step {self.step}{tool}: " if self.step is not None else ""
        return escape_controls(f"{where}{self.path}: {self.text}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryDiff:
    """How two runs differ; ``str()`` says it line by line, what differs first on the first line.

    It is true where the runs differ, as a list of differences would be:
    ``if found := diff(a, b): print(found)``.
    """

    equal: bool
    """Whether the digests of the runs are equal: task, steps and stop reason."""
    step: int | None
    """Number of the first step that differs or that one run alone has; ``None`` if none does."""
    changes: tuple[Change, ...]
    """Everything that differs in task, that step, number of steps, stop reason, final output.

    A final output stands in no digest. Where it alone differs, which no run of the loop gives,
    the runs are equal and this is not empty.
    """
    lengths: tuple[int, int]
    """How many steps the runs have."""
    then: tuple[str, ...]
    """How the first of the later steps go on, the two runs side by side."""

    def __bool__(self) -> bool:
        return not self.equal

    def __str__(self) -> str:
        if self.equal and not self.changes:
            return f"the runs are equal, with {self.lengths[0]} steps"
        lines = ["the runs are equal but for what no digest tells:"] if self.equal else []
        parts = {part: list(each) for part, each in groupby(self.changes, _part)}
        lines += _bounded(parts.get("task", []))
        lines += _bounded(parts.get("step", []))
        lines += self.then
        lines += _bounded(parts.get("end", []))
        return "\n".join(lines)


def diff(a: Trajectory, b: Trajectory) -> TrajectoryDiff:
    """Compare two runs, step by step, until one differs.

    The hashes that a digest chain is made of are worked out anew, so a digest that was never
    filled in or is out of date misleads nobody. Times, durations, ids and metadata do not count.

    >>> a, b = (
    ...     Trajectory(trajectory_id=name, run_id=name, task={"goal": f"Find {name}s.", "n": 3})
    ...     for name in ("pear", "plum")
    ... )
    >>> print(diff(a, b))
    task.goal: 'pears' → 'plums'
    """
    with warnings.catch_warnings():  # the runs were stored with these warnings already
        warnings.filterwarnings("ignore", _AS_TEXT, UserWarning)
        same_task = first_link(a.task) == first_link(b.task)
        index = _first_difference(a.steps, b.steps)
        pair = _pair_at(index, a.steps, b.steps)
        return TrajectoryDiff(
            equal=same_task and index is None and str(a.stop_reason) == str(b.stop_reason),
            step=min((each.step_num for each in pair if each), default=None),
            changes=(*_task_changes(a, b), *_step_changes(*pair), *_end_changes(a, b)),
            lengths=(len(a.steps), len(b.steps)),
            then=() if index is None else tuple(_then(a, b, index + all(pair))),
        )


def _first_difference(one: Sequence[StepRecord], other: Sequence[StepRecord]) -> int | None:
    """The place of the first step that differs by itself, whatever the task and those before."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if next_link("", left) != next_link("", right):
            return index
    return min(len(one), len(other)) if len(one) != len(other) else None


def _pair_at(
    index: int | None, one: Sequence[StepRecord], other: Sequence[StepRecord]
) -> tuple[StepRecord | None, StepRecord | None]:
    if index is None:
        return None, None
    return _step_at(one, index), _step_at(other, index)


def _step_at(steps: Sequence[StepRecord], index: int) -> StepRecord | None:
    return steps[index] if index < len(steps) else None


def _task_changes(a: Trajectory, b: Trajectory) -> Iterator[Change]:
    for path, text in value_changes(TASK, a.task, b.task):
        yield Change(path=path, text=text)


def _step_changes(left: StepRecord | None, right: StepRecord | None) -> Iterator[Change]:
    """What differs in a step that both runs have."""
    if left is None or right is None:
        return
    number = min(left.step_num, right.step_num)
    tool = left.tool_call.tool if left.tool_call.tool == right.tool_call.tool else None
    before, after = happened(left), happened(right)
    for name, old in before.items():
        for path, text in value_changes(_PATHS.get(name, name), old, after[name]):
            yield Change(path=path, text=text, step=number, tool=tool)


def _end_changes(a: Trajectory, b: Trajectory) -> Iterator[Change]:
    ends = (
        ("steps", len(a.steps), len(b.steps)),
        ("stop_reason", a.stop_reason, b.stop_reason),
        ("final_output", a.final_output, b.final_output),
    )
    for name, old, new in ends:
        for path, text in value_changes(name, old, new):
            yield Change(path=path, text=text)


def _then(a: Trajectory, b: Trajectory, begin: int) -> Iterator[str]:
    """How the runs go on: after a different step, or with the first that one run alone has."""
    end = begin + MOST_STEPS
    sides = zip_longest(a.steps[begin:end], b.steps[begin:end])
    for left, right in sides:
        yield f"  {_side(left, a)} | {_side(right, b)}"
    left_out = max(len(a.steps), len(b.steps)) - end
    if left_out > 0:
        yield f"  … and {left_out} more"


def _side(step: StepRecord | None, run: Trajectory) -> str:
    if step is None:
        return escape_controls(f"ended ({run.stop_reason})")
    call, error = step.tool_call, step.tool_result.error
    inner = ", ".join(f"{name}={shown(value)}" for name, value in call.args.items())
    text = f"{call.tool}({inner})"
    text = text if len(text) <= SIDE else f"{text[:SIDE]} …"
    return escape_controls(f"step {step.step_num}: {text}" + (" ✗" if error is not None else ""))


def _part(change: Change) -> str:
    if change.step is not None:
        return "step"
    return TASK if re.match(rf"{TASK}\b", change.path) else "end"


def _bounded(changes: Sequence[Change]) -> list[str]:
    more = len(changes) - MOST_CHANGES
    lines = [str(each) for each in changes[:MOST_CHANGES]]
    return [*lines, f"… and {more} more differ there"] if more > 0 else lines
