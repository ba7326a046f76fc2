"""What is measured: the same calls by looplet and by bare Python loops, the floors.

Models are scripted and have no latency, the tool is trivial. The native models that send a body
encode each message once and join what is encoded already at each step, as a client would that
does not encode its whole history again; looplet's and the floor's do it the same way.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from looplet import (
    DefaultState,
    LoopConfig,
    async_composable_loop,
    composable_loop,
    tool,
    tools_from,
)

REPLY = '{"tool": "add", "args": {"a": 1, "b": 2}, "reasoning": "add them"}'
BLOCKS = [{"type": "tool_use", "id": "call_1", "name": "add", "input": {"a": 1, "b": 2}}]
USAGE = {"input_tokens": 100, "output_tokens": 10}
MANY = 10
"""Hooks in the runs with many of them."""


@dataclass
class Record:
    """What a bare loop keeps of a step."""

    number: int
    call: dict[str, Any]
    result: dict[str, Any]


def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


async def add_async(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


TOOLS = {each: tools_from([tool(name="add")(each)], include_done=True) for each in (add, add_async)}
"""Registries, made once, as a program makes its own."""


class Hook:
    """Looks at every result and lets the run go on."""

    def post_dispatch(
        self, state: Any, session_log: Any, tool_call: Any, tool_result: Any, step: int
    ) -> None:
        return None

    def should_stop(self, state: Any, step: int, new_entities: Any) -> bool:
        return False


class Body:
    """A request's body out of messages, each of which is encoded once."""

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def add(self, message: dict[str, Any]) -> None:
        """Encode a message."""
        self.encoded.append(json.dumps(message))

    def joined(self) -> bytes:
        """The whole body."""
        return f'{{"messages": [{",".join(self.encoded)}]}}'.encode()


class TextModel:
    """Always the same reply, at once."""

    last_usage = USAGE

    def generate(
        self, prompt: str, *, max_tokens: int = 1, system_prompt: str = "", temperature: float = 0
    ) -> str:
        return REPLY


class NativeModel(TextModel):
    """The same as a native tool call; the conversation comes as messages and is not looked at."""

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
        self.send(messages)
        return BLOCKS

    def send(self, messages: Any) -> None:
        """What is done with the conversation: nothing here."""


class SendingModel(NativeModel):
    """Makes the body of a request, too; looplet's conversation grows at its end only."""

    def __init__(self) -> None:
        self.body = Body()

    def send(self, messages: Any) -> None:
        for message in messages[len(self.body.encoded) :]:
            self.body.add(_plain(message))
        self.body.joined()


class AsyncTextModel:
    """The text model as a coroutine."""

    last_usage = USAGE

    async def generate(
        self, prompt: str, *, max_tokens: int = 1, system_prompt: str = "", temperature: float = 0
    ) -> str:
        return REPLY


class AsyncNativeModel(AsyncTextModel):
    """The native model as a coroutine."""

    async def generate_with_tools(
        self,
        prompt: str,
        *,
        tools: Any,
        max_tokens: int = 1,
        system_prompt: str = "",
        temperature: float = 0,
        messages: Any = None,
    ) -> list[dict[str, Any]]:
        self.send(messages)
        return BLOCKS

    def send(self, messages: Any) -> None:
        """What is done with the conversation: nothing here."""


class AsyncSendingModel(AsyncNativeModel):
    """The sending model as a coroutine."""

    __init__ = SendingModel.__init__
    send = SendingModel.send


def bare(steps: int) -> list[Record]:
    """Ask, call, keep."""
    model, kept = TextModel(), []
    for number in range(1, steps + 1):
        model.generate("prompt")
        kept.append(Record(number, {"tool": "add", "args": {"a": 1, "b": 2}}, add(1, 2)))
    return kept


def bare_json(steps: int) -> list[Record]:
    """Read the reply and write the result as JSON, too."""
    model, kept = TextModel(), []
    for number in range(1, steps + 1):
        call = json.loads(model.generate("prompt"))
        result = add(**call["args"])
        json.dumps(result)
        kept.append(Record(number, call, result))
    return kept


def bare_body(steps: int) -> list[Record]:
    """Make the body of a native request out of what is encoded already, too."""
    model, kept, body = TextModel(), [], _opened()
    for number in range(1, steps + 1):
        body.joined()
        call = json.loads(model.generate("prompt"))
        result = add(**call["args"])
        _tell(body, call, result)
        kept.append(Record(number, call, result))
    return kept


async def bare_json_async(steps: int) -> list[Record]:
    """The floor with JSON, its model and tool coroutines."""
    model, kept = AsyncTextModel(), []
    for number in range(1, steps + 1):
        call = json.loads(await model.generate("prompt"))
        result = await add_async(**call["args"])
        json.dumps(result)
        kept.append(Record(number, call, result))
    return kept


async def bare_body_async(steps: int) -> list[Record]:
    """The floor with a body, its model and tool coroutines."""
    model, kept, body = AsyncTextModel(), [], _opened()
    for number in range(1, steps + 1):
        body.joined()
        call = json.loads(await model.generate("prompt"))
        result = await add_async(**call["args"])
        _tell(body, call, result)
        kept.append(Record(number, call, result))
    return kept


def looplet_run(model: Any, steps: int, *, native: bool = False, hooks: int = 0) -> DefaultState:
    """One agent in the sync loop; its state, which holds the steps."""
    state = DefaultState(max_steps=steps)
    loop = composable_loop(model, **_given(state, steps, native=native, hooks=hooks, tool_of=add))
    return _checked(state, steps, sum(1 for _ in loop))


async def looplet_run_async(
    model: Any, steps: int, *, native: bool = False, hooks: int = 0
) -> DefaultState:
    """One agent in the async loop."""
    state = DefaultState(max_steps=steps)
    given = _given(state, steps, native=native, hooks=hooks, tool_of=add_async)
    taken = 0
    async for _ in async_composable_loop(model, **given):
        taken += 1
    return _checked(state, steps, taken)


def _given(
    state: DefaultState, steps: int, *, native: bool, hooks: int, tool_of: Any
) -> dict[str, Any]:
    return {
        "tools": TOOLS[tool_of],
        "config": LoopConfig(max_steps=steps, use_native_tools=native),
        "state": state,
        "hooks": [Hook() for _ in range(hooks)],
        "task": {"goal": "add"},
    }


def _checked(state: DefaultState, steps: int, taken: int) -> DefaultState:
    if taken != steps:
        raise AssertionError(f"{taken} steps, not {steps}")
    return state


def _plain(message: Any) -> dict[str, Any]:
    plain = {"role": message.role, "content": message.content}
    if message.calls:
        plain["calls"] = [
            {"id": call.id, "name": call.name, "input": call.input} for call in message.calls
        ]
    if message.call_id is not None:
        plain["call_id"] = message.call_id
    return plain


def _opened() -> Body:
    body = Body()
    body.add({"role": "user", "content": "goal: add"})
    return body


def _tell(body: Body, call: dict[str, Any], result: dict[str, Any]) -> None:
    asked = {"id": "call_1", "name": call["tool"], "input": call["args"]}
    body.add({"role": "assistant", "content": "", "calls": [asked]})
    body.add({"role": "tool", "content": json.dumps(result), "call_id": "call_1"})
