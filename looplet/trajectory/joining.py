"""Small parts joined into large ones. Knows parts; knows no row.

The joined part is read back whole, and then appears by one rename. It names the parts whose rows
it holds; from then on they do not count, and they are removed. So whenever the process is killed,
each row counts once. Those that a killed process did not remove are removed by the next one, when
it has read the joined part whole again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from looplet.trajectory.folders import Folder
from looplet.trajectory.parts import (
    Part,
    Replaced,
    list_parts,
    place_of,
    replaced_by,
    survey,
)
from looplet.trajectory.writing import PartWriter

PART_BYTES = 256 * 2**20
"""About how large a joined part becomes, in bytes. Parts of half that are left as they are."""
REMEMBERED_S = 24 * 3600
"""How long a part that was joined and removed is still found by who listed it, in seconds."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """What compacting did: how many parts there were and are, and their bytes."""

    parts_before: int
    parts_after: int
    bytes_before: int
    bytes_after: int


def compact_folder(
    folder: Folder,
    dataset: str,
    *,
    part_bytes: int,
    row_group_bytes: int,
    on_part: Callable[[str, int], object] | None = None,
) -> Compaction:
    """Join a dataset's small parts. Raises as ``TrajectoryStore.compact`` does."""
    if not folder.exists():
        return Compaction(0, 0, 0, 0)
    with folder.locked():
        names, left = survey(folder)
        _remove_replaced(folder, names, left)
        sizes = {name: folder.size(name) for name in names}
        groups = list(_neighbours(names, sizes, part_bytes))
        count = sum(map(len, groups))
        for some in groups:
            with _writer(folder, dataset, some, row_group_bytes) as writer:
                for name in some:
                    if on_part is not None:
                        on_part(name, count)
                    _add(writer, folder, name)
                writer.commit_at(str(place_of(some[0])))
            folder.remove(some)
        after = list_parts(folder)
        return Compaction(len(names), len(after), sum(sizes.values()), sum(map(folder.size, after)))


def _remove_replaced(folder: Folder, names: Sequence[str], left: list[str]) -> None:
    """Remove parts that a killed compaction left, once those that stand for them are seen whole.

    Raises ``StoreDamaged``, and removes nothing, if one of these is not what was written.
    """
    for name in names:
        if not {each.name for each in replaced_by(folder, name)}.isdisjoint(left):
            with Part(folder, name) as part:
                for _ in part.tables():
                    pass
    folder.remove(left)


def _neighbours(
    names: Iterable[str], sizes: dict[str, int], part_bytes: int
) -> Iterator[list[str]]:
    """Parts to be joined: small ones that stand one after another, up to a size together."""
    some: list[str] = []
    total = 0
    for name in [*names, ""]:
        size = sizes.get(name, part_bytes)
        large = size > part_bytes // 2 or place_of(name) is None
        if large or total + size > part_bytes:
            if len(some) > 1:
                yield some
            some, total = [], 0
        if not large:
            some.append(name)
            total += size


def _writer(folder: Folder, dataset: str, names: Sequence[str], row_group_bytes: int) -> PartWriter:
    replaces = _replaced(folder, names)
    return PartWriter(folder, dataset, row_group_bytes=row_group_bytes, replaces=replaces)


def _add(writer: PartWriter, folder: Folder, name: str) -> None:
    with Part(folder, name) as part:
        for table in part.tables():
            writer.add_table(table)


def _replaced(folder: Folder, names: Sequence[str]) -> list[Replaced]:
    """What the joined part is to hold, and where; with what its parts were joined of lately."""
    now, first = int(time.time()), 0
    found = []
    for name in names:
        with Part(folder, name) as part:
            rows = part.rows
        found += [
            replace(each, first=each.first + first)
            for each in replaced_by(folder, name)
            if each.at > now - REMEMBERED_S
        ]
        found.append(Replaced(name, first, rows, now))
        first += rows
    return found
