"""One eval, and one eval on one run, as pytest items. Knows how a verdict is shown."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial, update_wrapper
from inspect import Parameter, Signature
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

import looplet.evals.trace_context  # noqa: F401 - what reads a run, so that no eval's time is taken
from looplet.core.codec import to_jsonable
from looplet.core.records import escape_controls
from looplet.errors import EvalError
from looplet.evals.context import EvalContext
from looplet.evals.identity import RunKey
from looplet.evals.marks import wants_of
from looplet.evals.results import EvalResult, Outcome
from looplet.evals.running import Evaluation, Given, evaluate
from looplet.evals.scored import EvalInfo, Scored, sendable

if TYPE_CHECKING:
    from looplet.evals.cases import EvalCase
    from looplet.evals.judge_cassettes import JudgeCassettes
    from looplet.trajectory.model import Trajectory

TASK_CHARS = 500
STEP_LINES = 40
_NO_REASON = EvalResult()
_FILE = pytest.StashKey[str]()


class EvalFailed(AssertionError):
    """An eval's verdict on a run is a fail."""


def stand_in(function: FunctionType, *, also: Iterable[str] = ()) -> Callable[..., None]:
    """What pytest is shown of an eval: a function whose parameters are the eval's fixtures.

    ``also`` are fixtures that the item itself wants.
    """

    def eval_stand_in() -> None:
        """Never called: the item calls the eval itself."""

    names = dict.fromkeys((*wants_of(function).fixtures, *also))
    parameters = [Parameter(name, Parameter.KEYWORD_ONLY) for name in names]
    stand_in = update_wrapper(eval_stand_in, function)
    stand_in.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return stand_in


class _IdOfRun(pytest.Item):
    """Has an id that tells the part in brackets from the name, as a parametrized test has.

    Without it ``--lf`` would not know the item again. pytest before 9.2 has ids as text, and makes
    them itself.
    """

    def __init__(self, name: str, parent: Any, *, nodeid: Any = None, **node: Any) -> None:
        _, bracket, label = name.partition("[")
        if bracket and nodeid is not None:
            nodeid = nodeid.with_params(label.removesuffix("]"))
        super().__init__(name, parent, nodeid=nodeid, **node)


class EvalNode(pytest.Function, _IdOfRun):
    """An eval as pytest sees it: a test function with the eval's fixtures alone."""

    parent: pytest.Collector

    def __init__(
        self,
        *,
        eval_function: FunctionType,
        info: EvalInfo,
        marks: Sequence[pytest.Mark],
        judge: Any = None,
        judge_cassettes: JudgeCassettes | None = None,
        **node: Any,
    ) -> None:
        super().__init__(**node)
        self.eval_function = eval_function
        self.info = info
        self.judge = judge
        self.judge_cassettes = judge_cassettes
        self.outcome: Outcome | None = None
        """What came of it; ``None`` before it ran, and where pytest broke it off."""
        self.reason = _NO_REASON
        """The result that stands behind the outcome."""
        self.case: EvalCase | None = None
        """Where it is known beside the run, which else tells of it."""
        if marks:
            self.own_markers.extend(marks)
            self.keywords.update({mark.name: mark for mark in marks})

    def evaluate(self, context: EvalContext, given: Given, label: str) -> Evaluation:
        """What comes of the eval on the run of that label."""
        if self.judge_cassettes is None:
            return evaluate(self.eval_function, context, given=given)
        return self.judge_cassettes.evaluate(self.eval_function, context, given=given, label=label)

    @property
    @abstractmethod
    def verdicts(self) -> Sequence[Scored]:
        """The verdicts that it came to; none before it ran."""

    @abstractmethod
    def settle(self, outcome: Outcome, result: EvalResult) -> None:
        """Take one verdict for all that there is to judge, where pytest broke the eval off.

        Raises ``StoreError`` if it cannot be read what there is.
        """

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A fail as its own text; an error as the traceback from the user's eval on."""
        show = partial(pytest.Item.repr_failure, self)  # a test function's own takes no style
        error, code = excinfo.value, self.eval_function.__code__
        if isinstance(error, EvalFailed):
            return self._at_eval(show(excinfo, style="value"), str(error))
        file = Path(code.co_filename)
        if any(Path(entry.path) == file for entry in excinfo.traceback):
            excinfo.traceback = excinfo.traceback.cut(path=file)
        elif isinstance(error, EvalError):
            return self._at_eval(show(excinfo, style="value"), str(error))
        return show(excinfo, style)

    @cached_property
    def location(self) -> tuple[str, int | None, str]:
        """The file relative to the root, the line and the name, as pytest has them of any item."""
        stash = self.parent.stash
        if _FILE not in stash:  # found once for all evals of a file, which takes pytest its time
            stash[_FILE] = super().location[0]
        return (stash[_FILE], *self.reportinfo()[1:])

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the eval is defined; the line counts from 0."""
        return self.path, self.eval_function.__code__.co_firstlineno - 1, self.name

    def _at_eval(self, shown: Any, text: str) -> Any:
        """Let the one-line form of a failure name the eval's line and the first line of a text."""
        crash = getattr(shown, "reprcrash", None)
        if crash is not None:
            crash.path, crash.lineno = str(self.path), self.eval_function.__code__.co_firstlineno
            crash.message = text.split("\n", 1)[0]
        return shown


