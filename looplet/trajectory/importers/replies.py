"""What providers answer, read as looplet's replies: OpenAI's three forms, and Anthropic's.

Knows the forms; knows no transport and no file. Nothing here makes up an id, so that reading the
same again gives the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from looplet.core.codec import JSON
from looplet.core.messages import CallRequest, ChatMessage
from looplet.trajectory.importers import chat
from looplet.trajectory.importers.builder import Block
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.problems import Malformed


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a model said, and what its provider tells beside."""

    text: str = ""
    calls: tuple[CallRequest, ...] = ()
    blocks: tuple[Mapping[str, JSON], ...] = ()
    """The whole reply, where it is more than text and calls."""
    known: dict[str, Any] = field(default_factory=dict)
    """Fields of the `LLMCall` that the provider tells: model, tokens, finish_reason, timestamp."""
    extra: dict[str, JSON] = field(default_factory=dict)
    """All else that it tells."""

    def said(self) -> ChatMessage:
        """The assistant's message."""
        return ChatMessage(
            role="assistant", content=self.text, calls=self.calls, blocks=self.blocks
        )


def chat_reply(completion: Node) -> Reply:
    """A chat completion: its first choice. The others, if any, are kept beside."""
    choices = completion.get("choices").items()
    if not choices:
        raise Malformed(completion.place, "has no choices")
    message = choices[0].need("message")
    text, blocks = chat.content_of(message.get("content"))
    refusal = message.get("refusal").text()
    usage = completion.get("usage")
    beside = {
        "message": message.rest("role", "content", "tool_calls", "function_call", "refusal"),
        "choice": choices[0].rest("index", "message", "finish_reason"),
        "usage": usage.rest("prompt_tokens", "completion_tokens", "total_tokens"),
        "choices": [each.value for each in choices[1:]],
        "refusal": refusal,
    }
    return Reply(
        text=text or refusal or "",
        calls=tuple(chat.calls_of(message)),
        blocks=blocks,
        known={
            **_known(completion, "created"),
            "finish_reason": choices[0].get("finish_reason").text(),
            "input_tokens": usage.get("prompt_tokens").count(),
            "output_tokens": usage.get("completion_tokens").count(),
            "cached_tokens": usage.get("prompt_tokens_details").get("cached_tokens").count(),
        },
        extra=completion.rest("object", "model", "created", "choices", "usage")
        | {name: value for name, value in beside.items() if value},
    )


def completion_reply(completion: Node) -> Reply:
    """A plain text completion."""
    choices = completion.get("choices").items()
    if not choices:
        raise Malformed(completion.place, "has no choices")
    usage = completion.get("usage")
    return Reply(
        text=choices[0].get("text").text() or "",
        known={
            **_known(completion, "created"),
            "finish_reason": choices[0].get("finish_reason").text(),
            "input_tokens": usage.get("prompt_tokens").count(),
            "output_tokens": usage.get("completion_tokens").count(),
        },
        extra=completion.rest("object", "model", "created", "choices", "usage"),
    )


def response_reply(response: Node) -> Reply:
    """A response of OpenAI's Responses API."""
    blocks = tuple(response_blocks(response.need("output").items()))
    usage = response.get("usage")
    return Reply(
        **in_parts(blocks),
        known={
            **_known(response, "created_at"),
            "finish_reason": response.get("incomplete_details").get("reason").text()
            or response.get("status").text(),
            "input_tokens": usage.get("input_tokens").count(),
            "output_tokens": usage.get("output_tokens").count(),
            "cached_tokens": usage.get("input_tokens_details").get("cached_tokens").count(),
        },
        extra=response.rest(*_ECHOED, "object", "model", "created_at", "output"),
    )


_ECHOED = ("instructions", "tools", "tool_choice", "text", "temperature", "top_p")
"""What a response repeats of its request."""


def anthropic_reply(message: Node) -> Reply:
    """A message of Anthropic's. Tokens sent count what was read from, and put into, its cache."""
    blocks = tuple(anthropic_blocks(message.need("content")))
    usage = message.get("usage")
    cached = usage.get("cache_read_input_tokens").count()
    sent = [usage.get("input_tokens").count(), cached]
    sent.append(usage.get("cache_creation_input_tokens").count())
    return Reply(
        **in_parts(blocks),
        known={
            "model": message.get("model").text(),
            "finish_reason": message.get("stop_reason").text(),
            "input_tokens": None if sent[0] is None else sum(count or 0 for count in sent),
            "output_tokens": usage.get("output_tokens").count(),
            "cached_tokens": cached,
        },
        extra=message.rest("type", "role", "model", "content", "stop_reason"),
    )


def response_blocks(items: Iterable[Node]) -> Iterator[Block]:
    """Items of a response as blocks: texts and calls in looplet's form, others as they are."""
    for item in items:
        kind = item.get("type").text()
        if kind == "function_call":
            call = chat.call_of(item)
            call_id = item.first("call_id", "id").label() or ""
            yield {"type": "tool_use", **call.to_dict(), "id": call_id}
        elif kind == "message" or (kind is None and item.get("role").known):
            yield from _texts(item.get("content"))
        else:
            yield dict(item.fields())


def anthropic_blocks(content: Node) -> Iterator[Block]:
    """Blocks of a message's content, which may be a text."""
    if isinstance(content.value, str):
        yield {"type": "text", "text": content.value}
        return
    for block in content.items():
        if block.get("type").text() == "tool_use":
            rest = block.rest(*_CALL_KEYS, "cache_control")
            yield {"type": "tool_use", **chat.call_of(block).to_dict(), **rest}
        else:
            yield chat.part_of(block)


def in_parts(blocks: tuple[Block, ...]) -> dict[str, Any]:
    """Text, calls, and the blocks themselves where they are more than a text and calls."""
    texts = [block["text"] for block in blocks if _is_text(block)]
    calls = [block for block in blocks if _is_call(block)]
    head = 1 if blocks and _is_text(blocks[0]) else 0
    plain = all(_is_call(block) and len(block) == len(_CALL_KEYS) for block in blocks[head:])
    simple = plain and all(len(block) == len(_TEXT_KEYS) for block in blocks[:head])
    return {
        "text": "\n".join(texts),
        "calls": tuple(
            CallRequest(id=call["id"], name=call["name"], input=call["input"]) for call in calls
        ),
        "blocks": () if simple else blocks,
    }


_CALL_KEYS = ("type", "id", "name", "input")
_TEXT_KEYS = ("type", "text")


def _is_call(block: Block) -> bool:
    kinds = (("id", str), ("name", str), ("input", dict))
    named = all(isinstance(block.get(name), kind) for name, kind in kinds)
    return named and block.get("type") == "tool_use"


def _texts(content: Node) -> Iterator[Block]:
    if isinstance(content.value, str):
        yield {"type": "text", "text": content.value}
        return
    for part in content.items():
        text = part.first("text", "refusal").text()
        if text is None:
            yield dict(part.fields())
        else:
            yield {"type": "text", "text": text}


def _is_text(block: Block) -> bool:
    return block.get("type") == "text" and isinstance(block.get("text"), str)


def _known(reply: Node, created: str) -> dict[str, Any]:
    return {"model": reply.get("model").text(), "timestamp": reply.get(created).number()}
