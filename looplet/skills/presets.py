"""An agent as one value: config, hooks, tools and state, ready to be run with a model."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

from looplet.context.budget import ContextBudget, ThresholdCompactHook
from looplet.context.services import PruneToolResults, compact_chain
from looplet.core.compaction import TruncateCompact
from looplet.core.config import LoopConfig
from looplet.core.loop import composable_loop
from looplet.core.records import Step, ToolCall, ToolResult
from looplet.core.registry import BaseToolRegistry, tools_from
from looplet.core.state import DefaultState
from looplet.skills.workspace import Workspace


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


_CODING = """You are a careful programmer. You work in one folder, the workspace, with the tools.
Read before you change. Make the smallest change that does what is asked. Run the tests with bash.
Call done when it works, and say what you changed."""
_RESEARCH = """You answer questions about the files in one folder, the workspace.
Find the places with glob and grep, read them, and cite file and line for what you say.
Call done with the answer."""


def coding_agent_preset(
    workspace: str | os.PathLike[str] = ".",
    *,
    max_steps: int = 20,
    context_window: int = 128_000,
    system_prompt: str = "",
    require_tests: bool = True,
) -> AgentPreset:
    """An agent that programs in a folder: ``bash read write edit glob grep think done``.

    With ``require_tests`` it is not done while files were changed and no test was run
    successfully since. Older results are shortened when the context fills. Nobody is asked before
    a command runs: add a ``PermissionHook`` for that.
    """
    tools = tools_from(Workspace(workspace).tools(), include_think=True, include_done=True)
    compact = ThresholdCompactHook(ContextBudget(context_window=context_window))
    return AgentPreset(
        config=LoopConfig(
            max_steps=max_steps,
            system_prompt=system_prompt or _CODING,
            context_window=context_window,
            compact_service=compact_chain(PruneToolResults(), TruncateCompact()),
        ),
        hooks=[compact, *([TestsPassed()] if require_tests else [])],
        tools=tools,
        state=DefaultState(max_steps=max_steps),
    )


def research_agent_preset(
    workspace: str | os.PathLike[str] = ".",
    *,
    max_steps: int = 30,
    context_window: int = 128_000,
    system_prompt: str = "",
) -> AgentPreset:
    """An agent that reads a folder and changes nothing: ``read glob grep think done``."""
    readers = [each for each in Workspace(workspace).tools() if each.name in _READERS]
    compact = ThresholdCompactHook(ContextBudget(context_window=context_window))
    return AgentPreset(
        config=LoopConfig(
            max_steps=max_steps,
            system_prompt=system_prompt or _RESEARCH,
            context_window=context_window,
            concurrent_dispatch=True,
            compact_service=compact_chain(PruneToolResults(), TruncateCompact()),
        ),
        hooks=[compact],
        tools=tools_from(readers, include_think=True, include_done=True),
        state=DefaultState(max_steps=max_steps),
    )


_READERS = ("read", "glob", "grep")
_TEST = re.compile(
    r"\b(pytest|unittest|tox|nox|(npm|yarn|pnpm|make|cargo|go|mvn|gradle) (run )?test)\b"
)


class TestsPassed:
    """Rejects a done-call while files were changed and no test command went well since."""

    __test__ = False  # to pytest, the name looks like that of a test class

    def __init__(self) -> None:
        self.changed = False

    def pre_loop(self, state: Any, session_log: Any, context: Any) -> None:  # noqa: ARG002 - the slot
        """Begin a run."""
        self.changed = False

    def post_dispatch(
        self,
        state: Any,  # noqa: ARG002 - the slot's signature
        session_log: Any,  # noqa: ARG002
        tool_call: ToolCall,
        tool_result: ToolResult,
        step_num: int,  # noqa: ARG002
    ) -> None:
        """Note a change, and a test that went well."""
        if tool_result.error is not None:
            return
        if tool_call.tool in ("write", "edit"):
            self.changed = True
        elif tool_call.tool == "bash" and _TEST.search(str(tool_call.args.get("command"))):
            data = tool_result.data
            if isinstance(data, dict) and data.get("exit_code") == 0:
                self.changed = False

    def check_done(
        self,
        state: Any,  # noqa: ARG002 - the slot's signature
        session_log: Any,  # noqa: ARG002
        context: Any,  # noqa: ARG002
        step_num: int,  # noqa: ARG002
    ) -> str | None:
        """Why it is not done."""
        if not self.changed:
            return None
        return "files were changed and no test was run since that passed: run the tests with bash"
