"""Judges: a rubric that a model applies to runs. Knows how they are made up of their parts."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

from looplet.core.codec import JSON
from looplet.errors import EvalError
from looplet.evals.context import EvalContext
from looplet.evals.judge.asking import Asking, Judged, aperform, ask_judge, in_lane, perform
from looplet.evals.judge.kappa import Agreement
from looplet.evals.judge.prompts import ask_about_run, rubric_hash
from looplet.evals.judge.scales import YES_NO, Verdicts
from looplet.evals.judge.transcript import TITLES, Transcript, transcript_of
from looplet.evals.judge.validation import Validation, validation_of
from looplet.evals.results import EvalResult

UNVALIDATED = "unvalidated judge"
"""How a result says that nobody knows whether people would agree with it."""
SMALLEST = 500
"""Characters of a run that a judge must be allowed to read."""
_NAME = re.compile(r"[\w.-]+")

J = TypeVar("J", bound="Judge")


@dataclass(frozen=True, slots=True)
class Judge(ABC):
    """What all judges have; see ``RubricJudge`` and ``PairwiseJudge``.

    Raises ``EvalError`` for a name that is no word, an empty rubric, a field that no run has, and
    limits that leave no room.
    """

    name: str
    """A word; the judge's calls are in the lane ``judge:<name>``."""
    rubric: str = field(kw_only=True)
    """What is asked of a run, in words."""
    llm: Any = field(default=None, kw_only=True, repr=False, compare=False)
    """The backend that is asked, where a call gives none."""
    shows: tuple[str, ...] = field(
        default=("task", "steps", "final_output", "stop_reason"), kw_only=True
    )
    """The fields of the run that the judge is shown."""
    max_chars: int = field(default=60_000, kw_only=True)
    """Characters of one run that the judge is shown; what is more is cut, and that is said."""
    max_tokens: int = field(default=1000, kw_only=True)
    """Tokens that a reply may have."""
    use_native_tools: bool = field(default=False, kw_only=True)
    """Whether the verdict is given by a native tool call, else as JSON in text."""
    validation: Validation | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise EvalError(f"a judge's name is one word, not {self.name!r}: it names its lane")
        if not self.rubric.strip():
            raise EvalError(f"the judge {self.name!r} has no rubric: say what it is to look for")
        shows = tuple(self.shows)
        unknown = [name for name in shows if name not in TITLES]
        if unknown or not shows:
            raise EvalError(
                f"the judge {self.name!r} is shown {unknown or 'nothing'} of a run; "
                f"what there is: {', '.join(TITLES)}"
            )
        object.__setattr__(self, "shows", shows)  # a frozen dataclass has no other way
        if self.max_chars < SMALLEST or self.max_tokens < 1:
            raise EvalError(
                f"the judge {self.name!r} needs max_chars of {SMALLEST} or more and max_tokens of "
                f"1 or more, not {self.max_chars} and {self.max_tokens}"
            )

    @property
    @abstractmethod
    def verdicts(self) -> Verdicts:
        """What the judge may say."""

    @property
    def rubric_hash(self) -> str:
        """SHA-256 of the rubric and all else that makes the judge what it is, but for the model."""
        return rubric_hash(
            kind=type(self).__name__,
            name=self.name,
            rubric=self.rubric,
            verdicts=list(self.verdicts.values),
            shows=list(self.shows),
            max_chars=self.max_chars,
            native=self.use_native_tools,
        )

    def validated(
        self, agreement: Agreement, *, model: str | None = None, at_least: float = 0.0
    ) -> Self:
        """The same judge, with the record of how far it agrees with people.

        The whole interval of kappa (the weighted one on a scale) must lie above ``at_least``, by
        default above chance; else ``EvalError``. The record counts for this rubric and for the
        model that gave the verdicts: ``agreement`` knows it if it was given results, else say
        ``model``.
        """
        record = validation_of(
            agreement,
            judge=self.name,
            rubric_hash=self.rubric_hash,
            model=model,
            at_least=at_least,
        )
        return replace(self, validation=record)

    def transcript(self, context: EvalContext) -> Transcript:
        """What the judge is shown of a run. Raises ``NotEvaluable`` if that is nothing."""
        return transcript_of(context, self.shows, max_chars=self.max_chars)

    def _backend(self, llm: Any, *, asynchronous: bool) -> Any:
        given = self.llm if llm is None else llm
        backend = in_lane(given, self.name, asynchronous=asynchronous)
        if self.use_native_tools and not hasattr(backend, "generate_with_tools"):
            raise EvalError(
                f"the judge {self.name!r} is to use native tools, and its backend has none: leave "
                "out use_native_tools"
            )
        return backend

    def _about(self, llm: Any, *, left_out: int, repaired: bool) -> dict[str, JSON]:
        """What a result says of how it came about."""
        model = _model_of(llm)
        trouble = self._trouble(model)
        return {
            "judge": self.name,
            "judge_model": model,
            "rubric_hash": self.rubric_hash,
            "validated": trouble is None,
            "validation": str(self.validation) if trouble is None else trouble,
            "chars_left_out": left_out,
            "repaired": repaired,
        }

    def _trouble(self, model: str | None) -> str | None:
        """Why the judge is not validated; ``None`` if it is."""
        if self.validation is None:
            return "it was never compared with human labels"
        return self.validation.mismatch(rubric_hash=self.rubric_hash, model=model)


