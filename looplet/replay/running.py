"""Agents run again: a whole replay with its verdict, and a fork that goes live from a step.

Knows loops, cassettes and the recorder of trajectories; knows nothing of files.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from looplet.core.backend import is_async
from looplet.core.codec import JSON
from looplet.core.config import LoopConfig
from looplet.core.loop import async_composable_loop, composable_loop
from looplet.core.records import new_id
from looplet.errors import CassetteError
from looplet.redaction import Given, Redactor
from looplet.replay.ambient import routed
from looplet.replay.cassette import (
    Cassette,
    StreamMode,
    ToolsMode,
    held,
    stems_from,
    use_cassette,
)
from looplet.replay.diff import TrajectoryDiff, diff
from looplet.replay.divergence import Divergence
from looplet.replay.entries import RunLog
from looplet.replay.opening import open_fork
from looplet.replay.reading import read_trajectory
from looplet.replay.runs import redacted
from looplet.trajectory.model import Trajectory
from looplet.trajectory.recorder import TrajectoryRecorder

FIELDS = ("llm", "tools", "config", "hooks", "state", "task", "context")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """What a loop is given; made by ``agent_of``."""

    tools: Any
    llm: Any = None
    config: LoopConfig = field(default_factory=LoopConfig)
    hooks: Sequence[Any] = ()
    state: Any = None
    task: Any = None
    context: Any = None


Result = TypeVar("Result")


def agent_of(given: Any) -> Agent:
    """An agent of what builds one, or of what was built.

    Takes a function without arguments that gives it, or: an object with ``tools`` and ``config``
    (an ``AgentPreset``), a mapping of the loop's keywords, or a tuple ``(llm, tools, config, hooks,
    state, task, context)`` of which the end may be left out. Raises ``CassetteError`` for anything
    else.
    """
    built = given() if callable(given) and not hasattr(given, "tools") else given
    if isinstance(built, Mapping):
        unknown = sorted(set(built) - set(FIELDS))
        if unknown:
            raise CassetteError(f"an agent has {', '.join(FIELDS)}; not {', '.join(unknown)}")
        parts = dict(built)
    elif isinstance(built, tuple):
        if len(built) > len(FIELDS):
            raise CassetteError(f"an agent is given as ({', '.join(FIELDS)}), at most")
        parts = dict(zip(FIELDS, built, strict=False))
    elif hasattr(built, "tools"):
        parts = {name: getattr(built, name, None) for name in FIELDS}
    else:
        raise CassetteError(
            f"{type(built).__name__} is no agent: give a mapping with tools, a tuple (llm, tools, "
            "config, …), an AgentPreset, or a function that gives one of these"
        )
    parts = {name: value for name, value in parts.items() if value is not None}
    if "tools" not in parts:
        raise CassetteError("an agent needs tools, a registry")
    return Agent(**parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """How a replay went."""

    trajectory: Trajectory
    """The replayed run, as far as it went."""
    recorded: RunLog | None
    """The recorded run's digest chain; ``None`` if it ran without ``wrap_config``."""
    replayed: RunLog | None
    """That of the replay, without secrets as the recorded one is; ``None`` if no run began."""
    divergence: Divergence | None
    """Where and how the replay left the recording, if it did."""
    unplayed: int
    """Recorded calls that nobody asked for."""
    cassette: Path

    @property
    def matches(self) -> bool:
        """Whether the replay is the recorded run: equal digests and no divergence.

        Without a recorded digest chain: every recorded call was asked for, and no other.
        """
        if self.divergence is not None:
            return False
        if self.recorded is None or self.recorded.digest is None:
            return self.unplayed == 0
        return self.replayed is not None and self.recorded.digest == self.replayed.digest

    def __str__(self) -> str:
        steps = f"{len(self.trajectory.steps)} steps, {self.trajectory.stop_reason}"
        if self.matches:
            return f"{self.cassette}: equal ({steps})"
        what = str(self.divergence) if self.divergence else f"{self.unplayed} calls were not played"
        return f"{self.cassette}: diverged after {steps}\n{what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkResult:
    """A run that was the recorded one up to a step and went its own way from there."""

    trajectory: Trajectory
    at: int
    """Number of the first step that was live."""
    parent: str
    """SHA-256 of the cassette that it came from, in hex."""
    cassette: Path
    """The new cassette."""


