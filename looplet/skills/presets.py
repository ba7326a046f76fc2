"""An agent as one value: config, hooks, tools and state, ready to be run with a model."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

from looplet.core.config import LoopConfig
from looplet.core.loop import composable_loop
from looplet.core.records import Step
from looplet.core.registry import BaseToolRegistry, tools_from
from looplet.core.state import DefaultState


@dataclass(slots=True)
class AgentPreset:
    """What ``composable_loop`` needs beside a model and a task.

    >>> from looplet.testing import MockLLMBackend
    >>> preset = minimal_preset()
    >>> llm = MockLLMBackend(['{"tool": "done", "args": {"summary": "ripe"}}'])
    >>> [step.tool_call.tool for step in preset.run(llm, task="Taste it.")]
    ['done']
    """

    config: LoopConfig = field(default_factory=LoopConfig)
    hooks: list[Any] = field(default_factory=list)
    tools: Any = None
    """A registry."""
    state: Any = None
    """The state to begin with; each run has a copy of its own."""

    def run(
        self,
        llm: Any,
        *,
        task: Any = None,
        context: Any = None,
        session_log: Any = None,
        conversation: Any = None,
        stream: Any = None,
    ) -> Generator[Step, None, Any]:
        """``composable_loop`` with these parts. A second run begins from a fresh state."""
        return composable_loop(
            llm,
            task,
            self.tools,
            context,
            self.hooks,
            self.config,
            copy.deepcopy(self.state),
            session_log,
            stream,
            conversation,
        )


def minimal_preset(
    *,
    max_steps: int = 10,
    tools: Iterable[Any] | BaseToolRegistry | None = None,
    system_prompt: str = "You are a helpful assistant.",
) -> AgentPreset:
    """An agent of some tools and ``done``. ``tools`` are functions, specs or a registry."""
    if not isinstance(tools, BaseToolRegistry):
        tools = tools_from(list(tools or ()), include_done=True)
    return AgentPreset(
        config=LoopConfig(max_steps=max_steps, system_prompt=system_prompt),
        tools=tools,
        state=DefaultState(max_steps=max_steps),
    )
