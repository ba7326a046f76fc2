"""What differs between the model calls of two runs. Knows trajectories and no file.

For runs whose steps are not known: each call is found again in the other run by its lane and its
key, whatever order they ended in.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from looplet.core.records import escape_controls
from looplet.core.sofar import SoFar
from looplet.replay.divergence import differences
from looplet.replay.requests import Asked
from looplet.replay.value_diff import shown, value_changes
from looplet.trajectory.model import LLMCall, Trajectory

MOST_CHANGES = 20
"""Calls that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallChange:
    """One call that is not in both runs, or was answered otherwise."""

    lane: str
    call: int
    """Its place in the lane, counted from 1; in the first run, or in the second if it is new."""
    text: str

    def __str__(self) -> str:
        lines = f"lane {self.lane}, call {self.call}: {self.text}".split("\n")
        return "\n".join(map(escape_controls, lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsDiff:
    """How the model calls of two runs differ; true where they do."""

    changes: tuple[CallChange, ...]
    """The first calls that differ, lane by lane."""
    different: int
    """How many calls differ."""
    lengths: tuple[int, int]
    """How many calls the runs have."""

    @property
    def equal(self) -> bool:
        """Whether both asked the same in each lane, and were answered the same."""
        return not self.different

    def __bool__(self) -> bool:
        return not self.equal

    def __str__(self) -> str:
        if self.equal:
            return f"the model calls are equal, {self.lengths[0]} of them"
        lines = [*map(str, self.changes)]
        left_out = self.different - len(self.changes)
        return "\n".join([*lines, f"… and {left_out} more calls differ"] if left_out else lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A call and its place in its lane."""

    place: int
    call: LLMCall


def diff_calls(a: Trajectory, b: Trajectory) -> CallsDiff:
    """Compare model calls by lane and key: who asked what, and what was answered.

    Times, tokens and the order in which lanes took turns do not count.
    """
    pairs = [*_pairs(a.llm_calls, b.llm_calls)]
    different = [pair for pair in pairs if _differ(*pair)]
    return CallsDiff(
        changes=tuple(_change(*pair) for pair in different[:MOST_CHANGES]),
        different=len(different),
        lengths=(len(a.llm_calls), len(b.llm_calls)),
    )


def _pairs(
    one: Sequence[LLMCall], other: Sequence[LLMCall]
) -> Iterator[tuple[_Placed | None, _Placed | None]]:
    """Calls that ask the same, and of those left in a lane the first beside the first."""
    left, right = _by_lane(one), _by_lane(other)
    for lane in {**left, **right}:
        waiting: defaultdict[str | None, list[_Placed]] = defaultdict(list)
        for placed in reversed(right.get(lane, [])):
            waiting[placed.call.key].append(placed)
        found: list[tuple[_Placed, _Placed | None]] = []
        for placed in left.get(lane, []):
            same = waiting[placed.call.key]
            found.append((placed, same.pop() if same else None))
        rest = sorted((each for same in waiting.values() for each in same), key=_place)
        new = iter(rest)
        for placed, same_call in found:
            yield placed, next(new, None) if same_call is None else same_call
        yield from ((None, placed) for placed in new)


def _by_lane(calls: Sequence[LLMCall]) -> dict[str, list[_Placed]]:
    counted: Counter[str] = Counter()
    lanes: dict[str, list[_Placed]] = {}
    for call in sorted(calls, key=lambda call: call.timestamp or 0.0):
        counted[call.lane] += 1
        lanes.setdefault(call.lane, []).append(_Placed(place=counted[call.lane], call=call))
    return lanes


def _place(placed: _Placed) -> int:
    return placed.place


def _differ(left: _Placed | None, right: _Placed | None) -> bool:
    if left is None or right is None or left.call.key != right.call.key:
        return True
    return _outcome(left.call) != _outcome(right.call)


_OUTCOME = ("reply", "error")


def _outcome(call: LLMCall) -> tuple[Any, ...]:
    return call.response, call.error


def _change(left: _Placed | None, right: _Placed | None) -> CallChange:
    some = left or right
    assert some is not None
    return CallChange(lane=some.call.lane, call=some.place, text="\n".join(_texts(left, right)))


def _texts(left: _Placed | None, right: _Placed | None) -> Iterator[str]:
    if left is None or right is None:
        call = (left or right).call  # type: ignore[union-attr]  # one of the two is there
        yield f"asked in the {'first' if left else 'second'} alone: {shown(call.prompt)}"
    elif left.call.key != right.call.key:
        found = [*map(str, differences(_asked(left.call), _asked(right.call)))]
        yield from found or ["the requests have different keys"]
    else:
        outcomes = zip(_OUTCOME, _outcome(left.call), _outcome(right.call), strict=True)
        for name, old, new in outcomes:
            for path, text in value_changes(name, old, new):
                yield f"{path}: {text}"


def _asked(call: LLMCall) -> Asked:
    """The request of a call, as it can be compared with another."""
    return Asked(
        method=call.method,  # type: ignore[arg-type]  # a trajectory has it as text
        model=call.model,
        params=call.params,
        tools=call.tools or [],
        messages=SoFar(list(call.messages)),
        digests=SoFar([message.digest for message in call.messages]),
        key=call.key or "",
    )
