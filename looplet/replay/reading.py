"""What a cassette tells of the run it recorded, as a trajectory. Knows no loop; runs nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from looplet.core.codec import JSON
from looplet.core.records import ToolCall, ToolResult
from looplet.errors import CassetteError
from looplet.replay.entries import DISPATCH, MODEL_METHODS, STEP, RunLog, address, header, step_of
from looplet.replay.outcomes import answer_of
from looplet.replay.playback import Player
from looplet.replay.requests import Asked
from looplet.replay.serializer import restored
from looplet.replay.tooling import result_of
from looplet.trajectory.model import LLMCall, StepRecord, Trajectory


def read_trajectory(path: str | os.PathLike[str], *, run: int = 0) -> Trajectory:
    """The run that a cassette recorded; nothing is run and no model is asked.

    ``run`` counts from 0 the loops that went through the cassette. Steps are known if the loop ran
    with ``cassette.wrap_config(...)``; model calls, all those of the cassette, always are. Raises
    what opening the cassette raises, and ``CassetteError`` if there was no such run.
    """
    return trajectory_of(Player(Path(path)), run=run)


def trajectory_of(player: Player, *, run: int = 0) -> Trajectory:
    """The same for a cassette that is open."""
    log = _log_of(player, run)
    start = datetime.fromtimestamp(player.clock.start, UTC) if player.clock.start else None
    reader = Reader(run, start)
    for request, stored, method, what in player.recorded():
        reader.take(request, stored, method, what)
    found = reader.calls
    return Trajectory(
        trajectory_id=(player.persister.content_hash or "")[:12],
        run_id=(player.persister.content_hash or "")[:12],
        task=log.task,
        steps=reader.steps,
        llm_calls=found,
        model=next((call.model for call in found if call.model), None),
        started_at=start,
        ended_at=None if start is None else start + timedelta(milliseconds=reader.ended_ms),
        stop_reason=log.stop_reason or ("interrupted" if player.interrupted else None),
        final_output=_final_output(log, reader.steps),
        metadata=dict(player.metadata),
        cassette=str(player.path),
        cassette_hash=player.persister.content_hash,
        replay_of=(player.parent or {}).get("sha256"),
    )


class Reader:
    """Gathers what the interactions say, in their order; of all runs if ``run`` is ``None``."""

    def __init__(self, run: int | None, start: datetime | None = None) -> None:
        self.calls: list[LLMCall] = []
        self.steps: list[StepRecord] = []
        self.ended_ms = 0.0
        self._run = run
        self._start = 0.0 if start is None else start.timestamp()
        self._results: dict[tuple[str, int], Mapping[str, Any]] = {}
        self._waiting: dict[int | None, list[int]] = {}

    def take(self, request: Any, stored: Mapping[str, Any], method: str, what: Any) -> None:
        """One interaction."""
        started = stored.get("started_ms") or 0.0
        self.ended_ms = max(self.ended_ms, started + (stored.get("duration_ms") or 0.0))
        if method in MODEL_METHODS:
            self._take_call(request, stored, what, started)
        elif method == DISPATCH:
            ordinal = int(header(request, "ordinal") or 0)
            self._results[(header(request, "key") or "")[:16], ordinal] = stored
        elif method == STEP and self._run in (None, request.body.get("run", 0)):
            self._take_step(request, stored, started)

    def _take_call(
        self, request: Any, stored: Mapping[str, Any], asked: Asked, started: float
    ) -> None:
        answer = answer_of(stored)
        usage = answer.outcome.usage or {}
        lane = address(request.uri)[0]
        failure = answer.failure
        step = step_of(header(request, "step"))
        call = LLMCall(
            index=len(self.calls),
            timestamp=self._start + started / 1000,
            duration_ms=answer.duration_ms or 0.0,
            method=asked.method,
            prompt=next((m.content for m in reversed(asked.messages) if m.role == "user"), ""),
            system_prompt=next((m.content for m in asked.messages[:1] if m.role == "system"), ""),
            response=None if failure is not None else answer.reply,
            temperature=asked.params.get("temperature", 0.2),
            max_tokens=asked.params.get("max_tokens", 2000),
            tools=list(asked.tools) or None,
            step_num=step,
            error=None if failure is None else f"{type(failure).__name__}: {failure}",
            scope=None if lane == "main" else lane,
            input_tokens=usage.get("input_tokens", 0),
            output_tokens=usage.get("output_tokens", 0),
            cached_tokens=usage.get("cached_tokens"),
            tokens_estimated=False,
            model=asked.model,
            messages=tuple(asked.messages),
            params=dict(asked.params),
            finish_reason=answer.outcome.stop_reason,
            first_token_ms=answer.outcome.first_token_ms,
            key=asked.key,
        )
        self.calls.append(call)
        self._waiting.setdefault(step, []).append(call.index)

    def _take_step(self, request: Any, stored: Mapping[str, Any], started: float) -> None:
        body = restored(request.body)
        call = ToolCall(body["tool"], body["args"], body.get("reasoning", ""), call_id="")
        result = self._result(call, stored)
        self.steps.append(
            StepRecord(
                step_num=body["step"],
                tool_call=call,
                tool_result=result,
                timestamp=self._start + started / 1000,
                duration_ms=result.duration_ms,
                llm_call_indices=self._waiting.pop(body["step"], []),
                digest=header(request, "key") or "",
            )
        )

    def _result(self, call: ToolCall, stored: Mapping[str, Any]) -> ToolResult:
        named = stored["body"].get("of")
        if named is None:
            result = result_of(call, stored)
            summary = restored(stored.get("summary"))
            result.args_summary = result.args_summary if summary is None else summary
            return result
        known = self._results.get((named["key"], named.get("ordinal", 0)))
        if known is None:
            raise CassetteError(f"a step names the result {named}, which is not in the cassette")
        return result_of(call, known)


def _log_of(player: Player, run: int) -> RunLog:
    if run < len(player.runs):
        return player.runs[run]
    if run == 0:
        return RunLog()
    raise CassetteError(f"cassette {player.path} has {len(player.runs)} runs, none of number {run}")


def _final_output(log: RunLog, steps: list[StepRecord]) -> JSON:
    return steps[-1].tool_call.args if log.stop_reason == "done" and steps else None
