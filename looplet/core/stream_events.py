"""What a stream tells of a run, one small record each. Knows no hook and no emitter."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """Base of all stream events."""

    timestamp: float = field(default_factory=time.time, kw_only=True)
    """Unix time, in seconds."""

    @property
    def event_type(self) -> str:
        """The name of the event's class."""
        return type(self).__name__


@dataclass(frozen=True, slots=True)
class LoopStartEvent(StreamEvent):
    """A run begins."""

    task_summary: str
    max_steps: int


@dataclass(frozen=True, slots=True)
class StepStartEvent(StreamEvent):
    """A step begins; a turn that a hook stops has no ``StepEndEvent``."""

    step_num: int


@dataclass(frozen=True, slots=True)
class LLMCallStartEvent(StreamEvent):
    """The model is asked; retries of a failed attempt are not told one by one."""

    step_num: int
    prompt_tokens_est: int
    """Of the prompt's text; with a native conversation, of what is new in it."""


@dataclass(frozen=True, slots=True)
class LLMCallEndEvent(StreamEvent):
    """The model answered, or failed for good."""

    step_num: int
    response_length: int
    """Characters of texts, tool names and arguments; 0 for a failure."""
    duration_ms: float


@dataclass(frozen=True, slots=True)
class LLMChunkEvent(StreamEvent):
    """A piece of a reply that is still being written, by a backend that streams.

    The pieces of the last attempt at a call, joined, are its reply's text, unless a wrapper of the
    backend asked more than once within that attempt.
    """

    step_num: int
    text: str
    attempt: int = 1
    """Which attempt at the call, those of wrappers included; each is told from its beginning."""


@dataclass(frozen=True, slots=True)
class ToolDispatchEvent(StreamEvent):
    """The model asked for a call; arguments as they were asked for."""

    step_num: int
    tool_name: str
    args_summary: str


@dataclass(frozen=True, slots=True)
class ToolResultEvent(StreamEvent):
    """A call has a result; hooks may still replace it, ``StepEndEvent`` has the last word."""

    step_num: int
    tool_name: str
    duration_ms: float
    has_error: bool


@dataclass(frozen=True, slots=True)
class StepEndEvent(StreamEvent):
    """A step stands in the state; told at the first slot after it was yielded."""

    step_num: int
    classification: str
    """``ok``, ``error``, ``rejected`` (a done-call) or ``done``."""
    new_entities_count: int


@dataclass(frozen=True, slots=True)
class LoopEndEvent(StreamEvent):
    """The run ended; exactly one for each run."""

    total_steps: int
    total_llm_calls: int
    """Questions to the model that were answered or failed for good, repairs included."""
    reason: str
    """The stop reason, as on ``state._stop_reason``."""


@dataclass(frozen=True, slots=True)
class HookEvent(StreamEvent):
    """A hook decided something."""

    step_num: int
    hook_name: str
    hook_slot: str
    decision: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ContextPressureEvent(StreamEvent):
    """The conversation is about to be made shorter."""

    step_num: int
    messages_before: int


@dataclass(frozen=True, slots=True)
class RecoveryEvent(StreamEvent):
    """The conversation was made shorter."""

    step_num: int
    messages_before: int
    messages_after: int