def replay(
    path: str | os.PathLike[str],
    agent: Any,
    *,
    tools: ToolsMode = "recorded",
    redact: Given | None = None,
    stream: StreamMode = "instant",
) -> ReplayResult:
    """Run an agent against a cassette, without a model, and compare with the recorded run.

    ``agent`` is what ``agent_of`` takes; of its backend only the shape is used, and it may have
    none. Its task is the recorded one unless it brings its own. With ``tools="recorded"`` no tool
    runs. An async backend is replayed in the async loop; inside a running event loop use
    ``areplay``. Raises what opening the cassette raises; what the replayed run itself raises
    passes, but for a ``Divergence``, which is in the result.
    """
    parts = agent_of(agent)
    work = areplay(path, parts, tools=tools, redact=redact, stream=stream)
    return finish(work, asynchronous=is_async(parts.llm), instead="await areplay(...)")


async def areplay(
    path: str | os.PathLike[str],
    agent: Any,
    *,
    tools: ToolsMode = "recorded",
    redact: Given | None = None,
    stream: StreamMode = "instant",
) -> ReplayResult:
    """Do what ``replay`` does, inside a running event loop."""
    parts = agent_of(agent)
    redactor = Redactor.of(redact)
    with use_cassette(path, tools=tools, redact=redactor, stream=stream) as cassette:
        recorder = recorder_of(cassette, replay_of=cassette.content_hash)
        run = Driven(parts, cassette, recorder=recorder)
        try:
            await run.drive()
        except BaseException as error:
            if not stems_from(error, cassette.divergence):
                raise
        divergence = cassette.divergence
        cassette.clear_divergence()
        recorded = cassette.runs[0] if cassette.runs else None
        replayed = cassette.replayed[0] if cassette.replayed else None
        unplayed = cassette.unplayed
    trajectory = run.recorder.trajectory
    if divergence is None and recorded and replayed and recorded.digest is not None:
        divergence = _parted(Path(path), recorded, replayed, _clean(trajectory, redactor))
    return ReplayResult(
        trajectory=trajectory,
        recorded=recorded,
        replayed=replayed,
        divergence=divergence,
        unplayed=unplayed,
        cassette=Path(path),
    )


def fork(
    path: str | os.PathLike[str],
    *,
    at: int,
    agent: Any,
    into: str | os.PathLike[str],
    llm: Any = None,
    redact: Given | None = None,
    metadata: Mapping[str, JSON] | None = None,
) -> ForkResult:
    """Replay the steps before step ``at``, tools included, and go on live into a new cassette.

    ``llm`` stands in for the agent's backend. The question that leads to step ``at`` and all later
    ones are asked live, and tools run from that step on. The new cassette holds the whole run and
    names its parent. Raises ``Divergence`` if the agent leaves the recording before ``at``, and
    ``CassetteError`` if ``into`` exists or the run ends before ``at``. Inside a running event loop
    use ``afork``.
    """
    parts = agent_of(agent)
    work = afork(path, at=at, agent=parts, into=into, llm=llm, redact=redact, metadata=metadata)
    asked = parts.llm if llm is None else llm
    return finish(work, asynchronous=is_async(asked), instead="await afork(...)")


async def afork(
    path: str | os.PathLike[str],
    *,
    at: int,
    agent: Any,
    into: str | os.PathLike[str],
    llm: Any = None,
    redact: Given | None = None,
    metadata: Mapping[str, JSON] | None = None,
) -> ForkResult:
    """Do what ``fork`` does, inside a running event loop."""
    if at < 1:
        raise CassetteError(f"at={at} is no step: steps are counted from 1")
    parts = agent_of(agent)
    llm = parts.llm if llm is None else llm
    if llm is None:
        raise CassetteError("a fork needs a backend: pass llm=, or an agent that has one")
    redactor = Redactor.of(redact)
    opened = open_fork(
        Path(path), Path(into), at, metadata or {}, redactor if redactor.active else None
    )
    with held(opened, metadata=metadata or {}, tools="recorded") as cassette:
        parent = cassette.content_hash or ""
        recorder = recorder_of(cassette, replay_of=parent)
        run = Driven(parts, cassette, recorder=recorder, llm=llm)
        await run.drive()
        if not cassette.recording:
            raise CassetteError(
                f"the run of {path} ended after {len(run.recorder.trajectory.steps)} steps, before "
                f"step {at}; nothing was live and {into} was not written"
            )
    trajectory = run.recorder.trajectory
    trajectory.cassette, trajectory.cassette_hash = str(into), cassette.content_hash
    return ForkResult(trajectory=trajectory, at=at, parent=parent, cassette=Path(into))


