"""The scores that a run of evals is compared with. Knows stores and sessions; compares nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from looplet.errors import EvalError
from looplet.evals.identity import KEY_COLUMNS, RunKey
from looplet.evals.sides import Side, Word, key_of_row, sides_of, word_of_row

if TYPE_CHECKING:
    from looplet.trajectory.store import TrajectoryStore

SESSIONS = 5
"""How many sessions an error names, the newest first."""
_IDENTITY = ("trajectory_id", "run_id", "started_at", "digest")
"""What a run shares with its copy in another store alone."""
_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Scores of other runs, or of an earlier time."""

    name: str
    """As it was asked for."""
    sides: Mapping[str, Side]
    """By the eval's key."""
    tasks: frozenset[str]
    runs: frozenset[str] = frozenset()
    """The runs that it scored, as far as they stand in the scored store too."""


def read_baseline(
    text: str, *, store: str | Path | None = None, folder: str | Path = "."
) -> Baseline:
    """The baseline of that name: another store's newest scores, or a session's of ``store``.

    ``store`` is the store that is scored; ``folder`` is where a relative path begins. A directory
    goes before a session of the same name. Raises ``EvalError`` if there is neither, if it holds
    no scores, and if it is the very store that is scored; what ``TrajectoryStore`` raises.
    """
    from looplet.trajectory.store import TrajectoryStore

    path = Path(folder, text)
    if not path.is_dir():
        if store is None:
            raise EvalError(f"there is no directory {path}")
        return _session(TrajectoryStore(store), text, path)
    if store is not None and path.samefile(store):
        raise EvalError(
            f"{text} is the store that is scored: name another one, or an earlier session of "
            f"scores in it{_known(TrajectoryStore(store))}"
        )
    found = TrajectoryStore(path)
    words = [*_words(found, found.scores())]
    if not words:
        raise EvalError(
            f"the store {text} holds no scores of its runs: score them with "
            f"pytest EVALS --looplet-store {text}"
        )
    shared = set() if store is None else _copies(found, TrajectoryStore(store))
    return _baseline(text, words, runs=frozenset(word.trajectory_id for word in words) & shared)


def _copies(one: TrajectoryStore, other: TrajectoryStore) -> set[str]:
    """The runs that both stores have: not of one name alone, but the very same."""
    return {run[0] for run in _identities(one) & _identities(other)}


def _identities(store: TrajectoryStore) -> set[tuple[Any, ...]]:
    return {tuple(row[name] for name in _IDENTITY) for row in store.iter_rows(_IDENTITY)}


def _session(store: TrajectoryStore, session: str, path: Path) -> Baseline:
    rows = [row for row in store.scores() if row["session"] == session]
    words = [*_words(store, rows)]
    if not words:
        raise EvalError(
            f"there is no directory {path}, and no session {session!r} in the scores of "
            f"{store.path}{_known(store)}"
        )
    return _baseline(session, words, runs=frozenset(word.trajectory_id for word in words))


def _baseline(name: str, words: Iterable[Word], runs: frozenset[str] = frozenset()) -> Baseline:
    sides = sides_of(words)
    tasks = frozenset(word.task for side in sides.values() for word in side.words)
    return Baseline(name=name, sides=sides, tasks=tasks, runs=runs)


def tasks_of(store: str | Path) -> dict[str, str]:
    """The task of each run of a store, by the run's identifier."""
    from looplet.trajectory.store import TrajectoryStore

    return {run: task for run, (task, _) in _runs(TrajectoryStore(store)).items()}


def _words(store: TrajectoryStore, scores: Iterable[_Row]) -> Iterator[Word]:
    """The newest word of each eval on each run that the store has, in the order of the runs."""
    newest = {(key_of_row(row), row["trajectory_id"]): row for row in scores}
    by_run: dict[str, list[_Row]] = {}
    for (_, run), row in newest.items():
        by_run.setdefault(run, []).append(row)
    for run, (task, recording) in _runs(store).items():
        for row in by_run.get(run, ()):
            yield word_of_row(row, task=task, recording=recording)


def _runs(store: TrajectoryStore) -> dict[str, tuple[str, str | None]]:
    """Task and recording of each run, by its identifier."""
    keys = map(RunKey.of_row, store.iter_rows(KEY_COLUMNS))
    return {key.trajectory_id: (key.task, key.recording) for key in keys}


def _known(store: TrajectoryStore) -> str:
    """The newest sessions of a store, for an error's end."""
    times = {row["session"]: row["scored_at"] for row in store.scores() if row["session"]}
    if not times:
        return "; it holds no scores yet"
    newest = [*times.items()][: -SESSIONS - 1 : -1]
    shown = ", ".join(f"{name} ({time:%Y-%m-%d %H:%M})" if time else name for name, time in newest)
    return f"; the newest sessions: {shown}"
