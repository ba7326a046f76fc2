"""One eval's verdicts on many runs, kept small. Knows verdicts; knows no run and no pytest.

A verdict as an object takes about 600 bytes; here it takes about a fifth of that.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Sequence
from dataclasses import asdict, fields
from sys import intern
from typing import Any, overload

from looplet.evals.identity import RunKey
from looplet.evals.results import EvalResult, Outcome
from looplet.evals.scored import EvalInfo, Scored

_OUTCOMES = tuple(Outcome)
_RARE = ("name", "explanation", "metrics", "details", "metadata")
"""Fields of a result that most have not: kept for those that do."""
_PLAIN = {each.name: getattr(EvalResult(), each.name) for each in fields(EvalResult)}


class Verdicts(Sequence[Scored]):
    """Verdicts in order, each put together when it is looked at.

    >>> from looplet.evals.results import EvalResult
    >>> found = Verdicts(EvalInfo(key="eval_x.py::eval_x", name="eval_x"))
    >>> found.add(RunKey(trajectory_id="t1", task="pears"), Outcome.PASS, EvalResult(score=1.0))
    >>> len(found), found[0].trajectory_id, found[0].result.score
    (1, 't1', 1.0)
    """

    def __init__(self, info: EvalInfo) -> None:
        self.eval = info
        self._ids: list[str] = []
        self._tasks: list[str] = []
        self._recordings: dict[int, str] = {}
        self._outcomes = bytearray()
        self._scores = array("d")
        """Of those that have none: not a number."""
        self._durations = array("d")
        self._labels: list[str | None] = []
        self._rare: dict[int, dict[str, Any]] = {}

    def add(self, run: RunKey, outcome: Outcome, result: EvalResult) -> None:
        """Add a verdict."""
        place = len(self._ids)
        self._ids.append(intern(run.trajectory_id))  # the evals of a session share the texts
        self._tasks.append(intern(run.task))
        if run.recording is not None:
            self._recordings[place] = run.recording
        self._outcomes.append(_OUTCOMES.index(outcome))
        self._scores.append(math.nan if result.score is None else result.score)
        self._durations.append(result.duration_ms)
        self._labels.append(result.label)
        rare = {name: getattr(result, name) for name in _RARE}
        rare = {name: value for name, value in rare.items() if value != self._usual(name)}
        if rare:
            self._rare[place] = rare

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, place: int) -> Scored: ...
    @overload
    def __getitem__(self, place: slice) -> list[Scored]: ...
    def __getitem__(self, place: int | slice) -> Scored | list[Scored]:
        if isinstance(place, slice):
            return [self._at(each) for each in range(*place.indices(len(self)))]
        return self._at(range(len(self))[place])

    def to_text(self) -> str:
        """The verdicts as one ASCII text, which any worker can send, lone surrogates included."""
        found = {
            "eval": asdict(self.eval),
            "ids": self._ids,
            "tasks": self._tasks,
            "recordings": list(self._recordings.items()),
            "outcomes": list(self._outcomes),
            "scores": self._scores.tolist(),
            "durations": self._durations.tolist(),
            "labels": self._labels,
            "rare": list(self._rare.items()),
        }
        return json.dumps(found)

    @classmethod
    def from_text(cls, text: str) -> Verdicts:
        """The verdicts that ``to_text`` was called on."""
        data = json.loads(text)
        info = data["eval"]
        made = cls(EvalInfo(**{**info, "tags": tuple(info["tags"])}))
        made._ids, made._tasks, made._labels = data["ids"], data["tasks"], data["labels"]
        made._outcomes = bytearray(data["outcomes"])
        made._scores, made._durations = array("d", data["scores"]), array("d", data["durations"])
        made._recordings, made._rare = dict(data["recordings"]), dict(data["rare"])
        return made

    def _at(self, place: int) -> Scored:
        score, rare = self._scores[place], self._rare.get(place, {})
        given = {name: rare.get(name, self._usual(name)) for name in _RARE}
        result = EvalResult(
            score=None if math.isnan(score) else score,
            label=self._labels[place],
            duration_ms=self._durations[place],
            **{
                name: value.copy() if type(value) in _OWN else value
                for name, value in given.items()
            },
        )
        return Scored(
            eval=self.eval,
            trajectory_id=self._ids[place],
            outcome=_OUTCOMES[self._outcomes[place]],
            result=result,
            task=self._tasks[place],
            recording=self._recordings.get(place),
        )

    def _usual(self, name: str) -> Any:
        return self.eval.name if name == "name" else _PLAIN[name]


def to_text(verdicts: Sequence[Scored]) -> str:
    """The verdicts of one eval as text, however they are kept; there is one at least."""
    if isinstance(verdicts, Verdicts):
        return verdicts.to_text()
    found = Verdicts(verdicts[0].eval)
    for each in verdicts:
        run = RunKey(trajectory_id=each.trajectory_id, task=each.task, recording=each.recording)
        found.add(run, each.outcome, each.result)
    return found.to_text()


_OWN = (dict, list)
"""Types of what can be changed, so that everybody gets his own."""
