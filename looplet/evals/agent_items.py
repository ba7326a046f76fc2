"""One eval on one run of an agent, which is made when an eval first needs it. Knows pytest's items.

What keeps a run from being made is an error of every eval on it, told in full once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import looplet.evals
from looplet.errors import CassetteMissing, LoopletError
from looplet.evals.identity import RunKey
from looplet.evals.items import EvalItem
from looplet.evals.planned import PlannedRun
from looplet.evals.results import EvalResult, Outcome
from looplet.trajectory.model import Trajectory

if TYPE_CHECKING:
    from looplet.evals.agent_runs import MadeRun

AGENT = "agent"
"""The fixture that says how a run is made."""
CONFIG = "looplet_cassette_config"
FIXTURES = (AGENT, CONFIG)
HOW = "run"
"""The property of a report that says how the run came about."""
LABEL = "run_label"
"""That which says which run it is."""
RECORDED, REPLAYED, SHORTER = "recorded", "replayed", "replayed in part"
OVERLOOKED = "replayed with other tool results"
DIVERGED, MISSING, FAILED = "diverged", "missing", "failed"
WHOLE = (RECORDED, REPLAYED, OVERLOOKED, SHORTER)
"""Of runs that are what the agent does now, from beginning to end."""
_OURS = Path(looplet.evals.__file__).parent


class RunNotMade(LoopletError):
    """There is no run to be judged; ``how`` says why in a word, ``brief`` in a line."""

    def __init__(self, text: str, *, how: str, brief: str) -> None:
        super().__init__(text)
        self.how, self.brief = how, brief


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What came of a run: the run, or why there is none."""

    made: MadeRun | None = None
    failure: RunNotMade | None = None
    first: str = ""
    """The node id of the eval that needed it first, where a failure is told in full."""

    @property
    def how(self) -> str:
        """How the run came about, in a word."""
        if self.failure is not None:
            return self.failure.how
        assert self.made is not None
        if self.made.recorded:
            return RECORDED
        if self.made.overlooked:
            return OVERLOOKED
        return SHORTER if self.made.unplayed else REPLAYED

    def given(self, nodeid: str) -> MadeRun:
        """The run. Raises ``RunNotMade``, which is short for all evals but the first."""
        if self.failure is None:
            assert self.made is not None
            return self.made
        if nodeid == self.first:
            raise self.failure
        text = f"{self.failure.brief}; {self.first} tells it in full"
        raise RunNotMade(text, how=self.failure.how, brief=self.failure.brief)


class AgentItem(EvalItem):
    """An eval on a run that is made, or was, when the eval is run."""

    def __init__(
        self,
        *,
        planned: PlannedRun,
        keep: Callable[[AgentItem], Kept],
        **node: Any,
    ) -> None:
        unmade = Trajectory(trajectory_id=planned.label, run_id="", task_id=planned.case.id)
        super().__init__(trajectory=unmade, key=RunKey.of(unmade), **node)
        self.planned = planned
        self.case = planned.case
        self._keep = keep

    def judges(self, trajectory: Trajectory) -> None:
        """Say which run it is: by its id before it is made, and whole thereafter."""
        self.trajectory, self.key = trajectory, RunKey.of(trajectory)

    def runtest(self) -> None:
        """Have the run made, then evaluate it as a stored one."""
        self.outcome = None
        kept = self._keep(self)
        self.user_properties += [(HOW, kept.how), (LABEL, self.planned.label)]
        try:
            self.judges(kept.given(self.nodeid).trajectory)
        except RunNotMade as error:
            name = self.info.name
            result = EvalResult(name, label="error", explanation=error.brief, details=[str(error)])
            self.settle(Outcome.ERROR, result)
            raise
        super().runtest()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A run that is none as its own text, with the traceback of what the agent raised."""
        error = excinfo.value
        if not isinstance(error, RunNotMade):
            return super().repr_failure(excinfo, style)
        cause = error.__cause__
        if cause is None:
            return self._at_eval(pytest.Item.repr_failure(self, excinfo, style="value"), str(error))
        raised = pytest.ExceptionInfo.from_exception(cause)
        while len(raised.traceback) > 1 and _OURS in Path(raised.traceback[0].path).parents:
            raised.traceback = type(raised.traceback)(raised.traceback[1:])
        return super().repr_failure(raised, style)


def not_made(error: BaseException, planned: PlannedRun, *, remedy: str) -> RunNotMade:
    """Why a run was not made, from what was raised instead. ``remedy`` is what to type."""
    if isinstance(error, CassetteMissing):
        text = f"{error}. Record it with a live model:\n  {remedy}"
        return RunNotMade(text, how=MISSING, brief="there is no cassette")
    if isinstance(error, LoopletError):
        first = str(error).split("\n", 1)[0]
        return RunNotMade(str(error), how=FAILED, brief=f"the run could not be made: {first}")
    brief = f"the agent raised {type(error).__name__}: {error}"
    failure = RunNotMade(f"case {planned.label}: {brief}", how=FAILED, brief=brief)
    failure.__cause__ = error
    return failure


def diverged(divergence: BaseException, *, remedy: str) -> RunNotMade:
    """The failure of a run that left its cassette."""
    text = (
        f"{divergence}\nUnder pytest:\n  {remedy}\n"
        "What the model would answer is not known, so there is no run to judge."
    )
    return RunNotMade(text, how=DIVERGED, brief="the run diverged from its cassette")
