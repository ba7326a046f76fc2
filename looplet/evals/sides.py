"""What each eval says of each run, as a comparison takes it. Knows verdicts and rows of scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from looplet.evals.results import Outcome
from looplet.evals.scored import Scored
from looplet.evals.statistics import Observation

Yardstick: TypeAlias = tuple[str, ...]
"""What verdicts are measured by: the eval's source, and the judge's name, rubric and model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One eval's word on one run."""

    key: str
    """The eval's key: its file's node id, and its name."""
    name: str
    trajectory_id: str
    task: str
    value: float | None
    """The score, or 1 for a pass and 0 for a fail; ``None`` where nothing could be judged."""
    yardstick: Yardstick
    recording: str | None = None
    required: bool = False
    measured: bool = False
    """Whether there were metrics and nothing else, which is no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One eval over the runs of one agent."""

    key: str
    name: str
    required: bool
    words: tuple[Word, ...]
    """One a trial: replays of one recording repeat it."""

    @property
    def observations(self) -> list[Observation]:
        """Each run's value, its trials numbered in order."""
        counts: dict[str, int] = {}
        found = []
        for word in self.words:
            number = counts[word.task] = counts.get(word.task, -1) + 1
            found.append(Observation(word.task, number, word.value, word.recording))
        return found

    @property
    def yardsticks(self) -> frozenset[Yardstick]:
        """All that were in use."""
        return frozenset(word.yardstick for word in self.words)

    @property
    def is_measured(self) -> bool:
        """Whether there is nothing but metrics, of which nothing is compared."""
        return all(word.measured for word in self.words)

    @property
    def is_bounded(self) -> bool:
        """Whether all scores are from 0 to 1, so that a margin has a meaning."""
        return all(word.value is None or 0 <= word.value <= 1 for word in self.words)


def sides_of(words: Iterable[Word]) -> dict[str, Side]:
    """Words by eval, in the order in which evals first appear."""
    groups: dict[str, list[Word]] = {}
    for word in words:
        groups.setdefault(word.key, []).append(word)
    return {
        key: Side(
            key=key,
            name=group[-1].name,
            required=group[-1].required,
            words=tuple(_trials(group)),
        )
        for key, group in groups.items()
    }


def words_of(scored: Iterable[Scored]) -> Iterator[Word]:
    """The words of verdicts."""
    for each in scored:
        result, judged = each.result, each.outcome in (Outcome.PASS, Outcome.FAIL)
        score = float(each.outcome is Outcome.PASS) if result.score is None else result.score
        yield Word(
            key=each.eval.key,
            name=each.eval.name,
            trajectory_id=each.trajectory_id,
            task=each.task or each.trajectory_id,
            value=score if judged else None,
            yardstick=_yardstick(each.eval.source_hash, result.metadata),
            recording=each.recording,
            required=each.eval.required,
            measured=each.outcome is Outcome.MEASURED,
        )


def word_of_row(row: Mapping[str, Any], *, task: str, recording: str | None = None) -> Word:
    """The word of a row of the scores dataset."""
    about = row["metadata"] or {}
    failed = row["error"] is not None or row["evaluable"] is False
    score = row["passed"] if row["score"] is None else row["score"]
    measured = score is None and not failed
    return Word(
        key=key_of_row(row),
        name=row["eval_name"],
        trajectory_id=row["trajectory_id"],
        task=task,
        value=None if failed or measured else float(score),
        yardstick=_yardstick(row["eval_hash"], about),
        recording=recording,
        required=about.get("required") is True,
        measured=measured,
    )


def key_of_row(row: Mapping[str, Any]) -> str:
    """The key of a score's eval; its name, where the score was not written by looplet."""
    return str((row["metadata"] or {}).get("eval") or row["eval_name"])


def _yardstick(source: str | None, about: Mapping[str, Any]) -> Yardstick:
    return (source or "", *(str(about.get(key) or "") for key in _JUDGE))


_JUDGE = ("judge", "judge_model", "rubric_hash")


def _trials(words: Iterable[Word]) -> Iterator[Word]:
    """Words with those on replays of one recording as one, which is as low as the lowest."""
    trials: dict[object, Word] = {}
    for place, word in enumerate(words):
        trial = place if word.recording is None else (word.task, word.recording)
        trials[trial] = _lower(trials[trial], word) if trial in trials else word
    yield from trials.values()


def _lower(one: Word, other: Word) -> Word:
    if one.value is None or other.value is None:
        return other if one.value is None else one
    return min(one, other, key=lambda word: word.value or 0.0)
