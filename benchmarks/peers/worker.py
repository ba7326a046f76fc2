"""One library in a process of its own, which does what it is told line by line.

A line in is a JSON list, ``["steps", n, runs]`` or ``["crowd", runs, steps, seconds]``; the line
out is seconds of CPU of one run, the mean of so many, or of wall clock of the whole crowd.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

THREADS = 100
MEMORY = 6 * 2**30
"""Address space that a library may take; the machine is shared."""

for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2", "LANGCHAIN_TRACING"):
    os.environ[name] = "false"
for name in ("OPENAI_AGENTS_DISABLE_TRACING", "DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY"):
    os.environ[name] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"


def serve(
    package: str,
    *,
    run: Callable[[int], Awaitable[Any]] | None = None,
    run_sync: Callable[[int], Any] | None = None,
    agent: Callable[[int, float], Awaitable[Any]] | None = None,
    agent_sync: Callable[[int, float], Any] | None = None,
) -> None:
    """Answer lines until there are no more; each kind of work is async or in threads."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    out, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    print(version(package), file=out, flush=True)
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            what, *given = json.loads(line)
            gc.collect()
            if what == "steps":
                seconds = _cpu(runner, run, run_sync, *given)
            elif agent is not None:
                seconds = runner.run(_crowd(agent, *given))
            else:
                seconds = _threads(agent_sync, *given)
            print(seconds, file=out, flush=True)


def _cpu(runner: asyncio.Runner, run: Any, run_sync: Any, steps: int, runs: int) -> float:
    start = time.process_time()
    for _ in range(runs):
        if run is not None:
            runner.run(run(steps))
        else:
            run_sync(steps)
    return (time.process_time() - start) / runs


async def _crowd(agent: Any, runs: int, steps: int, seconds: float) -> float:
    start = time.perf_counter()
    await asyncio.gather(*(agent(steps, seconds) for _ in range(runs)))
    return time.perf_counter() - start


def _threads(agent: Any, runs: int, steps: int, seconds: float) -> float:
    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda _: agent(steps, seconds), range(runs)))
    return time.perf_counter() - start
