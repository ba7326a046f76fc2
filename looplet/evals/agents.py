"""Agents that are run to be scored, through a whole run of pytest: plans, runs, what is kept.

With pytest-xdist it lives in every process. Evals on one run go to one worker, which makes it; the
controller alone writes. A run has the same id in every process.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from looplet.core.codec import digest
from looplet.core.records import new_id
from looplet.errors import EvalError, LoopletError
from looplet.evals.agent_items import (
    AGENT,
    CONFIG,
    DIVERGED,
    FIXTURES,
    HOW,
    LABEL,
    MISSING,
    OVERLOOKED,
    SHORTER,
    WHOLE,
    AgentItem,
    Kept,
    diverged,
    not_made,
)
from looplet.evals.agent_runs import Settings, make_run
from looplet.evals.cases import EvalCase, check_ids, load_cases
from looplet.evals.cassettes import below_root, checked
from looplet.evals.collect import cassettes_of
from looplet.evals.items import stand_in
from looplet.evals.outbox import Outbox
from looplet.evals.planned import Plan, PlannedRun, Recording, plan_runs, recordings_in
from looplet.replay import RecordMode
from looplet.trajectory.model import Trajectory

SHOWN = 10
"""Runs of a kind that are named."""
_SESSION, _SCRATCH, _TROUBLE = "looplet_session", "looplet_scratch", "looplet_trouble"


class Agents:
    """The runs of agents that this process makes. Changes as evals need them."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.folder = Path(config.getoption("looplet_cassettes"))
        self.mode: RecordMode = config.getoption("looplet_record") or "none"
        self.is_worker = hasattr(config, "workerinput")
        told: Mapping[str, Any] = getattr(config, "workerinput", {})
        self.session: str = told.get(_SESSION, "") or new_id()
        self.kept: dict[tuple[object, Path], Kept] = {}
        """By the fixture that makes the agent, and the run's cassette."""
        self.how: dict[str, tuple[str, str]] = {}
        """Label and how it came about of each run that an eval was put to, by its id."""
        self.outbox = Outbox(config.getoption("looplet_out"), scratch=told.get(_SCRATCH))
        self._recordings: dict[Path, list[Recording]] = {}
        self._plans: dict[Path, Plan] = {}

    # Collecting

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Refuse what cannot be meant, before workers start, since a worker has no clear line."""
        if self.is_worker:
            return
        if self.mode != "none" and self.config.pluginmanager.hasplugin("dsession"):
            raise pytest.UsageError(
                f"--looplet-record={self.mode} records in one process: leave out -n"
            )
        if self.mode == "none" and not self.folder.is_dir():
            raise pytest.UsageError(
                f"--looplet-cassettes: there is no directory {self.folder}; with "
                "--looplet-record=once runs are recorded into it"
            )
        try:
            self._found(self.folder)
        except (LoopletError, OSError) as error:
            raise pytest.UsageError(f"--looplet-cassettes: {error}") from error

    def items(
        self,
        collector: pytest.Module | pytest.Class,
        name: str,
        function: FunctionType,
        node: Mapping[str, Any],
    ) -> list[pytest.Item]:
        """An eval's items, one a planned run. Raises ``CollectError`` where there can be none."""
        plan = self._plan(collector)
        given = {**node, "callobj": stand_in(function, also=FIXTURES)}
        items: list[pytest.Item] = []
        for planned in plan.runs:
            item: AgentItem = AgentItem.from_parent(
                collector,
                name=f"{name}[{planned.label}]",
                planned=planned,
                keep=self.keep,
                **{**given, "marks": [*node["marks"], *self._marks(planned.case)]},
            )
            given["fixtureinfo"] = item._fixtureinfo  # noqa: SLF001 - found once for all runs of an eval
            maker = self._maker(item)
            unmade = replace(
                item.trajectory,
                trajectory_id=self._id_of(planned, maker),
                dataset=planned.cassette.resolve().parent.name,
                trial=planned.trial,
            )
            item.judges(unmade)
            items.append(item)
        return items

    def _plan(self, collector: pytest.Module | pytest.Class) -> Plan:
        """The runs for the evals of one file, planned once."""
        if collector.path not in self._plans:
            try:
                cases, folder = self._cases(collector), cassettes_of(collector)
                trials = self.config.getoption("looplet_trials")
                plan = plan_runs(folder, self._found(folder), cases, trials=trials)
                if not plan.runs:
                    raise EvalError(
                        f"{folder} holds no cassette, and no case is named: add "
                        "--looplet-cases PATH, or pytest_looplet_cases to conftest.py"
                    )
            except (LoopletError, OSError) as error:
                raise collector.CollectError(f"{collector.path.name}: {error}") from error
            self._plans[collector.path] = plan
        return self._plans[collector.path]

    def _cases(self, collector: pytest.Module | pytest.Class) -> list[EvalCase] | None:
        path = self.config.getoption("looplet_cases")
        if path is not None:
            return load_cases(path)
        hooks = collector.session.gethookproxy(collector.path)
        told = hooks.pytest_looplet_cases(config=self.config)
        if told is None:
            return None
        cases = list(told)
        for case in cases:
            if not isinstance(case, EvalCase):
                raise EvalError(f"pytest_looplet_cases gives EvalCase, not {type(case).__name__}")
        check_ids(cases)
        return cases

    def _found(self, folder: Path) -> list[Recording]:
        if folder not in self._recordings:
            self._recordings[folder] = recordings_in(folder)
        return self._recordings[folder]

    def _marks(self, case: EvalCase) -> Iterator[pytest.Mark]:
        """Those of the case, made known."""
        for name in case.marks:
            self.config.addinivalue_line("markers", f"{name}: a mark of looplet cases")
            yield getattr(pytest.mark, name).mark

    def _maker(self, item: AgentItem) -> pytest.FixtureDef[Any]:
        """The fixture that makes the agent. Raises ``CollectError`` if the suite has none."""
        found = item._fixtureinfo.name2fixturedefs.get(AGENT)  # noqa: SLF001 - no other way
        if found:
            return found[-1]
        raise pytest.Collector.CollectError(
            f"--looplet-cassettes runs the agent, and {item.path.name} has none: write a fixture "
            f"{AGENT!r} into the conftest.py beside it, which gives a function of a case that "
            'makes the agent: return lambda case: {"tools": ..., "config": ..., "task": case.task}'
        )

    def _id_of(self, planned: PlannedRun, maker: pytest.FixtureDef[Any]) -> str:
        whole = f"{self.session}/{maker.baseid}/{planned.cassette}/{planned.label}"
        return f"{planned.label}-{digest(whole)[:12]}"

    # Running

    def keep(self, item: AgentItem) -> Kept:
        """What came of an item's run, which is made if it was not."""
        key = (self._maker(item), item.planned.cassette)
        if key not in self.kept:
            self.kept[key] = self._make(item)
        return self.kept[key]

    def _make(self, item: AgentItem) -> Kept:
        planned, given = item.planned, dict[str, Any](item.funcargs)
        try:
            made = make_run(
                given[AGENT],
                planned,
                settings=self._settings(given[CONFIG]),
                about={
                    "trajectory_id": item.trajectory.trajectory_id,
                    "dataset": item.trajectory.dataset,
                    "cassette": below_root(planned.cassette, self.config),
                },
            )
        except Exception as error:  # noqa: BLE001 - an agent's, kept for every eval on the run
            remedy = self._command(item, "once")
            failure = not_made(error, planned, remedy=remedy)
        else:
            if made.divergence is None:
                return Kept(made=made)
            failure = diverged(made.divergence, remedy=self._command(item, "all"))
        return Kept(failure=failure, first=item.nodeid)

    def _settings(self, given: Mapping[str, Any]) -> Settings:
        told = checked(given)
        told.pop("record_mode", None)
        any_results = self.config.getoption("looplet_tool_results") == "any"
        return Settings(mode=self.mode, any_results=any_results, **told)

    def _command(self, item: AgentItem, mode: str) -> str:
        """What to type to record an item's run."""
        words = ["pytest", item.nodeid]
        for name in ("cassettes", "cases"):
            path = self.config.getoption(f"looplet_{name}")
            words += [] if path is None else [f"--looplet-{name}", below_root(path, self.config)]
        trials = self.config.getoption("looplet_trials")
        words += [] if trials is None else ["--looplet-trials", str(trials)]
        return shlex.join([*words, f"--looplet-record={mode}"])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how the run of an eval came about, from workers too."""
        told = dict(report.user_properties)
        if HOW in told and "trajectory_id" in told and not self.is_worker:
            self.how[str(told["trajectory_id"])] = (str(told[LABEL]), str(told[HOW]))

    # Ending

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker what all have in common."""
        node.workerinput |= {_SESSION: self.session, _SCRATCH: self.outbox.open()}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Share out by run, unless the user has chosen another way than the default."""
        if config.getoption("dist") != "load":
            return None
        from looplet.evals.by_run import ByRun  # loaded by those who have workers

        return ByRun(config, log)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear from a worker what it could not write."""
        text = getattr(node, "workeroutput", {}).get(_TROUBLE)
        if text is not None:
            self.outbox.troubles.append(text)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """In a worker: hand over what was made."""
        if not self.is_worker:
            return
        worker: str = self.config.workerinput["workerid"]  # type: ignore[attr-defined]
        try:
            self.outbox.hand_over([*self._made()], worker)
        except (LoopletError, OSError, ValueError) as error:
            output: dict[str, object] = self.config.workeroutput  # type: ignore[attr-defined]
            output[_TROUBLE] = f"{worker} could not hand over its runs: {error}"

    def pytest_unconfigure(self) -> None:
        """Leave nothing behind but what was asked for."""
        if not self.is_worker:
            self.outbox.close()

    def write(self) -> list[str]:
        """Append the runs that were judged to where the user asked; lines that tell of it.

        Raises as ``Outbox.write`` does.
        """
        wanted = [name for name, (_, how) in self.how.items() if how in WHOLE]
        return self.outbox.write(self._made(), wanted)

    def _made(self) -> Iterator[Trajectory]:
        for kept in self.kept.values():
            if kept.made is not None:
                yield kept.made.trajectory

    def lines(self) -> list[str]:
        """How the runs came about, for the summary."""
        labels: dict[str, list[str]] = {}
        for label, how in self.how.values():
            labels.setdefault(how, []).append(label)
        counts = ", ".join(f"{len(names)} {how}" for how, names in labels.items())
        lines = [f"runs: {counts}"] if counts else []
        for how in (OVERLOOKED, SHORTER, DIVERGED, MISSING):
            lines += [f"  {how}: {_listed(labels[how])}"] if how in labels else []
        if MISSING in labels:
            given = [word for word in self.config.invocation_params.args if _stays(word)]
            lines.append(f"  to record what is missing: {shlex.join(['pytest', *given, _ONCE])}")
        left = {path.name for plan in self._plans.values() for path in plan.left_out}
        if left:
            lines.append(f"  cassettes of no case, left alone: {_listed(sorted(left))}")
        return lines


_ONCE = "--looplet-record=once"


def _stays(word: str) -> bool:
    return not word.startswith("--looplet-record")


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
