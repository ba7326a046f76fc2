"""The hook that turns a run into a trajectory. Knows the loop's slots; knows no file's format."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from looplet import __version__
from looplet.backends.ledger import Prices
from looplet.core.codec import JSON, from_jsonable
from looplet.core.records import Step, ToolCall
from looplet.core.runtime import Runtime
from looplet.core.tracing import Tracer
from looplet.errors import RecorderReused
from looplet.trajectory.backends import AsyncRecordingLLMBackend, RecordingLLMBackend
from looplet.trajectory.linking import Links
from looplet.trajectory.model import (
    BROKEN,
    DONE_TOOL,
    SESSION_LOG,
    LLMCall,
    StepRecord,
    Trajectory,
    final_output,
    first_link,
    next_link,
)
from looplet.trajectory.pricing import cost_of
from looplet.trajectory.recording import CallLog, in_step
from looplet.trajectory.redacting import Redact
from looplet.trajectory.run_spans import RunSpans

if TYPE_CHECKING:
    from looplet.trajectory.trace_dir import TraceDir

HARNESS = "harness_snapshot"
"""Key of a trajectory's metadata."""


class TrajectoryRecorder:
    """Records one run: a hook for the loop, and with ``wrap_llm`` its model calls.

    >>> recorder = TrajectoryRecorder(task_id="fruit-1", trial=0)
    >>> recorder.trajectory.task_id, recorder.trajectory.completed
    ('fruit-1', False)

    ``trajectory`` can be read at any time, also while the run goes on or after it broke.
    ``recording_llm`` is a recording backend whose calls are the run's; what it redacts is redacted
    in all of the trajectory. ``output_dir`` is a trace directory that is written as the run goes
    on: each call before it returns, each step before it is yielded. ``capture_context=False``
    leaves out the briefings. ``tracer`` gets a span for the run and one for each step; without one
    the recorder has its own. ``harness_snapshot`` is what ``serialize_harness`` gives. With
    ``prices``, a table or USD for 1000 tokens sent and received, the trajectory has ``cost_usd``
    when the run is over, if the price of every call is known.

    Identifiers come from ``runtime.new_id`` unless given. A call that a tool makes in a thread of
    its own, and not through ``ctx.llm``, is linked to the next step.
    """

    def __init__(
        self,
        *,
        recording_llm: Any = None,
        capture_context: bool = True,
        tracer: Any = None,
        output_dir: str | os.PathLike[str] | None = None,
        harness_snapshot: Mapping[str, JSON] | None = None,
        redact: Redact | None = None,
        redact_upstream: bool = True,
        max_chars_per_call: int | None = None,
        trajectory_id: str | None = None,
        run_id: str | None = None,
        metadata: Mapping[str, JSON] | None = None,
        tags: Iterable[str] = (),
        expected: JSON = None,
        task_id: str | None = None,
        trial: int | None = None,
        dataset: str | None = None,
        agent: str | None = None,
        model: str | None = None,
        cassette: str | None = None,
        cassette_hash: str | None = None,
        replay_of: str | None = None,
        git_sha: str | None = None,
        prices: Prices | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self._runtime = runtime or Runtime()
        trajectory_id = trajectory_id or self._runtime.new_id()
        self._log = _log_of(recording_llm, redact) or CallLog(
            self._runtime,
            redact=redact,
            redact_upstream=redact_upstream,
            max_chars=max_chars_per_call,
        )
        self._given_run_id = run_id
        self._redaction = redaction = self._log.redaction
        self._captures, self._output_dir, self._tracer = capture_context, output_dir, tracer
        self._prices = prices
        notes: dict[str, JSON] = redaction.value(dict(metadata or {}))
        if harness_snapshot is not None:
            notes[HARNESS] = redaction.fields(from_jsonable(dict(harness_snapshot)))
        self._about: dict[str, Any] = {
            "metadata": notes,
            "tags": redaction.value(list(tags)),
            "expected": redaction.value(expected),
            "task_id": task_id,
            "trial": trial,
            "dataset": dataset,
            "agent": agent,
            "model": model,
            "cassette": cassette,
            "cassette_hash": cassette_hash,
            "replay_of": replay_of,
            "git_sha": git_sha,
            "looplet_version": __version__,
        }
        self._log.on_finished.append(self._write_call)
        self._begin_anew(trajectory_id)

    def _begin_anew(self, trajectory_id: str) -> None:
        about = {**self._about, "tags": [*self._about["tags"]]}
        about["metadata"] = {**self._about["metadata"]}
        if self._given_run_id is not None and self._log.owner is None:
            self._log.run_id = self._given_run_id
        self._run_id = self._given_run_id or self._log.run_id
        tracer = self._tracer if self._tracer is not None else Tracer(runtime=self._runtime)
        self._spans = RunSpans(tracer, self._redaction)
        self._trajectory = Trajectory(
            trajectory_id=trajectory_id,
            run_id=self._run_id,
            llm_calls=self._log.calls,
            spans=self._spans.roots,
            **about,
        )
        self._trace = self._trace_in(self._output_dir) if self._output_dir is not None else None
        self._state: Any = None
        self._session_log: Any = None
        self._done_tool = DONE_TOOL
        self._taken = 0
        """How many of the state's steps are recorded or are older than the run."""
        self._live: list[Step] = []
        """The steps behind the records, as hooks see them."""
        self._briefing: tuple[str, str] = ("", "")
        """What stood before the model in this turn, and what is kept of it."""
        self._links = Links(self._log)
        self._link = first_link(None)

    @property
    def is_empty(self) -> bool:
        """Whether no run has begun and no call was made."""
        return self._state is None and not self._log.calls

    @property
    def is_over(self) -> bool:
        """Whether a run was recorded to its end."""
        return self._trajectory.ended_at is not None

    @property
    def trajectory(self) -> Trajectory:
        """The run as far as it went; the same object each time."""
        self._take_steps()
        self._note_model()
        return self._trajectory

    def wrap_llm(
        self, backend: Any, *, async_: bool | None = None
    ) -> RecordingLLMBackend | AsyncRecordingLLMBackend:
        """``backend``, sync or async, with its calls recorded into this trajectory."""
        return self._log.wrap(backend, async_=async_)

    def summary(self) -> str:
        """One line: which run, how it ended, how many steps and calls, how long it took."""
        from looplet.trajectory.trace_lines import headline  # loaded by those who show one

        return headline(self.trajectory, done_tool=self._done_tool)

    def save(self, dir: str | os.PathLike[str]) -> Path:  # noqa: A002 - the contract's name
        """Write the run as far as it went into a trace directory, which is returned.

        What is there of another run is removed first.
        """
        trace = self._trace
        if trace is None or Path(dir) != trace.path:
            trace = self._trace_in(dir)
        self._complete(trace)
        return trace.path

    def reset(self) -> None:
        """Begin anew, for another run; backends that were wrapped record into that one."""
        self._log.reset()
        self._begin_anew(self._runtime.new_id())

    # The loop calls the slots by position, so every parameter stands here, used or not.
    # ruff: noqa: ARG002

    def pre_loop(self, state: Any, session_log: Any, context: Any) -> None:
        """Begin. Raises ``RecorderReused`` at a second run."""
        if self._state is not None or self.is_over:
            raise RecorderReused(
                f"this recorder already holds run {self._trajectory.run_id}; "
                "make one for each run, or call reset() between them"
            )
        if self._log.is_over:  # what it holds is another recorder's run
            self._log.reset()
            self._begin_anew(self._trajectory.trajectory_id)
        self._log.owner = self._log.owner or self
        self._state, self._session_log = state, session_log
        self._taken = len(state.steps)
        self._log.current_step_num = self._taken + 1
        self._trajectory.started_at = self._now()
        self._trajectory.task = self._redaction.value(getattr(state, "task", None))
        self._done_tool = self._redaction.text(getattr(state, "_done_tool", DONE_TOOL))
        self._link = first_link(self._trajectory.task)
        self._spans.pre_loop(state, session_log, context)
        if self._trace is not None:
            self._trace.begin(self._trajectory, done_tool=self._done_tool)

    def pre_prompt(self, state: Any, session_log: Any, context: Any, step_num: int) -> None:
        """Note which step the coming model call leads to."""
        self._take_steps()
        self._log.current_step_num = step_num

    @contextmanager
    def around_tool(self, tool_call: ToolCall, step_num: int) -> Iterator[None]:
        """Link what the tool asks a model to the tool's own step."""
        span = self._spans.around_call(tool_call, step_num)
        with in_step(self._log, step_num), span or nullcontext():
            yield

    def on_step(self, state: Any, session_log: Any, step: Step, briefing: str) -> None:
        """Record a step before it is yielded. Raises what kept a call from being recorded."""
        self._raise_failure()
        if self._captures and briefing != self._briefing[0]:
            self._briefing = (briefing, self._redaction.text(briefing))
        self._take_steps()

    def should_stop(self, state: Any, step_num: int, new_entities: Any) -> bool:
        """Record the turn's steps, for loops that do not tell of each; never stops the run."""
        self._take_steps()
        return False

    def on_loop_end(self, state: Any, session_log: Any, context: Any, llm: Any) -> None:
        """Record what is left, the outcome, and what hooks added to earlier steps."""
        if self._state is not None and state is not self._state:
            return  # of a run that this recorder refused
        self._session_log = session_log
        try:
            self._note_end(state)
            if self._trace is not None:
                self._complete(self._trace)
        finally:
            self._log.current_step_num = None
            self._log.is_over = self._log.owner is self
            self._spans.on_loop_end(state, session_log, context, llm)
        self._raise_failure()

    def _note_end(self, state: Any) -> None:
        self._take_steps()
        trajectory, redaction = self._trajectory, self._redaction
        trajectory.ended_at = self._now()
        trajectory.stop_reason = redaction.stop_reason(getattr(state, "_stop_reason", None))
        trajectory.final_output = final_output(trajectory, done_tool=self._done_tool)
        trajectory.error = redaction.maybe(_error_of(trajectory))
        if self._prices is not None:
            trajectory.cost_usd = cost_of(trajectory.llm_calls, self._prices)
        self._refresh()

    def _complete(self, trace: TraceDir) -> None:
        """Write what is not on disk yet, and what has changed."""
        trajectory = self.trajectory
        self._refresh()
        calls = self._log.finished if self._is_current else trajectory.llm_calls
        trace.complete(trajectory, calls=calls, done_tool=self._done_tool)

    @property
    def _is_current(self) -> bool:
        """Whether the log still holds this run, and was not reset for another."""
        return self._trajectory.llm_calls is self._log.calls

    def _trace_in(self, path: str | os.PathLike[str]) -> TraceDir:
        from looplet.trajectory.trace_dir import TraceDir  # loaded by those who write one

        return TraceDir(path, run_id=self._run_id)

    def _write_call(self, call: LLMCall) -> None:
        if self._trace is not None and self._is_current:
            if not self._trace.begun:
                self._trace.begin(self._trajectory, done_tool=self._done_tool)
            self._trace.write_call(call)

    def _raise_failure(self) -> None:
        failure, self._log.failure = self._log.failure, None
        if failure is not None:
            raise failure

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
            step = steps[self._taken]
            self._taken += 1  # one that cannot be redacted is not tried again
            self._spans.take_step(step)
            record = self._take(step)
            if self._trace is not None:
                self._trace.write_step(record)

    def _take(self, step: Step) -> StepRecord:
        kept, earlier = self._redaction.step(step), self._trajectory.steps
        record = StepRecord(
            step_num=step.number,
            tool_call=kept.tool_call,
            tool_result=kept.tool_result,
            timestamp=self._runtime.now(),
            duration_ms=step.tool_result.duration_ms,
            pretty=self._redaction.text(kept.pretty()),
            context_before=self._briefing[1],
            llm_call_indices=self._links.claim(kept, earlier),
            metadata=dict(kept.tool_result.metadata),
            usage=step.usage,
        )
        self._link = record.digest = next_link(self._link, record)
        earlier.append(record)
        self._live.append(step)
        self._log.current_step_num = step.number + 1
        return record

    def _refresh(self) -> None:
        """Metadata and warnings, and the session log, as they are by now."""
        value, text = self._redaction.value, self._redaction.text
        for record, step in zip(self._trajectory.steps, self._live, strict=True):
            record.tool_call.metadata = value(step.tool_call.metadata)
            record.tool_result.metadata = value(step.tool_result.metadata)
            record.tool_result.warnings = [text(each) for each in step.tool_result.warnings]
            record.metadata = dict(record.tool_result.metadata)
        if self._trajectory.ended_at is not None:
            log = self._session_log
            self._trajectory.metadata[SESSION_LOG] = self._redaction.log_text(log)


def _log_of(recording_llm: Any, redact: Redact | None) -> CallLog | None:
    if recording_llm is None:
        return None
    log = getattr(recording_llm, "log", None)
    if not isinstance(log, CallLog):
        raise TypeError(
            f"recording_llm is {type(recording_llm).__name__}, and must be a RecordingLLMBackend "
            "or an AsyncRecordingLLMBackend"
        )
    if redact is not None:
        raise ValueError("recording_llm redacts for the whole run; give redact= to it alone")
    return log


def _error_of(trajectory: Trajectory) -> str | None:
    """What broke the run: the failed model call, or the exception that is leaving the loop."""
    if trajectory.stop_reason == "llm_error" and trajectory.steps:
        return trajectory.steps[-1].tool_result.error
    leaving = sys.exception() if trajectory.stop_reason in BROKEN else None
    return f"{type(leaving).__name__}: {leaving}" if leaving is not None else None


def _first_model(calls: Iterable[LLMCall]) -> str | None:
    return next((call.model for call in calls if call.model is not None), None)
