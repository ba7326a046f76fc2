"""Replies cut into the events of a stream, as the providers write them."""

from __future__ import annotations

import json


def in_threes(text):
    """A text in pieces of three characters."""
    return [text[place : place + 3] for place in range(0, len(text), 3)]


def chat_chunks(completion, cut=in_threes):
    """The chunks of a streamed chat completion, the usage in a last one of its own."""
    choice, frame = completion["choices"][0], {"id": "c", "object": "chat.completion.chunk"}
    said = choice["message"]
    deltas = [{"role": "assistant", "content": ""}]
    for name in ("content", "refusal"):
        deltas += [{name: piece} for piece in cut(said.get(name) or "")]
    for index, call in enumerate(said.get("tool_calls") or ()):
        function = call["function"]
        begun = {"id": call["id"], "type": "function", "function": {"name": function["name"]}}
        pieces = [{"function": {"arguments": piece}} for piece in cut(function["arguments"])]
        deltas += [{"tool_calls": [{"index": index, **piece}]} for piece in [begun, *pieces]]
    chunks = [
        {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    last = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
    chunks.append({**frame, "choices": [last]})
    if "usage" in completion:
        chunks.append({**frame, "choices": [], "usage": completion["usage"]})
    return chunks


def message_events(message, cut=in_threes):
    """The events of a streamed message."""
    usage = message.get("usage")
    begun = {**message, "content": [], "stop_reason": None}
    if usage is not None:
        begun["usage"] = {**usage, "output_tokens": 1}
    events = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(message["content"]):
        empty, deltas = _block_cut(block, cut)
        at = {"index": index}
        events.append({"type": "content_block_start", **at, "content_block": empty})
        events += [{"type": "content_block_delta", **at, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", **at})
    end = {"type": "message_delta", "delta": {"stop_reason": message["stop_reason"]}}
    if usage is not None:
        end["usage"] = {"output_tokens": usage["output_tokens"]}
    return [*events, end, {"type": "message_stop"}]


def _block_cut(block, cut):
    """A block as it begins, and the pieces that follow."""
    kind = block["type"]
    if kind == "text":
        deltas = [{"type": "text_delta", "text": piece} for piece in cut(block["text"])]
        quoted = [{"type": "citations_delta", "citation": c} for c in block.get("citations") or ()]
        return {"type": kind, "text": ""}, quoted + deltas
    if kind == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": p} for p in cut(block["thinking"])]
        signed = {"type": "signature_delta", "signature": block["signature"]}
        return {"type": kind, "thinking": "", "signature": ""}, [*deltas, signed]
    if "input" in block:
        text = block["input"] if isinstance(block["input"], str) else json.dumps(block["input"])
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in cut(text)]
        return {**block, "input": {}}, deltas
    return block, []


def events_of(reply, cut=in_threes):
    """The events of either kind of reply; ``None`` for what is no reply."""
    if not isinstance(reply, dict):
        return None
    if reply.get("type") == "message":
        return message_events(reply, cut)
    if any("message" in choice for choice in reply.get("choices") or ()):
        return [*chat_chunks(reply, cut), "[DONE]"]
    return [reply] if "error" in reply else None


def endless(reply):
    """The events of a reply that goes on for longer than any buffer of the line holds."""
    events = events_of(reply("x" * 30))
    text = next(event for event in events if "xxx" in json.dumps(event))
    return [*events[:-3], *[json.loads(json.dumps(text).replace("xxx", "y" * 9000))] * 2000]


def sse(event):
    """An event as bytes: named if it says its type, as Anthropic writes them."""
    if isinstance(event, bytes):
        return event
    name = event.get("type") if isinstance(event, dict) else None
    data = event if isinstance(event, str) else json.dumps(event)
    return (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()
