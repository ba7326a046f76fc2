"""For hosts that drive parts of a run by themselves: telling events, running a compaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from looplet.core.compaction import CompactOutcome, CompactService, clean_up
from looplet.core.conversation import Conversation
from looplet.core.decisions import HookDecision, read_decision
from looplet.core.events import EventPayload, LifecycleEvent
from looplet.core.failures import describe
from looplet.core.listeners import bind
from looplet.core.logs import log
from looplet.core.session import SessionLog


def emit_event(hooks: Iterable[Any], event: LifecycleEvent, **payload: Any) -> list[HookDecision]:
    """Tell an event to every ``on_event``, and return what was decided.

    Fields of the payload are those of ``EventPayload``. A listener's exception is logged, as in a
    run, and before a tool is used it is a denial. Raises ``TypeError`` for an ``async def``
    listener.
    """
    told = EventPayload(event=event, **payload)
    decisions = []
    for bound in bind(hooks, asynchronous=False).on_event:
        try:
            value = bound.method(told)
        except Exception as error:  # noqa: BLE001 - as in a run
            log().exception("%s.on_event failed at %s", bound.hook, event.value)
            if event is not LifecycleEvent.PRE_TOOL_USE:
                continue
            value = HookDecision(block=describe(error))
        decision = read_decision(value, slot=event.value, hook=bound.hook, method="on_event")
        if decision is not None:
            decisions.append(decision)
    return decisions


def run_compact(
    service: CompactService,
    *,
    hooks: Iterable[Any],
    state: Any,
    session_log: SessionLog,
    llm: Any,
    conversation: Conversation,
    step_num: int,
    reason: str,
) -> CompactOutcome:
    """Run a compaction outside of a loop, with PRE_COMPACT and POST_COMPACT around it.

    A ``stop`` at PRE_COMPACT aborts it; the outcome then has compacted nothing. An exception in
    the outcome's ``cleanup`` is logged.
    """
    hooks = list(hooks)
    before = len(conversation.messages)
    about: dict[str, Any] = {"step_num": step_num, "state": state, "session_log": session_log}
    extra = {"reason": str(reason)}
    told = emit_event(
        hooks, LifecycleEvent.PRE_COMPACT, messages_before=before, extra=extra, **about
    )
    if any(decision.stop is not None for decision in told):
        return CompactOutcome(reason, before, before, extra={"aborted": True})
    outcome = service.compact(
        state=state,
        session_log=session_log,
        llm=llm,
        conversation=conversation,
        step_num=step_num,
        reason=reason,
    )
    counts = {"messages_before": before, "messages_after": len(conversation.messages)}
    extra = {**extra, **(outcome.extra or {})}
    emit_event(hooks, LifecycleEvent.POST_COMPACT, **counts, extra=extra, **about)
    clean_up(outcome)
    return outcome
