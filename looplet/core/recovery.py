"""When calls fail or prompts get too long: strategies, compaction, and recovery.

Knows no prompt's wording.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from looplet.core.consult import Phase, call_hook, emit, read_answer
from looplet.core.effects import Await, Compact
from looplet.core.events import LifecycleEvent
from looplet.core.logs import log
from looplet.core.messages import ModelRequest
from looplet.core.run import Run, backend_for
from looplet.core.usage import CHARS_PER_TOKEN

if TYPE_CHECKING:
    from looplet.core.compaction import CompactReason
    from looplet.core.strategies import RecoveryDecision

REPLY_TOKENS = 3000
"""Room that a prompt must leave in the window."""
TRIMMED_CHARS = 500
"""How much of a result a prompt shows once results were trimmed."""


def compact_if_asked(run: Run) -> Phase[None]:
    """Ask each hook whether to compact; the first yes runs the service.

    The slot advises: a hook that fails is logged and passed over.
    """
    for bound in run.listeners.should_compact:
        args = (run.state, run.log, run.conversation, run.next_number)
        try:
            wanted = yield from call_hook(bound, "should_compact", *args)
        except Exception:  # noqa: BLE001 - this slot advises; the run goes on as it is
            log().exception("%s.should_compact failed; nothing is compacted", bound.hook)
            continue
        if not isinstance(wanted, bool):
            yield from read_answer(run, wanted, "should_compact", bound.hook)
        elif wanted:
            hook = getattr(bound.method, "__self__", None)
            target = getattr(hook, "target_tokens", None)
            yield from compact(run, _reason(f"{bound.hook}.should_compact", target))
            return


def compact(run: Run, reason: CompactReason) -> Phase[bool]:
    """Run the compaction service, with both events around it; tell whether it helped."""
    from looplet.core.compaction import TruncateCompact, clean_up
    from looplet.core.scoped import scoped

    listeners = run.listeners.on_event
    before = len(run.conversation.messages)
    told = yield from emit(
        run,
        LifecycleEvent.PRE_COMPACT,
        listeners,
        messages_before=before,
        extra={"reason": str(reason)},
    )
    if any(decision.stop is not None for decision in told):
        return False
    service: Any = run.config.compact_service or TruncateCompact()
    given = {
        "state": run.state,
        "session_log": run.log,
        "llm": scoped(backend_for(run, "compaction"), "compaction", purpose="compaction"),
        "conversation": run.conversation,
        "step_num": run.next_number,
        "reason": reason,
    }
    told_before = [message.content for message in run.conversation.messages]
    outcome = yield Compact(service, given)
    run.llm_calls += outcome.llm_calls_spent
    if told_before != [message.content for message in run.conversation.messages]:
        run.follow_conversation()
    yield from emit(
        run,
        LifecycleEvent.POST_COMPACT,
        listeners,
        messages_before=outcome.messages_before,
        messages_after=outcome.messages_after,
        extra={"reason": str(reason), **(outcome.extra or {})},
    )
    clean_up(outcome)
    return bool(outcome.compacted)


def is_too_long(run: Run, request: ModelRequest) -> bool:
    """Whether a request would leave no room to answer, by a quarter of its characters."""
    if not run.config.reactive_recovery:
        return False
    chars = run.history.chars if run.history is not None else len(request.prompt)
    return chars // CHARS_PER_TOKEN > run.config.context_window - REPLY_TOKENS


def recover(run: Run) -> Phase[bool]:
    """Take the next way of making the prompt shorter; ``False`` if all were taken.

    Trim the results that are shown, compact, drop old results: each at most once a run.
    """
    if not run.config.reactive_recovery or not run.remedies:
        return False
    remedy = run.remedies.pop(0)
    if remedy == "trim":
        run.trim_results(TRIMMED_CHARS)
    elif remedy == "compact":
        yield from compact(run, _reason("the prompt is too long", _target(run)))
    else:
        run.drop_results()
    return True


def ask_strategies(
    run: Run, error: Exception, attempt: int, used: set[int]
) -> Phase[RecoveryDecision | None]:
    """Ask the config's recovery strategies about a failed call; the first decision, or ``None``.

    ``used`` has those that were followed for this call, which are not asked again.
    """
    from looplet.core.strategies import PER_RUN, check_decision, choices_of, method_of

    registry = run.config.recovery_registry
    limit = getattr(registry, "max_per_run", PER_RUN)
    for strategy in choices_of(registry, error):
        key = id(strategy)
        if key in used or run.strategies_used.get(key, 0) >= limit:
            continue
        wish: Any = method_of(strategy)(
            error,
            state=run.state,
            session_log=run.log,
            conversation=run.conversation,
            step_num=run.next_number,
            attempt=attempt,
        )
        if hasattr(wish, "__await__"):
            wish = yield Await(wish, f"{type(strategy).__name__}.recover")
        decision = check_decision(wish, strategy)
        if decision is not None:
            used.add(key)
            run.strategies_used[key] = run.strategies_used.get(key, 0) + 1
            return decision
    return None


def compact_for_strategy(run: Run) -> Phase[bool]:
    """Run the compaction that a strategy asked for."""
    return (yield from compact(run, _reason("a recovery strategy asked for it", _target(run))))


def _reason(text: str, target: int | None) -> CompactReason:
    from looplet.core.compaction import CompactReason  # loaded by the first run that needs it

    return CompactReason(text, target)


def _target(run: Run) -> int:
    return max(1, run.config.context_window - REPLY_TOKENS)
