"""What no convention has an attribute for: the fields of a run that its spans carry beside.

Knows fields; knows no span. What is empty is ``None``, and is not written.
"""

from __future__ import annotations

from typing import Any

from looplet.core.records import ToolError
from looplet.otel import conventions as names
from looplet.trajectory.model import LLMCall, StepRecord, Trajectory


def reason(call: LLMCall) -> str | None:
    """Why a reply ended, in the conventions' words."""
    return None if call.finish_reason is None else names.finish_reason(call.finish_reason)


def fields_of_run(run: Trajectory) -> dict[str, Any]:
    """Of a whole run."""
    told = (
        "trajectory_id", "run_id", "task", "task_id", "trial", "dataset", "error", "reward",
        "expected", "final_output", "cost_usd", "cassette", "cassette_hash", "replay_of",
        "source_format", "source_uri", "git_sha", "looplet_version",
    )  # fmt: skip
    may_be_empty = ("tags", "artifacts", "metadata")
    fields = {name: getattr(run, name) for name in told}
    return fields | {name: getattr(run, name) or None for name in may_be_empty}


def fields_of_call(call: LLMCall) -> dict[str, Any]:
    """Of a call of the model; tokens only where they are estimates, which are no provider's."""
    estimated = call.tokens_estimated
    last = call.messages[-1].content if call.messages else call.prompt
    return {
        "index": call.index,
        "method": call.method,
        "prompt": None if call.prompt == last else call.prompt,
        "params": call.params or None,
        "finish_reason": None if call.finish_reason == reason(call) else call.finish_reason,
        "first_token_ms": call.first_token_ms,
        "tokens_estimated": estimated or None,
        "input_tokens": call.input_tokens if estimated else None,
        "output_tokens": call.output_tokens if estimated else None,
        "metadata": call.metadata or None,
        "key": call.key,
        "error": call.error,
    }


def fields_of_step(step: StepRecord) -> dict[str, Any]:
    """Of a step."""
    call, result, usage = step.tool_call, step.tool_result, step.usage
    return {
        "reasoning": call.reasoning or None,
        "context_before": step.context_before or None,
        "warnings": result.warnings or None,
        "metadata": result.metadata or None,
        "call_metadata": call.metadata or None,
        "error": result.error,
        "error_detail": _detail(result.error_detail),
        "result_key": result.result_key,
        "llm_call_indices": step.llm_call_indices or None,
        "usage": None if usage is None else {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
            "estimated": usage.estimated,
        },
    }  # fmt: skip


def _detail(error: ToolError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {
        "retriable": error.retriable,
        "context": error.context,
        "recovery_hint": error.recovery_hint,
    }
