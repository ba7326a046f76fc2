"""What is recorded and replayed: one agent's run, its model a script or behind HTTP on loopback.

The agent looks topics up; every look gives about 900 characters that no other look gives, as the
results of a real tool would. The model's replies depend on nothing but the number of the call, so
the script and the server give the same run.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

from looplet import LoopConfig, async_composable_loop, composable_loop, tool, tools_from

USAGE = {"input_tokens": 100, "output_tokens": 40}
LOOK_WORDS, NEW_WORDS = 150, 6_500
_STARTS = ["ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo",
           "wu", "za"]  # fmt: skip
_ENDS = ["lan", "mer", "nis", "pol", "rum", "sat", "tev", "vik", "don", "fel", "gar", "hob",
         "jun", "kes", "lim,", "mot.\n"]  # fmt: skip
_WORDS = [start + end for start in _STARTS for end in _ENDS]


def words(seed: str, many: int) -> str:
    """Text of so many words, always the same for a seed; lines of about 16 words.

    >>> words("pear", 3) == words("pear", 3) != words("apple", 3)
    True
    """
    picked = hashlib.shake_256(seed.encode()).digest(many)
    return " ".join([_WORDS[each] for each in picked]).replace("\n ", "\n")


def look(topic: str) -> dict[str, str]:
    """Look a topic up."""
    return {"topic": topic, "text": words(topic, LOOK_WORDS)}


async def look_async(topic: str) -> dict[str, str]:
    """Look a topic up."""
    return look(topic)


TOOLS = {
    each: tools_from([tool(name="look")(each)], include_done=True) for each in (look, look_async)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How the agent asks."""

    native: bool = False
    prompt: Callable[..., str] | None = None
    """Makes the prompt of text; ``None``: looplet's own, which stays short however long the run."""


def whole_history(*, task: Any, state: Any, step_number: int, **_: Any) -> str:
    """A prompt of text that repeats every step so far, as many agents' prompts do."""
    steps = [f"S{each.number} look → {each.tool_result.data['text']}" for each in state.steps]
    return "\n".join([f"TASK\n{task}", *steps, f"STEP {step_number}: which topic comes next?"])


def all_new(*, task: Any, step_number: int, **_: Any) -> str:
    """A prompt of text of 40,000 characters, none of which were asked before."""
    return words(f"{str(task)[:60]}, step {step_number}", NEW_WORDS)


NATIVE = Shape(native=True)
WHOLE = Shape(prompt=whole_history)
OWN = Shape()
NEW = Shape(prompt=all_new)


def topic_of(number: int) -> str:
    """What the model wants to look up in its call of that number."""
    return f"topic {number}"


def as_text(number: int) -> str:
    """The reply as text."""
    why = words(f"why {number}", 12)
    call = {"tool": "look", "args": {"topic": topic_of(number)}, "reasoning": why}
    return json.dumps(call)


def as_blocks(number: int) -> list[dict[str, Any]]:
    """The same as a native tool call."""
    call = {"type": "tool_use", "id": f"call_{number}", "name": "look"}
    return [
        {"type": "text", "text": words(f"why {number}", 12)},
        {**call, "input": {"topic": topic_of(number)}},
    ]


class Script:
    """The model without HTTP: replies at once."""

    model = "scripted"
    last_usage = USAGE
    last_stop_reason = None

    def __init__(self) -> None:
        self._numbers = count(1)

    def generate(
        self, prompt: str, *, max_tokens: int = 1, system_prompt: str = "", temperature: float = 0
    ) -> str:
        return as_text(next(self._numbers))

    def generate_with_tools(
        self,
        prompt: str,
        *,
        tools: Any,
        max_tokens: int = 1,
        system_prompt: str = "",
        temperature: float = 0,
        messages: Any = None,
    ) -> list[dict[str, Any]]:
        return as_blocks(next(self._numbers))


class ChatServer:
    """The model behind OpenAI's chat completions, on loopback; ``POST /begin`` begins anew."""

    def __init__(self) -> None:
        self.asked = 0
        """Calls since the beginning."""
        handler = type("Handler", (_Handler,), {"chat": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def close(self) -> None:
        """End it."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    chat: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.endswith("/begin"):
            self.chat.asked = 0
        else:
            self.chat.asked += 1
        raw = json.dumps(completion(self.chat.asked, native="tools" in body)).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        """Nothing is logged."""


def completion(number: int, *, native: bool) -> dict[str, Any]:
    """The reply of that number as a chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": as_text(number)}
    if native:
        text, call = as_blocks(number)
        function = {"name": call["name"], "arguments": json.dumps(call["input"])}
        calls = [{"id": call["id"], "type": "function", "function": function}]
        message |= {"content": text["text"], "tool_calls": calls}
    reason = "tool_calls" if native else "stop"
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 140},
    }


def run(model: Any, shape: Shape, steps: int, *, task: Any = None, hooks: Any = ()) -> list[Any]:
    """One run in the sync loop; its steps."""
    taken = list(composable_loop(model, **_given(model, shape, steps, task, hooks, look)))
    return _checked(taken, steps)


async def run_async(
    model: Any, shape: Shape, steps: int, *, task: Any = None, hooks: Any = ()
) -> list[Any]:
    """One run in the async loop."""
    loop = async_composable_loop(model, **_given(model, shape, steps, task, hooks, look_async))
    return _checked([step async for step in loop], steps)


def _given(
    model: Any, shape: Shape, steps: int, task: Any, hooks: Any, tool_of: Any
) -> dict[str, Any]:
    tools = TOOLS[tool_of]
    config = LoopConfig(
        max_steps=steps,
        use_native_tools=shape.native,
        system_prompt="You look topics up.",
        build_prompt=shape.prompt,
        context_window=10**9,  # a history of any length is sent whole
    )
    cassette = getattr(model, "cassette", None)
    if cassette is not None:
        tools, config = cassette.wrap_tools(tools), cassette.wrap_config(config)
    return {
        "tools": tools,
        "config": config,
        "hooks": list(hooks),
        "task": task or {"goal": "look everything up"},
    }


def _checked(taken: list[Any], steps: int) -> list[Any]:
    broken = [step.tool_result.error for step in taken if step.tool_result.error]
    if len(taken) != steps or broken:
        raise AssertionError(f"{len(taken)} steps, not {steps}; errors {broken[:3]}")
    return taken
