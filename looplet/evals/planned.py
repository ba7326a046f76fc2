"""Which runs an agent is to make: cases, trials, and the cassettes that hold them.

Knows files' names and what cassettes say of themselves; opens none, runs nothing, knows no pytest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from looplet.core.codec import digest
from looplet.errors import EvalError
from looplet.evals.cases import EvalCase
from looplet.evals.judge_cassettes import JUDGES
from looplet.evals.runs import safe
from looplet.replay.heading import read_about

SUFFIX = ".yaml"
FIRST_TRIAL = 1
NAME_CHARS = 100
"""Characters of a case's id in a file's name, which leave room for what is put behind it."""
_UNSAFE = re.compile(r"[^\w.+-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A cassette that is there, and which run it says that it holds."""

    path: Path
    case_id: str
    trial: int | None
    expected: Any = None
    """What the run was to come to, as far as it was known when it was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """One run of an agent: on what, and by which cassette, which need not be there."""

    label: str
    """What ids show: the case, and the trial if there is one."""
    case: EvalCase
    trial: int | None
    cassette: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The runs to be made, and the cassettes that belong to none of them."""

    runs: tuple[PlannedRun, ...]
    left_out: tuple[Path, ...] = ()


def suite_folder(cassettes: Path, file: Path, root: Path) -> Path:
    """Where the cassettes of an eval file's runs are, so that one folder can hold many suites'.

    Of the folders around the file, below ``root``, it is the nearest whose name a folder in
    ``cassettes`` has; ``cassettes`` itself where none has.
    """
    around = [each for each in file.parents if root in each.parents and each.name != JUDGES]
    named = (cassettes / each.name for each in around)
    return next((folder for folder in named if folder.is_dir()), cassettes)


def recordings_in(folder: Path) -> list[Recording]:
    """The cassettes of a folder, by name; none if there is no such folder.

    A cassette says in its metadata which case it is of (``task_id``) and which ``trial``; one that
    does not is a case of its own, named as the file. Raises ``CassetteDamaged`` if a beginning
    cannot be read, and ``EvalError`` if two are of the same trial.
    """
    found: dict[tuple[str, int | None], Recording] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        each = _recording(path)
        other = found.setdefault((each.case_id, each.trial), each)
        if other is not each:
            raise EvalError(
                f"{path} and {other.path.name} both say that they are {_shown(each)}; "
                "delete one of them, or record it anew"
            )
    return list(found.values())


def plan_runs(
    folder: Path,
    recordings: Sequence[Recording],
    cases: Iterable[EvalCase] | None = None,
    *,
    trials: int | None = None,
) -> Plan:
    """The runs of each case, in order: as many ``trials`` as are asked for, else those recorded.

    Without ``cases`` they are what the cassettes name. A case of which nothing is recorded has one
    trial; trials that are not recorded are numbered from 1 on, behind those that are.
    """
    cases = _cases_of(recordings) if cases is None else list(cases)
    recorded: dict[str, dict[int | None, Path]] = {}
    for each in recordings:
        recorded.setdefault(each.case_id, {})[each.trial] = each.path
    runs: list[PlannedRun] = []
    labels: set[str] = set()
    for case in cases:
        paths = recorded.get(case.id, {})
        for trial in _trials(paths, trials):
            label = _label(case.id, trial, labels)
            labels.add(label)
            path = paths.get(trial, folder / file_name(case.id, trial))
            runs.append(PlannedRun(label=label, case=case, trial=trial, cassette=path))
    ids = {case.id for case in cases}
    left_out = (each.path for each in recordings if each.case_id not in ids)
    return Plan(runs=tuple(runs), left_out=tuple(left_out))


def file_name(case_id: str, trial: int | None) -> str:
    """The name of a cassette that is to be recorded, which no other case's has.

    >>> file_name("pay-b42", 1), file_name("bench/3", 2)
    ('pay-b42-1.yaml', 'bench-3-1c4f466a-2.yaml')
    """
    stem = _UNSAFE.sub("-", case_id)[:NAME_CHARS].lstrip(".")
    if stem != case_id or case_id != case_id.lower():  # some file systems do not tell A from a
        stem = f"{stem}-{digest(case_id)[:8]}"
    return f"{stem}{'' if trial is None else f'-{trial}'}{SUFFIX}"


def _recording(path: Path) -> Recording:
    about = read_about(path)
    case_id, trial = about.get("task_id"), about.get("trial")
    if case_id is not None and not isinstance(case_id, str):
        raise EvalError(f"{path}: the task_id in its metadata is text, not {case_id!r}")
    if isinstance(trial, bool) or not (trial is None or isinstance(trial, int)):
        raise EvalError(f"{path}: the trial in its metadata is a whole number, not {trial!r}")
    return Recording(
        path=path, case_id=case_id or path.stem, trial=trial, expected=about.get("expected")
    )


def _cases_of(recordings: Iterable[Recording]) -> list[EvalCase]:
    """The cases that cassettes name, in order; what is expected of one is what its first says."""
    found: dict[str, EvalCase] = {}
    for each in recordings:
        expected = {} if each.expected is None else each.expected
        found.setdefault(each.case_id, EvalCase(each.case_id, expected=expected))
    return list(found.values())


def _trials(recorded: Iterable[int | None], wanted: int | None) -> list[int | None]:
    known = sorted(recorded, key=lambda trial: (trial is not None, trial))
    if wanted is None:
        return known or [FIRST_TRIAL]
    return [*known, *_numbers(set(known), wanted - len(known))][:wanted]


def _numbers(taken: set[int | None], count: int) -> Iterator[int]:
    """The first whole numbers that are not taken."""
    number = FIRST_TRIAL
    while count > 0:
        if number not in taken:
            yield number
            count -= 1
        number += 1


def _label(case_id: str, trial: int | None, taken: set[str]) -> str:
    """Unlike all others, and the same whatever cases stand around it, but for one's own likes."""
    label = safe(case_id) + ("" if trial is None else f"-{trial}")
    if label in taken:
        label = f"{label}-{digest(f'{case_id}/{trial}')[:8]}"
    return label


def _shown(recording: Recording) -> str:
    trial = "" if recording.trial is None else f"trial {recording.trial} of "
    return f"{trial}case {recording.case_id!r}"
