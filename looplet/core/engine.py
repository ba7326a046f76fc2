"""The loop, written once, as a generator. It does no I/O, reads no clock and starts no thread.

It yields finished steps, and requests for what it may not do itself (see ``effects``); the two
drivers in ``loop`` do that and send the answers back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from looplet.core.asking import Failure, ask, unreadable
from looplet.core.codec import digest
from looplet.core.consult import call_hook, consult, emit, hear_progress, read_answer, weigh
from looplet.core.conversation import Message, MessageRole
from looplet.core.dispatching import Turn, give, record_calls, record_step, run_calls
from looplet.core.effects import Save
from looplet.core.events import LifecycleEvent
from looplet.core.failures import describe, first_of
from looplet.core.listeners import Bound
from looplet.core.parse import ParsedReply
from looplet.core.records import Step, ToolCall, ToolError
from looplet.core.recovery import compact_if_asked
from looplet.core.registry import refused
from looplet.core.run import Run, put

if TYPE_CHECKING:
    from looplet.core.resume import Keeper

LLM_ERROR, PARSE_ERROR = "__llm_error__", "__parse_error__"


def turns(run: Run) -> Turn:
    """Everything from ``pre_loop`` to the last step; what comes after is ``finish``."""
    if run.finished:
        return
    yield from _begin(run)
    if run.ahead or run.left or run.unrun or run.mid_turn:
        yield from _go_on(run)
    while run.stop_reason is None:
        if run.state.budget_remaining <= 0:
            run.stop("budget_exhausted")
        elif run.cancelled:
            run.stop("cancelled")
        else:
            yield from _turn(run)


def finish(run: Run, reason: str, leaving: BaseException | None = None) -> Turn:
    """End the run: announce the accepted done, fire STOP, call every ``on_loop_end``.

    ``reason`` counts if the run has none of its own. All hooks are called; then the first
    exception among theirs is raised, unless one is ``leaving`` the loop already, which stays the
    first and has the other noted on it.
    """
    run.stop(reason)
    put(run.state, "_stop_reason", run.stop_reason)
    if run.finished:
        return
    run.over = True
    first: BaseException | None = None
    for ending in _endings(run):
        try:
            yield from ending
        except BaseException as error:  # noqa: BLE001 - raised below, when all were called
            first = first_of(first, error)
    if first is not None and leaving is None:
        raise first
    if first is not None and first is not leaving and leaving is not None:
        for told in (
            f"while the run was ended: {describe(first)}",
            *getattr(first, "__notes__", ()),
        ):
            leaving.add_note(told)


def _endings(run: Run) -> Iterator[Turn]:
    if run.keeper is not None:
        yield _save_end(run, run.keeper)
    if run.unfinished:  # by a tool that was interrupted or timed out
        yield hear_progress(run)
    if run.done_step is not None:
        yield _announce_done(run)
    yield _tell_stop(run)
    for bound in run.listeners.on_loop_end:
        yield _end_hook(run, bound)


def _save_end(run: Run, keeper: Keeper) -> Turn:
    yield Save(partial(keeper.end, run))


def _tell_stop(run: Run) -> Turn:
    listeners, reason = run.listeners.on_event, run.stop_reason
    yield from emit(run, LifecycleEvent.STOP, listeners, termination_reason=reason)


def _end_hook(run: Run, bound: Bound) -> Turn:
    args = (run.state, run.log, run.context, run.llm)
    calls = yield from call_hook(bound, "on_loop_end", *args)
    if isinstance(calls, int) and not isinstance(calls, bool):
        run.llm_calls += calls
    else:
        yield from read_answer(run, calls, "on_loop_end", bound.hook)


def _begin(run: Run) -> Turn:
    for bound in run.listeners.pre_loop:
        yield from consult(run, bound, "pre_loop", run.state, run.log, run.context)
    yield from emit(run, LifecycleEvent.SESSION_START, run.listeners.on_event)


def _go_on(run: Run) -> Turn:
    """Finish the turn in the middle of which an earlier run ended."""
    entries = [entry for entry in run.log.entries if entry.step >= run.turn_from]
    entities = [name for entry in entries for name in entry.entities_seen]
    asks = run.mid_turn or bool(run.ahead or run.left)
    # A batch may have been run under a larger budget than this run has: no step goes past it.
    room = run.state.budget_remaining
    run.left = [*(call for call, _ in run.ahead[room:]), *run.left]
    run.ahead = run.ahead[:room]
    yield from record_calls(run, run.ahead, run.left, entities)
    yield from run_calls(run, run.left, entities)
    yield from _end_turn(run, entities, may_stop=asks)


def _turn(run: Run) -> Turn:
    put(run.state, "step_context", {})
    run.named_unrun = False
    run.ahead, run.left, run.turn_from = [], (), run.next_number
    entities: list[str] = []
    if run.listeners.should_compact:
        yield from compact_if_asked(run)
    answer = yield from ask(run)
    if isinstance(answer, Failure):  # a step of its own, also if a hook ends the run with it
        yield from _fail(run, answer)
        return
    if answer is None or run.stop_reason is not None:
        return
    _keep_reply(run, answer)
    if answer.complaint is not None:
        yield from _complain(run, answer)
    else:
        yield from run_calls(run, answer.calls, entities)
    yield from _end_turn(run, entities)


def _end_turn(run: Run, entities: list[str], *, may_stop: bool = True) -> Turn:
    if run.unrun:
        _answer_unrun(run)
    run.ahead, run.left = [], ()
    if run.done_step is not None:
        yield from _announce_done(run)
    if run.stop_reason is None and may_stop and run.listeners.should_stop:
        yield from _ask_to_stop(run, entities)


def _fail(run: Run, failure: Failure) -> Turn:
    """Make a step of a model call that failed for good; the run ends with it."""
    run.stop("cancelled" if run.cancelled else "llm_error")
    yield from give(run, _error_step(run, LLM_ERROR, failure.as_tool_error()))


def _complain(run: Run, answer: ParsedReply) -> Turn:
    """Make a step of a reply that cannot be read; the run goes on."""
    error = unreadable(answer)
    step = _error_step(run, PARSE_ERROR, error)
    if run.history is not None:
        run.history.say(f"ERROR: {error.message}")
    yield from give(run, step)


def _error_step(run: Run, name: str, error: ToolError) -> Step:
    call = ToolCall(name, {}, call_id=run.config.runtime.new_id())
    history, run.history = run.history, None  # no call was asked for, so none is answered
    try:
        return record_step(run, call, refused(call, error), [])
    finally:
        run.history = history


def _keep_reply(run: Run, answer: ParsedReply) -> None:
    """Put the reply where later prompts are built from, with an id for every call."""
    runtime = run.config.runtime
    run.conversation.note(_reply_message, answer.text, runtime.now())
    if run.history is None:
        return
    if answer.complaint is not None:
        run.history.reply_text(answer.text)
        return
    if not answer.ids_given:
        _number_calls(run, answer.calls)
    text = answer.text if answer.ids_given else ""
    run.history.reply_calls(text, answer.calls, answer.blocks)


def _reply_message(text: str, now: float) -> Message:
    return Message(MessageRole.ASSISTANT, text, timestamp=now)


def _number_calls(run: Run, calls: Sequence[ToolCall]) -> None:
    """Give calls ids that a replay gives again: they are part of what is sent next."""
    for place, call in enumerate(calls):
        call.call_id = digest(f"{run.next_number}:{place}")[:12]


def _answer_unrun(run: Run) -> None:
    """Providers want an answer to every call; say that these were not run."""
    if run.history is not None:
        for call in run.unrun:
            run.history.answer(call.call_id, "not run")
    run.unrun.clear()


def _announce_done(run: Run) -> Turn:
    step, run.done_step = run.done_step, None
    assert step is not None
    yield from emit(
        run,
        LifecycleEvent.DONE_ACCEPTED,
        run.listeners.on_event,
        step_num=step.number,
        tool_call=step.tool_call,
        tool_result=step.tool_result,
    )


def _ask_to_stop(run: Run, entities: list[str]) -> Turn:
    number = run.state.step_count
    for bound in run.listeners.should_stop:
        value = bound.method(run.state, number, entities)
        if value is None or value is False:
            continue
        decision = yield from weigh(run, bound, "should_stop", value)
        if decision is not None and decision.stop is not None:
            run.stop(decision.stop)
            return
