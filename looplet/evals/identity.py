"""Which task a run tried, and which recording it repeats. Knows runs; knows no eval and no file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from looplet.trajectory.model import Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class RunKey:
    """What tells whether two runs are independent trials."""

    trajectory_id: str
    task: str
    """Shared by the runs of a task; the trajectory's own identifier where it names none."""
    recording: str | None = None
    """The recording that was replayed, if one was: its replays are one trial of their task."""

    @classmethod
    def of(cls, run: Trajectory) -> RunKey:
        """The key of a run; of a stored one, only the columns that it takes are read."""
        return cls(
            trajectory_id=run.trajectory_id,
            task=task_name(run.trajectory_id, run.dataset, run.task_id),
            recording=recording_of(run.cassette_hash, run.replay_of),
        )


def task_name(trajectory_id: str, dataset: str | None, task_id: str | None) -> str:
    """The task's name, within its dataset; a run without one is a task of its own.

    >>> task_name("t1", "shop", "pears"), task_name("t1", "shop", None)
    ('shop/pears', 't1')
    """
    if not task_id:
        return trajectory_id
    return f"{dataset}/{task_id}" if dataset else task_id


def recording_of(cassette_hash: str | None, replay_of: str | None) -> str | None:
    """The recording that a run's replies are from.

    A fork goes on from another's recording into one of its own, and is a trial of its own.
    """
    return cassette_hash or replay_of
