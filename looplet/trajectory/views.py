"""Flat tables over nested rows: a row a trajectory, a step, a call or a message. Knows Arrow only.

Text stays as it is stored, and JSON stays text: a table is for counting, grouping and joining.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from looplet.trajectory.arrow import pa, pc
from looplet.trajectory.building import build
from looplet.trajectory.schema import (
    NESTED,
    SCORE_COLUMNS,
    SCORES,
    TRAJECTORIES,
    TRAJECTORY_COLUMNS,
)

TRAJECTORY_VIEW = "trajectories"
VIEWS = (TRAJECTORY_VIEW, *NESTED, SCORES)
"""The views of a store."""
_IDENTITY = ("trajectory_id", "run_id", "task_id", "trial", "dataset", "agent", "model")
"""Columns of the trajectory that stand on each of its steps, calls and messages."""
_MICROSECONDS = 1e6
_FURTHEST = 2.5e17
"""Microseconds from 1970 to about the year 9900, which is as far as a datetime goes."""


def dataset_of(view: str) -> str:
    """The dataset that a view reads. Raises ``ValueError`` if there is no such view."""
    if view not in VIEWS:
        raise ValueError(f"there is no view {view!r}; the views are {', '.join(VIEWS)}")
    return SCORES if view == SCORES else TRAJECTORIES


def columns_of(view: str) -> list[str]:
    """The columns that a view reads from the files."""
    if view == SCORES:
        return [column.name for column in SCORE_COLUMNS]
    if view == TRAJECTORY_VIEW:
        return [column.name for column in TRAJECTORY_COLUMNS]
    return [*_identity(view), view]


def flatten(table: pa.Table, view: str) -> pa.Table:
    """One row group, as the view shows it."""
    if view not in NESTED:
        return table.select(columns_of(view))
    nested: Any = table.column(view).combine_chunks()
    owners = pc.list_parent_indices(nested)
    columns: dict[str, Any] = {name: table.column(name).take(owners) for name in _identity(view)}
    structs = nested.flatten()
    fields = {column.name: pc.struct_field(structs, column.name) for column in NESTED[view]}
    return pa.table({**columns, **fields, **_derived(view, fields)})


def _identity(view: str) -> Sequence[str]:
    own = {column.name for column in NESTED[view]}
    return [name for name in _IDENTITY if name not in own]


def _derived(view: str, fields: Mapping[str, pa.Array[Any]]) -> dict[str, pa.Array[Any]]:
    derived = {}
    if "timestamp" in fields:
        derived["started_at"] = _times(fields["timestamp"])
    if view == "calls":
        derived["n_messages"] = pc.add(fields["input_kept"], pc.list_value_length(fields["input"]))
    return derived


def _times(seconds: pa.Array[Any]) -> pa.Array[Any]:
    """Unix seconds as times; null where no time is that far away."""
    factor, furthest, null = build([_MICROSECONDS, _FURTHEST, None], pa.float64())
    micros = pc.round(pc.multiply(seconds, factor))
    micros = pc.if_else(pc.less(pc.abs(micros), furthest), micros, null)
    times: pa.Array[Any] = micros.cast(pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    return times
