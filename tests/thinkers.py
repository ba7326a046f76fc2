"""Models that think before they call, and want what they thought sent back unchanged."""

from __future__ import annotations

import itertools
import json

from tests.servers import Answer, message, response, said


class MessagesThinker:
    """Answers for a ``ChatServer`` in Anthropic's Messages API; a turn is (tool, arguments) pairs.

    A call whose thought is missing or changed is refused, and so is what the API refuses of
    those who ask for thought: a temperature, and a tool that must be called.
    """

    def __init__(self, *turns):
        self._turns = list(turns)
        self._numbers = itertools.count(1)
        self.issued = {}
        """Each reply's blocks by the id of its calls."""

    def __call__(self, body):
        problem = self.problem(body)
        if problem is not None:
            error = {"type": "invalid_request_error", "message": problem}
            return Answer(400, {"type": "error", "error": error, "request_id": "r"})
        blocks = self._think(self._turns.pop(0))
        self.issued |= {each["id"]: blocks for each in blocks if each["type"] == "tool_use"}
        return Answer(body=message(*blocks, stop_reason="tool_use"))

    def problem(self, body):
        if body.get("thinking"):
            if "temperature" in body:
                return "`temperature` may only be set to 1 when thinking is enabled."
            if body.get("tool_choice", {}).get("type") in {"any", "tool"}:
                return "Thinking may not be enabled when tool_choice forces tool use."
        asked = []
        for place, each in enumerate(body["messages"]):
            blocks = each["content"] if isinstance(each["content"], list) else []
            answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
            if answered != asked:
                return f"messages.{place}: `tool_use` ids without `tool_result`: {asked}"
            asked = [block["id"] for block in blocks if block["type"] == "tool_use"]
            if asked and blocks != self.issued.get(asked[0]):
                return f"messages.{place}: `thinking` blocks cannot be left out or modified."
        return None

    def _think(self, turn):
        number = next(self._numbers)
        thought = {"type": "thinking", "thinking": f"thought {number}", "signature": f"s{number}"}
        hidden = {"type": "redacted_thinking", "data": f"RG9u{number}"}
        said = {"type": "text", "text": f"turn {number}"}
        calls = [
            {"type": "tool_use", "id": f"toolu_{number}_{place}", "name": name, "input": args}
            for place, (name, args) in enumerate(turn)
        ]
        return [thought, hidden, said, *calls] if number % 2 else [thought, *calls]


class ResponsesThinker:
    """The same in OpenAI's Responses API, for those who let it keep nothing."""

    def __init__(self, *turns):
        self._turns = list(turns)
        self._numbers = itertools.count(1)
        self.issued = {}
        """The thoughts before each call, by the call's id."""

    def __call__(self, body):
        problem = self.problem(body)
        if problem is not None:
            error = {"type": "invalid_request_error", "message": problem, "code": None}
            return Answer(400, {"error": error})
        items = self._think(self._turns.pop(0))
        thoughts = [each for each in items if each["type"] == "reasoning"]
        self.issued |= {each["call_id"]: thoughts for each in items if "call_id" in each}
        return Answer(body=response(*items))

    def problem(self, body):
        if body["store"] or body["include"] != ["reasoning.encrypted_content"]:
            return "The thought is kept nowhere and asked for nowhere."
        thoughts, calls = [], set()
        for place, item in enumerate(body["input"]):
            if item.get("type") == "reasoning":
                thoughts.append(item)
            elif item.get("type") == "function_call":
                calls.add(item["call_id"])
                if thoughts != self.issued[item["call_id"]]:
                    return f"input.{place}: a thought cannot be left out or modified."
            elif item.get("type") == "function_call_output":
                calls.discard(item["call_id"])
                thoughts = []
        return f"No tool output found for {calls}" if calls else None

    def _think(self, turn):
        number = next(self._numbers)
        thought = {
            "type": "reasoning",
            "id": f"rs_{number}",
            "summary": [{"type": "summary_text", "text": f"thought {number}"}],
            "encrypted_content": f"Z0FB{number}",
        }
        calls = [
            {
                "type": "function_call",
                "id": f"fc_{number}_{place}",
                "call_id": f"call_{number}_{place}",
                "name": name,
                "arguments": json.dumps(args),
            }
            for place, (name, args) in enumerate(turn)
        ]
        talk = [said(f"turn {number}", phase="commentary")] if number % 2 else []
        return [thought, *talk, *calls]
