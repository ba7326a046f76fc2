"""Flat tables over nested rows: a row a trajectory, a step, a call or a message. Knows Arrow only.

Text stays as it is stored, and JSON stays text: a table is for counting, grouping and joining.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from looplet.trajectory.arrow import load_compute, pa
from looplet.trajectory.building import build
from looplet.trajectory.gathering import table_of
from looplet.trajectory.schema import (
    NESTED,
    SCORES,
    TRAJECTORIES,
    schema_of,
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


@cache
def empty_table(view: str) -> pa.Table:
    """A view of no rows, with all its columns."""
    return flatten(table_of([], dataset_of(view)), view)


def sources(view: str, columns: Sequence[str] | None = None) -> list[str]:
    """What is read from the files for columns of a view, or for all."""
    if view not in NESTED:
        known = [field.name for field in schema_of(dataset_of(view))]
        known = [name for name in known if name not in NESTED]
        return known if columns is None else list(columns)
    if columns is None:
        return [*_identity(view), view]
    own = [column.name for column in NESTED[view]]
    leaves = [f"{view}.{own[0]}"]  # which row has how many items
    for name in columns:
        needed = _DERIVED.get((view, name), (name,)) if name not in own else (name,)
        leaves += [f"{view}.{each}" for each in needed if each in own]
    outer = [name for name in columns if name in _identity(view)]
    return [*outer, *dict.fromkeys(leaves)]


def flatten(table: pa.Table, view: str, columns: Sequence[str] | None = None) -> pa.Table:
    """What ``sources`` names of one row group, as the view shows it."""
    if view not in NESTED:
        return table.select(sources(view, columns))
    nested: Any = table.column(view).combine_chunks()
    structs, pc = nested.flatten(), load_compute()
    fields = {field.name: pc.struct_field(structs, field.name) for field in structs.type}
    owners = pc.list_parent_indices(nested)
    shown: dict[str, Any] = {}
    for name in _shown(view) if columns is None else columns:
        if name in _identity(view):
            shown[name] = table.column(name).take(owners)
        else:
            shown[name] = fields[name] if name in fields else _derived(name, fields)
    return pa.table(shown)


def _shown(view: str) -> list[str]:
    derived = [name for of, name in _DERIVED if of == view]
    return [*_identity(view), *(column.name for column in NESTED[view]), *derived]


def _identity(view: str) -> Sequence[str]:
    own = {column.name for column in NESTED[view]}
    return [name for name in _IDENTITY if name not in own]


_DERIVED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("steps", "started_at"): ("timestamp",),
    ("calls", "started_at"): ("timestamp",),
    ("calls", "n_messages"): ("input_kept", "input"),
}
"""Columns of views that follow from others: from which."""


def _derived(name: str, fields: Mapping[str, pa.Array[Any]]) -> pa.Array[Any]:
    if name == "started_at":
        return _times(fields["timestamp"])
    pc = load_compute()
    added: pa.Array[Any] = pc.list_value_length(fields["input"])
    counts: pa.Array[Any] = pc.add(fields["input_kept"], added)
    return counts


def _times(seconds: pa.Array[Any]) -> pa.Array[Any]:
    """Unix seconds as times; null where no time is that far away."""
    factor, furthest, null = build([_MICROSECONDS, _FURTHEST, None], pa.float64())
    pc = load_compute()
    micros = pc.round(pc.multiply(seconds, factor))
    micros = pc.if_else(pc.less(pc.abs(micros), furthest), micros, null)
    times: pa.Array[Any] = micros.cast(pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    return times
