"""``looplet store``: what a trajectory store holds, whether it is whole, small parts joined."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from looplet.cli.parsing import Commands
from looplet.cli.progress import progress
from looplet.cli.saying import complain_of, say, say_json
from looplet.core.wording import counted
from looplet.errors import StoreDamaged

if TYPE_CHECKING:
    from looplet.trajectory.checking import FolderInfo
    from looplet.trajectory.store import TrajectoryStore

FINE, DAMAGED, UNUSABLE = 0, 1, 2
"""Exit codes: all is well, something is damaged, it could not be done."""
SHOWN = 20
"""Problems that are shown; the others are counted."""
_UNITS = ("bytes", "KB", "MB", "GB", "TB")
_THOUSAND = 1_000


def add_to(commands: Commands) -> None:
    """Add the command and its parts."""
    parser = commands.add_parser(
        "store",
        help="look at a trajectory store, check it, compact it",
        examples=["looplet store check runs"],
    )
    parts = Commands(parser, title="parts", metavar="PART")
    for name, command, text in (
        ("info", show_info, "how much it holds"),
        ("check", check, "read and verify everything"),
        ("compact", compact, "join small parts into large ones"),
    ):
        part = parts.add_parser(
            name,
            help=text,
            epilog="Exit status: 0: all is well, 1: damaged, 2: unusable.",
            examples=[f"looplet store {name} runs"],
        )
        part.add_argument("store", metavar="DIR", help="the store's folder, or its s3:// address")
        part.add_argument("--json", action="store_true", help="say it as JSON")
        part.set_defaults(command=partial(_telling_damage, command), unusable=UNUSABLE)


def _telling_damage(command: Callable[[argparse.Namespace], int], given: argparse.Namespace) -> int:
    try:
        return command(given)
    except StoreDamaged as error:
        complain_of(error)
        return DAMAGED


def show_info(given: argparse.Namespace) -> int:
    """One line a dataset, and what a compaction would remove."""
    info = _open(given.store).info()
    if given.json:
        say_json(asdict(info))
        return FINE
    for name, folder in (("trajectories", info.trajectories), ("scores", info.scores)):
        say(f"{name}: {_amount(folder)}")
        if folder.replaced:
            there = "is" if folder.replaced == 1 else "are"
            say(f"  {counted(folder.replaced, 'joined part')} {there} still there; compact it")
        if folder.temporary:
            say(f"  {counted(folder.temporary, 'temporary file')}, of writers at work or killed")
    return FINE


def check(given: argparse.Namespace) -> int:
    """Every problem with its part's name."""
    store = _open(given.store)
    with _parts("checking") as on_part:
        found = store.check(on_part=on_part)
    status = FINE if found.ok else DAMAGED
    if given.json:
        say_json({"ok": found.ok, **asdict(found)})
        return status
    for problem in found.problems[:SHOWN]:
        say(f"{problem.part}: {problem.text}")
    if len(found.problems) > SHOWN:
        say(f"... and {len(found.problems) - SHOWN:,} more")
    wrong = f"{counted(len(found.damaged), 'part')} with problems"
    amount = f"{counted(found.rows, 'row')} in {counted(found.parts, 'part')}"
    say(f"{amount}: {'all verified' if found.ok else wrong}")
    return status


def compact(given: argparse.Namespace) -> int:
    """How many parts there were, and are."""
    store = _open(given.store)
    with _parts("compacting") as on_part:
        done = store.compact(on_part=on_part)
    if given.json:
        say_json(asdict(done))
        return FINE
    sizes = f"{_size(done.bytes_before)}, now {_size(done.bytes_after)}"
    say(f"{counted(done.parts_before, 'part')}, now {done.parts_after:,}; {sizes}")
    return FINE


def _open(place: str) -> TrajectoryStore:
    from looplet.trajectory import TrajectoryStore

    return TrajectoryStore(place)


@contextmanager
def _parts(doing: str) -> Iterator[Callable[[str, int], None]]:
    """Shows how many parts have been begun."""
    numbers = count(1)
    with progress(doing, what="parts") as show:
        yield lambda _name, _count: show(None, next(numbers))


def _amount(folder: FolderInfo) -> str:
    groups = counted(folder.row_groups, "row group")
    parts = counted(folder.parts, "part")
    return f"{counted(folder.rows, 'row')} in {parts}, {groups}, {_size(folder.bytes)}"


def _size(amount: float) -> str:
    for unit in _UNITS:
        if amount < _THOUSAND or unit == _UNITS[-1]:
            break
        amount /= _THOUSAND
    return f"{amount:.0f} {unit}" if unit == _UNITS[0] else f"{amount:.1f} {unit}"
