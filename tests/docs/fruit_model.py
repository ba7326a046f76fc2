"""The model behind the pages' loopback server: it prices fruit, and says hello."""

from __future__ import annotations

import json

from tests.servers import Answer, completion, message

FINAL = "An apple costs 0.40 euro."


def answer(body: dict) -> Answer:
    """Answer a request of either provider by its last message and the tools that it offers."""
    anthropic = body["path"].endswith("/messages")
    last = body["messages"][-1]
    said = last["content"] if isinstance(last["content"], str) else json.dumps(last["content"])
    offered = [(each.get("function") or each)["name"] for each in body.get("tools", ())]
    if "test_probe" in offered:
        call = ("c0", "test_probe", {"word": "ready"})
    elif offered and (last["role"] == "tool" or "tool_result" in said):
        call = ("c2", "done", {"summary": FINAL})
    elif offered:
        call = ("c1", "price", {"fruit": "apple"})
    elif "Answer with JSON only" in said:
        name, args = (
            ("price", {"fruit": "apple"}) if "S1 ✓" not in said else ("done", {"summary": FINAL})
        )
        return _text(anthropic, json.dumps({"tool": name, "args": args}))
    else:
        return _text(anthropic, "Hello!")
    return _call(anthropic, *call)


def _text(anthropic: bool, text: str) -> Answer:
    return Answer(body=message(text) if anthropic else completion(text))


def _call(anthropic: bool, call_id: str, name: str, args: dict) -> Answer:
    if anthropic:
        block = {"type": "tool_use", "id": call_id, "name": name, "input": args}
        return Answer(body=message(block, stop_reason="tool_use"))
    calls = [(call_id, name, json.dumps(args))]
    return Answer(body=completion(None, calls=calls, finish_reason="tool_calls"))
