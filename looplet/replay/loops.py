"""Code that starts loops, run again: every loop through one cassette, compared with its recording.

Knows cassettes and trajectories; knows nothing of how the code is found.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from looplet.core.codec import canonical, to_jsonable
from looplet.core.wording import counted
from looplet.errors import CassetteError
from looplet.redaction import Given, Redactor
from looplet.replay.ambient import ambient
from looplet.replay.cassette import StreamMode, ToolsMode, held, stems_from, use_cassette
from looplet.replay.diff import diff
from looplet.replay.divergence import Divergence
from looplet.replay.entries import RunLog
from looplet.replay.opening import open_fork
from looplet.replay.playback import Player
from looplet.replay.reading import trajectory_of
from looplet.replay.running import ForkResult
from looplet.trajectory.model import Trajectory, first_link

SHOWN = 80
"""Characters of a task that are shown."""
MOST_SHOWN = 5
"""Runs whose differences are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopsResult:
    """How the replay of every loop of some code went."""

    runs: tuple[Trajectory, ...]
    """The replayed runs, as far as they went, in the order in which they began."""
    recorded: tuple[RunLog, ...]
    """The recorded runs; none if they ran without ``ambient`` and ``wrap_config``."""
    divergence: Divergence | None
    """Where and how a replayed loop left the recording, if one did."""
    differences: tuple[str, ...]
    """Of runs that asked the same and came out otherwise, and of runs that one side alone has."""
    unplayed: int
    """Recorded calls that nobody asked for."""
    cassette: Path

    @property
    def matches(self) -> bool:
        """Whether each recorded run was replayed, equal, and no other.

        Without a recorded run: every recorded call was asked for, and no other.
        """
        if self.divergence is not None:
            return False
        return not self.differences if self.recorded else self.unplayed == 0

    def __str__(self) -> str:
        steps = sum(len(run.steps) for run in self.runs)
        what = f"{counted(len(self.runs), 'run')}, {counted(steps, 'step')}"
        if self.matches:
            return f"{self.cassette}: equal ({what})"
        told = [str(self.divergence)] if self.divergence else [*self.differences]
        told = told or [f"{counted(self.unplayed, 'call')} not played"]
        return "\n".join([f"{self.cassette}: diverged after {what}", *told])


def replay_loops(
    path: str | os.PathLike[str],
    code: Callable[[], object],
    *,
    tools: ToolsMode = "recorded",
    redact: Given | None = None,
    stream: StreamMode = "instant",
) -> LoopsResult:
    """Call ``code`` with a cassette around every loop that it starts, and compare the runs.

    No model is asked, and with ``tools="recorded"`` no tool runs. What ``code`` raises passes, but
    for a ``Divergence`` and what came of one, which is in the result. Raises what opening the
    cassette raises.
    """
    with (
        use_cassette(path, tools=tools, redact=redact, stream=stream) as cassette,
        ambient(cassette, cassette._half, keep=True) as runs,  # noqa: SLF001 - of the same room
    ):
        try:
            code()
        except Exception:
            if cassette.divergence is None:
                raise
        except BaseException as error:
            if not stems_from(error, cassette.divergence):
                raise
        divergence = cassette.divergence
        cassette.clear_divergence()
        recorded, unplayed = cassette.runs, cassette.unplayed
    differences = [] if divergence else _differences(Path(path), recorded, runs)
    return LoopsResult(
        runs=tuple(runs),
        recorded=tuple(recorded),
        divergence=divergence,
        differences=tuple(differences),
        unplayed=unplayed,
        cassette=Path(path),
    )


