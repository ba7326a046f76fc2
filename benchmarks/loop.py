"""Cost of a step: looplet's loop beside bare Python loops that do the same calls, in one run.

    python benchmarks/loop.py [--quick] [--rounds 5] [--steps 10 100 1000 5000]

Each figure is CPU time in microseconds a step, the median of the rounds; the rounds of all
candidates are interleaved, so that a noisy moment meets them all. The ratio beside it is to the
candidate's own floor, in the same column.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import inspect
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import work

STEPS = (10, 100, 1_000, 5_000)
QUICK = (10, 1_000)
LEAST = 200
"""Steps measured at once at least: short runs are repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to do the work, and the floor that it is compared with."""

    run: Callable[[int], Any]
    """A function or a coroutine function of the number of steps."""
    floor: str

    def seconds(self, runner: asyncio.Runner, steps: int, repeats: int) -> float:
        """CPU time of some runs; the event loop is there already."""
        if inspect.iscoroutinefunction(self.run):
            return runner.run(self._seconds_async(steps, repeats))
        start = time.process_time()
        for _ in range(repeats):
            self.run(steps)
        return time.process_time() - start

    async def _seconds_async(self, steps: int, repeats: int) -> float:
        start = time.process_time()
        for _ in range(repeats):
            await self.run(steps)
        return time.process_time() - start


def candidates() -> dict[str, Candidate]:
    """Everything that is measured, in the order of the table."""
    out = {
        "bare loop": Candidate(run=work.bare, floor="bare + JSON"),
        "bare + JSON": Candidate(run=work.bare_json, floor="bare + JSON"),
        "bare + JSON + body": Candidate(run=work.bare_body, floor="bare + JSON + body"),
        "bare async + JSON": Candidate(run=work.bare_json_async, floor="bare async + JSON"),
        "bare async + JSON + body": Candidate(
            run=work.bare_body_async, floor="bare async + JSON + body"
        ),
    }
    for mode, hooks in (("text", 0), ("text", 1), ("text", work.MANY),
                        ("native", 0), ("native", 1), ("native", work.MANY)):  # fmt: skip
        name = f"{mode}, {hooks} hook{'' if hooks == 1 else 's'}"
        run, run_async = partial(_sync, mode, hooks), partial(_async, mode, hooks)
        out[f"sync, {name}"] = Candidate(run=run, floor="bare + JSON")
        out[f"async, {name}"] = Candidate(run=run_async, floor="bare async + JSON")
    out["sync, native + body"] = Candidate(
        run=partial(_sync, "sending", 0), floor="bare + JSON + body"
    )
    out["async, native + body"] = Candidate(
        run=partial(_async, "sending", 0), floor="bare async + JSON + body"
    )
    return out


def _sync(mode: str, hooks: int, steps: int) -> None:
    models = {"text": work.TextModel, "native": work.NativeModel, "sending": work.SendingModel}
    work.looplet_run(models[mode](), steps, native=mode != "text", hooks=hooks)


async def _async(mode: str, hooks: int, steps: int) -> None:
    models = {
        "text": work.AsyncTextModel,
        "native": work.AsyncNativeModel,
        "sending": work.AsyncSendingModel,
    }
    await work.looplet_run_async(models[mode](), steps, native=mode != "text", hooks=hooks)


def measure(
    found: dict[str, Candidate], sizes: list[int], rounds: int
) -> dict[str, dict[int, float]]:
    """Microseconds of CPU a step, by candidate and number of steps."""
    seen: dict[str, dict[int, list[float]]] = {name: {size: [] for size in sizes} for name in found}
    with asyncio.Runner() as runner:
        for size in sizes:
            repeats = max(1, LEAST // size)
            for _ in range(rounds):
                for name, candidate in found.items():
                    gc.collect()
                    spent = candidate.seconds(runner, size, repeats)
                    seen[name][size].append(spent / (size * repeats) * 1e6)
    return {
        name: {size: statistics.median(times) for size, times in by_size.items()}
        for name, by_size in seen.items()
    }


def table(
    found: dict[str, Candidate], figures: dict[str, dict[int, float]], sizes: list[int]
) -> str:
    """The figures as Markdown, each with its ratio to its floor."""
    head = "| µs of CPU a step | floor | " + " | ".join(f"N={size:,}" for size in sizes) + " |"
    lines = [head, "|---|---|" + "---:|" * len(sizes)]
    for name, by_size in figures.items():
        floor = found[name].floor
        cells = [
            f"{by_size[size]:.1f} ({by_size[size] / figures[floor][size]:.1f}x)" for size in sizes
        ]
        lines.append(f"| {name} | {'-' if floor == name else floor} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Cost of a step.")
    parser.add_argument("--quick", action="store_true", help="fewer sizes and rounds")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--steps", type=int, nargs="+")
    given = parser.parse_args()
    sizes = given.steps or list(QUICK if given.quick else STEPS)
    found = candidates()
    print(table(found, measure(found, sizes, given.rounds or (3 if given.quick else 5)), sizes))


if __name__ == "__main__":
    main()
