"""From a file, a folder or a zip to trajectories: finds the files, and the format of each."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from looplet.errors import MissingExtra, SourceMissing, UnknownFormat
from looplet.trajectory.importers.problems import Malformed, Problem
from looplet.trajectory.importers.registry import Format, known_formats
from looplet.trajectory.importers.sources import OnProblem, Source
from looplet.trajectory.model import Trajectory

AUTO = "auto"


def import_trajectories(
    source: str | os.PathLike[str],
    *,
    format: str = AUTO,  # noqa: A002 - the command line's word
    on_problem: OnProblem | None = None,
) -> Iterator[Trajectory]:
    """The runs in a file, or in all files of a folder in the order of their names, one at a time.

    ``format`` is a name out of ``formats()``, or ``auto``: each file's content tells. Files packed
    by gzip or zstd are unpacked; names that begin with a dot are passed. What cannot be imported,
    a record or a file that no format knows, is told to ``on_problem`` with its place, as a warning
    without one, and the rest is imported. Equal files give equal trajectories, ids too.

    Raises at once ``UnknownFormat``, and ``SourceMissing`` if nothing is there.
    """
    path = Path(source)
    known = known_formats()
    if format != AUTO and format not in known:
        raise UnknownFormat(
            f"there is no format {format!r} to import; known are {', '.join([AUTO, *known])}"
        )
    if not path.exists():
        raise SourceMissing(f"there is nothing to import at {path}")
    chosen = tuple(known.values()) if format == AUTO else (known[format],)
    return _import(path, chosen, on_problem or _warn, insisted=format != AUTO)


def _import(
    path: Path, formats: tuple[Format, ...], on_problem: OnProblem, *, insisted: bool
) -> Iterator[Trajectory]:
    for source in _sources(path, formats, on_problem):
        try:
            found = formats[0] if insisted else _format_of(source, formats)
            if found is None:
                source.report(Malformed("", _unknown(source)))
            else:
                yield from _read(source, found)
        except Malformed as error:
            source.report(error)
        except MissingExtra as error:  # other files may do without that package
            source.report(Malformed("", str(error)))


def _read(source: Source, format: Format) -> Iterator[Trajectory]:  # noqa: A002
    """Its runs. A file of the format may hold none; that one is of another format is told."""
    none = True
    for run in format.read(source):
        none = False
        yield run
    if none and not source.problems and not format.sniff(source):
        source.report(Malformed("", f"it is not of the format {format.name}"))


def _format_of(source: Source, formats: tuple[Format, ...]) -> Format | None:
    return next((each for each in formats if each.sniff(source)), None)


def _sources(
    path: Path, formats: tuple[Format, ...], on_problem: OnProblem, within: tuple[Path, ...] = ()
) -> Iterator[Source]:
    """Files, and the folders that a format takes whole.

    A link to a folder that it stands in is passed, since it would lead round and round.
    """
    source = Source(path, on_problem=on_problem)
    if not source.is_folder or _format_of(source, formats) is not None:
        yield source
        return
    try:
        real = path.resolve()
        names = sorted(each.name for each in path.iterdir()) if real not in within else []
    except OSError as error:
        source.report(Malformed("", f"its files cannot be listed: {error.strerror}"))
        return
    for name in names:
        if not name.startswith("."):
            yield from _sources(path / name, formats, on_problem, (*within, real))


def _unknown(source: Source) -> str:
    broken = source.outline.broken
    if broken is not None:
        return f"no format knows it; {broken.message}"
    return "no format knows it; name its format if it is of one"


def _warn(problem: Problem) -> None:
    warnings.warn(f"not imported: {problem}", stacklevel=4)
