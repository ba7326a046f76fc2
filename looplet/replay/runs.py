"""The runs of loops that go through a cassette, step by step. Knows a hook's slots; knows no file.

A run is told by its digest chain: the hash of the task, continued by each step. The chain of a
recording and that of its replay are equal, or part at the step where the agent went another way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from looplet.core.codec import JSON, digest, from_jsonable, to_jsonable
from looplet.core.records import Step, summarize_args
from looplet.core.watching import StepWatcher
from looplet.replay.divergence import SideEffectRefused
from looplet.replay.entries import RunLog
from looplet.replay.within import within
from looplet.trajectory.model import first_link, next_link

Redact = Callable[[Any], Any] | None


class Chain:
    """The digest chain of one run, without secrets."""

    def __init__(self, task: JSON, redact: Redact) -> None:
        self._redact = redact
        task = from_jsonable(to_jsonable(task))
        self.log = RunLog(task=task if redact is None else redact(task))
        self._link = first_link(self.log.task)

    def add(self, step: Step) -> Step:
        """Go on by one step; the step as it is kept."""
        kept = step if self._redact is None else redacted(step, self._redact)
        self._link = next_link(self._link, kept)
        self.log.digests.append(self._link)
        return kept

    def end(self, stop_reason: str | None) -> RunLog:
        """The run is over."""
        if self._redact is not None:
            stop_reason = self._redact(stop_reason)
        self.log.stop_reason = stop_reason
        self.log.digest = digest(f"{self._link}:{stop_reason}")
        return self.log


def redacted(step: Step, redact: Callable[[Any], Any]) -> Step:
    """The step without secrets, as a store would give it back."""
    call, result = step.tool_call, step.tool_result
    clean = {
        "tool": call.tool,
        "summary": result.args_summary,
        "args": from_jsonable(to_jsonable(call.args)),
        "reasoning": call.reasoning,
        "data": from_jsonable(to_jsonable(result.data)),
        "error": result.error,
    }
    # A summary is cut, and of a secret that was cut in two the first half would not be found.
    of_args = result.args_summary == summarize_args(call.args)
    clean = redact(clean)
    if of_args:
        clean["summary"] = summarize_args(clean["args"])
    return Step(
        step.number,
        replace(call, tool=clean["tool"], args=clean["args"], reasoning=clean["reasoning"]),
        replace(result, args_summary=clean["summary"], data=clean["data"], error=clean["error"]),
    )


def copied(step: Step) -> Step:
    """The step as a store would give it back; later changes of what was handed out miss it."""
    kept = redacted(step, lambda clean: clean)
    result = kept.tool_result
    rest = from_jsonable(to_jsonable([result.warnings, result.metadata]))
    kept.tool_result = replace(result, warnings=rest[0], metadata=rest[1])
    return kept


class RunWatcher(StepWatcher):
    """The hook that ``wrap_config`` puts into a run: tells its cassette of each step."""

    def __init__(self, half: Any) -> None:
        super().__init__()
        self._half = half
        self._run: Any = None

    def on_step(self, state: Any, session_log: Any, step: Step, briefing: str) -> None:
        """Take the step before anybody can change it: it is yielded right after this."""
        self._catch_up(state)

    def run_begun(self, state: Any) -> None:
        """A run begins: the cassette is told its task."""
        self._run = self._half.begin_run(getattr(state, "task", None))

    def step_begun(self, number: int) -> None:
        """The model is about to be asked for that step."""
        self._half.at_step(number)

    def call_asked(self, call: Any, number: int) -> None:
        """The step's tool is about to run."""
        self._half.at_call(call, number)

    def step_ended(self, step: Step) -> None:
        """The step is what it is."""
        self._half.end_step(self._run, step)

    # The loop calls the slot by position, so every parameter stands here, used or not.
    # ruff: noqa: ARG002

    def on_loop_end(self, state: Any, session_log: Any, context: Any, llm: Any) -> None:
        """The run is over, however it ended; if a hook kept it from beginning, it is no run."""
        if self._run is None:
            return
        self._catch_up(state)
        self._half.end_run(self._run, getattr(state, "_stop_reason", None))


class GuardingWatcher(RunWatcher):
    """The same in a run whose tools go through the cassette: none may run past it."""

    def around_tool(self, tool_call: Any, step_num: int) -> None:
        """Refuse a tool that is about to run and that no registry of the cassette runs."""
        if within() is None:
            raise SideEffectRefused(
                f"tool {tool_call.tool!r} was to be run past the cassette {self._half.path}, which "
                'was opened with tools="recorded"; it was not run. Pass the loop '
                "cassette.wrap_tools(tools)."
            )
