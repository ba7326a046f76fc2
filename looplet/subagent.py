"""Sub-agents: a loop inside of a loop, and its answer. Knows no backend and no file."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from looplet.core.codec import to_jsonable
from looplet.core.config import LoopConfig
from looplet.core.conversation import Conversation
from looplet.core.decisions import warn_unhonoured
from looplet.core.events import EventPayload, LifecycleEvent
from looplet.core.hosting import emit_event
from looplet.core.loop import composable_loop
from looplet.core.records import Step, is_dunder
from looplet.core.registry import BaseToolRegistry, register_done_tool
from looplet.core.scoped import scoped
from looplet.core.session import SessionLog
from looplet.core.state import DefaultState

BuildSummary = Callable[[Any, SessionLog, list[Step]], Mapping[str, Any]]
"""Of the state, the session log and the steps: further keys of the result."""


def run_sub_loop(
    llm: Any,
    task: Any = None,
    tools: BaseToolRegistry | None = None,
    *,
    max_steps: int = 5,
    system_prompt: str = "",
    hooks: Sequence[Any] | None = None,
    parent_hooks: Sequence[Any] | None = None,
    context: Any = None,
    state: Any = None,
    sub_tools: BaseToolRegistry | None = None,
    build_summary: BuildSummary | None = None,
    state_mutating_tools: Collection[str] | None = None,
    conversation: Conversation | None = None,
    subagent_id: str | None = None,
    config: LoopConfig | None = None,
) -> dict[str, Any]:
    """Run an agent to its end and return its answer, as a tool of another agent may do.

    The sub-agent works with ``sub_tools``, or with ``tools`` less ``state_mutating_tools``; it
    always has a done tool. ``max_steps`` is its limit, whatever ``config`` says; of ``config``,
    checkpoints, hooks and ``build_trace`` are left out, since they belong to the run around it.
    Calls of a sub-agent with a ``subagent_id`` carry the scope ``sub:<id>``. Nothing that is given
    is changed but the state. Hooks of the parent hear every event of the sub-loop
    in ``on_event``, with ``subagent_id`` set, and what they decide there counts.

    The result has ``answer`` (arguments of the accepted done-call, or ``None``), ``summary``
    (their text, or ``""``), ``stop_reason``, ``entities``, ``findings`` and ``highlights`` (lists
    of texts), ``llm_calls`` (a count), ``steps`` (a list of ``Step``), ``subagent_id``, and the
    keys of ``build_summary(state, session_log, steps)``. Raises ``ValueError`` without tools, and
    whatever a hook raises.

    >>> from looplet.core.registry import tools_from
    >>> from looplet.testing import MockLLMBackend
    >>> llm = MockLLMBackend(['{"tool": "done", "args": {"summary": "ripe"}}'])
    >>> result = run_sub_loop(llm, "Is the pear ripe?", tools_from([]))
    >>> result["summary"], result["stop_reason"], result["llm_calls"]
    ('ripe', 'done', 1)
    """
    config = _own_config(config or LoopConfig(), max_steps, system_prompt)
    own = _own_tools(tools, sub_tools, state_mutating_tools or (), config.done_tool)
    state = DefaultState(max_steps=max_steps) if state is None else state
    sub = _SubAgent(
        name=config.runtime.new_id() if subagent_id is None else subagent_id,
        hooks=list(hooks or ()),
        parents=list(parent_hooks or ()),
        about={"state": state, "session_log": SessionLog(), "context": context},
    )
    sub.tell(LifecycleEvent.SUBAGENT_START, task=task)
    ending = _Ending()
    if subagent_id is not None:
        llm = scoped(llm, f"sub:{subagent_id}", purpose="reasoning")
    try:
        loop = composable_loop(
            llm, task, own, hooks=[*sub.listeners(), ending], config=config,
            conversation=conversation, **sub.about,
        )  # fmt: skip
        steps, calls = _drain(loop)
        result = _result(sub, ending, steps, calls)
        if build_summary is not None:
            result.update(build_summary(state, sub.about["session_log"], steps))
    except BaseException:
        sub.tell(LifecycleEvent.SUBAGENT_STOP, ending.reason or "error", task=task)
        raise
    sub.tell(LifecycleEvent.SUBAGENT_STOP, ending.reason, task=task, result=result)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _SubAgent:
    """One sub-agent and who listens to it."""

    name: str
    hooks: list[Any]
    parents: list[Any]
    about: dict[str, Any]
    """State, session log and context."""

    def tell(self, event: LifecycleEvent, reason: str | None = None, **extra: Any) -> None:
        """Tell an event of the sub-agent itself to the parents' hooks and its own, each once."""
        own = [hook for hook in self.hooks if not _holds(self.parents, hook)]
        listeners = [hook for hook in [*self.parents, *own] if _listens(hook)]
        extra = {"subagent_id": self.name, **extra}
        told = emit_event(
            listeners, event, subagent_id=self.name, termination_reason=reason, extra=extra,
            **self.about,
        )  # fmt: skip
        for decision in told:
            warn_unhonoured(decision, slot=event.value, hook="on_event", told=set())

    def listeners(self) -> list[Any]:
        """The sub-loop's hooks; one that the parent has too hears each event once, marked."""
        own = [
            _marked(_SharedHook, hook, self.name) if _holds(self.parents, hook) else hook
            for hook in self.hooks
        ]
        others = [hook for hook in self.parents if not _holds(self.hooks, hook)]
        return own + [_marked(_ParentHook, hook, self.name) for hook in others if _listens(hook)]


