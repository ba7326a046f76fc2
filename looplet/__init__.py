"""looplet: an agent loop you own, with record and replay, evals and trajectories.

Names are found when they are first used, so that ``import looplet`` loads nothing else.
"""

from __future__ import annotations

from looplet.lazy import lazy_names

TYPE_CHECKING = False  # as in typing, which takes longer to load than all of this module
if TYPE_CHECKING:
    from looplet.backends import (
        AnthropicBackend,
        AnthropicStreamingBackend,
        AsyncAnthropicBackend,
        AsyncAnthropicStreamingBackend,
        AsyncOpenAIBackend,
        AsyncOpenAIStreamingBackend,
        BackendRouter,
        CacheControl,
        CachePolicy,
        CostTracker,
        FallbackRouter,
        ModelProfile,
        NativeToolProbeResult,
        OpenAIBackend,
        OpenAIStreamingBackend,
        ResilientBackend,
        RoutingLLMBackend,
        SimpleRouter,
        async_llm_call,
        probe_native_tool_support,
        supports_native_tools,
    )
    from looplet.context.budget import ContextBudget, ThresholdCompactHook
    from looplet.context.services import PruneToolResults, SummarizeCompact, compact_chain
    from looplet.control import (
        ApprovalHook,
        ApprovalRequest,
        BudgetWarningHook,
        PermissionDecision,
        PermissionEngine,
        PermissionHook,
        PermissionOutcome,
        PermissionRule,
        PerToolLimitHook,
        StagnationHook,
        result_size_fingerprint,
        tool_call_fingerprint,
    )
    from looplet.core.cancel import CancelToken
    from looplet.core.checkpoint import (
        Checkpoint,
        CheckpointHook,
        FileCheckpointStore,
        resume_loop_state,
    )
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
    from looplet.core.helpers import (
        excerpt_around_match,
        is_rejected_done,
        iter_done_steps,
        last_accepted_done,
        last_rejected_done,
    )
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
    from looplet.core.strategies import CompactAndRetry, RecoveryRegistry, RetryCall, StopRun
    from looplet.core.tools import ToolContext, ToolSpec, tool
    from looplet.core.validation import suggest_similar
    from looplet.errors import (
        LLMResponsesExhausted,
        NotEvaluable,
        RetryExhausted,
        ToolValidationError,
    )
    from looplet.evals import (
        EvalCase,
        EvalContext,
        EvalHook,
        EvalResult,
        assert_evals_pass,
        eval_cli,
        eval_discover,
        eval_mark,
        eval_run,
        eval_run_batch,
        load_cases,
        parametrize_cases,
        pytest_param_cases,
        save_case,
        save_cases,
    )
    from looplet.mcp import MCPToolAdapter
    from looplet.provenance import (
        AsyncRecordingLLMBackend,
        ProvenanceSink,
        RecordingLLMBackend,
        replay_loop,
        serialize_harness,
    )
    from looplet.skills import (
        AgentBlueprint,
        AgentPreset,
        BlueprintComparison,
        BundleCard,
        BundleValidation,
        ClaudeSkillCompatibility,
        ComponentBlueprint,
        FileSkillStore,
        Skill,
        SkillActivationHook,
        SkillBundle,
        SkillCard,
        SkillManager,
        SkillRuntime,
        SourceBlueprint,
        ToolBlueprint,
        blueprint_from_bundle,
        blueprint_from_preset,
        claude_skill_compatibility,
        coding_agent_preset,
        compare_blueprints,
        discover_skill_bundles,
        export_bundle_to_library_code,
        install_skills,
        load_skill_bundle,
        make_skill_tools,
        minimal_preset,
        package_agent_factory_as_bundle,
        research_agent_preset,
        run_skill_bundle,
        validate_skill_bundle,
        wrap_claude_skill_as_bundle,
    )
    from looplet.streaming import (
        CallbackEmitter,
        CompositeEmitter,
        ContextPressureEvent,
        HookEvent,
        LLMCallEndEvent,
        LLMCallStartEvent,
        LLMChunkEvent,
        LoopEndEvent,
        LoopStartEvent,
        QueueEmitter,
        RecoveryEvent,
        StepEndEvent,
        StepStartEvent,
        StreamingHook,
        ToolDispatchEvent,
        ToolResultEvent,
    )
    from looplet.subagent import run_sub_loop
    from looplet.telemetry import MetricsCollector, MetricsHook, Span, Tracer, TracingHook
    from looplet.testing import AsyncMockLLMBackend, MockLLMBackend
    from looplet.trajectory import (
        LLMCall,
        StepRecord,
        Trajectory,
        TrajectoryRecorder,
    )
    from looplet.trajectory import TrajectoryStore as TrajectoryStore

__version__ = "0.1.0"

