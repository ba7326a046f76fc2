"""The model behind the pages' loopback server: it prices fruit, and says hello.

It speaks Chat Completions, Responses and Messages. In the last two it thinks where it is asked
to, and refuses a conversation in which its thought is missing.
"""

from __future__ import annotations

import json

from tests.servers import Answer, completion, message, response
from tests.streams import events_of

FINAL = "An apple costs 0.40 euro."
THOUGHTS = {
    "messages": {"type": "thinking", "thinking": "I look it up.", "signature": "c2lnbmVk"},
    "responses": {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "I look it up."}],
        "encrypted_content": "Z0FBQUFB",
    },
}


def answer(body: dict) -> Answer:
    """Answer a request of either provider by its last message and the tools that it offers."""
    api = body["path"].rpartition("/")[2]
    conversation = body["input"] if api == "responses" else body["messages"]
    last = conversation[-1]
    said = last["content"] if isinstance(last.get("content"), str) else json.dumps(last)
    offered = [(each.get("function") or each)["name"] for each in body.get("tools", ())]
    answered = last.get("role") == "tool" or "tool_result" in said or "_call_output" in said
    thought = THOUGHTS.get(api) if body.get("thinking") or body.get("reasoning") else None
    if thought and answered and not _holds(conversation, thought):
        return Answer(400, {"error": {"message": "the thought before the call is missing"}})
    if "test_probe" in offered:
        call = ("c0", "test_probe", {"word": "ready"})
    elif offered and answered:
        call = ("c2", "done", {"summary": FINAL})
    elif offered:
        call = ("c1", "price", {"fruit": "apple"})
    elif "Answer with JSON only" in said:
        name, args = (
            ("price", {"fruit": "apple"}) if "S1 ✓" not in said else ("done", {"summary": FINAL})
        )
        return _text(api, json.dumps({"tool": name, "args": args}))
    elif said == "Break off.":
        return Answer(events=events_of(_text(api, "Hello!").body), drop=2)
    else:
        return _text(api, "Hello!")
    return _call(api, thought, *call)


def _holds(conversation: list[dict], thought: dict) -> bool:
    said = (each.get("content") for each in conversation)
    return thought in conversation or any(
        isinstance(each, list) and thought in each for each in said
    )


def _text(api: str, text: str) -> Answer:
    made = {"messages": message, "responses": response, "completions": completion}[api]
    return Answer(body=made(text))


def _call(api: str, thought: dict | None, call_id: str, name: str, args: dict) -> Answer:
    before = [thought] if thought else []
    if api == "messages":
        block = {"type": "tool_use", "id": call_id, "name": name, "input": args}
        return Answer(body=message(*before, block, stop_reason="tool_use"))
    if api == "responses":
        item = {"type": "function_call", "call_id": call_id, "name": name}
        return Answer(body=response(*before, {**item, "arguments": json.dumps(args)}))
    calls = [(call_id, name, json.dumps(args))]
    return Answer(body=completion(None, calls=calls, finish_reason="tool_calls"))
