"""The calls of one turn, in order: each is judged, run, judged again and made a step of.

Knows no prompt, and of hooks only what ``judging`` says.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from looplet.core.consult import Phase, consult, hear_progress, tell_now
from looplet.core.conversation import Message, MessageRole
from looplet.core.effects import Effect, RunTools, Save
from looplet.core.failures import INTERRUPTS
from looplet.core.judging import after_tool, before_tool, check_done, name_bare_argument, spec_of
from looplet.core.parse import RAW_ARGUMENT, THEORY
from looplet.core.records import REJECTED, ErrorKind, Step, ToolCall, ToolError, ToolResult
from looplet.core.registry import refused
from looplet.core.run import Run, backend_for
from looplet.core.show import told_text
from looplet.core.tools import ToolContext

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from looplet.core.persist import ResultFiles

    Around = Callable[[], AbstractContextManager[None]]

Turn = Generator[Effect, Any, None]
Ran = tuple[ToolCall, ToolResult]
"""A call and what came of it."""


def run_calls(run: Run, calls: Sequence[ToolCall], entities: list[str]) -> Turn:
    """Run the calls of a turn in order, yielding a step each, within the budget.

    What was not run is named in the warnings of the turn's last step, if there is one, and, if
    the run goes on, in the next briefing. ``entities`` collects what ``extract_entities`` found.
    """
    place = 0
    while place < len(calls):
        if run.stop_reason is not None or run.cancelled or run.state.budget_remaining <= 0:
            break
        call = calls[place]
        if call.tool == run.config.done_tool and _knows(run, call.tool):
            yield from run_done(run, call, calls[place + 1 :], entities)
            return
        batch = _batch_at(run, calls, place) if run.config.concurrent_dispatch else (call,)
        place += len(batch)
        left = calls[place:]
        if len(batch) == 1:
            ran = yield from _run_one(run, call)
        else:
            ran, left = yield from _run_batch(run, batch, left)
        yield from record_calls(run, ran, left, entities)
    if run.cancelled:
        run.stop("cancelled")
    left, last = calls[place:], run.last_step
    if left and not run.named_unrun and last is not None and last.number >= run.turn_from:
        _name_unrun(run, last.tool_result, left)


def run_done(run: Run, call: ToolCall, left: Sequence[ToolCall], entities: list[str]) -> Turn:
    """Ask the hooks, the schema and the done tool itself whether the run is complete."""
    number = run.next_number
    if RAW_ARGUMENT in call.args:
        name_bare_argument(run, call)
    rejection = yield from check_done(run, call, number)
    result: ToolResult | None = None
    if rejection is None:
        rejection = _schema_rejection(run, call)
    if rejection is None:
        (result,) = yield from _dispatch(run, (call,))
        rejection = result.error
    accepted = rejection is None and result is not None
    if accepted and result is not None:
        result = yield from after_tool(run, call, result, number, is_done=True)
    else:
        result = ToolResult(
            call.tool,
            REJECTED,
            {"rejected": True, "reason": rejection},
            call_id=call.call_id,
            warnings=[] if result is None else result.warnings,
        )
        run.pending.append(f"{call.tool} was rejected: {rejection}")
    run.ahead, run.left = [], ()
    if left:
        _name_unrun(run, result, left)
    if run.result_files is not None:
        yield from _persist(run.result_files, call, result, number)
    step = record_step(run, call, result, entities)
    if accepted:
        # Only now: a hook that fails above has kept the run from being done. It outranks a stop
        # that a hook asked for on seeing the result.
        run.stop_reason, run.done_step = "done", step
    yield from give(run, step)


def record_step(run: Run, call: ToolCall, result: ToolResult, entities: list[str]) -> Step:
    """Put a finished call into state, log, conversation and history."""
    # Arguments that a hook gave do not have it; the call's metadata does.
    theory = call.args.pop(THEORY, None) or call.metadata.get("theory", "")
    config = run.config
    text = told_text(result)
    step = run.take_step(call, result, text)
    found: Sequence[str] = ()
    if config.extract_entities is not None and result.error is None:
        found = list(config.extract_entities(result.data))
        entities += found
    if config.extract_step_metadata is not None:
        result.metadata.update(config.extract_step_metadata(run.state, step))
    run.log.note(step.number, call.tool, call.reasoning, theory, found, result.result_key or "")
    now = config.runtime.now()
    run.conversation.note(_result_message, text, call, result, step.number, found, now)
    if run.history is not None:
        run.history.answer(call.call_id, text, step=step.number)
    return step


def _result_message(
    text: str, call: ToolCall, result: ToolResult, number: int, entities: Sequence[str], now: float
) -> Message:
    metadata = {"step": number, "entities": entities} if entities else {"step": number}
    return Message(MessageRole.TOOL, text, call, result, metadata, now)


def _batch_at(run: Run, calls: Sequence[ToolCall], place: int) -> Sequence[ToolCall]:
    """The calls that go together from here: one, or neighbours that are safe, within the budget."""
    stop = place + 1
    room = place + run.state.budget_remaining
    while stop < min(len(calls), room) and _is_safe(run, calls[stop - 1], calls[stop]):
        stop += 1
    return calls[place:stop]


def _is_safe(run: Run, *calls: ToolCall) -> bool:
    specs = [spec_of(run, call) for call in calls]
    return all(
        spec is not None and spec.concurrent_safe and spec.name != run.config.done_tool
        for spec in specs
    )


def _knows(run: Run, name: str) -> bool:
    return name in getattr(run.tools, "tool_names", ())


def _run_one(run: Run, call: ToolCall) -> Phase[Sequence[Ran]]:
    """Do for a single call, as most are, what ``_run_batch`` does for many."""
    result: ToolResult | None = None
    if run.listeners.gate or RAW_ARGUMENT in call.args:
        call, result = yield from before_tool(run, call, run.next_number)
    if result is None:
        (result,) = yield from _dispatch(run, (call,))
    return ((call, result),)


def _run_batch(
    run: Run, batch: Sequence[ToolCall], left: Sequence[ToolCall]
) -> Phase[tuple[Sequence[Ran], Sequence[ToolCall]]]:
    """Run calls that go together; what was run, and what the turn asks for beside."""
    calls: list[ToolCall] = []
    results: list[ToolResult | None] = []
    first = run.next_number
    for offset, asked in enumerate(batch):
        call, result = yield from before_tool(run, asked, first + offset)
        calls.append(call)
        results.append(result)
        if run.stop_reason is not None:
            break
    left = [*batch[len(calls) :], *left]
    waiting = [place for place, result in enumerate(results) if result is None]
    if waiting:
        done = yield from _dispatch(run, [calls[place] for place in waiting], waiting)
        for place, result in zip(waiting, done, strict=True):
            results[place] = result
    ran = [(call, result) for call, result in zip(calls, results) if result is not None]  # noqa: B905 - filled together
    return ran, left


def record_calls(
    run: Run,
    ran: Sequence[Ran],
    left: Sequence[ToolCall],
    entities: list[str],
) -> Turn:
    """Make steps of calls that were run, in order; ``left`` is what the turn asks for beside."""
    for offset, (call, result) in enumerate(ran):
        final = result
        if run.listeners.judge:
            final = yield from after_tool(run, call, result, run.next_number)
        run.ahead, run.left = list(ran[offset + 1 :]), left
        if left and not run.ahead and _turn_ends_here(run):
            _name_unrun(run, final, left)
        if run.result_files is not None:
            yield from _persist(run.result_files, call, final, run.next_number)
        step = record_step(run, call, final, entities)
        if run.keeper is None and not run.listeners.on_step:
            yield step
        else:
            yield from give(run, step)


def _persist(files: ResultFiles, call: ToolCall, result: ToolResult, number: int) -> Turn:
    """Put a result that is too long for prompts into a file; the result then says where it is."""
    from looplet.core.persist import note_place  # loaded by the runs that have a place for it

    long = files.wants(result)
    if long is not None:
        path = yield Save(partial(files.write, long, tool=call.tool, step=number))
        if path is not None:
            note_place(result, long, path)


def give(run: Run, step: Step) -> Turn:
    """Hand out a step, after hooks were told of it, and it was saved if the run is kept."""
    yield from _tell_step(run, step)
    if run.keeper is not None:
        yield Save(partial(run.keeper.save, run))
    yield step


def _tell_step(run: Run, step: Step) -> Phase[None]:
    for bound in run.listeners.on_step:
        yield from consult(run, bound, "on_step", run.state, run.log, step, run.briefing)


def _turn_ends_here(run: Run) -> bool:
    """Whether the step that is about to be yielded is the turn's last."""
    return run.stop_reason is not None or run.cancelled or run.state.budget_remaining <= 1