def recorder_of(
    cassette: Cassette, *, replay_of: str | None, about: Mapping[str, Any] | None = None
) -> TrajectoryRecorder:
    """A recorder of one run through a cassette.

    ``about`` is what it is told of the run, beside what the cassette tells.
    """
    known: dict[str, Any] = {
        "runtime": cassette.runtime,
        "trajectory_id": new_id(),
        "run_id": new_id(),
        "cassette": str(cassette.path),
        "cassette_hash": cassette.content_hash,
        "replay_of": replay_of,
    }
    return TrajectoryRecorder(**{**known, **(about or {})})


class Driven:
    """One run of an agent through a cassette, recorded.

    ``asynchronous`` says which loop it is where there is no backend to tell. ``recorder`` is one
    of ``recorder_of``; with ``models_wrapped`` it and the cassette are around the agent's models.
    """

    def __init__(
        self,
        agent: Agent,
        cassette: Cassette,
        *,
        recorder: TrajectoryRecorder,
        llm: Any = None,
        asynchronous: bool | None = None,
        models_wrapped: bool = False,
    ) -> None:
        self._agent, self._cassette, self.recorder = agent, cassette, recorder
        llm = agent.llm if llm is None else llm
        self._asynchronous = is_async(llm) if asynchronous is None else asynchronous
        config = cassette.wrap_config(agent.config)
        if not models_wrapped:
            llm = cassette.wrap_llm(llm, async_=self._asynchronous)
            llm = recorder.wrap_llm(llm, async_=self._asynchronous)
            config = routed(config, cassette)
        self._keywords = self._given(llm, config)

    def _given(self, llm: Any, config: LoopConfig) -> dict[str, Any]:
        agent, cassette = self._agent, self._cassette
        task = agent.task
        if task is None and cassette.runs:
            task = cassette.runs[0].task
        return {
            "llm": llm,
            "task": task,
            "tools": cassette.wrap_tools(agent.tools),
            "context": agent.context,
            "hooks": [*agent.hooks, self.recorder],
            "config": config,
            "state": agent.state,
        }

    async def drive(self) -> None:
        """Run to the end; a sync agent in the thread that asked."""
        if self._asynchronous:
            async for _ in async_composable_loop(**self._keywords):
                pass
        else:
            for _ in composable_loop(**self._keywords):
                pass


def _clean(run: Trajectory, redactor: Redactor) -> Trajectory:
    """The run without secrets, to be compared with a recording, which has none."""
    if not redactor.active:
        return run
    steps = [redacted(each.to_step(), redactor.value) for each in run.steps]
    return replace(
        run,
        task=redactor.value(run.task),
        stop_reason=redactor.value(run.stop_reason),
        final_output=redactor.value(run.final_output),
        steps=[
            replace(each, tool_call=step.tool_call, tool_result=step.tool_result)
            for each, step in zip(run.steps, steps, strict=True)
        ],
    )


def _parted(
    path: Path, recorded: RunLog, replayed: RunLog, trajectory: Trajectory
) -> Divergence | None:
    """The divergence of a run that asked the same and came out otherwise."""
    if recorded.digest == replayed.digest:
        return None
    found: TrajectoryDiff = diff(read_trajectory(path), trajectory)
    step = found.step
    where = "at its end" if step is None else f"at step {step}"
    return Divergence(
        f"cassette {path}: every call was as recorded, but the run came out otherwise {where}\n"
        f"{found}",
        cassette=str(path),
        step=step,
        diff=str(found),
    )


def finish(work: Coroutine[Any, Any, Result], *, asynchronous: bool, instead: str) -> Result:
    """Run a coroutine to its end: of a sync agent it never waits, and needs no event loop.

    ``instead`` is what to write where an event loop is running, which is refused.
    """
    if not asynchronous:
        try:
            work.send(None)
        except StopIteration as end:
            result: Result = end.value
            return result
        raise AssertionError("a sync agent was waited for")
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    work.close()
    raise CassetteError(f"an event loop is running here: {instead} instead")