def fork_loops(
    path: str | os.PathLike[str],
    code: Callable[[], object],
    *,
    at: int,
    into: str | os.PathLike[str],
    redact: Given | None = None,
) -> ForkResult:
    """Call ``code`` with a fork around the loop that it starts: live from step ``at`` on.

    What ``fork`` does for an agent, with the backend that the code itself brings. Raises
    ``CassetteError`` if the cassette has more than one run, since step ``at`` of which is meant
    would not be known, and what ``fork`` and ``code`` raise.
    """
    if at < 1:
        raise CassetteError(f"at={at} is no step: steps are counted from 1")
    redactor = Redactor.of(redact)
    opened = open_fork(Path(path), Path(into), at, {}, redactor if redactor.active else None)
    with (
        held(opened, metadata={}, tools="recorded") as cassette,
        ambient(cassette, opened.half, keep=True) as runs,
    ):
        if len(cassette.runs) > 1:
            raise CassetteError(f"{path} has {len(cassette.runs)} runs, and a fork is of one")
        parent = cassette.content_hash or ""
        code()
        if not cassette.recording:
            steps = counted(sum(len(run.steps) for run in runs), "step")
            raise CassetteError(
                f"the run of {path} ended after {steps}, before step {at}; nothing was live and "
                f"{into} was not written"
            )
    run = runs[0]
    run.cassette, run.cassette_hash, run.replay_of = str(into), cassette.content_hash, parent
    return ForkResult(trajectory=run, at=at, parent=parent, cassette=Path(into))


def _differences(
    path: Path, recorded: Sequence[RunLog], replayed: Sequence[Trajectory]
) -> list[str]:
    """What is not equal. Which run is which tells its content, since threads begin in any order."""
    by_digest: dict[str, list[Trajectory]] = {}
    for run in reversed(replayed):
        by_digest.setdefault(run.digest, []).append(run)
    equal = {}
    for number, log in enumerate(recorded):
        if log.digest is not None and by_digest.get(log.digest):
            equal[number] = id(by_digest[log.digest].pop())
    left = _without(replayed, equal.values())
    lost = [number for number in range(len(recorded)) if number not in equal]
    pairs = [*_paired(recorded, lost, left)]
    new = _without(left, [id(run) for _, run in pairs])
    told = [*_told(path, recorded, pairs)]
    return [*told, *(f"a run that was not recorded: {_shown(run)}" for run in new)]


def _paired(
    recorded: Sequence[RunLog], lost: Sequence[int], left: Sequence[Trajectory]
) -> Iterator[tuple[int, Trajectory | None]]:
    """Each recorded run that has no equal, and one with the same task."""
    of_task: dict[str, list[Trajectory]] = {}
    for run in reversed(left):
        of_task.setdefault(first_link(run.task), []).append(run)
    for number in lost:
        others = of_task.get(first_link(recorded[number].task))
        yield number, others.pop() if others else None


def _told(
    path: Path, recorded: Sequence[RunLog], pairs: Sequence[tuple[int, Trajectory | None]]
) -> Iterator[str]:
    """How the runs of each pair differ; of the first few in full."""
    reader = None
    shown = 0
    for number, other in pairs:
        log = recorded[number]
        if other is None:
            yield f"run {number} was not replayed: {_task(log.task)}"
        elif log.digest is not None or not _as_far_as(log, other):
            shown += 1
            if shown > MOST_SHOWN:
                yield f"run {number} came out otherwise, too"
                continue
            reader = reader or Player(path)
            found = diff(trajectory_of(reader, run=number), other)
            yield f"run {number}: every call was as recorded, but it came out otherwise\n{found}"


def _without(runs: Sequence[Trajectory], names: Iterable[int]) -> list[Trajectory]:
    """The runs but those of these ids."""
    gone = {*names}
    return [run for run in runs if id(run) not in gone]


def _as_far_as(log: RunLog, run: Trajectory) -> bool:
    """Whether a run is the recorded one, as far as that went before it was broken off."""
    return [step.digest for step in run.steps[: len(log.digests)]] == log.digests


def _shown(run: Trajectory) -> str:
    return f"{counted(len(run.steps), 'step')}, {run.stop_reason}, {_task(run.task)}"


def _task(task: object) -> str:
    text = canonical(to_jsonable(task))
    return f"task {text if len(text) <= SHOWN else f'{text[:SHOWN]} …'}"
