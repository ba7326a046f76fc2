"""One run: its parts, what it keeps, and how its backends are called. Knows no order of things."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from looplet.core.backend import is_async, names_taken, only_taken
from looplet.core.config import LoopConfig
from looplet.core.conversation import Conversation
from looplet.core.history import History
from looplet.core.listeners import Listeners
from looplet.core.messages import Method, ModelRequest
from looplet.core.prompt import head_text, memory_text
from looplet.core.records import Step, ToolCall, ToolResult, Usage
from looplet.core.session import SessionLog
from looplet.core.show import (
    RECENT_STEPS,
    RESULT_CHARS,
    cut,
    line_text,
    message_text,
    recent_lines,
    recent_text,
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
    briefing: str = ""
    """What stood before the model when it was asked for this turn."""
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

    def recent_results(self) -> tuple[str, ...]:
        """The newest results, for a text prompt: lines, or one text of a state that has its own."""
        if type(self.state).context_summary is not DefaultState.context_summary:
            own = str(self.state.context_summary())
            return (own,) if own else ()
        return recent_lines(self.recent)

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
        step = Step(self.next_number, call, result, usage=self.turn_usage)
        self.turn_usage = None
        self.state.steps.append(step)
        if self.history is None:
            self.recent.append(line_text(step.number, call, told, result, self.result_chars))
        self.last_step = step
        return step

    def let_go(self) -> None:
        """Drop what only a further step would need, at the end of the run."""
        del self.log, self.history


def backend_for(run: Run, purpose: str) -> Any:
    """The backend for calls of that purpose: the router's choice, or the run's own.

    Raises ``TypeError`` if the router chose one whose calls the sync loop cannot await.
    """
    router = run.config.router
    if router is None:
        return run.llm
    backend = router.select(purpose=purpose)
    if not run.asynchronous:
        check_backend(backend, asynchronous=False)
    return backend


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
        "caller": str(run.next_number),
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
        for name in tuple(wanted):
            if name not in known[2]:
                del wanted[name]
        return wanted
    return _ask_for(run, backend, request.method, wanted)


def _ask_for(run: Run, backend: Any, method: Method, wanted: dict[str, Any]) -> dict[str, Any]:
    """Find out which keywords a backend takes, and remember it if it always takes the same."""
    taken = only_taken(backend, method, wanted)
    names = names_taken(backend, method)
    run.names_of = None if names is None else (backend, method, names)
    return taken


def check_backend(llm: Any, *, asynchronous: bool) -> None:
    """Raise ``TypeError`` for what is no backend, or one that the sync loop cannot await."""
    if not callable(getattr(llm, "generate", None)):
        raise TypeError(
            f"llm must be a backend with a method generate(prompt, …), not {type(llm).__name__}"
        )
    if not asynchronous and is_async(llm):
        from looplet.core.wrapping import innermost  # loaded for the error alone

        raise TypeError(
            f"{type(innermost(llm)).__name__}.generate is async def; use async_composable_loop, "
            "or the sync backend of the same provider"
        )
