"""The hook that turns a run into a trajectory. Knows the loop's slots; knows no file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from looplet import __version__
from looplet.core.codec import JSON
from looplet.core.records import Step
from looplet.core.runtime import Runtime
from looplet.errors import RecorderReused
from looplet.trajectory.model import LLMCall, StepRecord, Trajectory, first_link, next_link
from looplet.trajectory.recording import (
    AsyncRecordingLLMBackend,
    CallLog,
    RecordingLLMBackend,
    snapshot,
)

_BROKEN = ("error", "interrupted")
"""Stop reasons of runs that an exception ended."""


class TrajectoryRecorder:
    """Records one run: a hook for the loop, and with ``wrap_llm`` its model calls.

    >>> recorder = TrajectoryRecorder(task_id="fruit-1", trial=0)
    >>> recorder.trajectory.task_id, recorder.trajectory.completed
    ('fruit-1', False)

    ``trajectory`` can be read at any time, also while the run goes on or after it broke.
    Identifiers come from ``runtime.new_id`` unless given. Where tools run side by side and ask the
    model, a call is linked to the first step of the tool that its scope names.
    """

    def __init__(
        self,
        *,
        task_id: str | None = None,
        trial: int | None = None,
        dataset: str | None = None,
        agent: str | None = None,
        model: str | None = None,
        tags: Iterable[str] = (),
        expected: JSON = None,
        metadata: Mapping[str, JSON] | None = None,
        trajectory_id: str | None = None,
        run_id: str | None = None,
        cassette: str | None = None,
        cassette_hash: str | None = None,
        replay_of: str | None = None,
        git_sha: str | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self._runtime = runtime or Runtime()
        self._log = CallLog(self._runtime)
        self._trajectory = Trajectory(
            trajectory_id=trajectory_id or self._runtime.new_id(),
            run_id=run_id or self._runtime.new_id(),
            task_id=task_id,
            trial=trial,
            dataset=dataset,
            agent=agent,
            model=model,
            tags=list(tags),
            expected=snapshot(expected),
            metadata=snapshot(dict(metadata or {})),
            cassette=cassette,
            cassette_hash=cassette_hash,
            replay_of=replay_of,
            git_sha=git_sha,
            looplet_version=__version__,
            llm_calls=self._log.calls,
        )
        self._state: Any = None
        self._taken = 0
        """How many of the state's steps are recorded or are older than the run."""
        self._live: list[Step] = []
        """The steps behind the records, as hooks see them."""
        self._gathered = 0
        """How many of the log's calls were looked at."""
        self._unlinked: list[LLMCall] = []
        """Those of them that no step has yet."""
        self._owners: dict[int, int] = {}
        """Index of a tool's call to the number of the step whose tool made it."""
        self._link = first_link(None)

    @property
    def trajectory(self) -> Trajectory:
        """The run as far as it went; the same object each time."""
        self._take_steps()
        self._note_model()
        return self._trajectory

    def wrap_llm(self, backend: Any) -> RecordingLLMBackend | AsyncRecordingLLMBackend:
        """``backend``, sync or async, with its calls recorded into this trajectory."""
        return self._log.wrap(backend)

    # The loop calls the slots by position, so every parameter stands here, used or not.
    # ruff: noqa: ARG002

    def pre_loop(self, state: Any, session_log: Any, context: Any) -> None:
        """Begin. Raises ``RecorderReused`` at a second run."""
        if self._state is not None:
            raise RecorderReused(
                f"this recorder already holds run {self._trajectory.run_id}; "
                "make one TrajectoryRecorder for each run"
            )
        self._state = state
        self._taken = len(state.steps)
        self._trajectory.task = snapshot(getattr(state, "task", None))
        self._trajectory.started_at = self._now()
        self._link = first_link(self._trajectory.task)

    def pre_prompt(self, state: Any, session_log: Any, context: Any, step_num: int) -> None:
        """Note which step the coming model call leads to."""
        self._take_steps()
        self._log.current_step_num = step_num

    def post_dispatch(
        self, state: Any, session_log: Any, tool_call: Any, tool_result: Any, step_num: int
    ) -> None:
        """Link the calls that a tool made, before another call of the same tool makes more."""
        self._gather_calls()
        for call in self._unlinked:
            if _made_by(call, tool_call.tool):
                self._owners.setdefault(call.index, step_num)
        self._take_steps()

    def should_stop(self, state: Any, step_num: int, new_entities: Any) -> bool:
        """Record the turn's steps; never stops the run."""
        self._take_steps()
        return False

    def on_loop_end(self, state: Any, session_log: Any, context: Any, llm: Any) -> None:
        """Record what is left, the outcome, and what hooks added to earlier steps."""
        self._take_steps()
        self._refresh()
        trajectory = self._trajectory
        trajectory.ended_at = self._now()
        trajectory.stop_reason = getattr(state, "_stop_reason", None)
        trajectory.final_output = _final_output(trajectory)
        trajectory.metadata["session_log_text"] = session_log.render() if session_log else ""
        trajectory.error = _error_of(trajectory)
        self._note_model()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._runtime.now(), UTC)

    def _note_model(self) -> None:
        if self._trajectory.model is None:
            self._trajectory.model = _first_model(self._log.calls)

    def _take_steps(self) -> None:
        if self._state is None:
            return
        steps = self._state.steps
        while self._taken < len(steps):
            self._take(steps[self._taken])
            self._taken += 1

    def _take(self, step: Step) -> None:
        result = step.tool_result
        record = StepRecord(
            step_num=step.number,
            tool_call=replace(step.tool_call, args=snapshot(step.tool_call.args)),
            tool_result=replace(result, data=snapshot(result.data)),
            timestamp=self._runtime.now(),
            duration_ms=result.duration_ms,
            pretty=step.pretty(),
            llm_call_indices=self._claim_calls(step),
        )
        self._link = record.digest = next_link(self._link, record)
        self._trajectory.steps.append(record)
        self._live.append(step)

    def _gather_calls(self) -> None:
        new = self._log.calls[self._gathered :]
        self._unlinked += new
        self._gathered += len(new)

    def _claim_calls(self, step: Step) -> list[int]:
        """Calls that led to a step: the loop's own since the last step, and those of its tool."""
        self._gather_calls()
        claimed: list[LLMCall] = []
        left: list[LLMCall] = []
        for call in self._unlinked:
            (claimed if self._belongs(call, step) else left).append(call)
        self._unlinked = left
        for call in claimed:
            call.step_num = step.number
        return [call.index for call in claimed]

    def _belongs(self, call: LLMCall, step: Step) -> bool:
        if call.scope is None or not call.scope.startswith("tool:"):
            return True
        owner = self._owners.get(call.index)
        return _made_by(call, step.tool_call.tool) if owner is None else owner == step.number

    def _refresh(self) -> None:
        """Metadata and warnings as they are at the end of the run."""
        for record, step in zip(self._trajectory.steps, self._live, strict=True):
            record.tool_call.metadata = snapshot(step.tool_call.metadata)
            record.tool_result.metadata = snapshot(step.tool_result.metadata)
            record.tool_result.warnings = list(step.tool_result.warnings)


def _made_by(call: LLMCall, tool: str) -> bool:
    return call.scope is not None and call.scope.split("/")[0] == f"tool:{tool}"


def _final_output(trajectory: Trajectory) -> JSON:
    """Arguments of the done-call that ended the run; a run that is done ends with its done-call."""
    if not trajectory.completed or not trajectory.steps:
        return None
    last = trajectory.steps[-1]
    data = last.tool_result.data
    rejected = isinstance(data, dict) and data.get("rejected") is True
    return None if last.tool_result.error is not None or rejected else last.tool_call.args


def _error_of(trajectory: Trajectory) -> str | None:
    """What broke the run: the failed model call, or the exception that is leaving the loop."""
    if trajectory.stop_reason == "llm_error" and trajectory.steps:
        return trajectory.steps[-1].tool_result.error
    leaving = sys.exception() if trajectory.stop_reason in _BROKEN else None
    return f"{type(leaving).__name__}: {leaving}" if leaving is not None else None


def _first_model(calls: Iterable[LLMCall]) -> str | None:
    return next((call.model for call in calls if call.model is not None), None)
