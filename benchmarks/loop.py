"""Cost of a step: looplet's loop beside a bare Python loop that does the same calls, in one run.

    python benchmarks/loop.py [--rounds 5] [--steps 10 100 1000 5000]

The backend is scripted and has no latency, the tool is trivial, so that what is measured is the
loop itself. Each figure is CPU time in microseconds a step, the median of the rounds; the rounds
of all candidates are interleaved, so that a noisy moment meets them all.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from looplet import DefaultState, LoopConfig, composable_loop, tool, tools_from

STEPS = (10, 100, 1_000, 5_000)
REPLY = '{"tool": "add", "args": {"a": 1, "b": 2}, "reasoning": "add them"}'
BLOCKS = [{"type": "tool_use", "id": "call_1", "name": "add", "input": {"a": 1, "b": 2}}]
USAGE = {"input_tokens": 100, "output_tokens": 10}


@dataclass
class Record:
    """What the bare loop keeps of a step."""

    number: int
    call: dict[str, Any]
    result: dict[str, Any]


def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


class TextModel:
    """Always the same reply, at once."""

    last_usage = USAGE

    def generate(
        self, prompt: str, *, max_tokens: int = 1, system_prompt: str = "", temperature: float = 0
    ) -> str:
        return REPLY


class NativeModel(TextModel):
    """The same as a native tool call, with the conversation as messages."""

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
        return BLOCKS


def bare(steps: int) -> None:
    """The floor: ask, call, keep."""
    model, kept = TextModel(), []
    for number in range(1, steps + 1):
        model.generate("prompt")
        kept.append(Record(number, {"tool": "add", "args": {"a": 1, "b": 2}}, add(1, 2)))


def bare_json(steps: int) -> None:
    """The floor that also reads the reply and writes the result as JSON."""
    model, kept = TextModel(), []
    for number in range(1, steps + 1):
        call = json.loads(model.generate("prompt"))
        result = add(**call["args"])
        json.dumps(result)
        kept.append(Record(number, call, result))


def looplet_text(steps: int) -> None:
    """looplet, calls as JSON in text."""
    _drive(TextModel(), LoopConfig(max_steps=steps), steps)


def looplet_native(steps: int) -> None:
    """looplet, native calls, the conversation sent as messages."""
    _drive(NativeModel(), LoopConfig(max_steps=steps, use_native_tools=True), steps)


def _drive(model: Any, config: LoopConfig, steps: int) -> None:
    tools = tools_from([tool(add)], include_done=True)
    state = DefaultState(max_steps=steps)
    loop = composable_loop(model, tools=tools, config=config, state=state, task={"goal": "add"})
    taken = sum(1 for _ in loop)
    if taken != steps:
        raise AssertionError(f"{taken} steps, not {steps}")


CANDIDATES: dict[str, Callable[[int], None]] = {
    "bare loop": bare,
    "bare loop + JSON": bare_json,
    "looplet, text": looplet_text,
    "looplet, native": looplet_native,
}


def measure(rounds: int, sizes: list[int]) -> dict[str, dict[int, float]]:
    """Microseconds of CPU a step, by candidate and number of steps."""
    seen: dict[str, dict[int, list[float]]] = {
        name: {size: [] for size in sizes} for name in CANDIDATES
    }
    for size in sizes:
        repeats = max(1, 200 // size)
        for _ in range(rounds):
            for name, run in CANDIDATES.items():
                gc.collect()
                start = time.process_time()
                for _ in range(repeats):
                    run(size)
                spent = time.process_time() - start
                seen[name][size].append(spent / (size * repeats) * 1e6)
    return {
        name: {size: statistics.median(times) for size, times in by_size.items()}
        for name, by_size in seen.items()
    }


def table(figures: dict[str, dict[int, float]], sizes: list[int]) -> str:
    """The figures as Markdown, with each candidate's ratio to the floor with JSON."""
    head = "| µs of CPU a step | " + " | ".join(f"N={size:,}" for size in sizes) + " |"
    lines = [head, "|---" * (len(sizes) + 1) + "|"]
    floor = figures["bare loop + JSON"]
    for name, by_size in figures.items():
        cells = [f"{by_size[size]:.1f} ({by_size[size] / floor[size]:.1f}x)" for size in sizes]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Cost of a step.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS))
    given = parser.parse_args()
    print(table(measure(given.rounds, given.steps), given.steps))


if __name__ == "__main__":
    main()
