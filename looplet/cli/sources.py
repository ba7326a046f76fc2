"""Runs that a user names: in a cassette, a trace or a store. Knows how each looks on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from looplet.errors import CassetteError, StoreError

if TYPE_CHECKING:
    from looplet.trajectory.model import Trajectory

MOST_NAMED = 5
"""Runs of a store that an error names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One run that was read."""

    name: str
    """As the user named it."""
    trajectory: Trajectory
    has_steps: bool = True
    """Whether the steps of the run were kept, and not its model calls alone."""


def read_source(text: str) -> Source:
    """Read the run that ``PATH`` or ``PATH#WHICH`` names.

    ``WHICH`` is the number of a cassette's run, from 0, or the beginning of an id in a store.
    Raises ``CassetteError`` or ``StoreError`` where there is no such run, and what reading raises.
    """
    path, which = divided(text)
    for looks_so, read in _KINDS:
        if looks_so(path):
            return read(path, which, text)
    raise CassetteError(
        f"{text} is neither a cassette, nor a trace directory, nor a trajectory store (STORE#ID)"
    )


def divided(text: str) -> tuple[Path, str | None]:
    """Path and what follows ``#``; a path that has one in its name is a path."""
    path, mark, which = text.rpartition("#")
    if not mark or Path(text).exists():
        return Path(text), None
    return Path(path), which


def is_store(path: Path) -> bool:
    """Whether there is a trajectory store at a path."""
    return path.is_dir() and any((path / each).is_dir() for each in ("trajectories", "scores"))


def _is_file(path: Path) -> bool:
    return not path.is_dir()  # one that is not there is a cassette that is missing


def _from_cassette(path: Path, which: str | None, name: str) -> Source:
    from looplet.replay.playback import Player
    from looplet.replay.reading import trajectory_of

    player = Player(path)
    if which is not None and not which.isdecimal():
        raise CassetteError(f"{name}: a run of a cassette is named by its number, as {path}#0")
    trajectory = trajectory_of(player, run=int(which or 0))
    return Source(name=name, trajectory=trajectory, has_steps=bool(player.runs))


def _from_store(path: Path, which: str | None, name: str) -> Source:
    return Source(name=name, trajectory=run_in_store(path, which))


def run_in_store(path: Path, which: str | None) -> Trajectory:
    """The run whose id begins so; ``None`` means the only one.

    Raises ``StoreError`` if there is none, or several, and names some.
    """
    from looplet.trajectory.store import TrajectoryStore

    store = TrajectoryStore(path)
    ids = [str(row["trajectory_id"]) for row in store.iter_rows(["trajectory_id"])]
    place = _place(ids, which, path)
    for number, trajectory in enumerate(store):
        if number == place:
            return trajectory
    raise StoreError(f"{path} changed while it was read; try again")


def _place(ids: list[str], which: str | None, path: Path) -> int:
    """Where the run stands that is meant. Raises ``StoreError`` if it is none, or several."""
    found = [place for place, each in enumerate(ids) if which in (None, each)]
    if which is not None and not found:
        found = [place for place, each in enumerate(ids) if each.startswith(which)]
    if len(found) == 1:
        return found[0]
    several = [ids[place] for place in found] if found else ids
    named = ", ".join(several[:MOST_NAMED]) + (" …" if len(several) > MOST_NAMED else "")
    what = f"{len(found)} runs" if found else "no run"
    what += "" if which is None else f" whose id begins with {which!r}"
    raise StoreError(f"{path} has {what}; name one as {path}#ID, of: {named or 'none at all'}")


def _is_trace(path: Path) -> bool:
    if not path.is_dir():
        return False
    from looplet.trajectory.trace_dir import holds_trace

    return holds_trace(path)


def _from_trace(path: Path, which: str | None, name: str) -> Source:
    from looplet.trajectory.trace_reading import read_trace

    if which is not None:
        raise CassetteError(f"{name}: a trace directory has one run; name it as {path}")
    return Source(name=name, trajectory=read_trace(path))


_KINDS: tuple[tuple[Callable[[Path], bool], Callable[[Path, str | None, str], Source]], ...] = (
    (is_store, _from_store),
    (_is_trace, _from_trace),
    (_is_file, _from_cassette),
)
"""How each kind of place is known, and read; the first that fits counts."""
