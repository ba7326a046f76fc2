"""Cases: a task, what is expected of it, and the files that keep them. Knows no run and no pytest.

A file is JSON, of one case or a list of them, or JSONL, a case a line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from looplet.core.checkpoint import write_whole
from looplet.core.codec import JSON, from_jsonable, to_jsonable
from looplet.core.validation import suggest_similar
from looplet.errors import CasesDamaged, CasesMissing

SUFFIXES = (".json", ".jsonl")
"""Files that may hold cases."""


@dataclass(frozen=True, slots=True)
class EvalCase:
    """A task to run an agent on, and what is expected of it.

    >>> case = EvalCase("pears", {"goal": "Price two pears."}, {"euro": 1.1}, marks=["smoke"])
    >>> EvalCase.from_dict(case.to_dict()) == case
    True
    """

    id: str
    task: JSON = field(default_factory=dict)
    expected: JSON = field(default_factory=dict)
    marks: list[str] = field(default_factory=list)
    """Words to select by; under pytest they are marks."""
    notes: str = ""

    def to_dict(self) -> dict[str, JSON]:
        """The case as JSON, without what is empty.

        >>> EvalCase("pears").to_dict()
        {'id': 'pears'}
        """
        values = {each.name: to_jsonable(getattr(self, each.name)) for each in fields(self)}
        return {
            name: value
            for name, value in values.items()
            if name == "id" or (value is not None and value not in ("", [], {}))
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, JSON]) -> EvalCase:
        """The case that ``to_dict`` was called on.

        Raises ``CasesDamaged``, which is a ``ValueError``, if there is no ``id``, on a field that
        no case has, and on a value of the wrong type.
        """
        if not isinstance(data, Mapping):
            raise CasesDamaged(f"a case is an object, not {type(data).__name__}: {data!r:.80}")
        identity = data.get("id")
        if not isinstance(identity, str) or not identity:
            raise CasesDamaged(f"a case needs an id, which is text: {dict(data)!r:.80}")
        for name in data:
            if name not in _FIELDS:
                near = suggest_similar(str(name), _FIELDS)
                hint = f"did you mean {near!r}?" if near else f"it has {', '.join(_FIELDS)}"
                raise CasesDamaged(f"case {identity!r} has a field {name!r}; {hint}")
        marks, notes = data.get("marks", []), data.get("notes", "")
        if not isinstance(marks, list) or not all(isinstance(each, str) for each in marks):
            raise CasesDamaged(f"the marks of case {identity!r} are a list of words, not {marks!r}")
        if not isinstance(notes, str):
            raise CasesDamaged(f"the notes of case {identity!r} are text, not {notes!r}")
        return cls(
            identity,
            from_jsonable(data.get("task", {})),
            from_jsonable(data.get("expected", {})),
            list(marks),
            notes,
        )


_FIELDS = tuple(each.name for each in fields(EvalCase))


def load_cases(path: str | os.PathLike[str]) -> list[EvalCase]:
    """The cases of a file, or of the ``.json`` and ``.jsonl`` files of a directory, by name.

    A ``.json`` file holds one case or a list; of a ``.jsonl`` file blank lines, and those that
    begin with ``#``, are skipped. Raises ``CasesMissing``, which is a ``FileNotFoundError``, if
    there is no such path; ``CasesDamaged``, which is a ``ValueError`` and names the file, on what
    cannot be read and on an id that is there twice.
    """
    path = Path(path)
    if not path.exists():
        raise CasesMissing(f"there are no cases at {path}: no such file or directory")
    found: dict[str, tuple[EvalCase, str]] = {}
    for file in _files(path):
        for case, where in _read(file):
            if case.id in found:
                raise CasesDamaged(
                    f"{where}: case {case.id!r} is also in {found[case.id][1]}. Give each case "
                    "an id of its own."
                )
            found[case.id] = (case, where)
    return [case for case, _ in found.values()]


def save_case(case: EvalCase, path: str | os.PathLike[str]) -> Path:
    """Write a case as JSON, its keys sorted, and return the file.

    In an existing directory, and where ``path`` ends with a slash, that is ``<id>.json``. Folders
    are made, and a file that is there is replaced. Raises ``ValueError`` if the id cannot be a
    file's name, and for a ``.jsonl`` file, which ``save_cases`` writes.
    """
    file = _in_folder(case, Path(path)) if _is_folder(path) else Path(path)
    if file.suffix == ".jsonl":
        raise ValueError(f"{file} holds a case a line: write it with save_cases")
    write_whole(file, _encode(case.to_dict(), indent=2) + b"\n")
    return file


def save_cases(cases: Iterable[EvalCase], path: str | os.PathLike[str]) -> Path:
    """Write cases: a file for each into a directory, a list into ``.json``, lines into ``.jsonl``.

    Returns the path. What is there of a file is replaced. Raises ``ValueError`` on an id that is
    there twice, and as ``save_case`` does; then nothing is written.
    """
    cases = list(cases)
    check_ids(cases)
    place = Path(path)
    if _is_folder(path):
        files = [_in_folder(case, place) for case in cases]
        place.mkdir(parents=True, exist_ok=True)
        for case, file in zip(cases, files, strict=True):
            save_case(case, file)
        return place
    records = [case.to_dict() for case in cases]
    if place.suffix == ".jsonl":
        write_whole(place, b"".join(_encode(record) + b"\n" for record in records))
    else:
        write_whole(place, _encode(records, indent=2) + b"\n")
    return place


def check_ids(cases: Iterable[EvalCase]) -> None:
    """Raise ``CasesDamaged`` if two cases have one id."""
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise CasesDamaged(f"two cases have the id {case.id!r}. Give each an id of its own.")
        seen.add(case.id)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = (each for each in path.iterdir() if each.suffix in SUFFIXES and each.is_file())
    return sorted(each for each in files if not each.name.startswith("."))


def _read(file: Path) -> Iterator[tuple[EvalCase, str]]:
    """The cases of a file, each with where it stands."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CasesDamaged(f"{file} cannot be read: it is not UTF-8 ({error.reason})") from error
    if file.suffix == ".jsonl":
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                where = f"{file}:{number}"
                yield _case(_parse(line, where), where), where
        return
    data = _parse(text, str(file))
    for each in data if isinstance(data, list) else [data]:
        yield _case(each, str(file)), str(file)


def _parse(text: str, where: str) -> JSON:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CasesDamaged(f"{where} cannot be read: {error}") from error


def _case(data: JSON, where: str) -> EvalCase:
    try:
        return EvalCase.from_dict(data)
    except ValueError as error:
        raise CasesDamaged(f"{where}: {error}") from error
    except RecursionError as error:
        raise CasesDamaged(f"{where}: a case is nested too deep to be read") from error


def _is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a directory, or is written like one."""
    return os.fspath(path).endswith(("/", os.sep)) or Path(path).is_dir()


def _in_folder(case: EvalCase, folder: Path) -> Path:
    name = f"{case.id}.json"
    # Not a path that leads elsewhere, and not a name that `load_cases` would pass over.
    if Path(name).name != name or "\0" in name or "\\" in name or name.startswith("."):
        raise ValueError(f"the id {case.id!r} cannot be a file's name; name the file in the path")
    return folder / name


def _encode(value: JSON, *, indent: int | None = None) -> bytes:
    text = json.dumps(value, ensure_ascii=False, indent=indent, sort_keys=True)
    return text.encode("utf-8", "backslashreplace")
