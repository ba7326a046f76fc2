"""looplet: an agent loop you own, with record and replay, evals and trajectories.

Names are found when they are first used, so that ``import looplet`` loads nothing else.
"""

from __future__ import annotations

from looplet.lazy import lazy_names

TYPE_CHECKING = False  # as in typing, which takes longer to load than all of this module
if TYPE_CHECKING:
    from looplet.backends import AsyncOpenAIBackend, BackendRouter, ModelProfile, OpenAIBackend
    from looplet.context.budget import ContextBudget, ThresholdCompactHook
    from looplet.context.services import PruneToolResults, SummarizeCompact, compact_chain
    from looplet.core.cancel import CancelToken
    from looplet.core.compaction import CompactOutcome, CompactService, TruncateCompact
    from looplet.core.config import LoopConfig
    from looplet.core.conversation import Conversation, Message, MessageRole
    from looplet.core.decisions import (
        Allow,
        Block,
        Continue,
        Deny,
        HookDecision,
        InjectContext,
        Stop,
    )
    from looplet.core.domain import DomainAdapter
    from looplet.core.events import EventPayload, LifecycleEvent
    from looplet.core.hosting import emit_event, run_compact
    from looplet.core.loop import async_composable_loop, composable_loop
    from looplet.core.memory import CallableMemorySource, StaticMemorySource
    from looplet.core.preview import preview_prompt
    from looplet.core.protocols import (
        AgentState,
        AsyncLLMBackend,
        LLMBackend,
        LoopHook,
        NativeToolBackend,
    )
    from looplet.core.records import ErrorKind, Step, ToolCall, ToolError, ToolResult, Usage
    from looplet.core.registry import BaseToolRegistry, register_done_tool, tools_from
    from looplet.core.session import LogEntry, SessionLog
    from looplet.core.state import DefaultState
    from looplet.core.tools import ToolContext, ToolSpec, tool
    from looplet.core.validation import suggest_similar
    from looplet.errors import LLMResponsesExhausted, NotEvaluable, ToolValidationError
    from looplet.evals import EvalContext, EvalResult, eval_discover, eval_mark
    from looplet.testing import AsyncMockLLMBackend, MockLLMBackend
    from looplet.trajectory import (
        LLMCall,
        StepRecord,
        Trajectory,
        TrajectoryRecorder,
        TrajectoryStore,
    )

__version__ = "0.1.0"

_ROOMS = {
    "looplet.backends": "AsyncOpenAIBackend BackendRouter ModelProfile OpenAIBackend",
    "looplet.context.budget": "ContextBudget ThresholdCompactHook",
    "looplet.context.services": "PruneToolResults SummarizeCompact compact_chain",
    "looplet.core.cancel": "CancelToken",
    "looplet.core.compaction": "CompactOutcome CompactService TruncateCompact",
    "looplet.core.config": "LoopConfig",
    "looplet.core.conversation": "Conversation Message MessageRole",
    "looplet.core.decisions": "Allow Block Continue Deny HookDecision InjectContext Stop",
    "looplet.core.domain": "DomainAdapter",
    "looplet.core.events": "EventPayload LifecycleEvent",
    "looplet.core.hosting": "emit_event run_compact",
    "looplet.core.loop": "async_composable_loop composable_loop",
    "looplet.core.memory": "CallableMemorySource StaticMemorySource",
    "looplet.core.preview": "preview_prompt",
    "looplet.core.protocols": "AgentState AsyncLLMBackend LLMBackend LoopHook NativeToolBackend",
    "looplet.core.records": "ErrorKind Step ToolCall ToolError ToolResult Usage",
    "looplet.core.registry": "BaseToolRegistry register_done_tool tools_from",
    "looplet.core.session": "LogEntry SessionLog",
    "looplet.core.state": "DefaultState",
    "looplet.core.tools": "ToolContext ToolSpec tool",
    "looplet.core.validation": "suggest_similar",
    "looplet.errors": "LLMResponsesExhausted NotEvaluable ToolValidationError",
    "looplet.evals": "EvalContext EvalResult eval_discover eval_mark",
    "looplet.testing": "AsyncMockLLMBackend MockLLMBackend",
    "looplet.trajectory": "LLMCall StepRecord Trajectory TrajectoryRecorder TrajectoryStore",
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = [
    "AgentState",
    "Allow",
    "AsyncLLMBackend",
    "AsyncMockLLMBackend",
    "AsyncOpenAIBackend",
    "BackendRouter",
    "BaseToolRegistry",
    "Block",
    "CallableMemorySource",
    "CancelToken",
    "CompactOutcome",
    "CompactService",
    "ContextBudget",
    "Continue",
    "Conversation",
    "DefaultState",
    "Deny",
    "DomainAdapter",
    "ErrorKind",
    "EvalContext",
    "EvalResult",
    "EventPayload",
    "HookDecision",
    "InjectContext",
    "LLMBackend",
    "LLMCall",
    "LLMResponsesExhausted",
    "LifecycleEvent",
    "LogEntry",
    "LoopConfig",
    "LoopHook",
    "Message",
    "MessageRole",
    "MockLLMBackend",
    "ModelProfile",
    "NativeToolBackend",
    "NotEvaluable",
    "OpenAIBackend",
    "PruneToolResults",
    "SessionLog",
    "StaticMemorySource",
    "Step",
    "StepRecord",
    "Stop",
    "SummarizeCompact",
    "ThresholdCompactHook",
    "ToolCall",
    "ToolContext",
    "ToolError",
    "ToolResult",
    "ToolSpec",
    "ToolValidationError",
    "Trajectory",
    "TrajectoryRecorder",
    "TrajectoryStore",
    "TruncateCompact",
    "Usage",
    "__version__",
    "async_composable_loop",
    "compact_chain",
    "composable_loop",
    "emit_event",
    "eval_discover",
    "eval_mark",
    "preview_prompt",
    "register_done_tool",
    "run_compact",
    "suggest_similar",
    "tool",
    "tools_from",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
