"""What an eval reads of a run. Knows steps and trajectories; knows no file and no eval."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from looplet.core.codec import JSON
from looplet.core.logs import log
from looplet.core.records import Step

if TYPE_CHECKING:
    from looplet.trajectory.model import StepRecord, Trajectory


class EvalContext:
    """One run, as its evals see it: live, or from a trajectory.

    >>> ctx = EvalContext([], final_output={"summary": "2.30"}, stop_reason="done")
    >>> ctx.completed, ctx.step_count, ctx.final_output["summary"]
    (True, 0, '2.30')
    """

    __slots__ = (
        "_steps",
        "artifacts",
        "expected",
        "final_output",
        "metadata",
        "session_log_text",
        "stop_reason",
        "task",
        "trajectory",
    )

    def __init__(
        self,
        steps: Iterable[Step] | None,
        task: JSON = None,
        final_output: JSON = None,
        session_log_text: str = "",
        metadata: dict[str, Any] | None = None,
        artifacts: dict[str, Any] | None = None,
        stop_reason: str | None = None,
        *,
        expected: JSON = None,
        trajectory: Trajectory | None = None,
    ) -> None:
        self._steps = None if steps is None else list(steps)
        self.task = {} if task is None else task
        self.final_output = {} if final_output is None else final_output
        self.session_log_text = session_log_text
        self.metadata = {} if metadata is None else metadata
        self.artifacts = {} if artifacts is None else artifacts
        self.stop_reason = stop_reason
        self.expected = expected
        self.trajectory = trajectory

    @classmethod
    def from_trajectory(cls, trajectory: Trajectory) -> EvalContext:
        """The context of a stored run; each field is read when it is first touched.

        ``metadata`` is the run's with ``run_id started_at ended_at termination_reason``, times as
        Unix time in seconds.
        """
        context = cls.__new__(cls)
        context.trajectory = trajectory
        return context

    @classmethod
    def from_trajectory_dir(cls, path: str | os.PathLike[str]) -> EvalContext:
        """The context of a run in a trace directory, also of one that a killed process left.

        It equals the context of the run as it was recorded. ``stop_reason`` is the saved one, or
        the termination reason where there is none. Beside the trace, ``artifacts.json`` becomes
        ``artifacts``; of ``metrics.json`` keys that begin with ``expected_`` go to the task, and
        ``output`` is used where no done-call was accepted. Raises ``FileNotFoundError`` if there
        is no trace, and ``TraceDamaged`` if a file cannot be read.
        """
        from looplet.evals.trace_context import read_context  # loaded by those who read one

        return cls(**read_context(Path(path)))

    def __getattr__(self, name: str) -> Any:
        """A field of a stored run, when it is first touched."""
        if name not in EvalContext.__slots__ or name == "trajectory" or self.trajectory is None:
            raise AttributeError(f"EvalContext has no attribute {name!r}")
        from looplet.evals.trace_context import READERS  # loaded by those who have a run

        value = READERS[name](self.trajectory)
        setattr(self, name, value)
        return value

    def __deepcopy__(self, memo: dict[int, Any]) -> EvalContext:
        """The same run, of which whatever is changed is changed here alone.

        What was not read yet is not read for it. What cannot be copied, as a lock that a live
        tool's result holds, is shared.
        """
        made = EvalContext.__new__(EvalContext)
        for name in EvalContext.__slots__:
            try:
                value = object.__getattribute__(self, name)
            except AttributeError:  # not read yet
                continue
            if name == "_steps" and value is not None:
                value = [_copied(step, memo) for step in value]
            else:
                value = _copied(value, memo)
            setattr(made, name, value)
        return made

    @property
    def steps(self) -> list[Step]:
        """The steps in order, as the loop yielded them."""
        if self._steps is None:
            records = self.trajectory.steps if self.trajectory else []
            self._steps = [record.to_step() for record in records]
        return self._steps

    @property
    def completed(self) -> bool:
        """Whether the run ended by an accepted done-call."""
        return self.stop_reason == "done"

    @property
    def tool_sequence(self) -> list[str]:
        """The name of each step's tool, in order."""
        return [step.tool_call.tool for step in self._records()]

    @property
    def errors(self) -> list[str]:
        """The error texts of the steps that failed, in order."""
        found = (step.tool_result.error for step in self._records())
        return [error for error in found if error is not None]

    @property
    def step_count(self) -> int:
        """How many steps there are."""
        if self._steps is None and self.trajectory is not None:
            return self.trajectory.n_steps
        return len(self.steps)

    def _records(self) -> Sequence[Step | StepRecord]:
        """The steps as they are at hand."""
        if self._steps is None and self.trajectory is not None:
            return self.trajectory.steps
        return self.steps

    def lacks(self, name: str) -> bool:
        """Whether a field is absent: not known, or empty. False and 0 are values."""
        value = getattr(self, name)
        return value is None or (isinstance(value, str | list | tuple | dict) and not value)

    def __repr__(self) -> str:
        return f"EvalContext({self.step_count} steps, stop_reason={self.stop_reason!r})"


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    try:
        return deepcopy(value, memo)
    except Exception:  # noqa: BLE001 - whatever a user's object raises, it is shared then
        log().debug("%s cannot be copied: evals share it", type(value).__name__, exc_info=True)
        return value
