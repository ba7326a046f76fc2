"""From an eval function to pytest items, one a run. Knows pytest's collecting; scores nothing."""

from __future__ import annotations

from types import FunctionType
from typing import Any

import pytest

from looplet.errors import EvalError, LoopletError
from looplet.evals.items import EvalItem, stand_in
from looplet.evals.marks import check_parameters, is_eval, is_marked, mark_of
from looplet.evals.named_judge import load_judge
from looplet.evals.runs import Run, load_runs
from looplet.evals.scored import EvalInfo

_JUDGE = pytest.StashKey[Any]()
_RUNS = pytest.StashKey[list[Run]]()
TROUBLE = pytest.StashKey[str]()
"""Why the store cannot be scored, if it cannot."""
UNSUPPORTED = ("parametrize",)


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
    info = EvalInfo.of(function, key=f"{collector.nodeid}::{name}")
    marks, shown, fixtures = _marks(collector.config, function), stand_in(function), None
    items: list[pytest.Item] = []
    for run in runs_of(collector.config):
        item: EvalItem = EvalItem.from_parent(
            collector,
            name=f"{name}[{run.label}]",
            callobj=shown,
            fixtureinfo=fixtures,
            eval_function=function,
            info=info,
            marks=marks,
            trajectory=run.trajectory,
            judge=judge_of(collector.config),
        )
        fixtures = item._fixtureinfo  # noqa: SLF001 - found once for all runs of an eval
        items.append(item)
    return items


def judge_of(config: pytest.Config) -> Any:
    """The judge that the command line names, made once; ``None`` without one."""
    if _JUDGE not in config.stash:
        text = config.getoption("looplet_judge")
        config.stash[_JUDGE] = None if text is None else load_judge(text)
    return config.stash[_JUDGE]


def runs_of(config: pytest.Config) -> list[Run]:
    """The store's runs, read once. A store that cannot be scored leaves its trouble.

    A store without a run is trouble too, unless there is a gate, which has its own word for it.
    """
    if _RUNS in config.stash:
        return config.stash[_RUNS]
    store, runs = config.getoption("looplet_store"), list[Run]()
    try:
        runs = load_runs(store)
        if not runs and not config.getoption("looplet_gate"):
            config.stash[TROUBLE] = f"--looplet-store: {store} holds no trajectory"
    except (LoopletError, OSError) as error:
        config.stash[TROUBLE] = f"--looplet-store: {error}"
    config.stash[_RUNS] = runs
    return runs


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