_ROOMS = {
    "looplet.backends": (
        "AnthropicBackend AnthropicStreamingBackend AsyncAnthropicBackend "
        "AsyncAnthropicStreamingBackend AsyncOpenAIBackend AsyncOpenAIStreamingBackend "
        "BackendRouter CacheControl CachePolicy CostTracker FallbackRouter ModelProfile "
        "NativeToolProbeResult OpenAIBackend OpenAIStreamingBackend ResilientBackend "
        "RoutingLLMBackend SimpleRouter async_llm_call probe_native_tool_support "
        "supports_native_tools"
    ),
    "looplet.context.budget": "ContextBudget ThresholdCompactHook",
    "looplet.context.services": "PruneToolResults SummarizeCompact compact_chain",
    "looplet.control": (
        "ApprovalHook ApprovalRequest BudgetWarningHook PerToolLimitHook PermissionDecision "
        "PermissionEngine PermissionHook PermissionOutcome PermissionRule StagnationHook "
        "result_size_fingerprint tool_call_fingerprint"
    ),
    "looplet.core.cancel": "CancelToken",
    "looplet.core.checkpoint": "Checkpoint CheckpointHook FileCheckpointStore resume_loop_state",
    "looplet.core.compaction": "CompactOutcome CompactService TruncateCompact",
    "looplet.core.config": "LoopConfig",
    "looplet.core.conversation": "Conversation Message MessageRole",
    "looplet.core.decisions": "Allow Block Continue Deny HookDecision InjectContext Stop",
    "looplet.core.domain": "DomainAdapter",
    "looplet.core.events": "EventPayload LifecycleEvent",
    "looplet.core.helpers": (
        "excerpt_around_match is_rejected_done iter_done_steps last_accepted_done "
        "last_rejected_done"
    ),
    "looplet.core.hosting": "emit_event run_compact",
    "looplet.core.loop": "async_composable_loop composable_loop",
    "looplet.core.memory": "CallableMemorySource StaticMemorySource",
    "looplet.core.preview": "preview_prompt",
    "looplet.core.protocols": "AgentState AsyncLLMBackend LLMBackend LoopHook NativeToolBackend",
    "looplet.core.records": "ErrorKind Step ToolCall ToolError ToolResult Usage",
    "looplet.core.registry": "BaseToolRegistry register_done_tool tools_from",
    "looplet.core.session": "LogEntry SessionLog",
    "looplet.core.state": "DefaultState",
    "looplet.core.strategies": "CompactAndRetry RecoveryRegistry RetryCall StopRun",
    "looplet.core.tools": "ToolContext ToolSpec tool",
    "looplet.core.validation": "suggest_similar",
    "looplet.errors": "LLMResponsesExhausted NotEvaluable RetryExhausted ToolValidationError",
    "looplet.evals": (
        "EvalCase EvalContext EvalHook EvalResult assert_evals_pass eval_cli eval_discover "
        "eval_mark eval_run eval_run_batch load_cases parametrize_cases pytest_param_cases "
        "save_case save_cases"
    ),
    "looplet.mcp": "MCPToolAdapter",
    "looplet.provenance": (
        "AsyncRecordingLLMBackend ProvenanceSink RecordingLLMBackend replay_loop serialize_harness"
    ),
    "looplet.skills": (
        "AgentBlueprint AgentPreset BlueprintComparison BundleCard BundleValidation "
        "ClaudeSkillCompatibility ComponentBlueprint FileSkillStore Skill "
        "SkillActivationHook SkillBundle SkillCard SkillManager SkillRuntime "
        "SourceBlueprint ToolBlueprint blueprint_from_bundle blueprint_from_preset "
        "claude_skill_compatibility coding_agent_preset compare_blueprints "
        "discover_skill_bundles export_bundle_to_library_code install_skills "
        "load_skill_bundle make_skill_tools minimal_preset "
        "package_agent_factory_as_bundle research_agent_preset run_skill_bundle "
        "validate_skill_bundle wrap_claude_skill_as_bundle"
    ),
    "looplet.streaming": (
        "CallbackEmitter CompositeEmitter ContextPressureEvent HookEvent LLMCallEndEvent "
        "LLMCallStartEvent LLMChunkEvent LoopEndEvent LoopStartEvent QueueEmitter "
        "RecoveryEvent StepEndEvent StepStartEvent StreamingHook ToolDispatchEvent "
        "ToolResultEvent"
    ),
    "looplet.subagent": "run_sub_loop",
    "looplet.telemetry": "MetricsCollector MetricsHook Span Tracer TracingHook",
    "looplet.testing": "AsyncMockLLMBackend MockLLMBackend",
    "looplet.trajectory": "LLMCall StepRecord Trajectory TrajectoryRecorder TrajectoryStore",
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names.split()}

