"""Whether what a cassette says of its runs fits what it holds. Knows cassettes; runs nothing."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from looplet.core.codec import JSON, digest
from looplet.core.records import escape_controls
from looplet.errors import CassetteError
from looplet.replay.entries import DISPATCH, STEP, header
from looplet.replay.playback import Player
from looplet.replay.reading import Reader
from looplet.trajectory.model import first_link, next_link


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found in a cassette that reads as one."""

    path: Path
    calls: int
    """Recorded calls of models and tools."""
    steps: int
    runs: int
    interrupted: bool
    """Whether its recording did not end, so that it may be shorter than the run was."""
    problems: tuple[str, ...]
    """Steps and runs that are not what they were recorded as; none: the cassette is whole."""

    @property
    def whole(self) -> bool:
        """Whether everything fits."""
        return not self.problems


def check_cassette(path: str | os.PathLike[str]) -> Checked:
    """Check the seal, each request against its key, each run's steps against its digests.

    Raises ``CassetteMissing``, ``CassetteDamaged`` or ``CassetteError`` for a file whose seal or
    requests are not what was written. A reply that was edited, and accepted, is found where a
    step holds the result of a tool.

    >>> import tempfile
    >>> from looplet.replay import use_cassette
    >>> from looplet.testing import MockLLMBackend
    >>> path = tempfile.mkdtemp() + "/greeting.yaml"
    >>> with use_cassette(path, record_mode="once") as cassette:
    ...     _ = cassette.wrap_llm(MockLLMBackend(["Hello!"])).generate("Say hello.")
    >>> checked = check_cassette(path)
    >>> checked.calls, checked.whole
    (1, True)
    """
    return checked(Player(Path(path)))


def checked(player: Player) -> Checked:
    """The same for a cassette that is open."""
    with warnings.catch_warnings():  # what has no JSON form was said to be so when it was recorded
        warnings.simplefilter("ignore")
        problems = tuple(map(escape_controls, _problems(player)))
    return Checked(
        path=player.path,
        calls=len(player),
        steps=sum(len(run.digests) for run in player.runs),
        runs=len(player.runs),
        interrupted=player.interrupted,
        problems=problems,
    )


def _problems(player: Player) -> Iterator[str]:
    """What does not fit: steps in the order of the file, then runs."""
    links = [first_link(run.task) for run in player.runs]
    reader = Reader(None)
    for request, stored, method, what in player.recorded():
        if method == DISPATCH:
            reader.take(request, stored, method, what)
        elif method == STEP:
            run = request.body.get("run", 0)
            problem = _problem(reader, request, stored, links[run])
            links[run] = header(request, "key") or ""  # a later step is judged by itself
            if problem:
                yield f"{_named(player, run)}{problem}"
    for number, run in enumerate(player.runs):
        expected = digest(f"{links[number]}:{run.stop_reason}")
        if run.digest not in (None, expected):
            yield (
                f"{_named(player, number)}its digest is not that of its {len(run.digests)} steps "
                f"and its end, {run.stop_reason}"
            )


def _problem(reader: Reader, request: JSON, stored: JSON, link: str) -> str | None:
    """What is wrong with a step that comes after the one with that link."""
    number = request.body.get("step")
    try:
        reader.take(request, stored, STEP, None)
    except (CassetteError, KeyError, TypeError, ValueError) as error:
        return f"step {number}: {error}"
    step = reader.steps.pop()
    if next_link(link, step) == step.digest:
        return None
    return (
        f"step {number} ({step.tool_call.tool}): its arguments or its result are not those that "
        "its digest tells"
    )


def _named(player: Player, run: int) -> str:
    return f"run {run}, " if len(player.runs) > 1 else ""
