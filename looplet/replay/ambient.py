"""A cassette around every loop that starts. Knows what loops are given; knows no file.

Which loop is which must be known again in a replay, whatever order threads begin in. So loops are
told apart by what they ask with (task, model, settings, tools), and only those that look alike by
the order in which they start: the first of them is the lane ``main``, the second ``run:2``, and so
on. A loop inside of a tool is part of the run around it and is no run of its own.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from looplet.core.ambient import Starting, around_loops
from looplet.core.codec import digest
from looplet.core.config import LoopConfig
from looplet.core.records import Step, new_id
from looplet.core.scoped import is_scoped
from looplet.core.watching import StepWatcher
from looplet.core.wrapping import Wrapper
from looplet.errors import CassetteError
from looplet.replay.runs import RunWatcher, redacted
from looplet.replay.session import AsyncCassetteBackend, CassetteBackend, model_of
from looplet.replay.tooling import CassetteTools
from looplet.replay.within import within
from looplet.trajectory.model import StepRecord, Trajectory, first_link, next_link

if TYPE_CHECKING:
    from looplet.replay.cassette import Cassette

MAIN, INNER = "main", "sub"
"""Lanes of the first loop of its looks, and of one inside of a tool with a backend of its own."""

_ONE = threading.Lock()
_NAMES: list[str] = []
"""The ambient cassette's path."""


@contextmanager
def ambient(cassette: Cassette, half: Any, *, keep: bool = False) -> Iterator[list[Trajectory]]:
    """Put a cassette around every loop that starts in the block, in whatever thread.

    With ``keep`` the list that is given fills with the runs, without secrets, in the order in
    which they begin. Raises ``CassetteError`` where another cassette is ambient already.
    """
    if not _ONE.acquire(blocking=False):
        raise CassetteError(
            f"cassette {' '.join(_NAMES)} is around every loop already, and {cassette.path} was to "
            "be too: leave the one ambient() block before the other is entered"
        )
    _NAMES[:] = [str(cassette.path)]
    try:
        runs: list[Trajectory] = []
        with around_loops(Ambient(cassette, half, runs if keep else None)):
            yield runs
    finally:
        _NAMES.clear()
        _ONE.release()


class Ambient:
    """Puts one cassette around what loops are given; what it is around already is left."""

    def __init__(self, cassette: Cassette, half: Any, runs: list[Trajectory] | None) -> None:
        self._cassette, self._half, self._runs = cassette, half, runs
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._alike: Counter[str] = Counter()

    def __call__(self, given: Starting) -> Starting:
        """Put the cassette around a loop that starts."""
        if given.llm is not None and not callable(getattr(given.llm, "generate", None)):
            return given  # no backend, which the loop itself says
        if os.getpid() != self._process:
            raise CassetteError(
                f"a loop was started in a process that was forked while {self._cassette.path} was "
                "open, which that cassette cannot follow; open a cassette in the process that runs "
                "the loop"
            )
        found = half_of(given.llm)
        if found is not None and found is not self._half:
            return given  # somebody opened a cassette for this loop alone
        inner = within() is not None or is_scoped(given.llm)
        lane = self._lane(given, inner=inner)
        llm = given.llm if found is not None else self._wrapped(given, lane)
        tools = given.tools
        if tools is not None and not isinstance(tools, CassetteTools):
            tools = self._cassette.wrap_tools(tools, lane=lane)
        config = given.config if inner else self._watched(given.config)
        return replace(given, llm=llm, tools=tools, config=routed(config, self._cassette, lane))

    def _lane(self, given: Starting, *, inner: bool) -> str:
        if inner:
            return INNER
        looks = _looks(given)
        with self._lock:
            self._alike[looks] += 1
            number = self._alike[looks]
        return MAIN if number == 1 else f"run:{number}"

    def _wrapped(self, given: Starting, lane: str) -> Any:
        asynchronous = given.asynchronous if given.llm is None else None
        return self._cassette.wrap_llm(given.llm, lane=lane, async_=asynchronous)

    def _watched(self, config: LoopConfig) -> LoopConfig:
        """The config through the cassette, if it is not yet."""
        if any(isinstance(hook, RunWatcher) for hook in config.hooks):
            return config
        config = self._cassette.wrap_config(config)
        if self._runs is None:
            return config
        return replace(config, hooks=[*config.hooks, _Keeper(self._half.redactor, self._runs)])


class _Keeper(StepWatcher):
    """Keeps a run, without secrets, for a comparison."""

    def __init__(self, redactor: Any, runs: list[Trajectory]) -> None:
        super().__init__()
        self._runs = runs
        self._kept: Trajectory | None = None
        self._redact = _same if redactor is None else redactor.value

    # The loop calls the slots by position, so every parameter stands here, used or not.
    # ruff: noqa: ARG002

    def on_step(self, state: Any, session_log: Any, step: Step, briefing: str) -> None:
        """Take the step before anybody can change it."""
        self._catch_up(state)

    def run_begun(self, state: Any) -> None:
        """A run begins."""
        task = self._redact(getattr(state, "task", None))
        self._kept = Trajectory(trajectory_id=new_id(), run_id=new_id(), task=task)
        self._runs.append(self._kept)

    def step_ended(self, step: Step) -> None:
        """The step is what it is."""
        assert self._kept is not None
        kept = redacted(step, self._redact)
        record = StepRecord(
            step_num=kept.number, tool_call=kept.tool_call, tool_result=kept.tool_result
        )
        record.digest = next_link(_last_link(self._kept), record)
        self._kept.steps.append(record)

    def on_loop_end(self, state: Any, session_log: Any, context: Any, llm: Any) -> None:
        """The run is over, if it had begun."""
        if self._kept is None:
            return
        self._catch_up(state)
        self._kept.stop_reason = getattr(state, "_stop_reason", None)


class _Router:
    """A router whose choices go through the cassette."""

    def __init__(self, router: Any, cassette: Cassette, lane: str) -> None:
        self._router, self._cassette, self._lane = router, cassette, lane

    def select(self, *args: Any, **keywords: Any) -> Any:
        """The router's choice, with the cassette around it."""
        chosen = self._router.select(*args, **keywords)
        if half_of(chosen) is not None:
            return chosen
        return self._cassette.wrap_llm(chosen, lane=self._lane)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._router, name)


def routed(config: LoopConfig, cassette: Cassette, lane: str = MAIN) -> LoopConfig:
    """The config with a router that cannot get past the cassette, if it has one."""
    if config.router is None or isinstance(config.router, _Router):
        return config
    return replace(config, router=_Router(config.router, cassette, lane))


def half_of(backend: object) -> Any:
    """The half of the cassette that is around a backend, whatever is around that; else ``None``."""
    while isinstance(backend, Wrapper):
        if isinstance(backend, CassetteBackend | AsyncCassetteBackend):
            return backend._half  # noqa: SLF001 - of the same room
        backend = backend.inner
    return None


def _looks(given: Starting) -> str:
    """What a loop asks with, as far as that is known before it asks."""
    config = given.config
    parts = [
        given.task, model_of(given.llm), [*(getattr(given.tools, "tool_names", None) or ())],
        config.system_prompt, config.max_steps, config.max_tokens, config.temperature,
        config.use_native_tools, config.done_tool, dict(config.generate_kwargs),
    ]  # fmt: skip
    try:
        return digest(json.dumps(parts, default=repr, skipkeys=True))
    except (ValueError, RecursionError):  # it contains itself
        return digest(repr(parts))


def _last_link(run: Trajectory) -> str:
    return run.steps[-1].digest if run.steps else first_link(run.task)


def _same(value: Any) -> Any:
    return value