# TrajectoryStore is not in it: its module needs an extra, and a star import must not.
__all__ = [
    "AgentBlueprint",
    "AgentPreset",
    "AgentState",
    "Allow",
    "AnthropicBackend",
    "AnthropicStreamingBackend",
    "ApprovalHook",
    "ApprovalRequest",
    "AsyncAnthropicBackend",
    "AsyncAnthropicStreamingBackend",
    "AsyncLLMBackend",
    "AsyncMockLLMBackend",
    "AsyncOpenAIBackend",
    "AsyncOpenAIStreamingBackend",
    "AsyncRecordingLLMBackend",
    "BackendRouter",
    "BaseToolRegistry",
    "Block",
    "BlueprintComparison",
    "BudgetWarningHook",
    "BundleCard",
    "BundleValidation",
    "CacheControl",
    "CachePolicy",
    "CallableMemorySource",
    "CallbackEmitter",
    "CancelToken",
    "Checkpoint",
    "CheckpointHook",
    "ClaudeSkillCompatibility",
    "CompactAndRetry",
    "CompactOutcome",
    "CompactService",
    "ComponentBlueprint",
    "CompositeEmitter",
    "ContextBudget",
    "ContextPressureEvent",
    "Continue",
    "Conversation",
    "CostTracker",
    "DefaultState",
    "Deny",
    "DomainAdapter",
    "ErrorKind",
    "EvalCase",
    "EvalContext",
    "EvalHook",
    "EvalResult",
    "EventPayload",
    "FallbackRouter",
    "FileCheckpointStore",
    "FileSkillStore",
    "HookDecision",
    "HookEvent",
    "InjectContext",
    "LLMBackend",
    "LLMCall",
    "LLMCallEndEvent",
    "LLMCallStartEvent",
    "LLMChunkEvent",
    "LLMResponsesExhausted",
    "LifecycleEvent",
    "LogEntry",
    "LoopConfig",
    "LoopEndEvent",
    "LoopHook",
    "LoopStartEvent",
    "MCPToolAdapter",
    "Message",
    "MessageRole",
    "MetricsCollector",
    "MetricsHook",
    "MockLLMBackend",
    "ModelProfile",
    "NativeToolBackend",
    "NativeToolProbeResult",
    "NotEvaluable",
    "OpenAIBackend",
    "OpenAIStreamingBackend",
    "PerToolLimitHook",
    "PermissionDecision",
    "PermissionEngine",
    "PermissionHook",
    "PermissionOutcome",
    "PermissionRule",
    "ProvenanceSink",
    "PruneToolResults",
    "QueueEmitter",
    "RecordingLLMBackend",
    "RecoveryEvent",
    "RecoveryRegistry",
    "ResilientBackend",
    "RetryCall",
    "RetryExhausted",
    "RoutingLLMBackend",
    "SessionLog",
    "SimpleRouter",
    "Skill",
    "SkillActivationHook",
    "SkillBundle",
    "SkillCard",
    "SkillManager",
    "SkillRuntime",
    "SourceBlueprint",
    "Span",
    "StagnationHook",
    "StaticMemorySource",
    "Step",
    "StepEndEvent",
    "StepRecord",
    "StepStartEvent",
    "Stop",
    "StopRun",
    "StreamingHook",
    "SummarizeCompact",
    "ThresholdCompactHook",
    "ToolBlueprint",
    "ToolCall",
    "ToolContext",
    "ToolDispatchEvent",
    "ToolError",
    "ToolResult",
    "ToolResultEvent",
    "ToolSpec",
    "ToolValidationError",
    "Tracer",
    "TracingHook",
    "Trajectory",
    "TrajectoryRecorder",
    "TruncateCompact",
    "Usage",
    "__version__",
    "assert_evals_pass",
    "async_composable_loop",
    "async_llm_call",
    "blueprint_from_bundle",
    "blueprint_from_preset",
    "claude_skill_compatibility",
    "coding_agent_preset",
    "compact_chain",
    "compare_blueprints",
    "composable_loop",
    "discover_skill_bundles",
    "emit_event",
    "eval_cli",
    "eval_discover",
    "eval_mark",
    "eval_run",
    "eval_run_batch",
    "excerpt_around_match",
    "export_bundle_to_library_code",
    "install_skills",
    "is_rejected_done",
    "iter_done_steps",
    "last_accepted_done",
    "last_rejected_done",
    "load_cases",
    "load_skill_bundle",
    "make_skill_tools",
    "minimal_preset",
    "package_agent_factory_as_bundle",
    "parametrize_cases",
    "preview_prompt",
    "probe_native_tool_support",
    "pytest_param_cases",
    "register_done_tool",
    "replay_loop",
    "research_agent_preset",
    "result_size_fingerprint",
    "resume_loop_state",
    "run_compact",
    "run_skill_bundle",
    "run_sub_loop",
    "save_case",
    "save_cases",
    "serialize_harness",
    "suggest_similar",
    "supports_native_tools",
    "tool",
    "tool_call_fingerprint",
    "tools_from",
    "validate_skill_bundle",
    "wrap_claude_skill_as_bundle",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
