"""The pytest plugin. Imports nothing heavy until an eval is collected or a cassette is used.

``pytest evals/ --looplet-store DIR`` puts every eval to every stored trajectory, and
``--looplet-cassettes DIR`` to every run that the agent makes now, answered by recorded runs. Evals
are the functions of ``eval_*.py`` files that are marked with ``eval_mark`` or named ``eval_*``, and
the marked functions of ordinary test files.

Without either evals are left alone: a project's ``pytest`` runs its tests as before.
Only an eval file that is named on the command line is refused then, as a usage error; and where
nothing at all was collected, one line says how many eval files there were.

A test that asks for ``looplet_cassette``, or is marked with it, gets a cassette of its own.
"""

from __future__ import annotations

import argparse
import fnmatch
from collections.abc import Generator, Iterator, Mapping
from itertools import chain
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

from looplet.evals.against import GATES, add_options, check_options

if TYPE_CHECKING:
    from looplet.replay import Cassette

MARKED = "__looplet_eval__"
"""The attribute that ``looplet.evals.marks`` puts on an eval; not imported, to stay light."""
PATTERN = "eval_*.py"
OWN = "looplet.evals."
"""Where ``eval_mark`` and its kind come from, which are named like evals and are none."""
CASSETTE = "looplet_cassette"
CASSETTE_MARK = (
    "looplet_cassette(path=None, *, record_mode, tools, redact, metadata): record the test's model "
    "calls, or replay them; path is from cassettes/<module>/ beside the test, "
    "<class>.<test>.yaml there without one"
)
NO_STORE = (
    "it holds evals, which need trajectories to score: add --looplet-store DIR, or "
    "--looplet-cassettes DIR to run the agent"
)

