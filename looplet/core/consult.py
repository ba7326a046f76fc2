"""How the engine asks hooks and tells events. Knows decisions; knows no model and no tool."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeAlias, TypeVar

from looplet.core.decisions import HookDecision, read_decision, warn_unhonoured
from looplet.core.effects import Await, Effect
from looplet.core.events import EventPayload, LifecycleEvent
from looplet.core.failures import describe
from looplet.core.listeners import Bound
from looplet.core.logs import log
from looplet.core.run import Run

Answer = TypeVar("Answer")
Phase: TypeAlias = Generator[Effect, Any, Answer]
"""A part of the engine: yields effects, returns its answer."""


def call_hook(bound: Bound, slot: str, *args: Any, **keywords: Any) -> Phase[Any]:
    """Call one hook's method and wait for it if it must be waited for."""
    value = bound.method(*args, **keywords)
    if hasattr(value, "__await__"):
        value = yield Await(value, f"{bound.hook}.{slot}")
    return value


def consult(
    run: Run, bound: Bound, slot: str, *args: Any, **keywords: Any
) -> Phase[HookDecision | None]:
    """Ask one hook and read what it decided."""
    return (yield from weigh(run, bound, slot, bound.method(*args, **keywords)))


def weigh(run: Run, bound: Bound, slot: str, value: Any) -> Phase[HookDecision | None]:
    """Read what a hook returned, once it was waited for if it must be.

    Where hooks are called for every step, this is left out if they return ``None``, as most do.
    """
    if hasattr(value, "__await__"):
        value = yield Await(value, f"{bound.hook}.{slot}")
    if value is None:
        return None
    return (yield from read_answer(run, value, slot, bound.hook))


def first_text(
    run: Run, bounds: Sequence[Bound], slot: str, *args: Any, **keywords: Any
) -> Phase[str | None]:
    """The first answer that is not ``None``; a failing advisory hook is logged and passed over."""
    for bound in bounds:
        try:
            value = yield from call_hook(bound, slot, *args, **keywords)
        except Exception:  # noqa: BLE001 - these slots advise; the default stands in
            log().exception("%s.%s failed; the default is used", bound.hook, slot)
            continue
        if isinstance(value, str):
            return value
        if value is not None:
            yield from read_answer(run, value, slot, bound.hook)
    return None


def emit(
    run: Run, event: LifecycleEvent, listeners: Sequence[Bound], **fields: Any
) -> Phase[list[HookDecision]]:
    """Tell an event, and return what its listeners decided.

    An exception of a listener is logged and the run goes on, but before a tool is used it denies
    the call.
    """
    decisions: list[HookDecision] = []
    if not listeners:
        return decisions
    payload = payload_of(run, event, **fields)
    for bound in listeners:
        try:
            value = bound.method(payload)
            if value is None:
                continue
            if hasattr(value, "__await__"):
                value = yield Await(value, f"{bound.hook}.on_event")
        except Exception as error:  # noqa: BLE001 - logged by contract; before a tool it denies
            log().exception("%s.on_event failed at %s", bound.hook, event.value)
            if event is LifecycleEvent.PRE_TOOL_USE:
                value = HookDecision(block=describe(error))
            else:
                continue
        if value is None:
            continue
        decision = yield from read_answer(run, value, event.value, bound.hook, from_event=True)
        if decision is not None:
            decisions.append(decision)
    return decisions


def payload_of(run: Run, event: LifecycleEvent, **fields: Any) -> EventPayload:
    """Make the payload of an event of this run."""
    fields.setdefault("step_num", run.next_number)
    return EventPayload(
        event=event, state=run.state, session_log=run.log, context=run.context, **fields
    )


def tell_now(run: Run) -> Callable[..., None]:
    """Make a function that tells tool progress at once, for use from inside a tool.

    Listeners are called where the tool runs; what they return is given to the run, which waits
    for it, and reads it, when the tool has ended.
    """

    def tell(step_num: int, call: Any, stage: str, data: Any) -> None:
        if run.over:  # a tool that timed out may go on in its thread
            return
        payload = payload_of(
            run,
            LifecycleEvent.TOOL_PROGRESS,
            step_num=step_num,
            tool_call=call,
            extra={"stage": stage, "data": data},
        )
        for bound in run.listeners.on_event:
            try:
                value = bound.method(payload)
            except Exception:  # noqa: BLE001 - as in emit
                log().exception("%s.on_event failed at tool_progress", bound.hook)
                continue
            if value is not None:
                run.unfinished.append((bound.hook, value))

    return tell


def hear_progress(run: Run) -> Phase[None]:
    """Read what listeners of tool progress returned; what cannot be honoured warns."""
    event = LifecycleEvent.TOOL_PROGRESS.value
    while run.unfinished:
        hook, value = run.unfinished.pop(0)
        try:
            if hasattr(value, "__await__"):
                value = yield Await(value, f"{hook}.{event}")
        except Exception:  # noqa: BLE001 - as in emit
            log().exception("%s.on_event failed at %s", hook, event)
            continue
        if value is not None:
            yield from read_answer(run, value, event, hook, from_event=True)


def read_answer(
    run: Run, value: object, slot: str, hook: str, *, from_event: bool = False
) -> Phase[HookDecision | None]:
    """Read what one hook returned: warn of what has no effect there, and tell the decision."""
    method = f"on_event ({slot})" if from_event else slot
    decision = read_decision(value, slot=slot, hook=hook, method=method)
    if decision is None:
        return None
    warn_unhonoured(decision, slot=slot, hook=hook, told=run.told)
    if run.listeners.on_event and slot != LifecycleEvent.HOOK_DECISION.value:
        extra: dict[str, Any] = {"decision": decision.to_dict()}
        if from_event:
            extra["originating_event"] = slot
        yield from emit(
            run,
            LifecycleEvent.HOOK_DECISION,
            run.listeners.on_event,
            hook_slot="on_event" if from_event else slot,
            hook_name=hook,
            extra=extra,
        )
    return decision
