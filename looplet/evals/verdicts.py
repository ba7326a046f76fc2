"""One eval's verdicts on many runs, kept small. Knows verdicts; knows no run and no pytest.

A verdict as an object takes about 600 bytes; here it takes about 50, beside the run's key, which
the evals of a session share.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any, overload

from looplet.evals.identity import RunKey
from looplet.evals.results import EvalResult, Outcome
from looplet.evals.scored import EvalInfo, Scored

_OUTCOMES = tuple(Outcome)
_RARE = ("name", "explanation", "metrics", "details", "metadata")
"""Fields of a result that most have not: kept for those that do."""
_PLACES = {outcome: place for place, outcome in enumerate(_OUTCOMES)}


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
        self._runs: list[RunKey] = []
        self._outcomes = bytearray()
        self._scores = array("d")
        """Of those that have none: not a number."""
        self._durations = array("d")
        self._labels: list[str | None] = []
        self._rare: dict[int, dict[str, Any]] = {}

    def add(self, run: RunKey, outcome: Outcome, result: EvalResult) -> None:
        """Add a verdict."""
        if result.explanation or result.metrics or result.details or result.metadata:
            self._rare[len(self)] = {name: getattr(result, name) for name in _RARE}
        elif result.name != self.eval.name:
            self._rare[len(self)] = {"name": result.name}
        self._runs.append(run)
        self._outcomes.append(_PLACES[outcome])
        self._scores.append(math.nan if result.score is None else result.score)
        self._durations.append(result.duration_ms)
        self._labels.append(result.label)

    def __len__(self) -> int:
        return len(self._runs)

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
            "runs": [(run.trajectory_id, run.task, run.recording) for run in self._runs],
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
        made._runs = [
            RunKey(trajectory_id=name, task=task, recording=recording)
            for name, task, recording in data["runs"]
        ]
        made._outcomes = bytearray(data["outcomes"])
        made._scores, made._durations = array("d", data["scores"]), array("d", data["durations"])
        made._labels, made._rare = data["labels"], dict(data["rare"])
        return made

    def _at(self, place: int) -> Scored:
        score = self._scores[place]
        result = EvalResult(
            self.eval.name,
            None if math.isnan(score) else score,
            self._labels[place],
            duration_ms=self._durations[place],
        )
        if place in self._rare:
            result = replace(result, **deepcopy(self._rare[place]))
        return Scored.of(self.eval, self._runs[place], _OUTCOMES[self._outcomes[place]], result)


def to_text(verdicts: Sequence[Scored]) -> str:
    """The verdicts of one eval as text, however they are kept; there is one at least."""
    if isinstance(verdicts, Verdicts):
        return verdicts.to_text()
    found = Verdicts(verdicts[0].eval)
    for each in verdicts:
        run = RunKey(trajectory_id=each.trajectory_id, task=each.task, recording=each.recording)
        found.add(run, each.outcome, each.result)
    return found.to_text()
