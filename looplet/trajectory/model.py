"""One run as data: steps, model calls, outcome. Knows records; knows no file and no scorer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from looplet.core.codec import JSON, digest, exact
from looplet.core.helpers import is_rejected_done
from looplet.core.messages import ChatMessage
from looplet.core.records import Step, ToolCall, ToolResult, Usage

if TYPE_CHECKING:
    from looplet.core.tracing import Span

MAIN_LANE = "main"
DONE_TOOL = "done"
"""The usual name of the tool that ends a run."""
SESSION_LOG = "session_log_text"
"""Key of a trajectory's metadata: the session log as it was rendered at the end."""
INTERRUPTED = "interrupted"
"""The stop reason of a run that was killed, too: its record ends in the middle."""
BROKEN = ("error", INTERRUPTED)
"""Stop reasons of runs that an exception ended."""


@dataclass(slots=True)
class LLMCall:
    """One call of a model. ``None`` means not known, as in runs that others recorded.

    >>> LLMCall(0, 1_700_000_000.0, 812.4, "generate", "How much?", "Be brief.", "0.55").lane
    'main'
    """

    index: int
    """Place in the trajectory, from 0, in the order in which calls began."""
    timestamp: float | None
    """Unix time at the call's start, in seconds."""
    duration_ms: float | None
    method: str
    """``generate`` or ``generate_with_tools``."""
    prompt: str
    system_prompt: str
    response: str | list[dict[str, JSON]] | None
    """Text, blocks, or ``None`` if the call failed."""
    temperature: float | None = 0.2
    max_tokens: int | None = 2000
    tools: list[dict[str, JSON]] | None = None
    step_num: int | None = None
    error: str | None = None
    """``"<Type>: <message>"``."""
    scope: str | None = None
    """Who asked, if not the loop itself: ``tool:<name>``, ``repair``."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """``truncated`` is true where a limit cut a text."""
    _: KW_ONLY
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    cached_tokens: int | None = None
    tokens_estimated: bool = False
    model: str | None = None
    messages: Sequence[ChatMessage] = ()
    """The whole conversation sent, system prompt first."""
    params: dict[str, JSON] = field(default_factory=dict)
    finish_reason: str | None = None
    first_token_ms: float | None = None
    key: str | None = None
    """Digest of the canonical request."""

    @property
    def lane(self) -> str:
        """The explicit path of the caller; ``main`` for the loop's own calls."""
        return self.scope or MAIN_LANE


@dataclass(slots=True, kw_only=True)
class StepRecord:
    """One step as it is kept: the call, the uncut result, and which model calls led to it."""

    step_num: int
    tool_call: ToolCall
    tool_result: ToolResult
    timestamp: float | None = None
    """Unix time when the step was recorded, in seconds."""
    duration_ms: float | None = None
    """Wall clock of the tool, in milliseconds."""
    pretty: str = ""
    context_before: str = ""
    """The briefing that stood before this step's prompt."""
    llm_call_indices: list[int] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    """The chain of hashes up to and with this step."""
    usage: Usage | None = None
    """Tokens of the turn's model calls, on the turn's first step."""

    def to_step(self) -> Step:
        """The step as the loop yielded it."""
        return Step(self.step_num, self.tool_call, self.tool_result, usage=self.usage)