def _dispatch(
    run: Run, calls: Sequence[ToolCall], ahead: Sequence[int] = (0,)
) -> Phase[list[ToolResult]]:
    """Run calls; ``ahead`` of each is how many of the batch become steps before it."""
    contexts: list[ToolContext | None] = []
    for call, before in zip(calls, ahead, strict=True):
        contexts.append(_context_for(run, call, before))
    try:
        results: list[ToolResult] = yield RunTools(calls, contexts)
    except INTERRUPTS as interrupt:
        try:
            yield from _record_interrupted(run, calls, interrupt)
        finally:
            raise interrupt  # whatever a hook raises on being told
    if run.unfinished:
        yield from hear_progress(run)
    return results


def _record_interrupted(
    run: Run, calls: Sequence[ToolCall], interrupt: BaseException
) -> Phase[None]:
    """Keep the attempts: the run ends here, but what was tried is not lost."""
    run.stop("interrupted")
    error = ToolError(ErrorKind.CANCELLED, type(interrupt).__name__)
    for call in calls:  # which call of a batch it was is not known
        step = record_step(run, call, refused(call, error), [])
        yield from _tell_step(run, step)


def _context_for(run: Run, call: ToolCall, ahead: int) -> ToolContext:
    """What the tool may know; counts the query, unless the tool is free.

    ``ahead`` calls that are run with this one become steps before it.
    """
    spec = spec_of(run, call)
    if spec is None or not spec.free:
        run.state.queries_used += 1
    plain = spec is not None and not spec.wants_ctx
    if plain and not run.listeners.around_tool:
        return run.plain_context
    number = run.next_number + ahead
    around = _around(run, call, number) if run.listeners.around_tool else None
    if plain:
        return replace(run.plain_context, around=around)
    return _full_context(run, call, number, around)