@dataclass(frozen=True, slots=True)
class RubricJudge(Judge):
    """A judge of single runs.

    ``judge(ctx)`` asks its model, or the one it is given, and returns a result: ``label`` is the
    verdict, ``score`` its place on the scale from 0 to 1, ``explanation`` the judge's reason.
    Calls are in the lane ``judge:<name>`` of a cassette that is around the backend.

    >>> from looplet.testing import MockLLMBackend
    >>> llm = MockLLMBackend(['{"reason": "It greets back.", "verdict": "yes"}'])
    >>> judge = RubricJudge("polite", rubric="Is the answer polite?", llm=llm)
    >>> result = judge(EvalContext([], task="Hi!", final_output={"text": "Hello!"}))
    >>> result.score, result.label, result.explanation
    (1.0, 'yes', '[unvalidated judge] It greets back.')
    """

    scale: Verdicts = field(default=YES_NO, kw_only=True)
    """``YES_NO``, ``Scale(1, 5)``, or ``Words(("poor", "fair", "good"))``."""

    @property
    def verdicts(self) -> Verdicts:
        """The scale."""
        return self.scale

    def __call__(self, ctx: EvalContext, llm: Any = None) -> EvalResult:
        """Judge a run by a sync backend.

        Raises ``NotEvaluable`` where there is no verdict: the reply could not be read, asked
        twice, the model refused, it cannot tell, or the run or the backend is missing. What the
        backend raises is passed on.
        """
        backend = self._backend(llm, asynchronous=False)
        run = self.transcript(ctx)
        return self._result(perform(self._ask(run), backend), run, backend)

    async def ajudge(self, ctx: EvalContext, llm: Any = None) -> EvalResult:
        """Judge a run by an async backend; else as calling the judge."""
        backend = self._backend(llm, asynchronous=True)
        run = self.transcript(ctx)
        return self._result(await aperform(self._ask(run), backend), run, backend)

    def _ask(self, run: Transcript) -> Asking[Judged]:
        asked = ask_about_run(
            self.name,
            self.rubric,
            self.verdicts,
            run,
            rubric_hash=self.rubric_hash,
            native=self.use_native_tools,
        )
        return ask_judge(asked, max_tokens=self.max_tokens)

    def _result(self, judged: Judged, run: Transcript, llm: Any) -> EvalResult:
        about = self._about(llm, left_out=run.left_out, repaired=judged.repaired)
        label = judged.verdict.label
        return EvalResult(
            score=self.scale.score(label),
            label=label,
            explanation=explained(judged.verdict.reason, about),
            metadata=about,
        )


def explained(reason: str, about: dict[str, JSON]) -> str:
    """The judge's reason, and before it what to know before it is believed."""
    marks = [] if about["validated"] else [UNVALIDATED]
    marks += [f"{about['chars_left_out']} characters not shown"] if about["chars_left_out"] else []
    return f"[{'; '.join(marks)}] {reason}" if marks else reason


def _model_of(llm: Any) -> str | None:
    model = getattr(llm, "model", None)
    return model if isinstance(model, str) else None
