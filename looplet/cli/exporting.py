"""``looplet export``: runs of a trajectory store, in the format of another tool."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from looplet.cli.parsing import Commands
from looplet.cli.progress import Show, progress
from looplet.cli.saying import say
from looplet.core.wording import counted
from looplet.errors import ExporterError, StoreError

if TYPE_CHECKING:
    from looplet.trajectory.exporters import Loss
    from looplet.trajectory.model import Trajectory
    from looplet.trajectory.store import TrajectoryStore

ALL, SOME, NOTHING = 0, 1, 2
"""Exit codes: all runs were exported, some could not be and were told, none could."""
TOLD = 3
"""Of how many runs the same loss is told by itself; the others are counted."""


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "export",
        help="runs of a trajectory store, in the format of another tool",
        description="Export runs of a store into a new folder. Exits 0 if all were exported, 1 if "
        "some could not be, 2 if none could. What the format has no place for is told on stderr.",
        examples=["looplet export runs --format openai-messages --out finetune"],
    )
    parser.add_argument("store", type=Path, metavar="STORE", help="a trajectory store")
    parser.add_argument("--format", required=True, help="what to write, as openai-messages")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a folder that is new or empty"
    )
    parser.add_argument(
        "--id",
        action="append",
        metavar="ID",
        help="the beginning of a run's id; may be given several times (default: all runs)",
    )
    parser.set_defaults(command=export_runs, unusable=NOTHING)


def export_runs(given: argparse.Namespace) -> int:
    """Export; what is read and what is written are counted apart, since some may not be written."""
    from looplet.trajectory.exporters import export_trajectories
    from looplet.trajectory.store import TrajectoryStore

    store, read, losses = TrajectoryStore(given.store), Counter[str](), Counter[str]()
    with progress("exporting") as show:

        def tell(loss: Loss) -> None:
            losses[loss.message] += 1
            if losses[loss.message] <= TOLD:
                show(str(loss), None)

        try:
            runs = _counting(_chosen(store, given.id), read, show)
            written = export_trajectories(runs, given.out, format=given.format, on_loss=tell)
        except ExporterError as error:
            show(f"error: {error}", None)
            return NOTHING
        for message, count in losses.items():
            if count > TOLD:
                show(f"{counted(count - TOLD, 'more run')}: {message}", None)
    if not written:
        print(f"error: there is no run in {given.store} that could be exported", file=sys.stderr)
        return NOTHING
    left = read["runs"] - written
    say(f"{given.out}: {counted(written, 'run')} exported" + (f"; {left:,} not" if left else ""))
    return SOME if left else ALL


def _counting(runs: Iterable[Trajectory], read: Counter[str], show: Show) -> Iterator[Trajectory]:
    for run in runs:
        read["runs"] += 1
        yield run
        show(None, read["runs"])


def _chosen(store: TrajectoryStore, wanted: Sequence[str] | None) -> Iterator[Trajectory]:
    """The runs that are wanted, in the store's order. Raises ``StoreError`` at once."""
    if wanted is None:
        return iter(store)
    known = [str(row["trajectory_id"]) for row in store.iter_rows(["trajectory_id"])]
    for each in wanted:
        if not any(name.startswith(each) for name in known):
            raise StoreError(f"{store.path} has no run whose id begins with {each!r}")
    return (run for run in store if run.trajectory_id.startswith(tuple(wanted)))
