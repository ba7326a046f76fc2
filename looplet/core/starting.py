"""A run put together from what was given, and checked. Knows no order of things."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from looplet.core.ambient import AROUND, Starting, surrounded
from looplet.core.backend import takes
from looplet.core.config import LoopConfig
from looplet.core.conversation import Conversation
from looplet.core.history import History
from looplet.core.listeners import bind
from looplet.core.prompt import task_text
from looplet.core.run import Run, check_backend, put
from looplet.core.session import SessionLog
from looplet.core.show import RECENT_STEPS, step_text
from looplet.core.state import DefaultState
from looplet.core.tools import ToolContext


def start_run(
    llm: Any,
    *,
    task: Any,
    tools: Any,
    context: Any,
    hooks: Sequence[Any] | None,
    config: LoopConfig | None,
    state: Any,
    session_log: SessionLog | None,
    stream: Any,
    conversation: Conversation | None,
    max_steps: int | None,
    system_prompt: str | None,
    asynchronous: bool,
) -> Run:
    """Check what was given and put a run together; nothing that was given is changed but the state.

    Raises ``TypeError`` for a backend without ``generate`` and ``ValueError`` without tools.
    """
    config = _own_config(config, max_steps, system_prompt)
    if AROUND:
        given = Starting(llm=llm, tools=tools, config=config, task=task, asynchronous=asynchronous)
        given = surrounded(given)
        llm, tools, config = given.llm, given.tools, given.config
    check_backend(llm, asynchronous=asynchronous)
    if tools is None:
        raise ValueError("tools is missing: pass a registry, as tools_from([...]) makes one")
    _warn_without_done(tools, config)
    _check_recovery(config.recovery_registry)
    hooks = _all_hooks(hooks or (), config, stream)
    task = {"description": task} if isinstance(task, str) else task
    task = {} if task is None else task
    state = _own_state(state, config)
    asked = _asked_first(llm, config)
    native = config.use_native_tools and hasattr(asked, "generate_with_tools")
    listeners = bind(hooks, asynchronous=asynchronous)
    own_prompt = bool(listeners.build_prompt or config.build_prompt)
    own_prompt = own_prompt or config.render_messages_override is not None
    speaks_messages = native and not own_prompt and _takes_messages(asked)
    run = Run(
        llm=llm,
        tools=tools,
        task=task,
        context=context,
        config=config,
        state=state,
        log=SessionLog() if session_log is None else session_log,
        conversation=Conversation() if conversation is None else conversation,
        listeners=listeners,
        asynchronous=asynchronous,
        native=native,
        own_prompt=own_prompt,
        history=History() if speaks_messages else None,
        task_shown=task_text(task, config.acceptance_criteria),
        plain_context=ToolContext(cancel_token=config.cancel_token),
        started=config.runtime.perf(),
    )
    run.recent.extend(step_text(step) for step in state.steps[-RECENT_STEPS:])
    run.earlier_results = "\n".join(run.recent_results()) if state.steps else ""
    _give_parts(run)  # may refuse what was given, so the state is changed after it
    known = {"task": task, "conversation": run.conversation, "_done_tool": config.done_tool}
    for name, value in known.items():
        put(state, name, value)
    return run


def _give_parts(run: Run) -> None:
    """Give a run what few runs have, and put it where its checkpoint stands."""
    config = run.config
    if config.output_schema is not None:
        from looplet.core.output import judge_of  # loaded by the runs that have a schema

        run.judge_output = judge_of(config.output_schema, tool=config.done_tool)
    if config.tool_result_persist_dir is not None:
        from looplet.core.persist import ResultFiles

        run.result_files = ResultFiles(config.tool_result_persist_dir)
    if config.checkpoint_dir is not None or config.initial_checkpoint is not None:
        from looplet.core.resume import begin  # files are the business of few runs

        begin(run)


def _all_hooks(hooks: Sequence[Any], config: LoopConfig, stream: Any) -> Sequence[Any]:
    """The given hooks and then the config's; before them those of tracer and stream."""
    if config.hooks:
        hooks = [*hooks, *config.hooks]
    if config.tracer is not None:
        from looplet.core.tracing import TracingHook  # loaded by the runs that have a tracer

        hooks = [TracingHook(config.tracer, model_calls=True), *hooks]
    if stream is not None:
        from looplet.core.streaming import StreamingHook  # loaded by the runs that have a stream

        # First, so that its LoopStartEvent precedes whatever the other hooks do.
        hooks = [StreamingHook(stream, runtime=config.runtime), *hooks]
    return hooks


def _asked_first(llm: Any, config: LoopConfig) -> Any:
    """The backend that decides how a native run asks."""
    if config.router is None or not config.use_native_tools:
        return llm
    return config.router.select(purpose="reasoning")


def _own_config(
    config: LoopConfig | None, max_steps: int | None, system_prompt: str | None
) -> LoopConfig:
    changes: dict[str, Any] = {}
    if max_steps is not None:
        changes["max_steps"] = max_steps
    if system_prompt is not None:
        changes["system_prompt"] = system_prompt
    config = LoopConfig() if config is None else config
    if config.domain is not None:
        parts = config.domain.parts()
        changes.update(
            {name: part for name, part in parts.items() if getattr(config, name) is None}
        )
    return replace(config, **changes) if changes else config


def _own_state(state: Any, config: LoopConfig) -> Any:
    if state is None:
        return DefaultState(max_steps=config.max_steps)
    own = getattr(state, "max_steps", config.max_steps)
    if own != config.max_steps:
        warnings.warn(
            f"the state's max_steps is {own}, the config's is {config.max_steps}; "
            "the config's value is used",
            stacklevel=4,
        )
        put(state, "max_steps", config.max_steps)
    return state


def _check_recovery(registry: Any) -> None:
    if registry is not None and not hasattr(registry, "strategies_for"):
        from looplet.core.strategies import method_of  # loaded by the runs that have one

        method_of(registry)


def _warn_without_done(tools: Any, config: LoopConfig) -> None:
    names = getattr(tools, "tool_names", None)
    if names is not None and config.done_tool not in names:
        warnings.warn(
            f"no tool is named {config.done_tool!r}, so the run cannot end by itself; "
            "use tools_from([...], include_done=True) or LoopConfig(done_tool=…)",
            stacklevel=4,
        )


def _takes_messages(llm: Any) -> bool:
    """Whether native calls can carry the conversation instead of one prompt."""
    return takes(llm, "generate_with_tools", "messages")