class EvalItem(EvalNode):
    """One eval on one run."""

    def __init__(self, *, trajectory: Trajectory, key: RunKey, **node: Any) -> None:
        super().__init__(**node)
        self.trajectory = trajectory
        self.key = key

    def runtest(self) -> None:
        """Evaluate, keep the verdict, and tell pytest of it in pytest's own terms."""
        from looplet.trajectory.stored import anew  # loads Arrow

        self.outcome = None
        given = Given(judge=self.judge, case=self.case, fixtures=self.funcargs)
        context = EvalContext.from_trajectory(anew(self.trajectory))  # no other eval's
        evaluation = self.evaluate(context, given, self.name.partition("[")[2].removesuffix("]"))
        self.settle(evaluation.outcome, evaluation.result)
        if evaluation.error is not None:
            raise evaluation.error
        if evaluation.outcome is Outcome.NOT_EVALUABLE:
            raise pytest.skip.Exception(evaluation.result.explanation)
        if evaluation.outcome is Outcome.FAIL:
            raise EvalFailed(failure_text(evaluation.result, self.trajectory))

    def settle(self, outcome: Outcome, result: EvalResult) -> None:
        """Take the verdict."""
        self.outcome, self.reason = outcome, result
        self.user_properties += properties(self.info.name, self.key, outcome, result)

    @property
    def verdicts(self) -> Sequence[Scored]:
        """The verdict, if there is one; put together anew each time, as there may be many items."""
        if self.outcome is None:
            return ()
        return (Scored.of(self.info, self.key, self.outcome, self.reason),)


def properties(
    name: str, run: RunKey, outcome: Outcome, result: EvalResult
) -> list[tuple[str, object]]:
    """What JUnit and other reports show of an eval's verdict on a run."""
    pairs: list[tuple[str, object]] = [
        ("eval", sendable(name)),
        ("trajectory_id", sendable(run.trajectory_id)),
        ("outcome", outcome.value),
    ]
    if result.score is not None:
        pairs.append(("score", result.score))
    if result.label is not None:
        pairs.append(("label", sendable(result.label)))
    if result.explanation:
        pairs.append(("explanation", sendable(result.explanation)))
    return pairs


def failure_text(result: EvalResult, trajectory: Trajectory) -> str:
    """What failed, on which run, and what happened in it."""
    lines = [result.pretty(), f"trajectory {trajectory.trajectory_id}{_trial(trajectory)}"]
    lines += [f"task {_task_text(trajectory)}", f"stop reason {trajectory.stop_reason}", "steps"]
    steps = trajectory.steps
    lines += [f"  {record.to_step().pretty()}" for record in steps[:STEP_LINES]]
    if len(steps) > STEP_LINES:
        lines.append(f"  ... and {len(steps) - STEP_LINES} more")
    return "\n".join(escape_controls(line) for line in lines if line)


def _trial(trajectory: Trajectory) -> str:
    parts = [] if trajectory.task_id is None else [f"task {trajectory.task_id}"]
    parts += [] if trajectory.trial is None else [f"trial {trajectory.trial}"]
    return f" ({', '.join(parts)})" if parts else ""


def _task_text(trajectory: Trajectory) -> str:
    text = json.dumps(to_jsonable(trajectory.task), ensure_ascii=False)
    return text if len(text) <= TASK_CHARS else text[:TASK_CHARS] + " ..."
