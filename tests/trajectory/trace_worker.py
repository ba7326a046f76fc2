"""A process that records a run and can be killed: ``trace_worker.py DIR DRIVER [--free]``.

It prints the number of each step that it was given, and then waits for a line, or with ``--free``
goes on at once, for ever.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from looplet import (
    AsyncMockLLMBackend,
    LoopConfig,
    MockLLMBackend,
    ProvenanceSink,
    async_composable_loop,
    composable_loop,
    tool,
    tools_from,
)

LENGTH = 4_000
"""Characters of a result: enough for a write to be in the middle of."""


def ask(number: int) -> str:
    return json.dumps({"tool": "look", "args": {"number": number}, "reasoning": "é\u2028"})


REPLIES = [ask(1), ask(2), ask(3), '{"tool": "done", "args": {"summary": "seen"}}']


@tool
def look(number: int) -> dict:
    """Look at a number."""
    return {"number": number, "text": "x" * LENGTH}


TOOLS = tools_from([look], include_done=True)
FREE = "--free" in sys.argv
STEPS = 1_000_000 if FREE else 9


def told(step: Any) -> None:
    print(step.number, flush=True)
    if not FREE:
        sys.stdin.readline()


def replies() -> list[str]:
    return [ask(number) for number in range(1, 2_000)] if FREE else REPLIES


def main(folder: str, driver: str) -> None:
    sink = ProvenanceSink(dir=folder)
    options = {
        "tools": TOOLS,
        "hooks": [sink.trajectory_hook()],
        "task": {"goal": "look"},
        "config": LoopConfig(max_steps=STEPS),
    }
    if driver == "sync":
        for step in composable_loop(sink.wrap_llm(MockLLMBackend(replies())), **options):
            told(step)
        return
    backend = AsyncMockLLMBackend if driver == "async" else MockLLMBackend

    async def run() -> None:
        llm = sink.wrap_llm(backend(replies()))
        async for step in async_composable_loop(llm, **options):
            told(step)

    asyncio.run(run())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
