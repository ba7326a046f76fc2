"""What hooks with ``on_event`` are told, and when. Knows no hook."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class LifecycleEvent(str, Enum):
    """A moment in a run."""

    SESSION_START = "session_start"
    PRE_LLM_CALL = "pre_llm_call"
    POST_LLM_RESPONSE = "post_llm_response"
    PRE_TOOL_USE = "pre_tool_use"
    TOOL_PROGRESS = "tool_progress"
    POST_TOOL_USE = "post_tool_use"
    POST_TOOL_FAILURE = "post_tool_failure"
    PRE_COMPACT = "pre_compact"
    POST_COMPACT = "post_compact"
    HOOK_DECISION = "hook_decision"
    DONE_ACCEPTED = "done_accepted"
    STOP = "stop"
    SUBAGENT_START = "subagent_start"
    SUBAGENT_STOP = "subagent_stop"


@dataclass(slots=True, eq=False)
class EventPayload:
    """One event; fields that do not belong to it are ``None``."""

    event: LifecycleEvent
    step_num: int = 0
    state: Any = None
    session_log: Any = None
    context: Any = None
    prompt: str | None = None
    raw_response: Any = None
    tool_call: Any = None
    tool_result: Any = None
    termination_reason: str | None = None
    messages_before: int | None = None
    messages_after: int | None = None
    subagent_id: str | None = None
    hook_slot: str | None = None
    hook_name: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
