"""Which task a run tried, and which recording it repeats. Knows runs; knows no eval and no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from looplet.trajectory.model import Trajectory

KEY_COLUMNS = ("trajectory_id", "dataset", "task_id", "cassette_hash", "replay_of")
"""What a key is made of."""


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
        return cls.of_row({name: getattr(run, name) for name in KEY_COLUMNS})

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> RunKey:
        """The key of a run, by its columns."""
        return cls(
            trajectory_id=row["trajectory_id"],
            task=task_name(row["trajectory_id"], row["dataset"], row["task_id"]),
            recording=recording_of(row["cassette_hash"], row["replay_of"]),
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
