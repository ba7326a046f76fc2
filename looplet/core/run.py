"""One run: its parts, checked and put together, and what it keeps. Knows no order of things."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from looplet.core.backend import is_async, names_taken, only_taken, takes
from looplet.core.config import LoopConfig
from looplet.core.conversation import Conversation
from looplet.core.history import History
from looplet.core.listeners import Listeners, bind
from looplet.core.messages import Method, ModelRequest
from looplet.core.prompt import head_text, memory_text, task_text
from looplet.core.records import Step, ToolCall, ToolResult, Usage
from looplet.core.session import SessionLog
from looplet.core.show import (
    RECENT_STEPS,
    RESULT_CHARS,
    cut,
    line_text,
    message_text,
    recent_text,
    step_text,
)
from looplet.core.state import DefaultState
from looplet.core.tools import ToolContext

if TYPE_CHECKING:
    from looplet.core.output import Judge
    from looplet.core.persist import ResultFiles
    from looplet.core.resume import Keeper


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Run:
    """The one thing that changes while a loop runs."""

    llm: Any
    tools: Any
    task: Any
    context: Any
    config: LoopConfig
    state: Any
    log: SessionLog
    conversation: Conversation
    listeners: Listeners
    asynchronous: bool
    native: bool
    own_prompt: bool
    """Whether a hook or the config has a say in the prompt."""
    history: History | None
    """The native conversation; ``None`` where prompts are text."""
    task_shown: str
    plain_context: ToolContext
    """For tools that do not ask for one of their own."""
    started: float
    stop_reason: str | None = None
    llm_calls: int = 0
    pending: list[str] = field(default_factory=list)
    """Texts for the next briefing."""
    remedies: list[str] = field(default_factory=lambda: ["trim", "compact", "drop"])
    """Ways of making a prompt that is too long shorter, each taken at most once."""
    strategies_used: dict[int, int] = field(default_factory=dict)
    """How often each strategy of the recovery registry was followed, by its ``id``."""
    result_chars: int = RESULT_CHARS
    """How much of a result a prompt shows."""
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT_STEPS))
    turn_usage: Usage | None = None
    """Tokens of this turn's model calls, until its first step takes them."""
    done_step: Step | None = None
    """The accepted done-call, until it is announced."""
    last_step: Step | None = None
    names_of: tuple[Any, Method, frozenset[str]] | None = None
    """A backend, a method of it, and the keywords that it takes; of the newest call."""
    head_of: tuple[str, str] | None = None
    """Memory and tools that ``head_shown`` was made of."""
    head_shown: str = ""
    memory_told: str = ""
    """What the memory sources said when they were last asked; sources may change their words."""
    earlier_results: str = ""
    """What a given state had in it before the run began."""
    unfinished: list[tuple[str, Any]] = field(default_factory=list)
    """What listeners of tool progress returned, to be read after the tool, and their hooks."""
    judge_output: Judge | None = None
    """Of a done-call's arguments, by ``output_schema``."""
    unrun: list[ToolCall] = field(default_factory=list)
    """Calls of this turn that were not run."""
    named_unrun: bool = False
    """Whether this turn's last step names them already."""
    ahead: list[tuple[ToolCall, ToolResult]] = field(default_factory=list)
    """Calls of this turn that were run and are still to be recorded, after the newest step."""
    left: Sequence[ToolCall] = ()
    """Calls of this turn that are still to be run."""
    turn_from: int = 1
    """Number of this turn's first step."""
    keeper: Keeper | None = None
    """Writes checkpoints; ``None`` if none are wanted."""
    result_files: ResultFiles | None = None
    """Writes long results; ``None`` if they are only to be cut."""
    mid_turn: bool = False
    """Whether the run was restored to the middle of a turn."""
    finished: bool = False
    """Whether it was restored to its accepted done, so that there is nothing left to do."""
    over: bool = False
    """Whether the end of the run has begun, after which hooks hear of no tool."""
    told: set[tuple[str, str, str]] = field(default_factory=set)
    """Warnings about decisions that were given already."""

    @property
    def next_number(self) -> int:
        """Number of the step that comes next."""
        return int(self.state.step_count) + 1

    @property
    def cancelled(self) -> bool:
        """Whether the run was asked to stop."""
        token = self.config.cancel_token
        return token is not None and token.is_cancelled

    def stop(self, reason: str) -> None:
        """End the run; the first reason counts."""
        if self.stop_reason is None:
            self.stop_reason = reason

    def memory(self) -> str:
        """The memory sources' texts, as they are now."""
        sources = self.config.memory_sources
        self.memory_told = memory_text(sources, self.state) if sources else ""
        return self.memory_told

    def head(self, memory: str) -> str:
        """What every prompt of text begins with; the same string as long as nothing changes."""
        tools = "" if self.native else self.tools.tool_catalog_text()
        if self.head_of != (memory, tools):
            self.head_of = (memory, tools)
            self.head_shown = head_text(memory=memory, task=self.task_shown, tools=tools)
        return self.head_shown

    def recent_results(self) -> str:
        """The newest results, for a text prompt."""
        if type(self.state).context_summary is not DefaultState.context_summary:
            return str(self.state.context_summary())
        return recent_text(self.recent)

    def add_usage(self, usage: Usage) -> None:
        """Count a model call's tokens towards the turn."""
        have = self.turn_usage
        if have is None:
            self.turn_usage = usage
            return
        self.turn_usage = Usage(
            have.input_tokens + usage.input_tokens,
            have.output_tokens + usage.output_tokens,
            have.total_tokens + usage.total_tokens,
            have.estimated or usage.estimated,
        )

    def follow_conversation(self) -> None:
        """Build later prompts from the conversation as a compaction left it."""
        told = [message for message in self.conversation.messages if "step" in message.metadata]
        shown = [each for each in told if each.tool_call and each.tool_result][-RECENT_STEPS:]
        lines = [message_text(message, self.result_chars) for message in shown]
        self.recent = deque(lines, maxlen=RECENT_STEPS)
        if self.history is not None:
            own = set(self.history.steps())
            pairs = zip(shown, lines, strict=True)
            earlier = [line for each, line in pairs if each.metadata["step"] not in own]
            self.earlier_results = recent_text(earlier)
            first = self.conversation.messages[0] if self.conversation.messages else None
            summary = first.content if first is not None and first.role.value == "system" else ""
            self.history.keep({each.metadata["step"]: each.content for each in told}, summary)

    def trim_results(self, chars: int) -> None:
        """Show less of every result, earlier ones included."""
        self.result_chars = chars
        self.recent = deque((cut(line, chars) for line in self.recent), maxlen=RECENT_STEPS)
        self.earlier_results = cut(self.earlier_results, chars)
        if self.history is not None:
            self.history.trim(chars)

    def drop_results(self) -> None:
        """Show the newest result alone."""
        self.recent = deque(list(self.recent)[-1:], maxlen=RECENT_STEPS)
        if self.history is not None:
            own = any(step is not None for step in self.history.steps())
            self.earlier_results = "" if own else recent_text(self.recent)
            self.history.keep_newest()

    def take_step(self, call: ToolCall, result: ToolResult, told: str) -> Step:
        """Make a step of a call and its result and put it into the state.

        ``told`` is what the result says to the model.
        """
        step = Step(self.next_number, call, result, self.turn_usage)
        self.turn_usage = None
        self.state.steps.append(step)
        if self.history is None:
            self.recent.append(line_text(step.number, call, told, result, self.result_chars))
        self.last_step = step
        return step


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
    _check_backend(llm, asynchronous=asynchronous)
    if tools is None:
        raise ValueError("tools is missing: pass a registry, as tools_from([...]) makes one")
    _warn_without_done(tools, config)
    if config.tracer is not None:
        from looplet.core.tracing import TracingHook  # loaded by the runs that have a tracer

        hooks = [TracingHook(config.tracer, model_calls=True), *(hooks or ())]
    _check_recovery(config.recovery_registry)
    if stream is not None:
        from looplet.core.streaming import StreamingHook  # loaded by the runs that have a stream

        # First, so that its LoopStartEvent precedes whatever the other hooks do.
        hooks = [StreamingHook(stream, runtime=config.runtime), *(hooks or ())]
    task = {"description": task} if isinstance(task, str) else task
    task = {} if task is None else task
    state = _own_state(state, config)
    asked = _asked_first(llm, config)
    native = config.use_native_tools and hasattr(asked, "generate_with_tools")
    listeners = bind(hooks or (), asynchronous=asynchronous)
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
    if config.output_schema is not None:
        from looplet.core.output import judge_of  # loaded by the runs that have a schema

        run.judge_output = judge_of(config.output_schema, tool=config.done_tool)
    run.recent.extend(step_text(step) for step in state.steps[-RECENT_STEPS:])
    run.earlier_results = run.recent_results() if state.steps else ""
    for name, value in (("task", task), ("conversation", run.conversation)):
        put(state, name, value)
    if config.tool_result_persist_dir is not None:
        from looplet.core.persist import ResultFiles

        run.result_files = ResultFiles(config.tool_result_persist_dir)
    if config.checkpoint_dir is not None or config.initial_checkpoint is not None:
        from looplet.core.resume import begin  # files are the business of few runs

        begin(run)
    return run