class _ParentHook:
    """A hook of the parent in a sub-loop: it hears the events, with the sub-agent's id."""

    def __init__(self, hook: Any, name: str) -> None:
        self._hook = hook
        self._name = name

    def on_event(self, payload: EventPayload) -> Any:
        extra = {**payload.extra, "subagent_id": self._name}
        return self._hook.on_event(replace(payload, subagent_id=self._name, extra=extra))


class _SharedHook(_ParentHook):
    """A hook that the sub-loop was given too: its other methods are called as usual."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hook, name)


@dataclass(slots=True, eq=False)
class _Ending:
    """Hears how the sub-loop ended."""

    reason: str | None = None
    answer: dict[str, Any] | None = None

    def on_event(self, payload: EventPayload) -> None:
        if payload.event is LifecycleEvent.STOP:
            self.reason = payload.termination_reason
        elif payload.event is LifecycleEvent.DONE_ACCEPTED:
            args = payload.tool_call.args
            self.answer = {key: value for key, value in args.items() if not is_dunder(key)}


def _own_config(config: LoopConfig, max_steps: int, system_prompt: str) -> LoopConfig:
    return replace(
        config,
        max_steps=max_steps,
        system_prompt=system_prompt or config.system_prompt,
        hooks=(),
        checkpoint_dir=None,
        initial_checkpoint=None,
        build_trace=_count_calls,
    )


def _own_tools(
    tools: BaseToolRegistry | None,
    sub_tools: BaseToolRegistry | None,
    without: Collection[str],
    done_name: str,
) -> BaseToolRegistry:
    if sub_tools is not None:
        own = sub_tools.copy()
    elif tools is not None:
        own = tools.copy(without={*without} - {done_name})
    else:
        raise ValueError("a sub-agent needs tools: pass tools= or sub_tools=, a registry")
    if done_name not in own:
        register_done_tool(own, name=done_name)
    return own


def _marked(kind: type[_ParentHook], hook: Any, name: str) -> Any:
    """Wrap a hook under its own class's name, which messages and HOOK_DECISION give."""
    return type(type(hook).__name__, (kind,), {})(hook, name) if _listens(hook) else hook


def _listens(hook: Any) -> bool:
    return callable(getattr(hook, "on_event", None))


def _holds(hooks: Sequence[Any], hook: Any) -> bool:
    """Whether that very object is there: hooks may compare equal."""
    return any(each is hook for each in hooks)


def _count_calls(*, llm_calls: int, **_others: Any) -> int:
    return llm_calls


def _drain(loop: Any) -> tuple[list[Step], int]:
    """Every step, and the number of model calls that the generator returns."""
    steps: list[Step] = []
    while True:
        try:
            steps.append(next(loop))
        except StopIteration as end:
            return steps, end.value


def _result(sub: _SubAgent, ending: _Ending, steps: list[Step], calls: int) -> dict[str, Any]:
    log: SessionLog = sub.about["session_log"]
    return {
        "summary": _text(ending.answer or {}),
        "answer": ending.answer,
        "stop_reason": ending.reason,
        "entities": log.all_entities(),
        "findings": [text for entry in log.entries for text in entry.findings],
        "highlights": [text for entry in log.entries for text in entry.highlights],
        "llm_calls": calls,
        "steps": steps,
        "subagent_id": sub.name,
    }


def _text(answer: dict[str, Any]) -> str:
    """The only argument's text; several as JSON; empty without any."""
    values = list(answer.values())
    if not values:
        return ""
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return json.dumps(to_jsonable(answer), ensure_ascii=False)
