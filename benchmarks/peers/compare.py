"""looplet beside other agent libraries: the same scripted work, in one interleaved run.

    make bench-peers      # or: python benchmarks/peers/compare.py [--rounds 3] [--only smolagents]

Every library lives in an environment of its own, made by make from the file of its name here, and
in a process of its own that waits while another one works. A model without latency asks N times
for a trivial tool and then answers: CPU time a step, the median of the rounds. Then a crowd of
runs of 10 steps whose model takes 5 ms: runs a second of wall clock. What takes a library more
than 10 s is measured once, what takes it more than a minute or 6 GiB is given up, and a crowd
that would take more than 40 s is made smaller; the table says so.
"""

from __future__ import annotations

import argparse
import json
import select
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parent.parent / ".bench"
PEERS = ("pydantic-ai", "langgraph", "openai-agents", "smolagents")
US = "looplet"
STEPS = (10, 100, 1_000, 5_000)
LIMIT_S, SLOW_S, CROWD_S = 60.0, 10.0, 40.0
RUNS, CROWD_STEPS, LATENCY_S, TASTE = 1_000, 10, 0.005, 50
LEAST = 200
"""Steps measured at once at least: short runs are repeated."""
GIVEN_UP = float("inf")


@dataclass
class Worker:
    """One library's process, started anew when it was given up."""

    name: str
    python: str
    version: str = ""
    cost: dict[int, list[float]] = field(default_factory=dict)
    """Microseconds of CPU a step, by number of steps."""
    rates: list[float] = field(default_factory=list)
    """Runs a second."""
    runs: int = RUNS
    why: str = ""
    """Why it was given up, if it was."""
    process: subprocess.Popen[str] | None = None

    def ask(self, *line: object, limit: float = LIMIT_S) -> float | None:
        """Seconds that the work took, or ``None`` if it was given up."""
        if self.process is None:
            self._start()
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        said = self._line(limit)
        if not said:
            self.why = f"over {limit:.0f} s" if said is None else "ended by itself"
            self.stop()
        return float(said) if said else None

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def _start(self) -> None:
        script = HERE / f"use_{self.name.replace('-', '_')}.py"
        self.process = subprocess.Popen(
            [self.python, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.version = self._line(LIMIT_S) or ""
        if not self.version:
            raise SystemExit(f"{self.name} does not start: run {self.python} {script}")
        self.ask("steps", 10, 1)  # what is done once, imports above all, is no cost of a step

    def _line(self, limit: float) -> str | None:
        """What the process says: nothing if it has ended, ``None`` if it took too long."""
        assert self.process is not None
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], limit)
        return self.process.stdout.readline().strip() if ready else None


def measure_steps(workers: list[Worker], rounds: int) -> None:
    """Fill in the cost of a step."""
    for size in STEPS:
        for worker in workers:
            worker.cost[size] = []
        for turn in range(rounds):
            for worker in workers:
                _one_run(worker, size, first=turn == 0)


def _one_run(worker: Worker, size: int, *, first: bool) -> None:
    seen = worker.cost[size]
    slow = not first and seen[0] * size > SLOW_S * 1e6
    if slow or any(GIVEN_UP in found for found in worker.cost.values()):
        if not seen:
            seen.append(GIVEN_UP)  # a shorter run was given up already
        return
    seconds = worker.ask("steps", size, max(1, LEAST // size))
    seen.append(GIVEN_UP if seconds is None else seconds / size * 1e6)
    _say(f"{worker.name}, {size} steps: {worker.why or f'{seen[-1]:,.0f} µs each'}")


def measure_crowd(workers: list[Worker], rounds: int) -> None:
    """Fill in the runs a second."""
    for worker in workers:
        seconds = worker.ask("crowd", TASTE, CROWD_STEPS, LATENCY_S)
        rate = TASTE / seconds if seconds else 1.0
        worker.runs = min(RUNS, max(TASTE, round(rate * CROWD_S, -1)))
    for turn in range(rounds):
        for worker in workers:
            if turn and worker.rates and worker.runs / worker.rates[0] > SLOW_S:
                continue
            line = ("crowd", int(worker.runs), CROWD_STEPS, LATENCY_S)
            seconds = worker.ask(*line, limit=3 * LIMIT_S)
            if seconds:
                worker.rates.append(worker.runs / seconds)
                _say(f"{worker.name} crowd: {worker.rates[-1]:,.0f} runs a second")


def table(workers: list[Worker]) -> str:
    """Everything as one Markdown table, with ratios to looplet."""
    us = workers[0]
    heads = [f"µs a step, N={size:,}" for size in STEPS] + ["runs a second"]
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    for worker in workers:
        cells = [_cost(worker, us, size) for size in STEPS] + [_rate(worker, us)]
        lines.append(f"| {worker.name} {worker.version} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cost(worker: Worker, us: Worker, size: int) -> str:
    median = statistics.median(worker.cost[size])
    if median == GIVEN_UP:
        return worker.why
    ratio = median / statistics.median(us.cost[size])
    once = "" if len(worker.cost[size]) > 1 else ", once"
    return f"{median:,.0f} ({ratio:,.1f}x{once})"


def _rate(worker: Worker, us: Worker) -> str:
    if not worker.rates:
        return worker.why
    median = statistics.median(worker.rates)
    notes = [f"1/{statistics.median(us.rates) / median:,.1f}"] if worker is not us else []
    notes += [f"{worker.runs:,.0f} runs"] if worker.runs != RUNS else []
    notes += ["once"] if len(worker.rates) == 1 else []
    return f"{median:,.0f}" + (f" ({', '.join(notes)})" if notes else "")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="looplet beside other agent libraries.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS))
    given = parser.parse_args()
    workers = [Worker(name=US, python=sys.executable)]
    for name in given.only:
        python = ENVIRONMENTS / name / "bin" / "python"
        if not python.exists():
            parser.error(f"{name} is not installed: run make bench-peers")
        workers.append(Worker(name=name, python=str(python)))
    try:
        measure_steps(workers, given.rounds)
        measure_crowd(workers, given.rounds)
    finally:
        for worker in workers:
            worker.stop()
    print(table(workers))


if __name__ == "__main__":
    main()
