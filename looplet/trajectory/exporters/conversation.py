"""A run as the one conversation that a chat would have: messages, and the tools' schemas.

Where the model was asked by native calls, it is what was really said. Other runs (those of a text
protocol, those whose history was shortened on the way, those without calls of a model) are put
together from their steps. Knows runs; knows no format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from looplet.core.codec import JSON
from looplet.core.messages import CallRequest, ChatMessage
from looplet.core.prompt import task_text
from looplet.core.records import ToolResult, is_dunder
from looplet.core.show import json_text
from looplet.trajectory.importers.replies import in_parts
from looplet.trajectory.model import DONE_TOOL, MAIN_LANE, LLMCall, StepRecord, Trajectory

NO_CALLS = "steps that are no tool call are left out"
AFTERWARDS = "what came after the model's last reply is left out"


@dataclass(slots=True, kw_only=True)
class Conversation:
    """Messages from the system's to the model's last; each call but the last reply's is answered.

    Calls have ids, each its own.
    """

    messages: list[ChatMessage]
    tools: Sequence[Mapping[str, JSON]] = ()
    """As the last call was given them: looplet's own form, or that of the run's source."""
    losses: list[str] = field(default_factory=list)
    """What of the run is not in it."""


def conversation_of(run: Trajectory) -> Conversation:
    """The conversation of a run; without messages if no model said anything."""
    calls = [call for call in run.llm_calls if call.lane == MAIN_LANE and call.response is not None]
    steps = [step for step in run.steps if not is_dunder(step.tool_call.tool)]
    told = _said_in(calls)
    if not (_is_sound(told) and _tells(told, steps)):
        told = list(_from_steps(run, steps, calls))
    last = max((place for place, each in enumerate(told) if each.role == "assistant"), default=-1)
    losses = [NO_CALLS] if len(steps) < len(run.steps) else []
    ends_with_calls = last >= 0 and bool(told[last].calls) and bool(steps)
    after = told[last + 1 :] or ends_with_calls or "messages_after_last_call" in run.metadata
    if after and not run.completed:  # the answer to a done-call says nothing new
        losses.append(AFTERWARDS)
    tools = next((call.tools for call in reversed(calls) if call.tools), ())
    return Conversation(messages=told[: last + 1], tools=tools, losses=losses)


def result_text(result: ToolResult) -> str:
    """A tool's result as the loop tells it to a model, uncut."""
    if result.error is not None:
        return f"ERROR: {result.error}"
    return result.data if isinstance(result.data, str) else json_text(result.data)


def _said_in(calls: Sequence[LLMCall]) -> list[ChatMessage]:
    """All that the last call was sent, and its reply."""
    if not calls:
        return []
    response = calls[-1].response
    if isinstance(response, str):
        reply = ChatMessage(role="assistant", content=response)
    else:
        parts = in_parts(tuple(response or ()))
        reply = ChatMessage(role="assistant", content=parts["text"], calls=parts["calls"],
                            blocks=parts["blocks"])  # fmt: skip
    return [*calls[-1].messages, reply]


def _is_sound(messages: Sequence[ChatMessage]) -> bool:
    """Whether each call has an id of its own, and is answered right after its reply."""
    ids = [call.id for message in messages for call in message.calls]
    if not all(ids) or len(set(ids)) < len(ids):
        return False
    waiting: set[str | None] = set()
    for message in messages:
        if message.role == "tool":
            if message.call_id not in waiting:
                return False
            waiting.discard(message.call_id)
        elif waiting:
            return False
        else:
            waiting = {call.id for call in message.calls}
    return bool(messages)


def _tells(messages: Sequence[ChatMessage], steps: Sequence[StepRecord]) -> bool:
    """Whether a conversation has the calls of these steps, and else those of its last reply."""
    asked = [(call.name, dict(call.input)) for message in messages for call in message.calls]
    did = [(step.tool_call.tool, _given(step)) for step in steps]
    open_calls = len(messages[-1].calls) if messages else 0
    return asked[: len(did)] == did and len(asked) - len(did) <= open_calls


def _from_steps(
    run: Trajectory, steps: Sequence[StepRecord], calls: Sequence[LLMCall]
) -> Iterator[ChatMessage]:
    """The task, a reply for each model call that led to steps, and their results."""
    if calls and calls[0].system_prompt:
        yield ChatMessage(role="system", content=calls[0].system_prompt)
    task = _task_of(run.task)
    if task:
        yield ChatMessage(role="user", content=task)
    seen: set[str] = set()
    for _, turn in groupby(enumerate(steps, 1), key=_turn_of):
        asked = [(_call_of(step, number, seen), step) for number, step in turn]
        text = asked[0][1].tool_call.reasoning
        yield ChatMessage(role="assistant", content=text, calls=tuple([call for call, _ in asked]))
        for call, step in asked:
            text = result_text(step.tool_result)
            yield ChatMessage(role="tool", content=text, call_id=call.id)
    answered = bool(steps) and steps[-1].tool_call.tool == DONE_TOOL
    if isinstance(run.final_output, str) and not answered:
        yield ChatMessage(role="assistant", content=run.final_output)


def _turn_of(numbered: tuple[int, StepRecord]) -> int:
    """What steps of one model call share; a step that names none is a turn of its own."""
    number, step = numbered
    return step.llm_call_indices[-1] if step.llm_call_indices else -number


def _call_of(step: StepRecord, number: int, seen: set[str]) -> CallRequest:
    call_id = step.tool_call.call_id
    if not call_id or call_id in seen:
        call_id = next(
            name for name in (f"call-{number}{'+' * more}" for more in range(len(seen) + 2))
            if name not in seen
        )  # fmt: skip
    seen.add(call_id)
    return CallRequest(id=call_id, name=step.tool_call.tool, input=_given(step))


def _given(step: StepRecord) -> dict[str, JSON]:
    """A call's arguments without those that the loop keeps to itself."""
    return {key: value for key, value in step.tool_call.args.items() if not is_dunder(key)}


def _task_of(task: JSON) -> str:
    """The task as text; what importers keep as a prompt is that prompt."""
    if task in (None, {}):
        return ""
    if isinstance(task, dict) and task.keys() == {"prompt"}:
        task = task["prompt"]
    return task_text(task)
