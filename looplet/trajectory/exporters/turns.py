"""A run as the turns of its model, each with what was said before it and what came of it.

Knows runs; knows no format. A chat sends all that was said with every call. Where a call was sent
something else (a prompt made anew for each step, a history that was shortened), its turn says how
many of the messages so far it goes on from, and what it was told after those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from looplet.core.codec import JSON
from looplet.core.messages import ChatMessage
from looplet.core.show import json_text
from looplet.core.sofar import same_start
from looplet.trajectory.importers.replies import in_parts
from looplet.trajectory.model import LLMCall, StepRecord


@dataclass(slots=True, kw_only=True)
class Asked:
    """A call of a tool: by the model, by the loop, or both."""

    id: str
    name: str
    input: dict[str, JSON]
    step: StepRecord | None = None
    """``None`` if nothing was done."""
    answer: ChatMessage | None = None
    """The message that told its result."""

    def told(self) -> str:
        """The result as the model was told it; as text where it never was."""
        if self.answer is not None:
            return self.answer.content
        if self.step is None:
            return ""
        result = self.step.tool_result
        if result.error is not None:
            return result.error
        return result.data if isinstance(result.data, str) else json_text(result.data)


@dataclass(slots=True, kw_only=True)
class Turn:
    """One call of the model and what came of it; without a call, a step that none led to."""

    call: LLMCall | None
    reply: ChatMessage | None = None
    """What was said, as the conversation has it; ``None`` if the call failed."""
    heard: list[ChatMessage] = field(default_factory=list)
    """What the model was told since the turn before, but for the answers of that turn."""
    kept: int | None = None
    """How many of the messages so far were sent again, where that is not all of them."""
    asked: list[Asked] = field(default_factory=list)


def turns_of(calls: Sequence[LLMCall], steps: Sequence[StepRecord]) -> list[Turn]:
    """The turns in order. ``calls`` are those of one lane; the steps stand in their own order."""
    turns = _with_steps(calls, steps)
    before: Turn | None = None
    for turn in turns:
        if turn.call is None:
            continue
        turn.reply = said_by(turn.call)
        _add_calls(turn)
        if before is None:
            turn.heard = list(turn.call.messages)
        else:
            _go_on(before, turn)
        before = turn
    return turns


def said_by(call: LLMCall) -> ChatMessage | None:
    """A call's reply as a message."""
    if call.response is None:
        return None
    if isinstance(call.response, str):
        return ChatMessage(role="assistant", content=call.response)
    parts = in_parts(tuple(call.response))
    return ChatMessage(
        role="assistant", content=parts["text"], calls=parts["calls"], blocks=parts["blocks"]
    )


def _with_steps(calls: Sequence[LLMCall], steps: Sequence[StepRecord]) -> list[Turn]:
    """A turn for each call, and for each step that belongs to none of them."""
    places = {call.index: place for place, call in enumerate(calls)}
    turns: list[Turn] = []
    begun = 0
    for step in steps:
        place = max((places.get(index, -1) for index in step.llm_call_indices), default=-1)
        if place >= begun:
            turns += [Turn(call=call) for call in calls[begun : place + 1]]
            begun = place + 1
        elif place < 0 or place + 1 < begun or turns[-1].call is None:
            turns.append(Turn(call=None))
        asked = step.tool_call
        turns[-1].asked.append(
            Asked(id=asked.call_id, name=asked.tool, input=asked.args, step=step)
        )
    return turns + [Turn(call=call) for call in calls[begun:]]


def _add_calls(turn: Turn) -> None:
    """Calls that the model asked for and that nothing came of."""
    known = {(asked.id, asked.name) for asked in turn.asked}
    for call in turn.reply.calls if turn.reply else ():
        if (call.id, call.name) not in known:
            turn.asked.append(Asked(id=call.id, name=call.name, input=dict(call.input)))


def _go_on(before: Turn, turn: Turn) -> None:
    """What a turn was told since the one before it."""
    assert before.call is not None and turn.call is not None  # noqa: PT018 - both have one
    sent = turn.call.messages
    kept = _same_start(before.call.messages, sent)
    told = list(sent[kept:])
    if kept < len(before.call.messages):
        turn.kept = kept
    elif before.reply is not None and told and _repeats(before.reply, told[0]):
        before.reply = told.pop(0)
        _take_answers(before.asked, told)
    elif before.reply is not None:
        turn.kept = kept
    turn.heard = told


def _same_start(old: Sequence[ChatMessage], new: Sequence[ChatMessage]) -> int:
    kept = same_start(old, new)
    while kept < min(len(old), len(new)) and old[kept] == new[kept]:
        kept += 1
    return kept


def _repeats(reply: ChatMessage, message: ChatMessage) -> bool:
    """Whether a message says what was replied; how blocks and ids are kept may differ."""
    names = [[call.name for call in each.calls] for each in (reply, message)]
    same = reply.content == message.content and names[0] == names[1]
    return message.role == "assistant" and same


def _take_answers(asked: Sequence[Asked], told: list[ChatMessage]) -> None:
    """Take the results off the messages after a reply, as long as they come in its order."""
    for each in asked:
        if told and told[0].role == "tool" and told[0].call_id == each.id:
            each.answer = told.pop(0)
