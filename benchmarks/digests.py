"""A replay's digests in other processes: two drivers, and every Python that is found here.

    python benchmarks/digests.py [--pythons 3.11 3.12 3.13]

One run is recorded by each mode of the loop. Processes of their own, each with another hash seed,
replay it through both drivers and hash what happened; equal digests are equal runs, step by step.
Another Python gets an environment in ``.bench`` the first time, which takes a package index.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import recorded

from looplet.replay import use_cassette
from looplet.trajectory import TrajectoryRecorder

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13")
STEPS = 40
SHAPES = {"native": recorded.NATIVE, "text": recorded.OWN}
DRIVERS = ("sync", "async")
SHOWN = 12
"""Characters of a digest in the table; all are compared."""


def record(folder: Path) -> dict[str, str]:
    """Record a run of each mode; the digest of its chain, by mode."""
    found = {}
    for name, shape in SHAPES.items():
        with use_cassette(folder / f"{name}.yaml", record_mode="all") as cassette:
            found[name] = _chain(cassette.wrap_llm(recorded.Script()), shape, "sync")
    return found


def replay(folder: Path, name: str, driver: str) -> str:
    """Replay a run without a model; the digest of its chain."""
    with use_cassette(folder / f"{name}.yaml") as cassette:
        llm = cassette.wrap_llm(None, async_=driver == "async")
        return _chain(llm, SHAPES[name], driver)


def _chain(llm: Any, shape: recorded.Shape, driver: str) -> str:
    recorder = TrajectoryRecorder()
    if driver == "async":
        asyncio.run(recorded.run_async(llm, shape, STEPS, hooks=[recorder]))
    else:
        recorded.run(llm, shape, STEPS, hooks=[recorder])
    return recorder.trajectory.digest


def pythons(versions: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """This Python, then executables of the other versions; ``None`` where there is none."""
    own = f"3.{sys.version_info.minor}"
    yield own, sys.executable
    for version in versions:
        if version != own:
            yield version, _environment(version)


def _environment(version: str) -> str | None:
    """A Python with looplet and its cassettes, made if the machine has that version."""
    place = ROOT / ".bench" / f"python{version}"
    python, ready = place / "bin" / "python", place / ".ready"
    if ready.exists():
        return str(python)
    found = next(filter(_works, _candidates(version)), None)
    if found is None:
        return None
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        subprocess.run([found, "-m", "venv", "--clear", str(place)], check=True)
        subprocess.run([*pip, "--editable", f"{ROOT}[replay]"], check=True, stdout=sys.stderr)
    except subprocess.CalledProcessError as error:
        print(f"no environment for Python {version}: {error}", file=sys.stderr)
        return None
    ready.touch()
    return str(python)


def _candidates(version: str) -> Iterator[str]:
    yield f"python{version}"
    yield from map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))


def _works(python: str) -> bool:
    """Whether there is a Python behind a name; a version manager's shim may have none."""
    with suppress(OSError, subprocess.CalledProcessError):
        subprocess.run([python, "-c", ""], check=True, capture_output=True)
        return True
    return False


def table(versions: Iterable[str]) -> str:
    """Record, replay everywhere, and say whether all digests of a mode are equal."""
    names = [(name, driver) for name in SHAPES for driver in DRIVERS]
    lines = [
        "| digest of the run | " + " | ".join(f"{name}, {driver}" for name, driver in names) + " |",
        "|---|" + "---|" * len(names),
    ]
    seen: dict[str, set[str]] = {name: set() for name in SHAPES}
    with tempfile.TemporaryDirectory() as place:
        first = record(Path(place))
        rows = [("recorded", {(name, "sync"): each for name, each in first.items()})]
        for version, python in pythons(versions):
            rows.append((f"replayed, Python {version}", _in_process(python, place)))
    for title, found in rows:
        for (name, _), each in found.items():
            seen[name].add(each)
        cells = [found[each][:SHOWN] if each in found else "-" for each in names]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    missing = [title for title, found in rows if not found]
    equal = all(len(each) == 1 for each in seen.values())
    said = "All digests of a mode are equal." if equal else "The digests are NOT equal."
    if missing:
        said += f" Not found on this machine: {', '.join(missing)}."
    return "\n".join([*lines, "", said])


def _in_process(python: str | None, place: str) -> dict[tuple[str, str], str]:
    if python is None:
        return {}
    found = {}
    for name in SHAPES:
        for driver in DRIVERS:
            command = [python, __file__, "--one", place, name, driver]
            ran = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True, env=_environ()
            )
            found[name, driver] = json.loads(ran.stdout)
    return found


def _environ() -> dict[str, str]:
    """Without a hash seed that a caller fixed, so that each process has its own."""
    return {key: text for key, text in os.environ.items() if key != "PYTHONHASHSEED"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Digests of one run, replayed everywhere.")
    parser.add_argument("--pythons", nargs="*", default=PYTHONS, metavar="3.x")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        place, name, driver = given.one
        print(json.dumps(replay(Path(place), name, driver)))
    else:
        print(table(given.pythons))


if __name__ == "__main__":
    main()
