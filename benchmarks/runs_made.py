"""Runs to store: as a recorder has them, each with its own texts. Knows no file.

They are put together rather than run, since a hundred thousand are wanted. About nine of ten end
with their done-call, one result in sixteen is an error, and there are four models and fifty tasks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from recorded import words

from looplet.core.codec import digest
from looplet.core.messages import CallRequest, ChatMessage
from looplet.core.records import ErrorKind, ToolCall, ToolError, ToolResult, summarize_args
from looplet.core.sofar import SoFar
from looplet.trajectory.model import LLMCall, StepRecord, Trajectory, chain

STEPS = 10
RESULT_WORDS = 160
"""About 1 KB."""
MODELS = ("amber-small", "amber-large", "basalt-1", "basalt-2")
TOOLS = ("look", "search", "open_page", "compare")
TASKS = 50
DONE_OF_256, ERRORS_OF_256 = 230, 16
_BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
_SYSTEM = ChatMessage(role="system", content="You look topics up and compare what you find.")
_PARAMS = {"temperature": 0.2, "max_tokens": 2000}
_SCHEMAS = [
    {
        "name": name,
        "description": f"{name.replace('_', ' ').capitalize()} by topic.",
        "input_schema": {"type": "object", "properties": {"topic": {"type": "string"}}},
    }
    for name in TOOLS
]


def make_runs(count: int, *, first: int = 0) -> Iterator[Trajectory]:
    """So many runs; the same number always gives the same run."""
    return map(make_run, range(first, first + count))


def make_run(number: int) -> Trajectory:
    """The run of that number."""
    dice = hashlib.shake_256(f"run {number}".encode()).digest(8 * STEPS + 16)
    completed = dice[-1] < DONE_OF_256
    task = {"goal": f"compare topics {number % TASKS}", "id": number % TASKS}
    began = _BEGAN + timedelta(seconds=7 * number, microseconds=1_000 * dice[-2] + dice[-3])
    steps = [_step(number, place, dice[8 * place :], began) for place in range(STEPS)]
    if completed:
        steps[-1] = _done(number, began)
    for record, link in zip(steps, chain(task, steps), strict=True):
        record.digest = link
        record.pretty = record.to_step().pretty()
    return Trajectory(
        trajectory_id=digest(f"t{number}")[:12],
        run_id=digest(f"r{number}")[:12],
        task=task,
        steps=steps,
        llm_calls=_calls(number, task, steps, dice, began),
        task_id=f"topics-{number % TASKS}",
        trial=number // TASKS,
        dataset="topics",
        agent="looker",
        model=MODELS[dice[-4] % len(MODELS)],
        started_at=began,
        ended_at=began + timedelta(seconds=STEPS, microseconds=dice[-5]),
        stop_reason="done" if completed else "budget_exhausted",
        reward=dice[-6] / 255 if completed else 0.0,
        final_output=steps[-1].tool_call.args if completed else None,
        metadata={"session_log_text": "SESSION LOG\n" + "\n".join(_line(each) for each in steps)},
        looplet_version="0.1.0",
    )


def _step(number: int, place: int, dice: bytes, began: datetime) -> StepRecord:
    name = TOOLS[dice[0] % len(TOOLS)]
    topic = words(f"topic {number}.{place}", 2)
    args: dict[str, Any] = {"topic": topic, "limit": dice[1], "deep": dice[2] % 2 == 0}
    call = ToolCall(name, args, words(f"why {number}.{place}", 12), f"call_{place + 1}")
    took = int.from_bytes(dice[3:6], "big") / 1_000
    result = ToolResult(name, summarize_args(args), None, duration_ms=took, call_id=call.call_id)
    if dice[6] < ERRORS_OF_256:
        result.error = f"nothing is known of {topic}"
        result.error_detail = ToolError(ErrorKind.EXECUTION, result.error)
    else:
        text = words(f"result {number}.{place}", RESULT_WORDS)
        result.data = {"topic": topic, "text": text, "hits": dice[7]}
    return _record(place, call, result, began)


def _done(number: int, began: datetime) -> StepRecord:
    args = {"summary": words(f"summary {number}", 20)}
    call = ToolCall("done", args, "", f"call_{STEPS}")
    shown = summarize_args(args)
    data = {"status": "completed"}
    result = ToolResult("done", shown, data, duration_ms=0.01, call_id=call.call_id)
    return _record(STEPS - 1, call, result, began)


def _record(place: int, call: ToolCall, result: ToolResult, began: datetime) -> StepRecord:
    return StepRecord(
        step_num=place + 1,
        tool_call=call,
        tool_result=result,
        timestamp=began.timestamp() + place + result.duration_ms / 1e5,
        duration_ms=result.duration_ms,
        llm_call_indices=[place],
    )


def _calls(
    number: int, task: Any, steps: list[StepRecord], dice: bytes, began: datetime
) -> list[LLMCall]:
    goal = f"TASK\ngoal: {task['goal']}\n\nAct by calling tools. Call done when it is complete."
    messages = [_SYSTEM, ChatMessage(role="user", content=goal)]
    calls = []
    for place, step in enumerate(steps):
        asked = step.tool_call
        text = asked.reasoning
        block = {"type": "tool_use", "id": asked.call_id, "name": asked.tool, "input": asked.args}
        calls.append(
            LLMCall(
                index=place,
                timestamp=began.timestamp() + place,
                duration_ms=400 + int.from_bytes(dice[place : place + 3], "big") / 10_000,
                method="generate_with_tools",
                prompt=messages[-1].content,
                system_prompt=_SYSTEM.content,
                response=([{"type": "text", "text": text}] if text else []) + [block],
                tools=_SCHEMAS,
                step_num=place + 1,
                model=MODELS[dice[-4] % len(MODELS)],
                messages=SoFar(messages, len(messages)),
                params=dict(_PARAMS),
                input_tokens=100 + 300 * place + dice[place],
                output_tokens=40 + dice[place + 1] % 64,
                finish_reason="tool_calls",
                key=digest(f"key {number}.{place}"),
            )
        )
        request = CallRequest(id=asked.call_id, name=asked.tool, input=asked.args)
        messages.append(ChatMessage(role="assistant", content=text, calls=(request,)))
        result = step.tool_result
        told = f"ERROR: {result.error}" if result.error is not None else json.dumps(result.data)
        messages.append(ChatMessage(role="tool", content=told, call_id=asked.call_id))
    return calls


def _line(step: StepRecord) -> str:
    return f"S{step.step_num} {step.tool_call.tool}: {step.tool_call.reasoning[:60]}"
