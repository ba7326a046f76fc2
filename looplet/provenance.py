"""Provenance: a run kept in a directory that people and programs read, and replayed from there.

The face over the recorder and the trace directory of ``looplet.trajectory``; holds no format.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from looplet.trajectory.backends import MAX_CHARS, AsyncRecordingLLMBackend, RecordingLLMBackend
from looplet.trajectory.harness import serialize_harness
from looplet.trajectory.model import LLMCall, StepRecord, Trajectory
from looplet.trajectory.recorder import TrajectoryRecorder
from looplet.trajectory.redacting import Redact
from looplet.trajectory.trace_dir import holds_trace
from looplet.trajectory.trace_reading import read_trace
from looplet.trajectory.trace_replay import replay_loop

__all__ = [
    "AsyncRecordingLLMBackend",
    "LLMCall",
    "ProvenanceSink",
    "RecordingLLMBackend",
    "StepRecord",
    "Trajectory",
    "TrajectoryRecorder",
    "read_trace",
    "replay_loop",
    "serialize_harness",
]


class ProvenanceSink:
    """Keeps a run in a directory while it goes on: wrap the model, add the hook, flush.

    Every call is on disk before it returns, every step before it is yielded; a killed process
    leaves what it had. The wrapped backends and the hook may be asked for in any order. One sink
    serves one run at a time; a further run takes the place of the one before, on disk too.

    ``redact`` takes secrets out of every string that is kept, and with ``redact_upstream`` out of
    the prompts that the model is sent; it is a function of a text, or a
    ``looplet.redaction.Redactor``. Of prompt, system prompt and reply at most
    ``max_chars_per_call`` characters each are kept. ``capture_context=False`` leaves out the
    briefings.

    >>> import tempfile
    >>> from looplet import MockLLMBackend, composable_loop, tools_from
    >>> sink = ProvenanceSink(dir=tempfile.mkdtemp())
    >>> llm = sink.wrap_llm(MockLLMBackend(['{"tool": "done", "args": {"summary": "ripe"}}']))
    >>> tools = tools_from([], include_done=True)
    >>> for step in composable_loop(llm, "Rest.", tools, hooks=[sink.trajectory_hook()]):
    ...     print(step.tool_call.tool)
    done
    >>> read_trace(sink.flush()).final_output
    {'summary': 'ripe'}
    """

    def __init__(
        self,
        dir: str | os.PathLike[str],  # noqa: A002 - the contract's name
        *,
        max_chars_per_call: int = MAX_CHARS,
        redact: Redact | None = None,
        redact_upstream: bool = True,
        capture_context: bool = True,
    ) -> None:
        self._path = Path(dir)
        self._recorder = _SinkRecorder(
            output_dir=dir,
            redact=redact,
            redact_upstream=redact_upstream,
            max_chars_per_call=max_chars_per_call,
            capture_context=capture_context,
        )

    @property
    def trajectory(self) -> Trajectory:
        """The run as far as it went."""
        return self._recorder.trajectory

    def wrap_llm(
        self, backend: Any, *, async_: bool | None = None
    ) -> RecordingLLMBackend | AsyncRecordingLLMBackend:
        """``backend``, with its calls kept; ``async_=None`` looks whether it is an async one."""
        return self._recorder.wrap_llm(backend, async_=async_)

    def trajectory_hook(self) -> TrajectoryRecorder:
        """The hook that keeps the steps; the same one each time."""
        return self._recorder

    def flush(self) -> Path:
        """Complete ``trajectory.json`` as far as the run went, and return the directory.

        May be called at any time, and again. Where nothing was recorded, a trace that is there
        already is left as it is.
        """
        if self._recorder.is_empty and holds_trace(self._path):
            return self._path
        return self._recorder.save(self._path)

    def reset(self) -> None:
        """Begin anew, for another run; backends that were wrapped record into that one."""
        self._recorder.reset()


class _SinkRecorder(TrajectoryRecorder):
    """A recorder that begins anew with a run that comes when the one before is over."""

    def pre_loop(self, state: Any, session_log: Any, context: Any) -> None:
        """Begin. Raises ``RecorderReused`` while another run goes on."""
        if self.is_over:
            self.reset()
        super().pre_loop(state, session_log, context)
