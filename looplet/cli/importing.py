"""``looplet import``: runs that others recorded, into a trajectory store."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from looplet.cli.parsing import Commands
from looplet.cli.progress import Show, progress
from looplet.core.records import escape_controls
from looplet.errors import ImporterError

if TYPE_CHECKING:
    from looplet.trajectory.importers import Problem
    from looplet.trajectory.model import Trajectory

ALL, SOME, NOTHING = 0, 1, 2
"""Exit codes: all was imported, some was not and was told, nothing could be."""


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "import",
        help="runs that others recorded, into a trajectory store",
        description="Import runs from a file or a folder. Exits 0 if all were imported, 1 if some "
        "could not be (each is told on stderr, the rest is imported), 2 if none could.",
        examples=["looplet import logs/ --store runs"],
    )
    parser.add_argument("source", type=Path, metavar="SRC", help="a file, or a folder of files")
    parser.add_argument(
        "--format", default="auto", help="what the files are; auto looks into each (default)"
    )
    parser.add_argument("--store", type=Path, required=True, metavar="DIR", help="the store")
    parser.set_defaults(command=import_runs)


def import_runs(given: argparse.Namespace) -> int:
    """Import, as one commit of the store: what is read is in it when all is read."""
    from looplet.trajectory.importers import import_trajectories
    from looplet.trajectory.store import TrajectoryStore

    counted: Counter[str] = Counter()
    with progress("reading") as show:

        def tell(problem: Problem) -> None:
            counted["problems"] += 1
            show(str(problem), None)

        try:
            runs = import_trajectories(given.source, format=given.format, on_problem=tell)
        except ImporterError as error:
            print(f"error: {error}", file=sys.stderr)
            return NOTHING
        first = next(runs, None)
        if first is None:
            show(f"error: there is no run in {given.source} that could be imported", None)
            return NOTHING
        TrajectoryStore(given.store).append(_counting(chain([first], runs), counted, show))
    print(escape_controls(_summary(counted, given.store)))
    return SOME if counted["problems"] else ALL


def _counting(
    runs: Iterable[Trajectory], counted: Counter[str], show: Show
) -> Iterator[Trajectory]:
    for run in runs:
        counted["runs"] += 1
        counted["steps"] += len(run.steps)
        counted["calls"] += len(run.llm_calls)
        show(None, counted["runs"])
        yield run


def _summary(counted: Counter[str], store: Path) -> str:
    what = ", ".join(_number(counted, name) for name in ("runs", "steps", "calls"))
    left = f"; {_number(counted, 'problems')}" if counted["problems"] else ""
    return f"{store}: {what} imported{left}"


def _number(counted: Counter[str], name: str) -> str:
    return f"{counted[name]:,} {name if counted[name] != 1 else name[:-1]}"
