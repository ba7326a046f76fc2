"""Everything in a store read and verified; and how much there is. Changes nothing.

A row is verified against its own digests: each step's link and each message's digest are computed
anew from what they say, and the columns that follow from others are compared with what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from looplet.errors import StoreError
from looplet.trajectory import rows, tables, talk
from looplet.trajectory.damage import reading
from looplet.trajectory.folders import Folder
from looplet.trajectory.model import Trajectory, chain
from looplet.trajectory.parts import Part, Span, list_parts, survey
from looplet.trajectory.schema import TRAJECTORIES

DERIVED = (*rows.DERIVED, "n_steps", "n_calls")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a part that is not as it should be."""

    part: str
    """Name of the part file."""
    text: str


@dataclass(slots=True)
class Check:
    """What a check found."""

    parts: int = 0
    rows: int = 0
    """Rows that could be read, whole or with a problem."""
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def damaged(self) -> list[str]:
        """Names of the parts that have a problem, in order."""
        return list(dict.fromkeys(each.part for each in self.problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderInfo:
    """How much one dataset has, from names and footers."""

    parts: int
    rows: int
    bytes: int
    row_groups: int
    temporary: int
    """Files of writers that are at work, or were killed."""
    replaced: int
    """Parts whose rows stand in a joined part, and that compacting will remove."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInfo:
    """How much a store has."""

    path: str
    trajectories: FolderInfo
    scores: FolderInfo


def check_folders(
    folders: Mapping[str, Folder], *, on_part: Callable[[str, int], object] | None = None
) -> Check:
    """Check every part of the datasets."""
    check = Check()
    found = [(dataset, name) for dataset in folders for name in _listed(folders[dataset])]
    for dataset, name in found:
        if on_part is not None:
            on_part(name, len(found))
        check.parts += 1
        try:
            with Part(folders[dataset], name) as part:
                for span in part.spans:
                    _check_span(check, part, span, dataset)
        except StoreError as error:
            check.problems.append(Problem(name, str(error)))
    return check


def _listed(folder: Folder) -> list[str]:
    """The parts; all there are if a joined one cannot tell which of them count."""
    try:
        return list_parts(folder)
    except StoreError:
        return sorted(folder.names())


def folder_info(folder: Folder) -> FolderInfo:
    """How much a dataset has."""
    names, replaced = survey(folder)
    row_groups = rows_ = size = 0
    for name in names:
        with Part(folder, name) as part:
            row_groups += len(part.spans)
            rows_ += part.rows
            size += folder.size(part.name)
    return FolderInfo(
        parts=len(names),
        rows=rows_,
        bytes=size,
        row_groups=row_groups,
        temporary=len(folder.leftovers()),
        replaced=len(replaced),
    )


def _check_span(check: Check, part: Part, span: Span, dataset: str) -> None:
    try:
        with reading(part.path):
            found = list(tables.unpack(part.read(span)))
    except StoreError as error:
        check.problems.append(Problem(part.name, str(error)))
        return
    check.rows += len(found)
    if dataset != TRAJECTORIES:
        return
    for row in found:
        try:
            with reading(part.path):
                wrong = list(_differences(rows.from_row(row), row))
        except StoreError as error:
            wrong = [str(error)]
        name = row["trajectory_id"]
        check.problems += [Problem(part.name, f"trajectory {name!r}: {text}") for text in wrong]


def _differences(run: Trajectory, row: Mapping[str, Any]) -> Iterator[str]:
    """What in a row does not follow from the rest of it."""
    actual = {name: getattr(run, name) for name in rows.DERIVED}
    actual |= {"n_steps": len(run.steps), "n_calls": len(run.llm_calls)}
    for name in DERIVED:
        if repr(row[name]) != repr(actual[name]):
            yield f"{name} is {row[name]!r}, and {actual[name]!r} follows from the row"
    if any(step.digest for step in run.steps):
        for step, link in zip(run.steps, chain(run.task, run.steps), strict=True):
            if step.digest != link:
                yield f"step {step.step_num} is not what its digest tells"
                break
    for place, message in enumerate(row["messages"]):
        if message["digest"] != talk.message_digest(message):
            yield f"message {place} is not what its digest tells"
