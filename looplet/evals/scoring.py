"""A whole run of evals under pytest: reports in, table, scores and exit status out.

With pytest-xdist it lives in every process: workers attach verdicts to their reports, and the
controller alone adds them up, judges and writes.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from looplet.core.records import new_id
from looplet.errors import EvalError, LoopletError
from looplet.evals.against import Against, read_against
from looplet.evals.attaching import attach
from looplet.evals.caveats import caveat_lines
from looplet.evals.collect import TROUBLE, agents_of, choice_line, judge_of, prepare, stored_of
from looplet.evals.discovery import PATTERN
from looplet.evals.items import EvalNode
from looplet.evals.results import Outcome
from looplet.evals.scored import EvalInfo, Scored, sendable
from looplet.evals.summary import EvalSummary, reason_lines, summarize, table, trial_lines
from looplet.evals.verdicts import Verdicts, to_text

if TYPE_CHECKING:
    from looplet.evals.contrast import Contrast
    from looplet.evals.gate import Verdict

WORKER_KEY = "looplet"
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable that names the page to which GitHub's steps write."""
NARROWING = ("lf", "stepwise")
"""Options that leave out what passed before, so that no rate can be told from what is left."""
_JUDGED = (
    pytest.ExitCode.OK,
    pytest.ExitCode.TESTS_FAILED,
    pytest.ExitCode.NO_TESTS_COLLECTED,
)
"""Exit statuses that the gate's verdict replaces."""
_STATUS: dict[str, tuple[str, str, tuple[str, dict[str, bool]]]] = {
    Outcome.NOT_EVALUABLE.value: ("not evaluable", "n", ("NOT EVALUABLE", {"yellow": True})),
    Outcome.MEASURED.value: ("measured", "m", ("MEASURED", {"cyan": True})),
}


