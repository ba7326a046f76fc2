"""Messages in the form of Anthropic's API: blocks of texts, thoughts, calls and their results.

https://docs.anthropic.com/en/api/messages: ``system`` and ``tools`` stand beside ``messages``, and
the results of tools in messages of the user's.
"""

from __future__ import annotations

from collections.abc import Iterator

from looplet.core.codec import JSON
from looplet.core.messages import ChatMessage
from looplet.trajectory.importers import anthropic_turns, chat, conversations, replies
from looplet.trajectory.importers.builder import RunBuilder
from looplet.trajectory.importers.conversations import Conversation
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.registry import Format
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import Trajectory

NAME = "anthropic-messages"


def sniff(source: Source) -> bool:
    """Messages with blocks of Anthropic's, or beside a system prompt or schemas of its form."""
    return conversations.form_of(source) == conversations.ANTHROPIC


def read(source: Source) -> Iterator[Trajectory]:
    """One run a conversation."""
    return conversations.read_each(source, lambda each: _run(each, source))


def _run(conversation: Conversation, source: Source) -> Trajectory:
    known, rest = conversations.known_of(conversation.about)
    run = RunBuilder(model=known.get("model"))
    head = conversation.about.get("system")
    if head.known:
        text, blocks = chat.content_of(head)
        run.hear(ChatMessage(role="system", content=text, blocks=blocks))
    tools = conversations.tools_of(conversation.about)
    for message in conversation.messages:
        _take(run, message, tools)
    return run.build(
        source,
        conversation.record,
        form=NAME,
        task=conversations.prompt_of(conversation.messages, _text_of),
        final_output=run.last_text(),
        metadata=rest,
        **known,
    )


def _take(run: RunBuilder, message: Node, tools: list[dict[str, JSON]] | None) -> None:
    if chat.role_of(message) != "assistant":
        anthropic_turns.hear(run, message, extra=message.rest("role", "content"))
        return
    reply = replies.anthropic_reply(message)
    known = {name: value for name, value in reply.known.items() if value is not None}
    run.reply(
        reply.text, reply.calls, blocks=reply.blocks, tools=tools, metadata=reply.extra, **known
    )


def _text_of(message: Node) -> str:
    return chat.content_of(message.get("content"))[0]


FORMAT = Format(name=NAME, sniff=sniff, read=read)
