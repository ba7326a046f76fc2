"""The prompt that the loop would send, without sending it. Knows briefing and request."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from looplet.core.briefing import build_request, gather_briefing
from looplet.core.config import LoopConfig
from looplet.core.consult import Phase
from looplet.core.registry import BaseToolRegistry
from looplet.core.run import Run, put
from looplet.core.session import SessionLog
from looplet.core.starting import start_run
from looplet.core.state import DefaultState


def preview_prompt(
    task: Any = None,
    tools: Any = None,
    state: Any = None,
    session_log: SessionLog | None = None,
    *,
    config: LoopConfig | None = None,
    step_number: int = 1,
    hooks: Sequence[Any] | None = None,
    context: Any = None,
) -> str:
    """Build the prompt that the loop would send with the same inputs; no model is asked.

    History, memory and the texts of hooks are in it, so ``pre_prompt`` and its kind are called.
    ``step_number`` counts where no state is given; nothing that was given is changed. In native
    mode it is the prompt for a backend that takes no messages.

    >>> print(preview_prompt({"goal": "Price an apple."}).splitlines()[1])
    goal: Price an apple.
    """
    # A tracer would be told of the state's steps.
    config = LoopConfig() if config is None else replace(config, tracer=None)
    own = _Numbered(max_steps=config.max_steps, number=step_number) if state is None else state
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a preview needs no done tool
        run = start_run(
            _NativeStandIn() if config.use_native_tools else _StandIn(),
            task=task,
            tools=BaseToolRegistry() if tools is None else tools,
            context=context,
            hooks=hooks,
            config=config,
            state=_own_copy(own),
            session_log=copy.deepcopy(session_log),
            stream=None,
            conversation=None,
            max_steps=None,
            system_prompt=None,
            asynchronous=False,
        )
    return _finish(_prompt(run))


def _own_copy(state: Any) -> Any:
    """A state that a checkpoint can be restored into without changing the given one."""
    own = copy.copy(state)
    for name in ("steps", "metadata"):
        if hasattr(own, name):
            put(own, name, copy.copy(getattr(own, name)))
    return own


@dataclass
class _Numbered(DefaultState):
    number: int = 1

    @property
    def step_count(self) -> int:
        """Steps that count as taken."""
        return self.number - 1


class _StandIn:
    """Has a backend's shape and is never asked."""

    def generate(self, prompt: str) -> str:
        raise AssertionError(f"a preview asks no model: {prompt[:40]}")


class _NativeStandIn(_StandIn):
    generate_with_tools = _StandIn.generate


def _prompt(run: Run) -> Phase[str]:
    briefing = yield from gather_briefing(run)
    request = yield from build_request(run, briefing)
    return request.prompt


def _finish(phase: Phase[str]) -> str:
    try:
        effect = next(phase)
    except StopIteration as end:
        return str(end.value)
    phase.close()
    raise TypeError(f"a hook returned an awaitable, which a preview cannot wait for ({effect})")