class Scoring:
    """What one run of pytest has found of evals so far. Changes as reports come in."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.store: str | None = config.getoption("looplet_store") or config.getoption(
            "looplet_out"
        )
        """Where scores are appended; ``None`` if agents are run and nothing is kept."""
        self.demand: str | None = config.getoption("looplet_gate")
        self.threshold: float | None = config.getoption("looplet_threshold")
        self.allow_skipped: bool = config.getoption("looplet_allow_skipped")
        self.is_worker = hasattr(config, "workerinput")
        self.scored: dict[str, EvalNode | Verdicts] = {}
        """What has verdicts, or those that a worker sent, by node id: an item that is run again
        counts once."""
        self.evals: dict[str, EvalInfo] = {}
        """Every eval that was collected, deselected ones too."""
        self.selected = 0
        self.deselected = 0
        self.other_failures = 0
        """Failures of reports that are no eval's verdict."""
        self.uncollected: set[str] = set()
        """Files that could not be collected; with workers, each tells of them."""
        self.passed_over: dict[str, str] = {}
        """Eval files that skip themselves as a whole, and why."""
        self.summaries: list[EvalSummary] = []
        self.verdict: Verdict | None = None
        self.against: Against | None = None
        self.contrast: Contrast | None = None
        self.notes: list[str] = []

    # Collecting

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Read the store before workers do, since a worker cannot refuse it with a clear line."""
        if self.config.pluginmanager.hasplugin("dsession") and not agents_of(self.config):
            prepare(self.config)
            self._refuse_store()
        if not self.is_worker:
            self.against = read_against(self.config)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, items: list[pytest.Item]
    ) -> Generator[None, None, None]:
        """Count the evals before and after others select."""
        for item in items:
            if isinstance(item, EvalNode):
                self.evals[item.info.key] = item.info
        self._refuse_store()
        collected = _count(items)
        yield
        self.selected = _count(items)
        self.deselected = collected - self.selected

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Make the judge before anything is collected, since a judge may be an error, too."""
        try:
            judge_of(config)
        except EvalError as error:
            raise pytest.UsageError(f"--looplet-judge: {error}") from error

    def _refuse_store(self) -> None:
        if TROUBLE in self.config.stash:
            raise pytest.UsageError(self.config.stash[TROUBLE])

    # Running

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Send an eval's verdict along with its report."""
        report = yield
        if isinstance(item, EvalNode) and (call.when == "call" or _ended_early(report)):
            self._take(report, item, call)
        return report

    def _take(self, report: pytest.TestReport, item: EvalNode, call: pytest.CallInfo[None]) -> None:
        try:
            attach(report, item, call)
        except (LoopletError, OSError) as error:  # then it is an item that failed, without verdicts
            self.notes.append(f"{item.nodeid}: its runs could not be read: {error}")
            return
        if self.is_worker:
            report.looplet_scored = to_text(item.verdicts)  # type: ignore[attr-defined]
        else:
            self.scored[item.nodeid] = item

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(self) -> Generator[None, Any, Any]:
        """Let a worker send what an eval said of a model's text, which may be no valid Unicode."""
        return sendable((yield))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take an eval's verdict, or count what is none."""
        if self.is_worker:
            return
        if hasattr(report, "looplet_scored"):
            self.scored[report.nodeid] = Verdicts.from_text(report.looplet_scored)
        if report.failed and getattr(report, "looplet_outcome", None) not in _FAILING:
            self.other_failures += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note files that could not be collected, or did not want to be."""
        if report.failed:
            self.uncollected.add(report.nodeid)
        elif report.skipped and Path(report.nodeid).match(PATTERN):
            told = report.longrepr
            self.passed_over[report.nodeid] = told[2] if isinstance(told, tuple) else "skipped"

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> Any:
        """Give the outcomes that pytest does not know a word and a letter of their own."""
        found = _STATUS.get(getattr(report, "looplet_outcome", ""))
        return None if found is None or hasattr(report, "wasxfail") else found

    # Ending

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Add up, judge, write."""
        if self.is_worker:
            self._tell_controller()
            return
        if self.config.getoption("collectonly"):
            return
        self.summaries = summarize(self.all_scored())
        if self.against is not None and self.summaries:
            self.contrast = self.against.contrast(self.all_scored())
        if self.demand is not None:
            self._judge(self.demand, session, exitstatus)
        store = self._keep_runs(session)
        if store and self.scored and not self.config.getoption("looplet_no_scores"):
            self._write(session, store)
        self._write_markdown()

    def all_scored(self) -> Iterator[Scored]:
        """Every verdict, those of an eval together, in the order of collecting."""
        order = {key: place for place, key in enumerate(self.evals)}
        found = sorted(self.scored.values(), key=lambda each: order.get(_info(each).key, -1))
        return chain.from_iterable(map(_verdicts, found))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear from a worker what it collected; each worker collects everything."""
        text = getattr(node, "workeroutput", {}).get(WORKER_KEY)
        if text is None:
            return
        told = json.loads(text)
        self.selected, self.deselected = told["selected"], told["deselected"]
        for facts in told["evals"]:
            info = EvalInfo(**{**facts, "tags": tuple(facts["tags"])})
            self.evals[info.key] = info

    def _tell_controller(self) -> None:
        told = {
            "selected": self.selected,
            "deselected": self.deselected,
            "evals": [asdict(info) for info in self.evals.values()],
        }
        output: dict[str, object] = self.config.workeroutput  # type: ignore[attr-defined]
        output[WORKER_KEY] = json.dumps(told)

    def _judge(self, demand: str, session: pytest.Session, exitstatus: int) -> None:
        from looplet.evals.gate import judge  # loaded where there is a gate
        from looplet.evals.gate_baseline import Demand

        self.verdict = judge(
            self.summaries,
            threshold=self.threshold,
            expected=self.evals.values(),
            troubles=self._troubles(session, exitstatus),
            allow_skipped=self.allow_skipped,
            demand=Demand(demand),
            contrast=self.contrast,
        )
        if exitstatus in _JUDGED:
            good = self.verdict.held and not self.other_failures
            session.exitstatus = pytest.ExitCode.OK if good else pytest.ExitCode.TESTS_FAILED

    def _troubles(self, session: pytest.Session, exitstatus: int) -> list[str]:
        troubles = []
        stopped = session.shouldfail or session.shouldstop or exitstatus not in _JUDGED
        if stopped or len(self.scored) < self.selected:
            troubles.append("the run ended before every eval had run")
        troubles += [f"{each} could not be collected" for each in sorted(self.uncollected)]
        if not self.allow_skipped:
            found = sorted(self.passed_over.items())
            troubles += [f"{each} was left out as a whole: {why}" for each, why in found]
        if not self.scored and self._is_empty_store():
            troubles.append(f"the store {self.store} holds no trajectory")
        troubles += [
            f"--{name} runs only what failed before; judge a whole run"
            for name in NARROWING
            if self.config.getoption(name, None)
        ]
        return troubles

    def _is_empty_store(self) -> bool:
        if agents_of(self.config):
            return False
        return not stored_of(self.config) and TROUBLE not in self.config.stash

    def _keep_runs(self, session: pytest.Session) -> str | None:
        """Append the runs that agents made; the store for the scores, if there is to be one."""
        agents = agents_of(self.config)
        if agents is None:
            return self.store
        self.notes += agents.lines()
        try:
            self.notes += agents.write()
        except (LoopletError, OSError, ValueError) as error:
            self._fail(session, f"trajectories and scores NOT written: {error}")
            return None
        return self.store

    def _fail(self, session: pytest.Session, note: str) -> None:
        """Let the run fail because of what could not be kept."""
        self.notes.append(note)
        if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _write(self, session: pytest.Session, store: str) -> None:
        from looplet import __version__
        from looplet.trajectory.store import TrajectoryStore

        now, name, host = datetime.now(UTC), new_id(), platform.node()
        rows = (
            each.to_row(scored_at=now, session=name, host=host, version=__version__)
            for each in self.all_scored()
        )
        try:
            commit = TrajectoryStore(store).append_scores(rows)
        except (LoopletError, OSError, ValueError) as error:
            self._fail(session, f"scores NOT written: {error}")
            return
        self.notes.append(f"scores: {commit.rows} appended to {store} (session {name})")

    def _write_markdown(self) -> None:
        path = os.environ.get(STEP_SUMMARY)
        if path and (self.summaries or self.verdict is not None):
            from looplet.evals.markdown import append, report  # loaded where it is written

            trouble = append(path, report(self.summaries, self.verdict, self._cell, self.contrast))
            self.notes += [] if trouble is None else [trouble]

    # Showing

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, exitstatus: int
    ) -> None:
        """Print the table, why runs have no verdict, and the gate's word."""
        unused = not self.summaries and self.verdict is None
        if unused or exitstatus == pytest.ExitCode.USAGE_ERROR:
            return
        terminalreporter.section("evals")
        for line in self._lines():
            terminalreporter.write_line(line)

    def _lines(self) -> list[str]:
        lines: list[str] = []
        width = shutil.get_terminal_size().columns
        if self.summaries:
            lines += table(self.summaries, self._cell, width=width)
        lines += [f"  {line}" for line in reason_lines(self.summaries)]
        lines += [f"  {line}" for line in trial_lines(self.summaries)]
        lines += [f"  {line}" for line in caveat_lines(self.summaries)]
        if self.deselected:
            lines.append(f"{self.deselected} eval items were deselected and are not counted")
        if self.contrast is not None:
            from looplet.evals.contrast_table import contrast_lines  # loaded where there is one

            lines += contrast_lines(self.contrast, width=width)
        choice = choice_line(self.config)
        lines += self.notes if choice is None else [choice, *self.notes]
        if self.verdict is not None:
            lines.append("gate: held" if self.verdict.held else "gate: NOT held")
            lines += [f"  - {cause}" for cause in self.verdict.causes]
        return lines

    def _cell(self, summary: EvalSummary) -> str:
        return "-" if self.verdict is None else self.verdict.cell(summary)


_FAILING = (Outcome.FAIL.value, Outcome.ERROR.value)


def _info(each: EvalNode | Verdicts) -> EvalInfo:
    return each.eval if isinstance(each, Verdicts) else each.info


def _verdicts(each: EvalNode | Verdicts) -> Sequence[Scored]:
    return each if isinstance(each, Verdicts) else each.verdicts


def _count(items: Sequence[pytest.Item]) -> int:
    return sum(isinstance(item, EvalNode) for item in items)


def _ended_early(report: pytest.TestReport) -> bool:
    return report.when == "setup" and not report.passed
