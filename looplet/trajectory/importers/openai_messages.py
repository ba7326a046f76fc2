"""Chat messages in OpenAI's form, as files for fine-tuning and many logs have them.

https://platform.openai.com/docs/api-reference/chat: roles, tool calls with their results, parts of
contents, refusals; and of old a single ``function_call``, answered by a ``function``.
"""

from __future__ import annotations

from collections.abc import Iterator

from looplet.core.codec import JSON
from looplet.trajectory.importers import chat, conversations
from looplet.trajectory.importers.builder import RunBuilder
from looplet.trajectory.importers.conversations import Conversation
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.registry import Format
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import Trajectory, final_output

NAME = "openai-messages"
_REPLY_KEYS = ("role", "content", "tool_calls", "function_call")
_HEARD_KEYS = ("role", "content", "tool_call_id")


def sniff(source: Source) -> bool:
    """Messages whose roles, calls or parts are OpenAI's, or that are plain text."""
    return conversations.form_of(source) == conversations.OPENAI


def read(source: Source) -> Iterator[Trajectory]:
    """One run a conversation."""
    return conversations.read_each(source, lambda each: _run(each, source))


def _run(conversation: Conversation, source: Source) -> Trajectory:
    known, rest = conversations.known_of(conversation.about)
    run = RunBuilder(model=known.get("model"))
    tools = conversations.tools_of(conversation.about)
    for message in conversation.messages:
        _take(run, message, tools)
    trajectory = run.build(
        source,
        conversation.record,
        form=NAME,
        task=conversations.prompt_of(conversation.messages, _text_of),
        final_output=run.last_text(),
        metadata=rest,
        **known,
    )
    if trajectory.final_output is None:  # a run of looplet's ends with a call
        trajectory.final_output = final_output(trajectory)
    return trajectory


def _take(run: RunBuilder, message: Node, tools: list[dict[str, JSON]] | None) -> None:
    said = chat.message_of(message)
    if said.role == "assistant":
        run.reply(
            said.content or message.get("refusal").text() or "",
            said.calls,
            blocks=said.blocks,
            tools=tools,
            metadata=message.rest(*_REPLY_KEYS),
        )
        return
    role = message.get("role").value
    renamed = {} if role == said.role else {"role": role}
    run.hear(said, extra=message.rest(*_HEARD_KEYS) | renamed)
    if said.role == "tool":
        name = message.get("name").text()
        data = [dict(block) for block in said.blocks] or said.content
        run.answer(data, call_id=said.call_id or run.waiting_for(None, name), tool=name)


def _text_of(message: Node) -> str:
    return chat.message_of(message).content


FORMAT = Format(name=NAME, sniff=sniff, read=read)