def backend_for(run: Run, purpose: str) -> Any:
    """The backend for calls of that purpose: the router's choice, or the run's own.

    Raises ``TypeError`` if the router chose one whose calls the sync loop cannot await.
    """
    router = run.config.router
    if router is None:
        return run.llm
    backend = router.select(purpose=purpose)
    if not run.asynchronous:
        _check_backend(backend, asynchronous=False)
    return backend


def _asked_first(llm: Any, config: LoopConfig) -> Any:
    """The backend that decides how a native run asks."""
    if config.router is None or not config.use_native_tools:
        return llm
    return config.router.select(purpose="reasoning")


def put(state: Any, name: str, value: Any) -> None:
    """Set an attribute of a state; one that refuses it is tolerated."""
    try:
        setattr(state, name, value)
    except (AttributeError, TypeError):
        return


def call_keywords(run: Run, backend: Any, request: ModelRequest, purpose: str) -> dict[str, Any]:
    """Keywords of a model call, as far as the backend takes them."""
    config = run.config
    wanted: dict[str, Any] = {
        "max_tokens": request.max_tokens,
        "system_prompt": request.system_prompt,
        "temperature": request.temperature,
        "purpose": purpose,
    }
    if request.method == "generate_with_tools":
        wanted["tools"] = list(request.tools)
        if request.messages:
            wanted["messages"] = request.messages
    if config.generate_kwargs:
        given = {name: value for name, value in config.generate_kwargs.items() if value is not None}
        wanted = {**wanted, **given, "purpose": purpose}
    if config.cancel_token is not None:
        wanted["cancel_token"] = config.cancel_token
    known = run.names_of
    if known is not None and known[0] is backend and known[1] == request.method:
        names = known[2]
        return {name: value for name, value in wanted.items() if name in names}
    return _ask_for(run, backend, request.method, wanted)


def _ask_for(run: Run, backend: Any, method: Method, wanted: dict[str, Any]) -> dict[str, Any]:
    """Find out which keywords a backend takes, and remember it if it always takes the same."""
    taken = only_taken(backend, method, wanted)
    names = names_taken(backend, method)
    run.names_of = None if names is None else (backend, method, names)
    return taken


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


def _check_backend(llm: Any, *, asynchronous: bool) -> None:
    if not callable(getattr(llm, "generate", None)):
        raise TypeError(
            f"llm must be a backend with a method generate(prompt, …), not {type(llm).__name__}"
        )
    if not asynchronous and is_async(llm):
        raise TypeError(
            f"{type(llm).__name__}.generate is async def; use async_composable_loop, "
            "or the sync backend of the same provider"
        )


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
