"""A process that runs a scripted agent over a checkpoint directory, to be killed between steps.

``python resume_worker.py DIRECTORY MODE REQUESTS STEPS [KILL_AFTER]`` appends what is asked of the
model to REQUESTS and what is yielded to STEPS, a JSON line each, and kills itself with SIGKILL
when that many steps are there. The model answers by the number of answers asked for so far.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from looplet import (
    DefaultState,
    LoopConfig,
    async_composable_loop,
    composable_loop,
    tool,
    tools_from,
)
from looplet.core.decisions import HookDecision
from looplet.core.runtime import Runtime

CALLS: list[list[tuple[str, dict[str, Any]]]] = [
    [("price", {"fruit": "apple"})],
    [("price", {"fruit": "pear"}), ("price", {"fruit": "kiwi"}), ("note", {"text": "as (tuple)"})],
    [],
    [("done", {"summary": "too early"}), ("price", {"fruit": "fig"})],
    [("price", {"fruit": "fig"}), ("price", {"fruit": "plum"})],
    [("note", {"text": "b"}), ("done", {"summary": "all priced"})],
]


@tool(concurrent_safe=True)
def price(fruit: str) -> dict:
    """Price of one piece of fruit, in euro."""
    return {"fruit": fruit, "euro": {"apple": 0.4, "pear": 0.55, "fig": 1.0, "plum": 0.3}[fruit]}


@tool
def note(text: str) -> tuple:
    """Keep a note."""
    return (text, {"of": {1, 2}})


class Hook:
    """Says something after each result, refuses the first done, and counts in the metadata."""

    def post_dispatch(self, state: Any, log: Any, call: Any, result: Any, number: int) -> Any:
        state.metadata["seen"] = state.metadata.get("seen", 0) + 1
        return HookDecision(additional_context=f"after step {number}: {call.tool}")

    def check_done(self, state: Any, log: Any, context: Any, number: int) -> Any:
        return HookDecision(block="price the figs") if number < 7 else None


class Scripted:
    """Answers by how often it was asked, over all processes."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def _next(self, asked: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        with self.place.open("a+") as file:
            file.seek(0)
            number = len(file.readlines())
            file.write(json.dumps(asked) + "\n")
        # A reply without a call is asked for again, twice, before it becomes a step of its own.
        script = [*CALLS[:2], [], [], *CALLS[2:]]
        return script[number]

    def generate(self, prompt: str, *, system_prompt: str = "", temperature: float = 0.2) -> str:
        calls = self._next({"prompt": prompt, "temperature": temperature})
        return json.dumps({"tools": [{"tool": name, "args": args} for name, args in calls]})


class NativeScripted(Scripted):
    """The same with native tools."""

    def generate_with_tools(self, prompt: str, *, tools: Any, messages: Any = ()) -> Any:
        told = [message.to_dict() for message in messages]
        calls = self._next({"prompt": prompt, "messages": told})
        uses = [
            {"type": "tool_use", "id": f"{name}{args}", "name": name, "input": args}
            for name, args in calls
        ]
        return [{"type": "text", "text": "thinking"}, *uses]


def main(directory: str, mode: str, requests: str, steps: str, kill_after: str = "0") -> None:
    """Run; see the module."""
    native = "native" in mode
    llm = (NativeScripted if native else Scripted)(Path(requests))
    config = LoopConfig(
        max_steps=12,
        checkpoint_dir=directory,
        use_native_tools=native,
        concurrent_dispatch=mode.endswith("batch"),
        extract_entities=lambda data: [str(data)],
        runtime=Runtime(perf=lambda: 0.0, now=lambda: 0.0),
    )
    state = DefaultState(max_steps=12)
    loop = async_composable_loop if mode.startswith("async") else composable_loop
    loop = loop(
        llm,
        task={"goal": "Price the stock."},
        tools=tools_from([price, note], include_done=True),
        hooks=[Hook()],
        config=config,
        state=state,
    )
    with Path(steps).open("a") as file:

        def take(step: Any) -> None:
            told = step.to_dict()
            told["tool_call"].pop("call_id")
            told["tool_result"].pop("duration_ms")
            file.write(json.dumps(told) + "\n")
            file.flush()
            if step.number == int(kill_after):
                os.kill(os.getpid(), signal.SIGKILL)

        async def follow() -> None:
            async for step in loop:
                take(step)

        if mode.startswith("async"):
            asyncio.run(follow())
        else:
            for step in loop:
                take(step)
    kept = [step.to_dict() for step in state.steps]
    end = {"reason": state._stop_reason, "queries": state.queries_used, "seen": state.metadata}
    print(json.dumps({**end, "tools": [step["tool_call"]["tool"] for step in kept]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