_PATHS = (
    "looplet_store",
    "looplet_cassettes",
    "looplet_cases",
    "looplet_out",
    "looplet_judge_cassettes",
)
"""Options that name a place."""
_LEFT_ALONE = pytest.StashKey[set[Path]]()
_CHECKED = pytest.StashKey[bool]()
_REFUSED = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options, all of which begin with ``--looplet-``."""
    group = parser.getgroup("looplet", "evals and cassettes of agents")
    group.addoption(
        "--looplet-store",
        metavar="DIR",
        help="score the trajectories of this store with the evals that are collected",
    )
    group.addoption(
        "--looplet-items",
        choices=["trajectory", "eval", "auto"],
        default="auto",
        help="what one item is: an eval on one trajectory, an eval on all of them, or the latter "
        "where there are more than 2,000 (auto, the default); a vectorized eval is always one item",
    )
    group.addoption(
        "--looplet-cassettes",
        metavar="DIR",
        help="run the agent that the fixture agent gives, answered by the cassettes of this "
        "directory, or of a folder in it that is named as one around the evals, and score its runs",
    )
    group.addoption(
        "--looplet-cases",
        metavar="PATH",
        help="the cases to run the agent on (default: those of conftest.py, else those that the "
        "cassettes name)",
    )
    group.addoption(
        "--looplet-trials",
        metavar="N",
        type=_count,
        help="how often to run the agent on each case (default: as often as was recorded)",
    )
    group.addoption(
        "--looplet-tool-results",
        choices=["same", "any"],
        help="what a recorded reply answers: only the question that was recorded (same, the "
        "default), or also one in which tools gave something else (any)",
    )
    group.addoption(
        "--looplet-out",
        metavar="DIR",
        help="the store to append the agent's runs and their scores to",
    )
    group.addoption(
        "--looplet-gate",
        choices=GATES,
        help="let the exit status be the gate's verdict: 0 if every eval reaches its threshold, or "
        "is shown to be no worse than the baseline, and with `better` one of them to be better",
    )
    group.addoption(
        "--looplet-threshold",
        metavar="RATE",
        type=_rate,
        help="average, 0 to 1, that an eval must reach if its mark names none (default: 1; none "
        "beside a baseline); of an eval that says yes or no that is its pass rate",
    )
    add_options(group)
    group.addoption(
        "--looplet-judge",
        metavar="MODULE:ATTR",
        help="the backend for evals with a parameter llm, or a function that makes it",
    )
    group.addoption(
        "--looplet-judge-cassettes",
        metavar="DIR",
        help="record what the judge says, a cassette for each eval on each run, and replay it "
        "without a judge (default: judges/ in --looplet-cassettes); the mode is --looplet-record",
    )
    group.addoption(
        "--looplet-allow-skipped",
        action="store_true",
        help="let the gate hold although evals were skipped, as they are without a judge",
    )
    group.addoption(
        "--looplet-no-scores",
        action="store_true",
        help="do not append the scores to the store",
    )
    group.addoption(
        "--looplet-record",
        choices=["none", "once", "new_episodes", "all", "rewrite"],
        help="record mode of every test's cassette "
        "(default: the test's own, else none where the environment variable CI is set, else once) "
        "and of the runs of --looplet-cassettes (default: none)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark; load the part that scores, if there is a store to be scored."""
    config.addinivalue_line("markers", CASSETTE_MARK)
    check_options(config)
    _check_options(config)
    if not _scores(config):
        return
    from looplet.evals.scoring import Scoring

    if config.getoption("looplet_cassettes") is not None:
        from looplet.evals.agents import Agents

        config.pluginmanager.register(Agents(config), "looplet-agents")
    config.pluginmanager.register(Scoring(config), "looplet-scoring")


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare what a ``conftest.py`` may tell."""
    from looplet.evals import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def _scores(config: pytest.Config) -> bool:
    """Whether there are runs for evals to be put to."""
    return any(
        config.getoption(name) is not None for name in ("looplet_store", "looplet_cassettes")
    )


def _check_options(config: pytest.Config) -> None:
    """Refuse options that contradict each other; make paths absolute, since workers may move."""
    store, cassettes = config.getoption("looplet_store"), config.getoption("looplet_cassettes")
    if store is not None and cassettes is not None:
        raise pytest.UsageError(
            "--looplet-store scores runs that are there and --looplet-cassettes makes them: "
            "give one of them; --looplet-out says where new runs are kept"
        )
    if config.getoption("looplet_gate") and not _scores(config):
        raise pytest.UsageError(
            "--looplet-gate judges a store: add --looplet-store DIR, or --looplet-cassettes DIR"
        )
    for name in ("cases", "trials", "out", "tool_results"):
        if cassettes is None and config.getoption(f"looplet_{name}") is not None:
            option = name.replace("_", "-")
            raise pytest.UsageError(
                f"--looplet-{option} is about runs of an agent: add --looplet-cassettes DIR"
            )
    for name in _PATHS:
        given = config.getoption(name)
        if given is not None:
            setattr(config.option, name, str(config.invocation_params.dir / given))
    if store is not None and not Path(config.option.looplet_store).is_dir():
        path = config.option.looplet_store
        raise pytest.UsageError(f"--looplet-store: there is no directory {path}")


@pytest.fixture(scope="session")
def looplet_cassette_config() -> Mapping[str, Any]:
    """Options for the cassettes of all tests: override this in ``conftest.py``.

    They are those of the mark: ``record_mode``, ``tools``, ``redact``, ``metadata``.
    """
    return {}


@pytest.fixture
def looplet_cassette(
    request: pytest.FixtureRequest, looplet_cassette_config: Mapping[str, Any]
) -> Iterator[Cassette]:
    """The test's cassette, as ``looplet.replay.use_cassette`` gives it."""
    __tracebackhide__ = True
    from looplet.evals.cassettes import open_cassette, vcr_file

    opened = open_cassette(request.node, looplet_cassette_config, taken=vcr_file(request))
    yield opened.cassette
    opened.break_off()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a marked test have its cassette without asking for it."""
    if isinstance(item, pytest.Function) and item.get_closest_marker(CASSETTE):
        # A list of its own: the tests of other parameters share the one that is there.
        item.fixturenames = [*dict.fromkeys((CASSETTE, *item.fixturenames))]


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Collect eval files as the modules they are, so that either import mode works."""
    collectors = yield
    if not _is_eval_file(file_path):
        return collectors
    if not _scores(parent.config):
        parent.config.stash.setdefault(_LEFT_ALONE, set()).add(file_path)
        return collectors
    if any(_is_module(each) for each in collectors):
        return collectors
    hooks = parent.session.gethookproxy(file_path)
    module = hooks.pytest_pycollect_makemodule(module_path=file_path, parent=parent)
    return [*collectors, module]


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> list[pytest.Item] | None:
    """Make an eval's items; ``None`` leaves the object to pytest."""
    _check_module(collector)
    if type(obj) is not FunctionType:
        return None
    marked = MARKED in obj.__dict__
    if not marked and not (name.startswith("eval_") and _is_eval_file(collector.path)):
        return None
    if obj.__module__.startswith(OWN):
        return []
    if not _scores(collector.config):
        return _leave_alone(collector, name, obj, marked=marked)
    from looplet.evals.collect import make_items

    return make_items(collector, name, obj)


