"""What hooks say of a call: before it is run, of its result, of a done. Knows no step."""

from __future__ import annotations

from dataclasses import replace

from looplet.core.consult import Phase, consult, emit, weigh
from looplet.core.decisions import HookDecision
from looplet.core.events import LifecycleEvent
from looplet.core.parse import RAW_ARGUMENT
from looplet.core.records import ErrorKind, ToolCall, ToolError, ToolResult
from looplet.core.registry import BaseToolRegistry, refused
from looplet.core.run import Run
from looplet.core.tools import ToolSpec


def before_tool(run: Run, call: ToolCall, number: int) -> Phase[tuple[ToolCall, ToolResult | None]]:
    """Ask the hooks about a call: its final arguments, and a result if it must not be run."""
    result: ToolResult | None = None
    if RAW_ARGUMENT in call.args:
        name_bare_argument(run, call)
    listeners = run.listeners
    if listeners.before_tool:
        event = LifecycleEvent.PRE_TOOL_USE
        told = yield from emit(run, event, listeners.before_tool, tool_call=call, step_num=number)
        # Every listener was asked, so a refusal counts whoever supplied a result before it.
        for decision in sorted(told, key=lambda each: not (each.is_stop() or each.is_block())):
            call, result = _intercept(run, call, decision, result)
    for bound in listeners.pre_dispatch:
        if result is not None:
            break
        value = bound.method(run.state, run.log, call, number)
        if value is None:
            continue
        wish = yield from weigh(run, bound, "pre_dispatch", value)
        if wish is not None:
            call, result = _intercept(run, call, wish, result)
    denial = yield from _check_permission(run, call)
    return call, result if denial is None else denial


def after_tool(
    run: Run, call: ToolCall, result: ToolResult, number: int, *, is_done: bool = False
) -> Phase[ToolResult]:
    """Tell the hooks about a result; they may replace it."""
    for bound in run.listeners.post_dispatch:
        value = bound.method(run.state, run.log, call, result, number)
        if value is None:
            continue
        decision = yield from weigh(run, bound, "post_dispatch", value)
        if decision is not None:
            result = _apply_after(run, decision, result)
    if run.listeners.after_tool and not is_done:
        failed = result.error is not None
        event = LifecycleEvent.POST_TOOL_FAILURE if failed else LifecycleEvent.POST_TOOL_USE
        told = yield from emit(
            run,
            event,
            run.listeners.after_tool,
            tool_call=call,
            tool_result=result,
            step_num=number,
        )
        for decision in told:
            result = _apply_after(run, decision, result)
    return result


def check_done(run: Run, call: ToolCall, number: int) -> Phase[str | None]:
    """Ask every ``check_done``; the first rejection's reason, or ``None``."""
    for place, bound in enumerate(run.listeners.check_done):
        keywords = {"tool_call": call} if place in run.listeners.done_takes_call else {}
        args = (run.state, run.log, run.context, number)
        decision = yield from consult(run, bound, "check_done", *args, **keywords)
        if decision is None:
            continue
        if decision.additional_context:
            run.pending.append(decision.additional_context)
        if decision.stop is not None:
            run.stop(decision.stop)
        if decision.is_block():
            return decision.reason()
        if decision.stop is not None:
            return f"stopped: {decision.stop}"
    return None


def name_bare_argument(run: Run, call: ToolCall) -> None:
    """Put a bare text under its parameter's name before any hook judges the arguments."""
    spec = spec_of(run, call)
    if spec is not None and RAW_ARGUMENT not in spec.properties and len(spec.required) == 1:
        call.args.setdefault(spec.required[0], call.args.pop(RAW_ARGUMENT))


def spec_of(run: Run, call: ToolCall) -> ToolSpec | None:
    """The tool that a call is for; ``None`` if there is none, or the registry is another kind."""
    return run.tools.get(call.tool) if isinstance(run.tools, BaseToolRegistry) else None


def _check_permission(run: Run, call: ToolCall) -> Phase[ToolResult | None]:
    """Ask every ``check_permission`` about the final arguments; the first denial, or ``None``."""
    judged = (call.tool, repr(call.args)) if run.listeners.check_permission else None
    for bound in run.listeners.check_permission:
        value = bound.method(call, run.state)
        wish = None if value is None else (yield from weigh(run, bound, "check_permission", value))
        if (call.tool, repr(call.args)) != judged:  # what was judged is not what would be run
            text = f"{bound.hook}.check_permission changed the call; do that in pre_dispatch"
            return refused(call, ToolError(ErrorKind.PERMISSION_DENIED, text))
        if wish is None:
            continue
        if wish.is_stop() or wish.is_block():
            return _intercept(run, call, wish, None)[1]
        if wish.additional_context:
            run.pending.append(wish.additional_context)
    return None


def _intercept(
    run: Run, call: ToolCall, decision: HookDecision, result: ToolResult | None
) -> tuple[ToolCall, ToolResult | None]:
    """Apply a decision to a call; the first result that replaces the tool's stays."""
    if decision.additional_context:
        run.pending.append(decision.additional_context)
    if decision.stop is not None:
        run.stop(decision.stop)
    if result is not None:
        return call, result
    if decision.updated_args is not None:
        call = replace(call, args=dict(decision.updated_args))
    if decision.stop is not None:
        return call, refused(call, ToolError(ErrorKind.CANCELLED, f"stopped: {decision.stop}"))
    if decision.is_block():
        retry = bool(decision.metadata.get("retry"))
        error = ToolError(ErrorKind.PERMISSION_DENIED, decision.reason(), retriable=retry)
        return call, refused(call, error)
    return call, _own(decision.updated_result)


def _apply_after(run: Run, decision: HookDecision, result: ToolResult) -> ToolResult:
    if decision.additional_context:
        run.pending.append(decision.additional_context)
    if decision.stop is not None:
        run.stop(decision.stop)
    return _own(decision.updated_result) or result


def _own(result: ToolResult | None) -> ToolResult | None:
    """A result that a hook gave, for one step alone: a hook may give the same one again."""
    if result is None:
        return None
    return replace(result, warnings=list(result.warnings), metadata=dict(result.metadata))
