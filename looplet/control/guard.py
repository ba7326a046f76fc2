"""The hook that holds a run to its permissions. Knows hooks and the engine; knows no rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from looplet.control.permissions import PermissionEngine, PermissionOutcome, own_args
from looplet.core.decisions import Deny, HookDecision
from looplet.core.events import EventPayload, LifecycleEvent
from looplet.core.records import ToolCall


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """What came of a call as it was asked for."""

    state: Any
    """Of the run that asks: runs may share a hook, and their calls have equal ids."""
    tool: str
    args: dict[str, Any]
    outcome: PermissionOutcome


class PermissionHook:
    """Lets only those calls run that the engine allows.

    A call is judged as it was asked for (PRE_TOOL_USE) and, if another hook then gave it other
    arguments, once more as it would run (``check_permission``). Both must be allowed. A denied
    call becomes a step with the reason as its error, of the kind PERMISSION_DENIED.

    >>> engine = PermissionEngine().deny("sell", reason="closed on Sundays")
    >>> PermissionHook(engine).check_permission(ToolCall("sell"), None).reason()
    'closed on Sundays'
    """

    def __init__(self, engine: PermissionEngine) -> None:
        self.engine = engine
        self._verdicts: dict[tuple[int, str], _Verdict] = {}

    def on_event(self, payload: EventPayload) -> HookDecision | None:
        """Judge a call before anything else is asked about it."""
        if payload.event is LifecycleEvent.PRE_TOOL_USE:
            call = payload.tool_call
            tool, args = call.tool, own_args(call.args)  # as they are now: hooks change calls
            outcome = self.engine.evaluate(call)
            verdict = _Verdict(state=payload.state, tool=tool, args=args, outcome=outcome)
            self._verdicts[_key(call, payload.state)] = verdict
            return _decide(outcome)
        if payload.event is LifecycleEvent.STOP:
            self._forget(payload.state)
        return None

    def check_permission(self, tool_call: ToolCall, state: Any) -> HookDecision | None:
        """Judge the call that would run, unless it is the one that was judged already."""
        # Taken out: a later call with the same id, which models do give, is a call of its own.
        verdict = self._verdicts.pop(_key(tool_call, state), None)
        if verdict is not None and (verdict.outcome.denied or _same(verdict, tool_call)):
            return _decide(verdict.outcome)
        return _decide(self.engine.evaluate(tool_call))

    def _forget(self, state: Any) -> None:
        """Drop what a run left that was ended between the two judgements."""
        left = [key for key, verdict in list(self._verdicts.items()) if verdict.state is state]
        for key in left:
            self._verdicts.pop(key, None)


def _key(call: ToolCall, state: Any) -> tuple[int, str]:
    return id(state), call.call_id


def _same(verdict: _Verdict, call: ToolCall) -> bool:
    return verdict.tool == call.tool and _equal(verdict.args, own_args(call.args))


def _equal(one: object, other: object) -> bool:
    """Equality of values and of types: ``1`` and ``True`` are not the same to a tool."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


def _decide(outcome: PermissionOutcome) -> HookDecision | None:
    return Deny(outcome.reason) if outcome.denied else None