def _check_module(collector: pytest.Module | pytest.Class) -> None:
    """Once for each eval file, refuse what looks like an eval and would be none."""
    meant = isinstance(collector, pytest.Module) and _is_eval_file(collector.path)
    if not meant or _CHECKED in collector.stash or not _scores(collector.config):
        return
    from looplet.evals.overlooked import overlooked

    collector.stash[_CHECKED] = True
    for trouble in overlooked(collector.obj, collector.path):
        raise collector.CollectError(f"{collector.path.name}: {trouble}")


def pytest_collection_modifyitems(config: pytest.Config) -> None:
    """Refuse an eval file that was named without a store."""
    if _REFUSED in config.stash:
        raise pytest.UsageError(config.stash[_REFUSED])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Say what recordings no test played, and that eval files were left alone."""
    lines = _unplayed(terminalreporter)
    if lines:
        terminalreporter.section("cassettes")
    for line in lines:
        terminalreporter.write_line(line)
    files = config.stash.get(_LEFT_ALONE, None)
    if files and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        from looplet.core.wording import counted

        count = counted(len(files), "eval file")
        terminalreporter.write_line(f"looplet: {count} left alone; add --looplet-store DIR")


def _unplayed(terminalreporter: pytest.TerminalReporter) -> list[str]:
    """One line a cassette, of what the tests' last reports brought, from workers too."""
    found: dict[str, dict[str, None]] = {}
    for report in chain(*terminalreporter.stats.values()):
        told = getattr(report, "looplet_unplayed", None)
        if told:
            path, text = told
            found.setdefault(path, {})[text] = None
    return [f"{path}: {'; '.join(texts)}" for path, texts in found.items()]


def _leave_alone(
    collector: pytest.Module | pytest.Class, name: str, function: FunctionType, *, marked: bool
) -> list[pytest.Item] | None:
    if not marked and collector.istestfunction(function, name):
        return None
    if _is_eval_file(collector.path) and collector.session.isinitpath(collector.path):
        text = f"{collector.path.name}: {NO_STORE}"
        if hasattr(collector.config, "workerinput"):
            raise collector.CollectError(text)
        collector.config.stash[_REFUSED] = text
    return [] if marked else None


def _is_eval_file(path: Path) -> bool:
    return fnmatch.fnmatch(path.name, PATTERN)


def _is_module(collector: pytest.Collector) -> bool:
    """Whether pytest collects the file's functions already; a module of doctests does not."""
    return isinstance(collector, pytest.Module) and type(collector).__module__ != "_pytest.doctest"


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of trials, from 1 on")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate from 0 to 1")
    return rate
