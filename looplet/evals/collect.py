"""From an eval function to pytest items, one a run or one for all. Scores nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

from looplet.errors import EvalError, LoopletError
from looplet.evals.items import EvalItem, stand_in
from looplet.evals.judge_cassettes import JUDGES, JudgeCassettes
from looplet.evals.marks import check_parameters, is_eval, is_marked, mark_of
from looplet.evals.named_judge import load_judge
from looplet.evals.runs import LoadedRuns, StoredRuns, open_runs
from looplet.evals.scored import EvalInfo

if TYPE_CHECKING:
    from looplet.evals.agents import Agents

AGENTS = "looplet-agents"
"""The name under which pytest knows the part that runs agents."""
_JUDGE = pytest.StashKey[Any]()
_RUNS = pytest.StashKey["LoadedRuns | None"]()
_STORED = pytest.StashKey["StoredRuns | None"]()
TROUBLE = pytest.StashKey[str]()
"""Why the store cannot be scored, if it cannot."""
UNSUPPORTED = ("parametrize",)
AUTO, EVAL = "auto", "eval"
"""Values of ``--looplet-items``: as many runs as there are decide, and one item an eval."""
MOST_ITEMS = 2_000
"""How many runs may be items of their own where nothing is said."""


def make_items(
    collector: pytest.Module | pytest.Class, name: str, function: FunctionType
) -> list[pytest.Item] | None:
    """The items of one eval, or ``None`` if it is not one of this module.

    Raises ``CollectError`` on an eval that cannot be run.
    """
    module = collector.getparent(pytest.Module)
    if module is None or not is_eval(function, module.obj.__name__):
        return [] if is_marked(function) else None
    try:
        _check(collector, function)
    except EvalError as error:
        raise collector.CollectError(f"{collector.path.name}: {error}") from error
    node = {
        "callobj": stand_in(function),
        "originalname": name,
        "eval_function": function,
        "info": EvalInfo.of(function, key=f"{collector.nodeid}::{name}"),
        "marks": _marks(collector.config, function),
        "judge": judge_of(collector.config),
        "judge_cassettes": judge_cassettes_of(collector),
    }
    agents = agents_of(collector.config)
    if agents is not None:
        return agents.items(collector, name, function, node)
    if mark_of(function).vectorized or sweeps(collector.config):
        from looplet.evals.sweeps import SweepItem  # loaded where many runs are one item

        runs = stored_of(collector.config)
        return [SweepItem.from_parent(collector, name=name, runs=runs, **node)] if runs else []
    return _items(collector, name, node)


def _items(
    collector: pytest.Module | pytest.Class, name: str, node: dict[str, Any]
) -> list[pytest.Item]:
    items: list[pytest.Item] = []
    for label, trajectory, key in runs_of(collector.config) or ():
        item: EvalItem = EvalItem.from_parent(
            collector, name=f"{name}[{label}]", trajectory=trajectory, key=key, **node
        )
        node["fixtureinfo"] = item._fixtureinfo  # noqa: SLF001 - found once for all runs of an eval
        items.append(item)
    return items


def sweeps(config: pytest.Config) -> bool:
    """Whether each eval is one item over all runs."""
    choice = config.getoption("looplet_items")
    if choice != AUTO:
        return bool(choice == EVAL)
    stored = stored_of(config)
    return stored is not None and len(stored) > MOST_ITEMS


def choice_line(config: pytest.Config) -> str | None:
    """What is to be said where the number of runs has decided what an item is."""
    stored = stored_of(config)
    if stored is None or config.getoption("looplet_items") != AUTO or not sweeps(config):
        return None
    return (
        f"{len(stored)} runs are more than {MOST_ITEMS}, so each eval was one item; "
        "--looplet-items=trajectory makes one of each run"
    )


def agents_of(config: pytest.Config) -> Agents | None:
    """The runs that agents make, if the evals are not put to a store's."""
    agents: Agents | None = config.pluginmanager.getplugin(AGENTS)
    return agents


def judge_of(config: pytest.Config) -> Any:
    """The judge that the command line names, made once; ``None`` without one."""
    if _JUDGE not in config.stash:
        text = config.getoption("looplet_judge")
        config.stash[_JUDGE] = None if text is None else load_judge(text)
    return config.stash[_JUDGE]


def cassettes_of(collector: pytest.Collector) -> Path:
    """The folder of what answers the agent of a file's evals; only where there are agents."""
    from looplet.evals.planned import suite_folder  # loaded where agents are run

    config = collector.config
    folder = Path(config.getoption("looplet_cassettes"))
    return suite_folder(folder, collector.path, config.rootpath)


def judge_cassettes_of(collector: pytest.Collector) -> JudgeCassettes | None:
    """Where verdicts are recorded: where the user says, else beside what agents are answered by."""
    config = collector.config
    folder = config.getoption("looplet_judge_cassettes")
    agents, mode = agents_of(config), config.getoption("looplet_record")
    if folder is None and agents is None:
        return None
    if mode is None:
        mode = "none" if agents is not None or os.environ.get("CI") else "once"
    path = cassettes_of(collector) / JUDGES if folder is None else Path(folder)
    return JudgeCassettes(folder=path, mode=mode, backend=judge_of(config))


def stored_of(config: pytest.Config) -> StoredRuns | None:
    """The store's runs, opened once. A store that cannot be scored leaves its trouble.

    A store without a run is trouble too, unless there is a gate, which has its own word for it.
    """
    if _STORED not in config.stash:
        store = config.getoption("looplet_store")
        config.stash[_STORED] = None
        if store is None:  # agents make the runs
            return None
        with _noting_trouble(config):
            config.stash[_STORED] = stored = open_runs(store)
            if not stored and not config.getoption("looplet_gate"):
                config.stash[TROUBLE] = f"--looplet-store: {store} holds no trajectory"
    return config.stash[_STORED]


def runs_of(config: pytest.Config) -> LoadedRuns | None:
    """The store's runs, each with its label, loaded once; none if the store cannot be scored."""
    if _RUNS not in config.stash:
        config.stash[_RUNS] = None
        with _noting_trouble(config):
            stored = stored_of(config)
            config.stash[_RUNS] = LoadedRuns(stored) if stored else None
    return config.stash[_RUNS]


def prepare(config: pytest.Config) -> None:
    """Read of the store what collecting will."""
    if not sweeps(config):
        runs_of(config)


@contextmanager
def _noting_trouble(config: pytest.Config) -> Iterator[None]:
    try:
        yield
    except (LoopletError, OSError) as error:
        config.stash[TROUBLE] = f"--looplet-store: {error}"


def _check(collector: pytest.Module | pytest.Class, function: FunctionType) -> None:
    if isinstance(collector, pytest.Class):
        raise EvalError(f"{function.__name__} is an eval in a class; move it to the module's level")
    for mark in getattr(function, "pytestmark", []):
        if mark.name in UNSUPPORTED:
            raise EvalError(f"{function.__name__} is an eval, and takes no pytest.mark.{mark.name}")
    check_parameters(function)


def _marks(config: pytest.Config, function: FunctionType) -> list[pytest.Mark]:
    """The eval's tags as pytest marks, made known first, and the marks put on by hand."""
    marks = list(getattr(function, "pytestmark", []))
    for tag in mark_of(function).tags:
        config.addinivalue_line("markers", f"{tag}: a tag of looplet evals")
        marks.append(getattr(pytest.mark, tag).mark)
    return marks
