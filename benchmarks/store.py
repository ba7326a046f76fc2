"""The trajectory store beside JSON: the same runs in every form, in one run of this script.

    python benchmarks/store.py [--quick] [--runs 10000] [--large] [--only formats evals ...]

The runs are those of ``runs_made.py``: 10 steps, results of 1 KB. As JSON a run is what a person
would write of it by hand: every field once, each message once, and so less than a row holds, which
also has the digests and counts that queries use. Times are CPU seconds of the whole process, all
threads, without imports.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import memory
import pyarrow as pa
from runs_made import TOOLS, make_runs

from looplet.evals.context import EvalContext
from looplet.trajectory import Trajectory, TrajectoryStore

RUNS, QUICK_RUNS, LARGE_RUNS = 10_000, 500, 100_000
FRAME_RUNS = 2_000
CHUNK = 500
"""Runs that are made at once, and then written in every form."""
FRAME_BYTES = 2**23
"""A frame of zstd, which is as much as its window sees at the level that is used."""
ZSTD_LEVEL = 3
"""The zstd command's own."""
MB, US = 1e6, 1e6
JSON_FILES, LINES, PACKED, PARQUET = "one JSON file a run", "JSONL", "JSONL.zst", "store"
QUERIES = {
    "success rate by model": """
        SELECT model, avg(completed::INT) AS rate, count(*) AS runs
        FROM trajectories GROUP BY model ORDER BY model""",
    "error rate by tool": """
        SELECT tool, avg((error IS NOT NULL)::INT) AS rate, count(*) AS calls
        FROM steps GROUP BY tool ORDER BY tool""",
    "percentiles of tokens": """
        SELECT quantile_cont(input_tokens, [0.5, 0.9, 0.99]) AS sent,
               quantile_cont(output_tokens, [0.5, 0.9, 0.99]) AS received
        FROM trajectories""",
}


def plain(run: Trajectory) -> dict[str, Any]:
    """A run as JSON's own types."""
    names = (
        "trajectory_id run_id task task_id trial dataset agent model tags stop_reason error reward"
        " expected final_output artifacts metadata cost_usd"
    )
    last = run.llm_calls[-1]
    return {
        **{name: getattr(run, name) for name in names.split()},
        "started_at": run.started_at and run.started_at.isoformat(),
        "ended_at": run.ended_at and run.ended_at.isoformat(),
        "steps": [_plain_step(step) for step in run.steps],
        "messages": [message.to_dict() for message in last.messages],
        "tools": last.tools,
        "calls": [_plain_call(call) for call in run.llm_calls],
    }


def _plain_step(step: Any) -> dict[str, Any]:
    call, result = step.tool_call, step.tool_result
    kind = result.error_kind
    return {
        "step_num": step.step_num,
        "tool": call.tool,
        "args": call.args,
        "reasoning": call.reasoning,
        "call_id": call.call_id,
        "data": result.data,
        "error": result.error,
        "error_kind": kind and kind.value,
        "warnings": result.warnings,
        "duration_ms": step.duration_ms,
        "timestamp": step.timestamp,
        "llm_call_indices": step.llm_call_indices,
        "pretty": step.pretty,
        "metadata": step.metadata,
        "digest": step.digest,
    }


def _plain_call(call: Any) -> dict[str, Any]:
    names = (
        "index timestamp duration_ms method response temperature max_tokens step_num error scope"
        " metadata input_tokens output_tokens cached_tokens tokens_estimated model params"
        " finish_reason first_token_ms key"
    )
    return {
        **{name: getattr(call, name) for name in names.split()},
        "n_messages": len(call.messages),
    }