@dataclass(slots=True, kw_only=True)
class Trajectory:
    """A whole run: what was asked, every step, every model call, and how it ended.

    ``None`` means not known; a reward of ``None`` is not a reward of 0.
    """

    trajectory_id: str
    run_id: str
    task: JSON = None
    steps: list[StepRecord] = field(default_factory=list)
    llm_calls: list[LLMCall] = field(default_factory=list)
    task_id: str | None = None
    trial: int | None = None
    dataset: str | None = None
    agent: str | None = None
    model: str | None = None
    tags: list[str] = field(default_factory=list)
    started_at: datetime | None = None
    """Aware, in UTC."""
    ended_at: datetime | None = None
    stop_reason: str | None = None
    error: str | None = None
    reward: float | None = None
    expected: JSON = None
    final_output: JSON = None
    """Arguments of the last accepted done-call."""
    artifacts: dict[str, JSON] = field(default_factory=dict)
    metadata: dict[str, JSON] = field(default_factory=dict)
    cost_usd: float | None = None
    cassette: str | None = None
    cassette_hash: str | None = None
    replay_of: str | None = None
    """``trajectory_id`` or cassette hash of the run that this one replays."""
    source_format: str = "looplet"
    source_uri: str | None = None
    git_sha: str | None = None
    looplet_version: str | None = None
    spans: list[Span] = field(default_factory=list, compare=False, repr=False)
    """Root spans of the run that was recorded in this process; they are stored nowhere."""

    @property
    def completed(self) -> bool:
        """Whether the run ended by an accepted done-call."""
        return self.stop_reason == "done"

    @property
    def duration_ms(self) -> float | None:
        """Wall clock of the run, in milliseconds."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds() * 1000

    @property
    def n_steps(self) -> int:
        """How many steps there are."""
        return len(self.steps)

    @property
    def n_tool_errors(self) -> int:
        """Steps whose result is an error."""
        return sum(step.tool_result.error is not None for step in self.steps)

    @property
    def input_tokens(self) -> int | None:
        """Tokens sent, over all model calls that tell; ``None`` if none does."""
        return _sum_of_known([call.input_tokens for call in self.llm_calls])

    @property
    def output_tokens(self) -> int | None:
        """Tokens received, over all model calls that tell."""
        return _sum_of_known([call.output_tokens for call in self.llm_calls])

    @property
    def cached_tokens(self) -> int | None:
        """Tokens that the provider had cached; ``None`` if it never said."""
        known = [call.cached_tokens for call in self.llm_calls if call.cached_tokens is not None]
        return sum(known) if known else None

    @property
    def tokens_estimated(self) -> bool:
        """Whether any count of tokens is an estimate."""
        return any(call.tokens_estimated for call in self.llm_calls)

    @property
    def digest(self) -> str:
        """One hash over task, steps and stop reason; equal digests are equal runs.

        Times, durations, random identifiers and metadata do not enter it.
        """
        last = self.steps[-1].digest if self.steps else first_link(self.task)
        return digest(f"{last}:{self.stop_reason}")


def termination_reason(trajectory: Trajectory, *, done_tool: str = DONE_TOOL) -> str:
    """The class of a run's end: ``done``, ``error``, ``max_steps_or_stop`` or ``no_steps``.

    It is inferred from the last step, and from whether an exception ended the run, which the
    stop reason of one that has an end tells.
    """
    if trajectory.completed:
        return "done"
    if trajectory.ended_at is not None and trajectory.stop_reason in BROKEN:
        return "error"
    if not trajectory.steps:
        return "no_steps"
    last = trajectory.steps[-1].to_step()
    if last.tool_result.error is not None:
        return "error"
    accepted = last.tool_call.tool == done_tool and not is_rejected_done(last)
    return "done" if accepted else "max_steps_or_stop"


def final_output(trajectory: Trajectory, *, done_tool: str = DONE_TOOL) -> JSON:
    """Arguments of the done-call that ended the run; a run that is done ends with its done-call.

    Of a run without an end, whose stop reason cannot tell, those of its last accepted done-call.
    """
    if not trajectory.steps:
        return None
    last = trajectory.steps[-1].to_step()
    if not trajectory.completed and last.tool_call.tool != done_tool:
        return None
    rejected = last.tool_result.error is not None or is_rejected_done(last)
    return None if rejected else last.tool_call.args


def _sum_of_known(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def first_link(task: JSON) -> str:
    """The start of a digest chain: the hash of the task."""
    return digest(exact(task))


def next_link(previous: str, step: Step | StepRecord) -> str:
    """The link after ``previous``: the hash of it and of what happened in ``step``."""
    return digest(previous + exact(happened(step)))


def happened(step: Step | StepRecord) -> dict[str, Any]:
    """What of a step its digest tells: no time, no duration, no random identifier."""
    call, result = step.tool_call, step.tool_result
    kind = result.error_kind
    return {
        "step": step.number if isinstance(step, Step) else step.step_num,
        "tool": call.tool,
        "args": call.args,
        "reasoning": call.reasoning,
        "data": result.data,
        "error": result.error,
        "error_kind": kind.value if kind else None,
    }


def chain(task: JSON, steps: Iterable[Step | StepRecord]) -> Iterator[str]:
    """The digest of each step in turn."""
    link = first_link(task)
    for step in steps:
        link = next_link(link, step)
        yield link


def first_difference(one: Sequence[StepRecord], other: Sequence[StepRecord]) -> int | None:
    """Index of the first step at which two runs part; ``None`` if they are equal."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left.digest != right.digest:
            return index
    return min(len(one), len(other)) if len(one) != len(other) else None
