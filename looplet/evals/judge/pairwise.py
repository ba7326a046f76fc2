"""Which of two runs is better: asked twice, with their places swapped. Knows judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from looplet.errors import EvalError
from looplet.evals.context import EvalContext
from looplet.evals.judge.asking import Asking, Judged, aperform, ask_judge, perform
from looplet.evals.judge.judges import Judge, explained
from looplet.evals.judge.prompts import ask_about_pair
from looplet.evals.judge.scales import Verdicts, Words
from looplet.evals.judge.transcript import Transcript
from looplet.evals.results import EvalResult
from looplet.evals.statistics import Interval, wilson_interval

PREFERENCE = Words(("b", "tie", "a"))
"""What a comparison comes to. The scale of human labels for it, too."""
FLIP = "position_flip"
"""The metric of a comparison that is 1.0 if the verdict changed with the places, else 0.0."""
SAID = "said"
"""In a result's metadata: what was said with ``a`` in the first place, and with ``b`` there."""

_PLACES = Words(("second", "tie", "first"))
_AS_GIVEN = {"first": "a", "tie": "tie", "second": "b"}
_SWAPPED = {"first": "b", "tie": "tie", "second": "a"}

_Both = tuple[Judged, Judged]


@dataclass(frozen=True, slots=True)
class PairwiseJudge(Judge):
    """A judge that compares two runs.

    ``judge(a, b)`` asks twice, the second time with the places swapped. The label is ``a`` or
    ``b`` if that run is preferred both times, and else ``tie``; the score is 1.0, 0.0 or 0.5. A
    verdict that changed with the places is a tie with the metric ``position_flip`` at 1.0;
    ``position_bias`` gives their rate.

    >>> from looplet.testing import MockLLMBackend
    >>> first = '{"reason": "It came first.", "verdict": "first"}'
    >>> judge = PairwiseJudge("kinder", rubric="Which is kinder?", llm=MockLLMBackend([first]))
    >>> runs = [EvalContext([], final_output={"text": text}) for text in ("Hello!", "What?")]
    >>> result = judge(*runs)
    >>> result.label, result.score, result.metrics
    ('tie', 0.5, {'position_flip': 1.0})
    """

    @property
    def verdicts(self) -> Verdicts:
        """Which place is better, whichever run stands there."""
        return _PLACES

    def __call__(self, ctx_a: EvalContext, ctx_b: EvalContext, llm: Any = None) -> EvalResult:
        """Compare by a sync backend. Raises as a ``RubricJudge`` does, for either question."""
        backend = self._backend(llm, asynchronous=False)
        runs = self.transcript(ctx_a), self.transcript(ctx_b)
        return self._result(perform(self._ask(runs), backend), runs, backend)

    async def ajudge(self, ctx_a: EvalContext, ctx_b: EvalContext, llm: Any = None) -> EvalResult:
        """Compare by an async backend; else as calling the judge."""
        backend = self._backend(llm, asynchronous=True)
        runs = self.transcript(ctx_a), self.transcript(ctx_b)
        return self._result(await aperform(self._ask(runs), backend), runs, backend)

    def _ask(self, runs: tuple[Transcript, Transcript]) -> Asking[_Both]:
        one = yield from self._ask_once(runs)
        other = yield from self._ask_once((runs[1], runs[0]))
        return one, other

    def _ask_once(self, runs: tuple[Transcript, Transcript]) -> Asking[Judged]:
        asked = ask_about_pair(
            self.name,
            self.rubric,
            self.verdicts,
            runs,
            rubric_hash=self.rubric_hash,
            native=self.use_native_tools,
        )
        return ask_judge(asked, max_tokens=self.max_tokens)

    def _result(self, both: _Both, runs: tuple[Transcript, Transcript], llm: Any) -> EvalResult:
        said = [judged.verdict.label for judged in both]
        preferred = _AS_GIVEN[said[0]], _SWAPPED[said[1]]
        flipped = preferred[0] != preferred[1]
        label = "tie" if flipped else preferred[0]
        reasons = [judged.verdict.reason for judged in both]
        reason = reasons[0]
        if flipped:
            reason = (
                f"the verdict changed with the places; a first: {preferred[0]}, {reasons[0]} | "
                f"b first: {preferred[1]}, {reasons[1]}"
            )
        about = self._about(
            llm,
            left_out=sum(run.left_out for run in runs),
            repaired=any(judged.repaired for judged in both),
        )
        return EvalResult(
            score=PREFERENCE.score(label),
            label=label,
            metrics={FLIP: float(flipped)},
            explanation=explained(reason, about),
            metadata={**about, SAID: said},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionBias:
    """How often a judge's verdict changed when two runs changed places."""

    n: int
    """Comparisons."""
    flips: int
    """Those whose verdict changed with the places."""
    to_first: int
    """Flips in which the first place was preferred both times."""
    to_second: int
    """Flips in which the second was."""
    interval: Interval
    """Of the rate, by Wilson's method."""

    @property
    def rate(self) -> float:
        """The share of comparisons whose verdict changed, 0 to 1."""
        return self.flips / self.n

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"position bias {self.rate:.2f} [{low:.2f}, {high:.2f}], n={self.n}: "
            f"{self.to_first} to the first place, {self.to_second} to the second"
        )


def position_bias(results: Iterable[EvalResult], *, confidence: float = 0.95) -> PositionBias:
    """Add up how a pairwise judge's verdicts changed with the places.

    Raises ``EvalError`` for results that are no comparisons, and for none at all.
    """
    found = list(results)
    if not found:
        raise EvalError("there is no comparison to tell a position bias from")
    said: Counter[tuple[str, ...]] = Counter()
    flips = 0
    for each in found:
        if FLIP not in each.metrics or SAID not in each.metadata:
            raise EvalError(f"{each.pretty()} is no result of a PairwiseJudge")
        flips += each.metrics[FLIP] == 1
        said[tuple(each.metadata[SAID])] += 1
    return PositionBias(
        n=len(found),
        flips=flips,
        to_first=said["first", "first"],
        to_second=said["second", "second"],
        interval=wilson_interval(flips, len(found), confidence),
    )