class Forms:
    """The same runs in every form, and the CPU seconds that writing each of them took."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files, self.lines = folder / "files", folder / "runs.jsonl"
        self.packed = folder / "runs.jsonl.zst"
        self.store = TrajectoryStore(folder / "store")
        self.seconds = dict.fromkeys((JSON_FILES, LINES, PACKED, PARQUET), 0.0)
        self.runs = 0
        self._spent = 0.0

    def write(self, count: int) -> None:
        """Make so many runs and write them; making them is not counted."""
        self.files.mkdir()
        codec = pa.Codec("zstd", compression_level=ZSTD_LEVEL)
        with self.lines.open("wb") as lines, self.packed.open("wb") as packed:
            self._frame, self._frame_bytes = [], 0

            def every_run() -> Iterator[Trajectory]:
                for first in range(0, count, CHUNK):
                    began = time.process_time()
                    some = list(make_runs(min(CHUNK, count - first), first=first))
                    self._write_json(some, lines, packed, codec)
                    self._spent += time.process_time() - began
                    yield from some

            began = time.process_time()
            self.store.append(every_run())
            self.seconds[PARQUET] = time.process_time() - began - self._spent
            self._pack(packed, codec)
        self.runs = count

    def _write_json(self, some: list[Trajectory], lines: Any, packed: Any, codec: Any) -> None:
        for run in some:  # a recorder has these already: they are part of each request's key
            _ = [message.digest for message in run.llm_calls[-1].messages]
        for number, run in enumerate(some, self.runs):
            began = time.process_time()
            text = json.dumps(plain(run))
            (self.files / f"{run.trajectory_id}-{number}.json").write_text(text)
            self.seconds[JSON_FILES] += time.process_time() - began
        self.runs += len(some)
        began = time.process_time()
        for run in some:
            lines.write(json.dumps(plain(run)).encode() + b"\n")
        self.seconds[LINES] += time.process_time() - began
        began = time.process_time()
        for run in some:
            line = json.dumps(plain(run)).encode() + b"\n"
            self._frame.append(line)
            self._frame_bytes += len(line)
            if self._frame_bytes > FRAME_BYTES:
                self._pack(packed, codec)
        self.seconds[PACKED] += time.process_time() - began

    def _pack(self, packed: Any, codec: Any) -> None:
        packed.write(codec.compress(b"".join(self._frame), asbytes=True))
        self._frame, self._frame_bytes = [], 0

    def sizes(self) -> dict[str, int]:
        """Bytes of each form."""
        parts = (self.store.path / "trajectories").iterdir()
        return {
            JSON_FILES: sum(path.stat().st_size for path in self.files.iterdir()),
            LINES: self.lines.stat().st_size,
            PACKED: self.packed.stat().st_size,
            PARQUET: sum(path.stat().st_size for path in parts),
        }

    def read_lines(self) -> Iterator[dict[str, Any]]:
        """Every run of the JSON lines."""
        with self.lines.open("rb") as lines:
            yield from map(json.loads, lines)


def formats(forms: Forms) -> str:
    """Bytes and the time of writing."""
    sizes = forms.sizes()
    rows = [
        [
            name,
            f"{size / MB:,.1f}",
            f"{size / sizes[LINES]:.2f}x",
            f"{size / sizes[PACKED]:.2f}x",
            f"{forms.seconds[name] / forms.runs * US:,.0f}",
            f"{forms.seconds[name] / forms.seconds[PACKED]:.2f}x",
        ]
        for name, size in sizes.items()
    ]
    heads = ["form", "MB", "of JSONL", "of JSONL.zst", "writing, µs of CPU a run", "of JSONL.zst"]
    return table([f"{forms.runs:,} runs: {heads[0]}", *heads[1:]], rows)


def evals(forms: Forms) -> str:
    """CPU of evals over JSON lines and over the store."""
    cases: dict[str, tuple[Callable[[Any], Any], Callable[[EvalContext], Any]]] = {
        "whether it completed": (
            lambda run: run["stop_reason"] == "done",
            lambda context: context.completed,
        ),
        "each step's tool": (
            lambda run: sum(step["tool"] == TOOLS[0] for step in run["steps"]),
            lambda context: sum(step.tool_call.tool == TOOLS[0] for step in context.steps),
        ),
        "each step's error": (
            lambda run: sum(step["error"] is not None for step in run["steps"]),
            lambda context: sum(step.tool_result.error is not None for step in context.steps),
        ),
        "each step's arguments": (
            lambda run: sum(step["args"].get("limit", 0) for step in run["steps"]),
            lambda context: sum(step.tool_call.args.get("limit", 0) for step in context.steps),
        ),
        "each step's result": (
            lambda run: sum(len(step["data"] or ()) for step in run["steps"]),
            lambda context: sum(len(step.tool_result.data or ()) for step in context.steps),
        ),
    }
    rows = []
    for name, (of_dict, of_context) in cases.items():
        contexts = map(EvalContext.from_trajectory, forms.store.scan())
        theirs, expected = cpu(lambda of=of_dict: sum(map(of, forms.read_lines())))
        ours, found = cpu(lambda of=of_context, runs=contexts: sum(map(of, runs)))
        if found != expected:
            raise AssertionError(f"{name}: {found} is not {expected}")
        per_run = [f"{seconds / forms.runs * US:,.1f}" for seconds in (theirs, ours)]
        rows.append([name, *per_run, f"{theirs / ours:.1f}x"])
    return table(["µs of CPU a run, looking at", LINES, PARQUET, "JSONL over store"], rows)


def queries(forms: Forms) -> str:
    """Seconds of SQL."""
    forms.store.sql("SELECT count(*) FROM trajectories")  # imports
    rows = []
    for name, query in QUERIES.items():
        began = time.perf_counter()
        seconds, _ = cpu(lambda text=query: forms.store.sql(text))
        rows.append([name, f"{time.perf_counter() - began:.3f}", f"{seconds:.3f}"])
    return table([f"SQL over {forms.runs:,} runs", "seconds", "of CPU"], rows)


def scans(forms: Forms) -> str:
    """Time and memory of a scan that looks at every step's arguments, of a tenth and of all."""
    if not memory.RESET.exists():
        return "Memory of scans: needs Linux's /proc/self/clear_refs, which is not here."
    tenth = TrajectoryStore(forms.folder / "tenth")
    tenth.append(make_runs(forms.runs // 10))
    rows = []
    for store, count in ((tenth, forms.runs // 10), (forms.store, forms.runs)):
        command = [sys.executable, __file__, "--scan", str(store.path)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, kib = out.split()
        rows.append([f"{count:,} runs", f"{float(seconds):.2f}", f"{int(kib) / 1024:,.0f}"])
    return table(["scan of every step's arguments", "seconds of CPU", "MiB at the peak"], rows)


def scan_alone(path: str) -> str:
    """CPU seconds, and KiB that this process grew by."""
    store = TrajectoryStore(path)
    next(iter(store)).steps[0].tool_call.args  # noqa: B018 - what is loaded once
    gc.collect()
    memory.RESET.write_text("5", encoding="ascii")
    before = memory._kib("VmRSS")  # noqa: SLF001 - the script beside this one
    seconds, _ = cpu(lambda: sum(len(step.tool_call.args) for run in store for step in run.steps))
    return f"{seconds} {memory._kib('VmHWM') - before}"  # noqa: SLF001 - as above


def frames(forms: Forms) -> str:
    """Seconds to get the messages of 2,000 runs as a frame."""
    count = min(FRAME_RUNS, forms.runs)
    store = TrajectoryStore(forms.folder / "frame")
    store.append(make_runs(count))
    store.to_pandas("scores")  # imports
    began = time.perf_counter()
    seconds, frame = cpu(lambda: store.to_pandas("messages"))
    wall = time.perf_counter() - began
    name = f"messages of {count:,} runs as a data frame"
    return table(
        [name, "seconds", "of CPU"], [[f"{len(frame):,}", f"{wall:.2f}", f"{seconds:.2f}"]]
    )


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and what came of it."""
    gc.collect()
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as Markdown."""
    lines = [" | ".join(heads), "|".join(["---", *["---:"] * (len(heads) - 1)])]
    lines += [" | ".join(row) for row in rows]
    return "\n".join(f"|{line}|" if "---" in line else f"| {line} |" for line in lines)


PARTS = {
    "formats": formats,
    "evals": evals,
    "queries": queries,
    "scans": scans,
    "frames": frames,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The trajectory store beside JSON.")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUNS} runs")
    parser.add_argument("--large", action="store_true", help=f"{LARGE_RUNS:,} runs as well")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--scan", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.scan:
        print(scan_alone(given.scan))
        return
    sizes = [given.runs or (QUICK_RUNS if given.quick else RUNS)]
    for count in sizes + [LARGE_RUNS] * given.large:
        with tempfile.TemporaryDirectory() as folder:
            forms = Forms(Path(folder))
            forms.write(count)
            print("\n\n".join(PARTS[name](forms) for name in given.only), end="\n\n")


if __name__ == "__main__":
    main()
