"""Every public signature is the one that is promised: names, order, defaults, keywords."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

import looplet
from looplet import LifecycleEvent, LoopConfig

ANY = object()
"""A default that the promise leaves open."""
NAMES = {
    "ANY": ANY,
    "ALLOW": looplet.PermissionDecision.ALLOW,
    "tool_call_fingerprint": looplet.tool_call_fingerprint,
}

LOOP = """(llm, task=None, tools=None, context=None, hooks=None, config=None, state=None,
    session_log=None, stream=None, conversation=None, *, max_steps=None, system_prompt=None)"""
OPENAI = """(client=None, *, model="gpt-4o", default_max_tokens=None, base_url=None, api_key=None,
    tool_choice="auto")"""
ANTHROPIC = "(client=None, *, model=ANY, default_max_tokens=None, api_key=None)"
GENERATE = '(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2)'
RECORDING = "(backend, *, max_chars_per_call=200_000, redact=None, redact_upstream=True)"
WITH_TOOLS = """(self, prompt, *, tools, max_tokens=ANY, system_prompt=ANY, temperature=ANY)"""

PROMISED = {
    # the loop
    "composable_loop": LOOP,
    "async_composable_loop": LOOP,
    "preview_prompt": """(task=None, tools=None, state=None, session_log=None, *, config=None,
        step_number=1, hooks=None, context=None)""",
    # state and logs
    "DefaultState": "(steps=[], queries_used=0, max_steps=15, metadata={}, step_context={})",
    "SessionLog": """(*, entity_formatter=None, title="SESSION LOG",
        highlights_label="highlights")""",
    "SessionLog.compact": "(self, max_entries_to_keep=5, must_preserve=None)",
    "LogEntry": """(step, theory=ANY, tool=ANY, reasoning=ANY, entities_seen=ANY, findings=ANY,
        highlights=ANY, recall_key=ANY)""",
    "Conversation": "(messages=None)",
    "Message": "(role, content, tool_call=ANY, tool_result=ANY, metadata=ANY, timestamp=ANY)",
    # records
    "ToolCall": '(tool, args={}, reasoning="", call_id=ANY, metadata={})',
    "ToolResult": """(tool, args_summary, data, error=None, error_detail=None, duration_ms=0.0,
        result_key=None, call_id=None, warnings=[], metadata={})""",
    "ToolResult.to_dict": "(self, *, full=False)",
    "Step": "(number, tool_call, tool_result)",
    "Usage": "(input_tokens, output_tokens, total_tokens, estimated)",
    "ToolError": "(kind, message, retriable=False, context={}, recovery_hint=None)",
    # tools
    "ToolSpec": """(name, description, parameters, execute, concurrent_safe=False, free=False,
        timeout_s=None, requires=[])""",
    "tools_from": """(items, *, include_think=False, include_done=False, done_name="done",
        done_parameters=None)""",
    "register_done_tool": '(registry, *, name="done", parameters=None)',
    "BaseToolRegistry": "()",
    "BaseToolRegistry.register": "(self, spec)",
    "BaseToolRegistry.tool_catalog_text": "(self)",
    "BaseToolRegistry.tool_schemas": "(self)",
    "BaseToolRegistry.introspect": "(self)",
    "BaseToolRegistry.dispatch": "(self, call, *, ctx=None)",
    "BaseToolRegistry.dispatch_batch": "(self, calls, *, ctx=None)",
    "ToolContext": """(cwd=ANY, workspace_root=ANY, cancel_token=ANY, on_progress=ANY,
        session_id=ANY, metadata={}, llm=None, request_approval=None, warnings=[], resources={})""",
    "ToolContext.report_progress": "(self, stage, data=None)",
    "ToolContext.approve": "(self, prompt, options=None)",
    # decisions, hooks, events
    "HookDecision": """(block=None, stop=None, updated_args=None, updated_result=None,
        permission=None, additional_context=None, metadata={})""",
    "InjectContext": "(text)",
    "Deny": "(reason, *, retry=False)",
    "Allow": "(updated_args=None)",
    "Block": "(reason)",
    "Stop": "(reason)",
    "Continue": "(additional_context=None)",
    "emit_event": "(hooks, event, **payload)",
    "BudgetWarningHook": "(*, thresholds=(0.5, 0.2), message=ANY)",
    "PerToolLimitHook": "(*, limits=None, default_limit=None, message=ANY)",
    "StagnationHook": """(*, fingerprint=tool_call_fingerprint, threshold=3, nudge=ANY,
        progress=None, reset_after_nudge=True, ignore_tools=None)""",
    # context
    "ContextBudget": "(context_window=200_000, warning_at=ANY, error_at=ANY, compact_buffer=ANY)",
    "ThresholdCompactHook": '(budget, *, fire_tier="error")',
    "CompactService.compact": """(self, *, state, session_log, llm, conversation, step_num,
        reason)""",
    "CompactOutcome": """(reason="", messages_before=ANY, messages_after=ANY, llm_calls_spent=0,
        extra=None, cleanup=None)""",
    "PruneToolResults": "(*, keep_recent=5, compactable_tools=None, cleared_marker=ANY)",
    "SummarizeCompact": """(*, keep_recent=2, summary_prompt=None, summary_max_chars=4000,
        summary_max_tokens=1200, summary_temperature=0.1)""",
    "TruncateCompact": "(*, keep_recent=2)",
    "compact_chain": "(*services)",
    "run_compact": """(service, *, hooks, state, session_log, llm, conversation, step_num,
        reason)""",
    "StaticMemorySource": "(text)",
    "CallableMemorySource": "(fn)",
    # checkpoints, approval, permissions
    "FileCheckpointStore": "(directory)",
    "FileCheckpointStore.save": "(self, checkpoint, key)",
    "FileCheckpointStore.load": "(self, key)",
    "FileCheckpointStore.load_latest": "(self)",
    "CheckpointHook": "(store, get_checkpoint_data, save_every_n_steps=5)",
    "resume_loop_state": "(cp)",
    "ApprovalHook": "()",
    "ApprovalRequest": '(step, tool, description="", options=["approve", "deny"])',
    "PermissionEngine": "(rules=[], default=ALLOW, ask_handler=None, denials=[])",
    "PermissionEngine.allow": '(self, tool, *, arg_matcher=None, reason="")',
    "PermissionEngine.deny": '(self, tool, *, arg_matcher=None, reason="")',
    "PermissionEngine.ask": '(self, tool, *, arg_matcher=None, reason="")',
    "PermissionEngine.evaluate": "(self, call)",
    "PermissionOutcome": "(decision, rule, reason)",
    "PermissionHook": "(engine)",
    # backends
    "LLMBackend.generate": GENERATE,
    "NativeToolBackend.generate_with_tools": WITH_TOOLS,
    "AsyncLLMBackend.generate": GENERATE,
    "OpenAIBackend": OPENAI,
    "OpenAIStreamingBackend": OPENAI,
    "AsyncOpenAIBackend": OPENAI,
    "OpenAIBackend.from_env": '(*, model=None, default_max_tokens=None, tool_choice="auto")',
    "OpenAIBackend.generate": GENERATE,
    "OpenAIBackend.generate_with_tools": WITH_TOOLS,
    "AnthropicBackend": ANTHROPIC,
    "AnthropicStreamingBackend": ANTHROPIC,
    "AsyncAnthropicBackend": ANTHROPIC,
    "AnthropicBackend.generate": GENERATE,
    "AnthropicBackend.generate_with_tools": WITH_TOOLS,
    "AnthropicBackend.from_env": "(*, model=ANY, default_max_tokens=ANY)",
    "ResilientBackend": """(inner, *, retries=3, timeout_s=None, base_delay_s=.5, max_delay_s=8,
        jitter=.2, retry_on=ANY, sleep=None)""",
    "CachePolicy": "(system_prompt=ANY, tool_schemas=ANY, memory=ANY)",
    "BackendRouter": "(backends, *, default=None, routes=None, fallback=(), prices=None)",
    "BackendRouter.select": '(self, purpose="reasoning")',
    "CostTracker": "(backend, *, cost_per_1k_input=0, cost_per_1k_output=0)",
    "ModelProfile": """(name, backend, cost_per_1k_input=0, cost_per_1k_output=0,
        context_window=100_000, strengths=[])""",
    "SimpleRouter": "(profiles, *, default_profile)",
    "FallbackRouter": "(*, primary, fallback)",
    "RoutingLLMBackend": '(router, default_purpose="reasoning")',
    "probe_native_tool_support": '(llm, *, tool_name="test_probe", max_tokens=50)',
    "NativeToolProbeResult": "(supported, reason, raw_response=ANY)",
    "supports_native_tools": "(llm)",
    # streams
    "StreamingHook": "(emitter)",
    "CallbackEmitter": "(fn)",
    "QueueEmitter": "(queue)",
    "CompositeEmitter": "(emitters)",
    "LoopStartEvent": "(task_summary, max_steps, *, timestamp=ANY)",
    "StepStartEvent": "(step_num, *, timestamp=ANY)",
    "LLMCallStartEvent": "(step_num, prompt_tokens_est, *, timestamp=ANY)",
    "LLMCallEndEvent": "(step_num, response_length, duration_ms, *, timestamp=ANY)",
    "ToolDispatchEvent": "(step_num, tool_name, args_summary, *, timestamp=ANY)",
    "ToolResultEvent": "(step_num, tool_name, duration_ms, has_error, *, timestamp=ANY)",
    "StepEndEvent": "(step_num, classification, new_entities_count, *, timestamp=ANY)",
    "LoopEndEvent": "(total_steps, total_llm_calls, reason, *, timestamp=ANY)",
    # telemetry
    "Tracer": "()",
    "Tracer.start_span": "(self, name, *, attributes=None)",
    "Tracer.end_span": '(self, span, *, status="ok", attributes=None)',
    "Span": """(name, span_id=ANY, parent_id=ANY, start_time=ANY, end_time=ANY, attributes=ANY,
        children=ANY, status=ANY)""",
    "TracingHook": "(tracer)",
    "MetricsHook": "(collector, *, classify=None)",
    "MetricsCollector": "()",
    # provenance
    "ProvenanceSink": """(dir, *, max_chars_per_call=200_000, redact=None, redact_upstream=True,
        capture_context=True)""",
    "ProvenanceSink.wrap_llm": "(self, backend, *, async_=None)",
    "ProvenanceSink.trajectory_hook": "(self)",
    "ProvenanceSink.flush": "(self)",
    "ProvenanceSink.reset": "(self)",
    "RecordingLLMBackend": RECORDING,
    "RecordingLLMBackend.save": "(self, dir)",
    "RecordingLLMBackend.reset": "(self)",
    "AsyncRecordingLLMBackend": RECORDING,
    "AsyncRecordingLLMBackend.save": "(self, dir)",
    "LLMCall": """(index, timestamp, duration_ms, method, prompt, system_prompt, response,
        temperature=.2, max_tokens=2000, tools=None, step_num=None, error=None, scope=None,
        metadata={})""",
    "TrajectoryRecorder": """(*, recording_llm=None, capture_context=True, tracer=None,
        output_dir=None, harness_snapshot=None)""",
    "TrajectoryRecorder.save": "(self, dir)",
    "TrajectoryRecorder.summary": "(self)",
    "serialize_harness": """(*, config=None, hooks=None, tools=None, memory_sources=None, llm=None,
        extra=None)""",
    "replay_loop": "(trace_dir, *, tools, state=None, hooks=None, config=None, task=None)",
    "EvalContext.from_trajectory_dir": "(path)",
    # evals
    "eval_mark": "(*tags)",
    "eval_discover": '(path, *, pattern="eval_*.py", prefix="eval_", on_error="warn")',
    "eval_run": "(evaluators, ctx, *, judge_llm=None, include=None, exclude=None)",
    "eval_run_batch": "(evaluators, contexts, *, judge_llm=None, include=None, exclude=None)",
    "eval_cli": "(args=None)",
    "EvalResult": """(name="", score=None, label=None, metrics={}, details=[], explanation="",
        duration_ms=0)""",
    "EvalResult.from_return": '(value, *, name="")',
    "EvalContext": """(steps, task=ANY, final_output=ANY, session_log_text="", metadata=ANY,
        artifacts=ANY, stop_reason=None)""",
    "EvalHook": "(evaluators, *, judge_llm=None, collectors=None, verbose=False)",
    "EvalHook.save": "(self, path)",
    "EvalCase": '(id, task={}, expected={}, marks=[], notes="")',
    "load_cases": "(path)",
    "save_case": "(case, path)",
    "save_cases": "(cases, path)",
    "pytest_param_cases": "(cases)",
    "parametrize_cases": '(path, *, argname="case")',
    "assert_evals_pass": """(ctx, evals_path_or_list, *, judge_llm=None, include=None,
        exclude=None)""",
    # skills
    "Skill": """(name, tools=[], instructions="", memory=None, description="", tags=[], metadata={},
        source_path=None)""",
    "Skill.from_markdown": "(text, *, source_path=None, default_name=None)",
    "Skill.register": "(self, registry)",
    "Skill.tool_names": "(self)",
    "Skill.as_catalog_entry": "(self)",
    "Skill.card": "(self)",
    "SkillCard": "(name, description=ANY, path=ANY, tags=ANY, metadata=ANY)",
    "FileSkillStore": "(*roots)",
    "FileSkillStore.list": "(self)",
    "FileSkillStore.load": "(self, name)",
    "FileSkillStore.search": "(self, query, *, limit=5)",
    "FileSkillStore.refresh": "(self)",
    "SkillManager": "(store)",
    "SkillManager.activate": "(self, name)",
    "SkillManager.active_skills": "(self)",
    "SkillManager.render_active_instructions": "(self)",
    "SkillActivationHook": "(manager)",
    "make_skill_tools": """(manager, *, search_tool_name="search_skills",
        activate_tool_name="activate_skill")""",
    "install_skills": r"""(skills, registry, *, base_system_prompt="", base_memory_sources=None,
        separator="\n\n")""",
    # bundles
    "SkillRuntime": '(workspace=".", max_steps=20, options={}, output_dir=None)',
    "SkillRuntime.option": "(self, name, default=None)",
    "load_skill_bundle": "(path)",
    "SkillBundle": "(skill, root, build, module, import_roots)",
    "SkillBundle.build_preset": "(self, runtime=None)",
    "SkillBundle.import_context": "(self)",
    "validate_skill_bundle": "(bundle_or_path, runtime=None)",
    "BundleValidation": "(ok, errors=ANY, warnings=ANY, skill_name=ANY, preset=ANY)",
    "run_skill_bundle": """(bundle, *, llm, task, runtime=None, extra_hooks=(), session_log=None,
        conversation=None, provenance=True, trace_dir=None, preset=None)""",
    "discover_skill_bundles": '(*roots, include_invalid=False, on_duplicate="raise")',
    "BundleCard": """(name, description=ANY, path=ANY, entrypoint=ANY, tags=ANY, metadata=ANY,
        ok=ANY, errors=ANY)""",
    "BundleCard.to_dict": "(self)",
    # blueprints, conversion, presets
    "AgentBlueprint": """(name, description=ANY, schema_version="looplet.agent-blueprint.v1",
        tags=ANY, source=ANY, instructions=ANY, config={}, tools=[], hooks=[], memory_sources=ANY,
        state=ANY, metadata=ANY)""",
    "AgentBlueprint.to_dict": "(self)",
    "AgentBlueprint.from_dict": "(data)",
    "AgentBlueprint.fingerprint": "(self, include_metadata=True)",
    "SourceBlueprint": "(kind, path=ANY, entrypoint=ANY, factory_ref=ANY)",
    "ToolBlueprint": """(name, description=ANY, parameters=ANY, handler=ANY, concurrent_safe=ANY,
        free=ANY, timeout_s=ANY)""",
    "ComponentBlueprint": "(kind, config=ANY)",
    "blueprint_from_bundle": "(bundle, runtime=None)",
    "compare_blueprints": "(a, b, *, ignore_metadata=False)",
    "BlueprintComparison": "(ok, differences=ANY)",
    "export_bundle_to_library_code": '(bundle, out_file, *, function_name="build")',
    "package_agent_factory_as_bundle": """(factory, out_dir, *, name, description, tags=(),
        instructions="", entrypoint="looplet.py", overwrite=False)""",
    "claude_skill_compatibility": "(path)",
    "ClaudeSkillCompatibility": """(level, can_wrap, can_run_exactly, warnings=ANY,
        skill_name=ANY)""",
    "wrap_claude_skill_as_bundle": "(src, out_dir)",
    "AgentPreset": "(config=ANY, hooks=ANY, tools=ANY, state=ANY)",
    "AgentPreset.run": """(self, llm, *, task=None, context=None, session_log=None,
        conversation=None, stream=None)""",
    "minimal_preset": """(*, max_steps=10, tools=None,
        system_prompt="You are a helpful assistant.")""",
    "coding_agent_preset": """(workspace=".", *, max_steps=20, context_window=128_000,
        system_prompt="", require_tests=True)""",
    "research_agent_preset": '(workspace=".", *, max_steps=30)',
    # sub-agents, MCP, testing, helpers
    "run_sub_loop": """(llm, task=None, tools=None, *, max_steps=5, system_prompt="", hooks=None,
        parent_hooks=None, context=None, state=None, sub_tools=None, build_summary=None,
        state_mutating_tools=None, conversation=None, subagent_id=None, config=None)""",
    "MCPToolAdapter": "(command=ANY, *, env=None, timeout=30.0)",
    "MCPToolAdapter.connect_stdio": "(command, *, env=None, cwd=None, timeout=30.0)",
    "MCPToolAdapter.list_tools": "(self)",
    "MCPToolAdapter.register_all": "(self, registry)",
    "MCPToolAdapter.tools": "(self)",
    "MCPToolAdapter.close": "(self)",
    "MockLLMBackend": "(responses=None, *, cycle=True)",
    "MockLLMBackend.generate": GENERATE,
    "AsyncMockLLMBackend": "(responses=None, *, cycle=True)",
    "AsyncMockLLMBackend.generate": GENERATE,
    "iter_done_steps": '(state, *, tool_name="done")',
    "is_rejected_done": "(step)",
    "suggest_similar": "(name, choices, *, cutoff=0.6)",
    "excerpt_around_match": """(text, pattern, *, context=40, case_insensitive=True,
        collapse_newlines=True)""",
    "CancelToken": "()",
}  # fmt: skip


def promised(text):
    """The parameters of a promise, by name."""
    names = dict(NAMES)
    exec(f"def given{text}: ...", names)
    return inspect.signature(names["given"]).parameters


def actual(path):
    """The parameters of what stands under that name; a field's factory is called."""
    thing = looplet
    for name in path.split("."):
        thing = (
            inspect.getattr_static(thing, name) if thing is not looplet else getattr(thing, name)
        )
    if isinstance(thing, classmethod):
        return _bound(thing.__func__)
    if not inspect.isclass(thing):
        return inspect.signature(thing).parameters
    parameters = _bound(thing.__init__)
    fields = {each.name: each for each in getattr(thing, "__dataclass_fields__", {}).values()}
    return {
        name: each.replace(default=fields[name].default_factory())
        if name in fields and fields[name].default_factory is not dataclasses.MISSING
        else each
        for name, each in parameters.items()
    }


