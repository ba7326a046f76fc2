"""What providers are asked, read as looplet's messages: OpenAI's three forms, and Anthropic's.

Knows the forms; knows no transport and no file. `chat` holds the form that most share.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from looplet.core.codec import JSON
from looplet.core.messages import ChatMessage
from looplet.trajectory.importers import chat, replies
from looplet.trajectory.importers.nodes import Node


def chat_messages(body: Node) -> list[ChatMessage]:
    """The messages of a chat completion's request."""
    return [chat.message_of(message) for message in body.get("messages").items()]


def completion_messages(body: Node) -> list[ChatMessage]:
    """The prompt of a plain completion, or several."""
    prompt = body.get("prompt")
    texts = prompt.items() if isinstance(prompt.value, list) else [prompt]
    return [ChatMessage(role="user", content=_text(each)) for each in texts if each.known]


def response_messages(body: Node) -> list[ChatMessage]:
    """Instructions and input of a request to the Responses API.

    Items that came of one reply (thoughts, texts and calls) are one message of the assistant's.
    """
    head = body.get("instructions")
    messages = [ChatMessage(role="system", content=head.text() or "")] if head.value else []
    given = body.get("input")
    if isinstance(given.value, str):
        return [*messages, ChatMessage(role="user", content=given.value)]
    for by_model, items in groupby(given.items(), key=_is_models_item):
        if by_model:
            parts = replies.in_parts(tuple(replies.response_blocks(items)))
            messages.append(
                ChatMessage(
                    role="assistant",
                    content=parts["text"],
                    calls=parts["calls"],
                    blocks=parts["blocks"],
                )
            )
        else:
            messages += map(_item_message, items)
    return messages


def anthropic_messages(body: Node) -> list[ChatMessage]:
    """System prompt and messages of a request to Anthropic's; each tool's result is a message."""
    head = body.get("system")
    messages: list[ChatMessage] = []
    if head.value:
        text, blocks = chat.content_of(head)
        messages.append(ChatMessage(role="system", content=text, blocks=blocks))
    for message in body.get("messages").items():
        messages += anthropic_message(message)
    return messages


def anthropic_message(message: Node) -> Iterator[ChatMessage]:
    """One message of Anthropic's form; the results in it come first, each as a tool's message."""
    content = message.get("content")
    if chat.role_of(message) == "assistant":
        parts = replies.in_parts(tuple(replies.anthropic_blocks(content)))
        yield ChatMessage(
            role="assistant", content=parts["text"], calls=parts["calls"], blocks=parts["blocks"]
        )
        return
    if not isinstance(content.value, list):
        yield chat.message_of(message)
        return
    rest: list[JSON] = []
    for block in content.items():
        if block.fields().get("type") == "tool_result":
            text, blocks = chat.content_of(block.get("content"))
            call_id = block.get("tool_use_id").label()
            if block.get("is_error").value:
                blocks = (block.fields(),)
            yield ChatMessage(role="tool", content=text, call_id=call_id, blocks=blocks)
        else:
            rest.append(block.value)
    if rest:
        yield chat.message_of(Node({**message.fields(), "content": rest}, message.place))


def _is_models_item(item: Node) -> bool:
    kind = item.get("type").text()
    if kind in {None, "message"}:
        return item.get("role").text() == "assistant"
    return kind != "function_call_output" and not (kind or "").endswith("_output")


def _item_message(item: Node) -> ChatMessage:
    if item.get("role").known:
        return chat.message_of(item)
    text, blocks = chat.content_of(item.first("output", "content"))
    return ChatMessage(
        role="tool", content=text, call_id=item.get("call_id").label(), blocks=blocks
    )


def _text(value: Node) -> str:
    """A text; tokens, which a prompt may be too, as JSON."""
    if isinstance(value.value, list | int):
        return str(value.value)
    return value.text() or ""
