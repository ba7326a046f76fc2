"""Many agents at once: runs a second, looplet beside bare asyncio and bare threads, in one run.

    python benchmarks/crowd.py [--quick] [--runs 1000] [--steps 10] [--latency-ms 5] [--rounds 3]

The model waits as long as told and then asks for a trivial tool. As in a service, the registry of
tools is made once and shared; state and config belong to a run. Each figure is wall clock of the
whole crowd, the median of the rounds, which are interleaved.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
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
USAGE = {"input_tokens": 100, "output_tokens": 10}
THREADS = 100


class AsyncModel:
    """Waits without holding up the event loop."""

    last_usage = USAGE

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def generate(
        self, prompt: str, *, max_tokens: int = 1, system_prompt: str = "", temperature: float = 0
    ) -> str:
        await asyncio.sleep(self.seconds)
        return REPLY


class Model:
    """Waits where it is called."""

    last_usage = USAGE

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def generate(
        self, prompt: str, *, max_tokens: int = 1, system_prompt: str = "", temperature: float = 0
    ) -> str:
        time.sleep(self.seconds)
        return REPLY


async def add_async(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


ASYNC_TOOLS = tools_from([tool(name="add")(add_async)], include_done=True)
TOOLS = tools_from([tool(add)], include_done=True)


async def bare_async(steps: int, seconds: float) -> None:
    """The floor: wait, read, call."""
    model = AsyncModel(seconds)
    for _ in range(steps):
        call = json.loads(await model.generate("prompt"))
        json.dumps(await add_async(**call["args"]))


def bare_thread(steps: int, seconds: float) -> None:
    """The same in a thread."""
    model = Model(seconds)
    for _ in range(steps):
        call = json.loads(model.generate("prompt"))
        json.dumps(add(**call["args"]))


async def looplet_async(steps: int, seconds: float) -> None:
    """One agent in the async loop, its tool a coroutine function."""
    state, config = DefaultState(max_steps=steps), LoopConfig(max_steps=steps)
    model = AsyncModel(seconds)
    loop = async_composable_loop(model, tools=ASYNC_TOOLS, state=state, config=config)
    async for _ in loop:
        pass


def looplet_thread(steps: int, seconds: float) -> None:
    """One agent in the sync loop."""
    state, config = DefaultState(max_steps=steps), LoopConfig(max_steps=steps)
    for _ in composable_loop(Model(seconds), tools=TOOLS, state=state, config=config):
        pass


async def _crowd(agent: Any, runs: int, steps: int, seconds: float) -> None:
    await asyncio.gather(*(agent(steps, seconds) for _ in range(runs)))


def in_asyncio(agent: Any, runs: int, steps: int, seconds: float) -> float:
    """Runs a second of a crowd in one event loop."""
    start = time.perf_counter()
    asyncio.run(_crowd(agent, runs, steps, seconds))
    return runs / (time.perf_counter() - start)


def in_threads(agent: Any, runs: int, steps: int, seconds: float) -> float:
    """Runs a second of a crowd in a hundred threads."""
    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda _: agent(steps, seconds), range(runs)))
    return runs / (time.perf_counter() - start)


CANDIDATES = {
    "bare asyncio": (in_asyncio, bare_async, "bare asyncio"),
    "looplet, async": (in_asyncio, looplet_async, "bare asyncio"),
    f"bare, {THREADS} threads": (in_threads, bare_thread, f"bare, {THREADS} threads"),
    f"looplet, {THREADS} threads": (in_threads, looplet_thread, f"bare, {THREADS} threads"),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Many agents at once.")
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--latency-ms", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    crowd = (given.runs, given.steps, given.latency_ms / 1000)
    seen: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for _ in range(1 if given.quick else given.rounds):
        for name, (measure, agent, _) in CANDIDATES.items():
            seen[name].append(measure(agent, *crowd))
    medians = {name: statistics.median(found) for name, found in seen.items()}
    print("| | runs a second | of bare |\n|---|---:|---:|")
    for name, (_, _, floor) in CANDIDATES.items():
        print(f"| {name} | {medians[name]:,.0f} | {medians[name] / medians[floor]:.0%} |")


if __name__ == "__main__":
    main()
