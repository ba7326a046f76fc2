"""Messages of Anthropic's form, taken into a run. Knows the form; knows no file."""

from __future__ import annotations

from collections.abc import Mapping

from looplet.core.codec import JSON
from looplet.core.messages import ChatMessage
from looplet.trajectory.importers import prompts
from looplet.trajectory.importers.builder import RunBuilder
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.model import StepRecord


def hear(run: RunBuilder, message: Node, *, extra: Mapping[str, JSON]) -> list[StepRecord]:
    """A message of the user's; the steps whose results are in it."""
    answered = []
    for said in prompts.anthropic_message(message):
        run.hear(said, extra=extra)
        if said.role == "tool":
            answered.append(_answer(run, said))
    return answered


def _answer(run: RunBuilder, said: ChatMessage) -> StepRecord:
    """A tool's result; a message that keeps the block itself is one of a failure."""
    if any(block.get("type") == "tool_result" for block in said.blocks):
        return run.answer(None, call_id=said.call_id, error=said.content)
    data = [dict(block) for block in said.blocks] or said.content
    return run.answer(data, call_id=said.call_id)
