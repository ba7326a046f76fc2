"""``looplet store``: what a trajectory store holds, whether it is whole, small parts joined."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from looplet.core.records import escape_controls

if TYPE_CHECKING:
    from looplet.trajectory.checking import FolderInfo

_UNITS = ("bytes", "KB", "MB", "GB", "TB")
_THOUSAND = 1_000
SHOWN = 20
"""Problems that are shown; the others are counted."""


def add_to(commands: Any) -> None:
    """Add the command and its parts."""
    parser = commands.add_parser("store", help="look at a trajectory store, check it, compact it")
    parts = parser.add_subparsers(title="parts", required=True, metavar="PART")
    for name, command, text in (
        ("info", show_info, "how much it holds"),
        ("check", check, "read and verify everything; exit 1 if anything is damaged"),
        ("compact", compact, "join small parts into large ones"),
    ):
        part = parts.add_parser(name, help=text)
        part.add_argument("store", metavar="DIR", help="the store's folder, or its s3:// address")
        part.set_defaults(command=command)


def show_info(given: argparse.Namespace) -> int:
    """One line a dataset, and what a compaction would remove."""
    info = _open(given.store).info()
    for name, folder in (("trajectories", info.trajectories), ("scores", info.scores)):
        print(f"{name}: {_amount(folder)}")
        if folder.replaced:
            print(f"  {folder.replaced} joined parts are still there; compact removes them")
        if folder.temporary:
            print(f"  {folder.temporary} temporary files, of writers at work or killed")
    return 0


def check(given: argparse.Namespace) -> int:
    """Every problem with its part's name; 1 if there is any."""
    with _progress("checking") as on_part:
        found = _open(given.store).check(on_part=on_part)
    for problem in found.problems[:SHOWN]:
        print(escape_controls(f"{problem.part}: {problem.text}"))
    if len(found.problems) > SHOWN:
        print(f"... and {len(found.problems) - SHOWN} more")
    verdict = "all verified" if found.ok else f"{_count(len(found.damaged), 'part')} with problems"
    print(f"{_count(found.rows, 'row')} in {_count(found.parts, 'part')}: {verdict}")
    return 0 if found.ok else 1


def compact(given: argparse.Namespace) -> int:
    """How many parts there were, and are."""
    done = _open(given.store).compact()
    sizes = f"{_size(done.bytes_before)}, now {_size(done.bytes_after)}"
    print(f"{_count(done.parts_before, 'part')}, now {done.parts_after}; {sizes}")
    return 0


def _open(place: str) -> Any:
    from looplet.trajectory import TrajectoryStore

    return TrajectoryStore(place)


def _amount(folder: FolderInfo) -> str:
    groups = _count(folder.row_groups, "row group")
    parts = _count(folder.parts, "part")
    return f"{_count(folder.rows, 'row')} in {parts}, {groups}, {_size(folder.bytes)}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _size(count: float) -> str:
    for unit in _UNITS:
        if count < _THOUSAND or unit == _UNITS[-1]:
            break
        count /= _THOUSAND
    return f"{count:.0f} {unit}" if unit == _UNITS[0] else f"{count:.1f} {unit}"


@contextmanager
def _progress(doing: str) -> Iterator[Callable[[str, int], object] | None]:
    """A bar that moves with each part, where a person watches and rich is installed."""
    if not sys.stderr.isatty():
        yield None
        return
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        yield None
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda _, total: bar.update(task, advance=1, total=total)
