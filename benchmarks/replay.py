"""Recording and replaying: looplet's cassettes beside stock vcrpy, in one run.

    python benchmarks/replay.py [--quick] [--rounds 3] [--steps 50 100 200 400]
        [--calls 625 1250 2500 5000] [--only sizes prompts ...] [--pythons 3.11 3.12 3.13]

looplet records at the backend, vcrpy the HTTP of OpenAI's SDK below it; what they record is in
``recorded.py``. A time is the best of the rounds; those of wall clock are interleaved. The last
table makes environments in ``.bench`` for other Pythons, which takes a package index.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import digests
import memory
import recorded
from recorded import NATIVE, NEW, OWN, WHOLE, ChatServer, Shape
from tapes import Floor, Looplet, Model, Sdk, Tape, Times, Vcr, timed

from looplet.core.codec import canonical, digest
from looplet.replay import use_cassette

STEPS, QUICK_STEPS = (50, 100, 200, 400), (50, 100)
CALLS, QUICK_CALLS = (625, 1_250, 2_500, 5_000), (156, 312)
SINGLE, QUICK_SINGLE = (10, 100, 1_000), (10, 100)
LIMIT_S = 30.0
"""A size is left out for vcrpy if the one before it makes it likely to take longer."""
LONG_RUNS, LONG_STEPS, LONG_WORDS = 4, 20, 4_600
"""Runs whose prompts have about 40,000 characters in the mean."""
PROMPT_WORDS = 330
KB = 1_000
SHAPES = {"native": NATIVE, "text": OWN}

Work = Callable[[Model], object]


def sizes(given: argparse.Namespace, folder: Path, url: str) -> str:
    """Bytes of one run, recorded by both at once."""
    vcr = Vcr(url)
    rows = []
    for name, shape in (("native", NATIVE), ("text", WHOLE)):
        ours, theirs = [], []
        for steps in given.steps:
            path, other = folder / "ours.yaml", folder / "theirs.yaml"
            with use_cassette(path, record_mode="all") as cassette, vcr.recording(other) as model:
                recorded.run(cassette.wrap_llm(model), shape, steps)
            ours.append(path.stat().st_size / KB)
            theirs.append(other.stat().st_size / KB)
        ratios = [f"{big / small:.0f}x" for small, big in zip(ours, theirs, strict=True)]
        rows += [
            [f"{name}, looplet", *_growing(ours, "{:,.0f}")],
            [f"{name}, vcrpy", *_growing(theirs, "{:,.0f}")],
            [f"{name}, vcrpy over looplet", *ratios],
        ]
    return _table(["KB of one run", *(f"{each:,} steps" for each in given.steps)], rows)


def prompts(given: argparse.Namespace, folder: Path, url: str) -> str:
    """What recording and replaying add to a call whose prompt has 40,000 characters."""
    tapes: dict[str, Tape] = {"looplet": Looplet(), "vcrpy": Vcr(url)}
    shapes = {"native": NATIVE, "text, grows": WHOLE, "text, all new": NEW}
    runs = 1 if given.quick else LONG_RUNS
    best: dict[tuple[str, str, str], Times] = {}
    disk: dict[int, float] = {}
    for _ in range(given.rounds):
        for size in (KB, 40 * KB):
            disk[size] = min(disk.get(size, math.inf), _fsync_ms(folder / "lines", size))
        for shape_name, shape in shapes.items():
            work = long_runs(shape, runs)
            for tape_name, tape in tapes.items():
                key, path = (shape_name, tape_name), folder / "prompts.yaml"
                work(recorded.Script())  # what is looked up is found in memory from here on
                _keep(best, (*key, "live"), timed(tape.bare(), work))
                _keep(best, (*key, "record"), timed(tape.recording(path), work))
                _keep(best, (*key, "replay"), timed(tape.replaying(path), work))
    heads = ["ms a call", "recording", "of it CPU", "saving", "loading", "replaying", "of it CPU"]
    names = [(shape, tape) for shape in shapes for tape in tapes]
    rows = [[", ".join(key), *_per_call(best, key, runs * LONG_STEPS)] for key in names]
    said = "; ".join(
        f"of {size // KB} KB {disk[size]:.2f} and {_hash_ms(size):.2f} ms" for size in disk
    )
    note = f"Alone: an append with fsync, and canonical JSON with SHA-256, {said}."
    return f"{_table(heads, rows)}\n\n{note}"


def _per_call(best: Mapping[Any, Times], key: tuple[str, str], count: int) -> list[str]:
    """Recording is compared with the live model of the tape, replaying with one without HTTP."""
    live, record, replay = (best[*key, what].work for what in ("live", "record", "replay"))
    loop = best[key[0], "looplet", "live"].work
    figures = (
        record.wall - live.wall,
        record.cpu - live.cpu,
        best[*key, "record"].close.wall,
        best[*key, "replay"].open.wall,
        replay.wall - loop.wall,
        replay.cpu - loop.cpu,
    )
    return [f"{round(each / count * 1000, 2) + 0:.2f}" for each in figures]  # no minus before 0


def calls(given: argparse.Namespace, folder: Path, url: str) -> str:
    """CPU time to load, to replay and to save one run of thousands of calls."""
    cases: dict[str, tuple[Tape, Shape]] = {
        "native, looplet": (Looplet(), NATIVE),
        "native with tools and steps, looplet": (Looplet(whole=True), NATIVE),
        "text, looplet": (Looplet(), OWN),
        "text, vcrpy": (Vcr(url), OWN),
    }
    parts = ("load", "replay", "both", "live", "save")
    found = {(name, part): [math.nan] * len(given.calls) for name in cases for part in parts}
    for name, (tape, shape) in cases.items():
        for place, count in enumerate(given.calls):
            work, path = one_run(shape, count), folder / "calls.yaml"
            saved = timed(tape.recording(path), work).close.cpu
            replayed = _best(given.rounds, partial(tape.replaying, path), work)
            load, play = replayed.open.cpu, replayed.work.cpu
            live = _best(given.rounds, tape.bare, work).work.cpu
            for part, seconds in zip(parts, (load, play, load + play, live, saved), strict=True):
                found[name, part][place] = seconds
            if isinstance(tape, Vcr) and 4 * (load + play) > LIMIT_S:
                break
    rows = [[f"{name}: {part}", *_growing(row, "{:.2f}")] for (name, part), row in found.items()]
    return _table(["seconds of CPU", *(f"{each:,} calls" for each in given.calls)], rows)


def single(given: argparse.Namespace, folder: Path, url: str) -> str:
    """CPU time of one call replayed, opening and closing included, by length of the recording."""
    tapes: dict[str, Any] = {
        "hash, dict, JSON": Floor(),
        "looplet": Looplet(),
        "OpenAI's SDK, answered from memory": Sdk(),
        "vcrpy": Vcr(url),
        "vcrpy, matching bodies": Vcr(url, bodies=True),
    }
    counts = QUICK_SINGLE if given.quick else SINGLE
    rows = []
    for name, tape in tapes.items():
        cells = ["-"] * len(counts)
        for place, count in enumerate(counts):
            path, work = folder / "single.yaml", partial(_ask, count)
            if hasattr(tape, "recording"):
                timed(tape.recording(path), work)
            best = _best(given.rounds, partial(tape.replaying, path), work)
            seconds = best.open.cpu + best.work.cpu + best.close.cpu
            cells[place] = f"{seconds / count * 1e6:,.0f}"
            if isinstance(tape, Vcr) and 100 * seconds > LIMIT_S:
                break
        rows.append([name, *cells])
    return _table(["µs of CPU a call", *(f"{each:,} calls" for each in counts)], rows)


def _ask(count: int, model: Model) -> None:
    for number in range(count):
        model.generate(recorded.words(f"prompt {number}", PROMPT_WORDS))


def peaks(given: argparse.Namespace, folder: Path, url: str) -> str:
    """Growth of a process at its peak while it loads, replays and records."""
    if not memory.RESET.exists():
        return "peak memory: needs Linux's /proc/self/clear_refs, which is not here"
    counts = (given.calls[0], given.calls[-1])
    rows = []
    for shape, tape in PEAKS:
        cells = []
        for count in counts if tape == "looplet" else counts[:1]:
            for steps in (memory.WARM, count):
                path = folder / f"{shape}-{steps}.yaml"
                timed(TAPES[tape](url).recording(path), one_run(SHAPES[shape], steps))
            for what in WHATS:
                asked = ["--peak", what, tape, shape, str(count), str(folder), url]
                command = [sys.executable, __file__, *asked]
                out = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
                cells.append(f"{int(out) / 1024 / count * 1000:.1f}")
        rows.append([f"{shape}, {tape}", *cells, *["-"] * (len(WHATS) * len(counts) - len(cells))])
    heads = [f"{what}, {count:,} calls" for count in counts for what in WHATS]
    return _table(["MiB per 1,000 calls", *heads], rows)


PEAKS = (("native", "looplet"), ("text", "looplet"), ("text", "vcrpy"))
TAPES: dict[str, Callable[[str], Tape]] = {"looplet": lambda _url: Looplet(), "vcrpy": Vcr}
WHATS = ("load", "replay", "record")


def _peak(what: str, tape_name: str, shape: str, count: str, folder: str, url: str) -> int:
    tape = TAPES[tape_name](url)

    def run(steps: int) -> object:
        path = Path(folder) / f"{shape}-{steps}.yaml"
        if what == "record":
            return timed(tape.recording(path.with_suffix(".again")), one_run(SHAPES[shape], steps))
        if what == "load":
            return _loaded(tape, path)
        return timed(tape.replaying(path), one_run(SHAPES[shape], steps))

    return memory.grown(run, int(count))


def _loaded(tape: Tape, path: Path) -> ExitStack:
    """A recording that is open; nobody closes it, since nothing of it is replayed."""
    stack = ExitStack()
    stack.enter_context(tape.replaying(path))
    return stack


def one_run(shape: Shape, steps: int) -> Work:
    """A run of so many steps."""
    return lambda model: recorded.run(model, shape, steps)


def long_runs(shape: Shape, runs: int) -> Work:
    """Some runs, each with a long task of its own."""
    tasks = [recorded.words(f"task {number}", LONG_WORDS) for number in range(runs)]

    def work(model: Model) -> None:
        for task in tasks:
            recorded.run(model, shape, LONG_STEPS, task=task)

    return work


def _best(rounds: int, tape: Callable[[], AbstractContextManager[Model]], work: Work) -> Times:
    best = timed(tape(), work)
    for _ in range(rounds - 1):
        best = timed(tape(), work).least(best)
    return best


def _keep(best: dict[Any, Times], key: Any, times: Times) -> None:
    best[key] = times.least(best.get(key))


def _fsync_ms(path: Path, size: int, times: int = 50) -> float:
    """Milliseconds to append so many bytes and have them on disk."""
    line = b"x" * size
    with path.open("wb") as file:
        start = time.perf_counter()
        for _ in range(times):
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        return (time.perf_counter() - start) / times * 1000


def _hash_ms(size: int, times: int = 200) -> float:
    text = recorded.words("hash", size)[:size]
    start = time.process_time()
    for _ in range(times):
        digest(canonical({"role": "user", "content": text}))
    return (time.process_time() - start) / times * 1000


def _growing(figures: Sequence[float], form: str) -> list[str]:
    """Each figure with how many times the one before it is; what was not measured is a dash."""
    cells = []
    for place, figure in enumerate(figures):
        if math.isnan(figure):
            cells.append("-")
            continue
        grown = f" ({figure / figures[place - 1]:.2f}x)" if place and figures[place - 1] else ""
        cells.append(form.format(figure) + grown)
    return cells


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TABLES = {"sizes": sizes, "prompts": prompts, "calls": calls, "single": single, "peaks": peaks}
TITLES = {
    "sizes": "Bytes",
    "prompts": "A call of 40,000 characters",
    "calls": "Thousands of calls",
    "single": "One call",
    "peaks": "Memory",
    "digests": "Digests",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Recording and replaying, beside vcrpy.")
    parser.add_argument("--quick", action="store_true", help="fewer sizes and one round")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--steps", type=int, nargs="+")
    parser.add_argument("--calls", type=int, nargs="+")
    parser.add_argument("--only", nargs="+", choices=TITLES, default=list(TITLES))
    parser.add_argument("--pythons", nargs="*", default=digests.PYTHONS, metavar="3.x")
    parser.add_argument("--peak", nargs=6, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        print(_peak(*given.peak))
        return
    given.rounds = given.rounds or (1 if given.quick else 3)
    given.steps = given.steps or (QUICK_STEPS if given.quick else STEPS)
    given.calls = given.calls or (QUICK_CALLS if given.quick else CALLS)
    server = ChatServer()
    for name in given.only:
        with tempfile.TemporaryDirectory() as folder:
            if name == "digests":
                text = digests.table(given.pythons)
            else:
                text = TABLES[name](given, Path(folder), server.url)
        print(f"**{TITLES[name]}**\n\n{text}\n", flush=True)
    server.close()


if __name__ == "__main__":
    main()