def _full_context(run: Run, call: ToolCall, number: int, around: Around | None) -> ToolContext:
    from looplet.core.scoped import scoped  # loaded by the first tool that wants a context

    tell = tell_now(run)
    config = run.config
    metadata = {**config.tool_metadata, **getattr(run.state, "metadata", {})}
    return ToolContext(
        cancel_token=config.cancel_token,
        on_progress=lambda stage, data: tell(number, call, stage, data),
        metadata=metadata,
        llm=scoped(backend_for(run, "tool"), f"tool:{call.tool}", caller=str(number)),
        request_approval=config.approval_handler,
        around=around,
    )


def _around(run: Run, call: ToolCall, number: int) -> Around:
    from looplet.core.around import around_tool  # loaded by the first run with such a hook

    return partial(around_tool, run.listeners.around_tool, call, number)


def _schema_rejection(run: Run, call: ToolCall) -> str | None:
    if run.judge_output is None:
        return None
    return run.judge_output({key: value for key, value in call.args.items() if key != THEORY})


def _name_unrun(run: Run, result: ToolResult, left: Sequence[ToolCall]) -> None:
    """Say which calls of the turn were not run, to the caller and to the model."""
    run.named_unrun = True
    text = "not run: " + ", ".join(call.tool for call in left)
    result.warnings.append(text)
    run.pending.append(f"Of your last reply these calls were {text}")
    run.unrun.extend(left)
    run.left = ()
