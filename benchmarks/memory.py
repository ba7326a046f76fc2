"""Peak memory of a run: looplet beside bare Python loops, each in a process of its own.

    python benchmarks/memory.py [--quick] [--rounds 3] [--steps 1000 5000]

What is measured is the growth of the process's resident set from after the imports and one small
run to its peak during the run, while everything that the run keeps is alive: what the machine has
to give, interpreter and allocator included. Pages are counted, so the first few hundred KiB fit
into room that is there already. "per step" is the slope between the smallest and the largest run;
memory is linear where it agrees with the figure at N divided by N. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import work

STEPS = (1_000, 5_000)
WARM = 20
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FLOORS = ("bare + JSON", "bare + JSON + body")
CANDIDATES: dict[str, tuple[Callable[[int], Any], str]] = {
    "bare + JSON": (work.bare_json, FLOORS[0]),
    "bare + JSON + body": (work.bare_body, FLOORS[1]),
    "text": (lambda steps: work.looplet_run(work.TextModel(), steps), FLOORS[0]),
    "native": (lambda steps: work.looplet_run(work.NativeModel(), steps, native=True), FLOORS[0]),
    "native + body": (
        lambda steps: work.looplet_run(work.SendingModel(), steps, native=True), FLOORS[1],
    ),
    "async, text": (lambda steps: _in_asyncio(work.AsyncTextModel(), steps), FLOORS[0]),
    "async, native": (
        lambda steps: _in_asyncio(work.AsyncNativeModel(), steps, native=True), FLOORS[0],
    ),
}  # fmt: skip


def _in_asyncio(model: Any, steps: int, *, native: bool = False) -> list[Any]:
    """What an async run keeps, not as its task's result.

    ``asyncio.run`` writes its task out, result and all, when it puts the handler of Ctrl-C back.
    """
    kept = []

    async def run() -> None:
        kept.append(await work.looplet_run_async(model, steps, native=native))

    asyncio.run(run())
    return kept


def grown(run: Callable[[int], Any], steps: int) -> int:
    """KiB that this process grew by at its peak."""
    run(WARM)
    gc.collect()
    RESET.write_text("5", encoding="ascii")  # the peak is counted from here
    before = _kib("VmRSS")
    kept = run(steps)
    peak = _kib("VmHWM")
    del kept
    return peak - before


def _kib(field: str) -> int:
    for line in STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise LookupError(f"no {field} in {STATUS}")


def measure(sizes: list[int], rounds: int) -> dict[str, dict[int, float]]:
    """MiB by candidate and number of steps, the median of the rounds."""
    seen: dict[str, dict[int, list[float]]] = {
        name: {size: [] for size in sizes} for name in CANDIDATES
    }
    for _ in range(rounds):
        for name, by_size in seen.items():
            for size, found in by_size.items():
                command = [sys.executable, __file__, "--one", name, str(size)]
                out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found.append(int(out) / 1024)
    return {
        name: {size: statistics.median(found) for size, found in by_size.items()}
        for name, by_size in seen.items()
    }


def table(figures: dict[str, dict[int, float]], sizes: list[int]) -> str:
    """The figures as Markdown, with the ratio to the floor and the slope."""
    heads = [f"N={size:,}" for size in sizes]
    lines = [
        "| peak MiB | " + " | ".join(heads) + " | KiB per step |",
        "|---|" + "---:|" * (len(sizes) + 1),
    ]
    least, most = sizes[0], sizes[-1]
    for name, by_size in figures.items():
        floor = figures[CANDIDATES[name][1]]
        cells = [f"{by_size[size]:.1f} ({by_size[size] / floor[size]:.1f}x)" for size in sizes]
        slope = (by_size[most] - by_size[least]) * 1024 / max(1, most - least)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {slope:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Peak memory of a run.")
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS))
    parser.add_argument("--one", nargs=2, metavar=("NAME", "STEPS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        name, steps = given.one
        print(grown(CANDIDATES[name][0], int(steps)))
    elif not RESET.exists():
        print("peak memory: needs Linux's /proc/self/clear_refs, which is not here")
    else:
        print(table(measure(given.steps, 1 if given.quick else given.rounds), given.steps))


if __name__ == "__main__":
    main()