def _bound(function):
    parameters = dict(inspect.signature(function).parameters)
    parameters.pop(next(iter(parameters)))
    return parameters


@pytest.mark.parametrize("path", PROMISED)
def test_a_signature_is_as_promised(path):
    wanted, found = promised(PROMISED[path]), dict(actual(path))
    in_order = [name for name, each in wanted.items() if each.kind is not each.KEYWORD_ONLY]
    assert [name for name, each in found.items() if _by_place(each)] == [
        name for name in in_order if _by_place(wanted[name])
    ]
    for name, each in wanted.items():
        given = found.pop(name)
        assert given.kind is each.kind, name
        if each.default is not ANY and each.default is not each.empty:
            assert given.default == each.default, name
    for name, each in found.items():
        further = each.kind is each.KEYWORD_ONLY and each.default is not each.empty
        assert further or each.kind is each.VAR_KEYWORD, f"{name} is not promised"


def _by_place(parameter):
    return parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)


CONFIG = {
    "max_steps": 15, "system_prompt": "", "compact_service": None, "checkpoint_dir": None,
    "initial_checkpoint": None, "use_native_tools": False, "approval_handler": None,
    "max_tokens": 2000, "temperature": 0.2, "recovery_temperature": 0.1, "done_tool": "done",
    "concurrent_dispatch": False, "reactive_recovery": True, "context_window": 128_000,
    "max_briefing_tokens": None, "max_turn_continuations": 0, "tool_result_persist_dir": None,
    "generate_kwargs": {}, "tool_metadata": {}, "memory_sources": [], "cancel_token": None,
    "router": None, "tracer": None, "recovery_registry": None, "output_schema": None,
    "cache_policy": None, "acceptance_criteria": None, "domain": None, "build_briefing": None,
    "build_prompt": None, "build_trace": None, "extract_entities": None,
    "extract_step_metadata": None, "render_messages_override": None,
}  # fmt: skip


def test_a_config_has_the_promised_fields_and_defaults():
    config = LoopConfig()
    assert {name: getattr(config, name) for name in CONFIG} == CONFIG


def test_a_budget_has_the_promised_defaults():
    budget = looplet.ContextBudget()
    assert (budget.warning_at, budget.error_at, budget.compact_buffer) == (120_000, 160_000, 13_000)


def test_an_events_payload_has_the_promised_fields_and_defaults():
    payload = looplet.EventPayload(LifecycleEvent.STOP)
    rest = """state session_log context prompt raw_response tool_call tool_result
        termination_reason messages_before messages_after subagent_id hook_slot hook_name"""
    assert (payload.event, payload.step_num, payload.extra) == (LifecycleEvent.STOP, 0, {})
    # "None/0": nothing that is not told has a value.
    assert not any(getattr(payload, name) for name in rest.split())


def test_counters_of_metrics_have_the_promised_names():
    names = """total_steps total_llm_calls total_tool_calls total_errors total_input_tokens_est
        total_output_tokens_est tool_call_histogram step_classifications total_duration_ms"""
    assert " ".join(looplet.MetricsCollector().report()) == " ".join(names.split())
