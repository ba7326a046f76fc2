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
    """Shared by the runs of a task; where it names none, by the replays of a recording."""
    recording: str | None = None
    """The recording that was replayed, if one was: its replays are one trial of their task."""

    @classmethod
    def of(cls, run: Trajectory) -> RunKey:
        """The key of a run; of a stored one, only the columns that it takes are read."""
        return cls.of_row({name: getattr(run, name) for name in KEY_COLUMNS})

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> RunKey:
        """The key of a run, by its columns."""
        name, recording = row["trajectory_id"], recording_of(row["cassette_hash"], row["replay_of"])
        task = task_name(name, row["dataset"], row["task_id"], recording)
        return cls(trajectory_id=name, task=task, recording=recording)


def task_name(
    trajectory_id: str, dataset: str | None, task_id: str | None, recording: str | None = None
) -> str:
    """The task's name, within its dataset; a run without one is a task of its own.

    But for replays: those of one recording are on one task, whether it has a name or not.

    >>> task_name("t1", "shop", "pears"), task_name("t1", "shop", None)
    ('shop/pears', 't1')
    """
    if not task_id:
        return recording or trajectory_id
    return f"{dataset}/{task_id}" if dataset else task_id


def recording_of(cassette_hash: str | None, replay_of: str | None) -> str | None:
    """The recording that a run's replies are from.

    A fork goes on from another's recording into one of its own, and is a trial of its own.
    """
    return cassette_hash or replay_of
