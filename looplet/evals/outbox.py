"""Where the runs that agents made are kept, whichever process made them. Knows stores, no agent.

With pytest-xdist each worker puts its runs into a store of its own, below a folder that the
controller has made; the controller alone writes where the user asked.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from looplet.errors import EvalError
from looplet.trajectory.model import Trajectory


class Outbox:
    """The runs on their way to the store at ``out``; without one nothing is kept."""

    def __init__(self, out: str | None, *, scratch: str | None = None) -> None:
        self.out = out
        self._handed_over = None if scratch is None else Path(scratch)
        self.troubles: list[str] = []
        """What workers could not hand over."""

    def open(self) -> str | None:
        """The folder for workers, made when it is first asked for; ``None`` if nothing is kept."""
        if self.out is None:
            return None
        if self._handed_over is None:
            self._handed_over = Path(tempfile.mkdtemp(prefix="looplet-runs-"))
        return str(self._handed_over)

    def hand_over(self, runs: Collection[Trajectory], worker: str) -> None:
        """In a worker: put its runs where the controller finds them. Raises as a store does."""
        from looplet.trajectory.store import TrajectoryStore

        if runs and self._handed_over is not None:
            TrajectoryStore(self._handed_over / worker).append(runs)

    def write(self, own: Iterable[Trajectory], wanted: Collection[str]) -> list[str]:
        """Append the runs with those ids, each once and all in one commit; lines that tell of it.

        Raises ``EvalError`` if one is missing, since scores would be of runs that nobody has, and
        as a store does.
        """
        if self.out is None:
            return []
        from looplet.trajectory.store import TrajectoryStore

        found = {run.trajectory_id: run for run in (*own, *self._from_workers())}
        missing = [name for name in wanted if name not in found]
        if missing:
            lost = f"{len(missing)} of {len(wanted)} runs went down with their worker"
            raise EvalError("; ".join([lost, *self.troubles]))
        if not wanted:
            return ["trajectories: none to append"]
        TrajectoryStore(self.out).append(found[name] for name in wanted)
        return [f"trajectories: {len(wanted)} appended to {self.out}"]

    def close(self) -> None:
        """Remove the folder for workers."""
        if self._handed_over is not None:
            shutil.rmtree(self._handed_over, ignore_errors=True)

    def _from_workers(self) -> Iterator[Trajectory]:
        from looplet.trajectory.store import TrajectoryStore

        for folder in sorted(self._handed_over.iterdir()) if self._handed_over else ():
            yield from TrajectoryStore(folder).scan()
