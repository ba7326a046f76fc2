"""The two drivers of the engine, sync and async, side by side; ``performing`` does what it asks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Any

from looplet.core.config import LoopConfig
from looplet.core.conversation import Conversation
from looplet.core.dispatching import Turn
from looplet.core.effects import Effect
from looplet.core.engine import finish, turns
from looplet.core.failures import INTERRUPTS
from looplet.core.performing import do, do_async
from looplet.core.records import Step
from looplet.core.run import Run
from looplet.core.session import SessionLog
from looplet.core.starting import start_run


def composable_loop(
    llm: Any,
    task: Any = None,
    tools: Any = None,
    context: Any = None,
    hooks: Sequence[Any] | None = None,
    config: LoopConfig | None = None,
    state: Any = None,
    session_log: SessionLog | None = None,
    stream: Any = None,
    conversation: Conversation | None = None,
    *,
    max_steps: int | None = None,
    system_prompt: str | None = None,
) -> Generator[Step, None, Any]:
    """Run an agent, one step at a time; the caller owns the loop and may leave it at any step.

    The model proposes tool calls, the registry checks and runs them, hooks observe and steer, the
    state records, and each finished call is yielded as a ``Step``. Nothing happens before the
    first ``next()``. The stop reason is on ``state._stop_reason`` afterwards; the generator
    returns ``config.build_trace(...)`` or a dict with task, steps, llm_calls, total_time_ms and
    conversation. Raises ``TypeError`` if ``llm`` is no backend and ``ValueError`` without tools.

    >>> from looplet.core.registry import tools_from
    >>> from looplet.testing import MockLLMBackend
    >>> llm = MockLLMBackend(['{"tool": "done", "args": {"summary": "all well"}}'])
    >>> for step in composable_loop(llm=llm, tools=tools_from([], include_done=True), task="Rest"):
    ...     print(step.tool_call.tool, step.tool_result.data["summary"])
    done all well
    """
    run = start_run(
        llm,
        task=task,
        tools=tools,
        context=context,
        hooks=hooks,
        config=config,
        state=state,
        session_log=session_log,
        stream=stream,
        conversation=conversation,
        max_steps=max_steps,
        system_prompt=system_prompt,
        asynchronous=False,
    )
    engine = turns(run)
    reason = "error"
    leaving: BaseException | None = None
    try:
        effect = _resume(engine)
        while effect is not None:
            if isinstance(effect, Step):
                yield effect
                effect = _resume(engine)
            else:
                effect = _perform(run, engine, effect)
    except GeneratorExit:
        reason = "stream_closed"
        raise
    except BaseException as error:
        leaving = error
        reason = "interrupted" if isinstance(error, INTERRUPTS) else "error"
        raise
    finally:
        _drain(run, finish(run, reason, leaving))
    return _trace(run)


async def async_composable_loop(
    llm: Any,
    task: Any = None,
    tools: Any = None,
    context: Any = None,
    hooks: Sequence[Any] | None = None,
    config: LoopConfig | None = None,
    state: Any = None,
    session_log: SessionLog | None = None,
    stream: Any = None,
    conversation: Conversation | None = None,
    *,
    max_steps: int | None = None,
    system_prompt: str | None = None,
) -> AsyncGenerator[Step, None]:
    """Do the same inside an event loop, with sync or async backends, tools and hooks.

    The steps, their order and every guarantee are those of ``composable_loop``. Hooks may be
    ``async def`` in every slot. Plain tools and plain backends run in threads, so that the event
    loop is never held up. Cancelling the task finalises with ``cancelled``; ``aclose()`` finalises
    with ``stream_closed``.
    """
    import asyncio

    run = start_run(
        llm,
        task=task,
        tools=tools,
        context=context,
        hooks=hooks,
        config=config,
        state=state,
        session_log=session_log,
        stream=stream,
        conversation=conversation,
        max_steps=max_steps,
        system_prompt=system_prompt,
        asynchronous=True,
    )
    engine = turns(run)
    reason = "error"
    leaving: BaseException | None = None
    try:
        effect = _resume(engine)
        while effect is not None:
            if isinstance(effect, Step):
                yield effect
                effect = _resume(engine)
            else:
                effect = await _perform_async(run, engine, effect)
    except GeneratorExit:
        reason = "stream_closed"
        raise
    except asyncio.CancelledError as error:
        reason, leaving = "cancelled", error
        raise
    except BaseException as error:
        leaving = error
        reason = "interrupted" if isinstance(error, INTERRUPTS) else "error"
        raise
    finally:
        await _drain_async(run, finish(run, reason, leaving))


def _resume(engine: Turn, answer: Any = None) -> Effect | None:
    """Send an answer in; the next effect, or ``None`` at the end."""
    try:
        return engine.send(answer)
    except StopIteration:
        return None


def _throw(engine: Turn, error: BaseException) -> Effect | None:
    try:
        return engine.throw(error)
    except StopIteration:
        return None


def _perform(run: Run, engine: Turn, effect: Effect) -> Effect | None:
    """Do what the engine asks for and send it the answer, or throw in the failure."""
    try:
        answer = do(run, effect)
    except BaseException as error:  # noqa: BLE001 - the engine decides
        return _throw(engine, error)
    try:
        return engine.send(answer)
    except StopIteration:
        return None


async def _perform_async(run: Run, engine: Turn, effect: Effect) -> Effect | None:
    try:
        answer = await do_async(run, effect)
    except BaseException as error:  # noqa: BLE001 - the engine decides
        return _throw(engine, error)
    return _resume(engine, answer)


def _drain(run: Run, ending: Turn) -> None:
    """Perform the end of a run; nothing is yielded to the caller any more."""
    effect = _resume(ending)
    while effect is not None:
        effect = _perform(run, ending, effect)


async def _drain_async(run: Run, ending: Turn) -> None:
    effect = _resume(ending)
    while effect is not None:
        effect = await _perform_async(run, ending, effect)


def _trace(run: Run) -> Any:
    elapsed = (run.config.runtime.perf() - run.started) * 1000
    if run.config.build_trace is not None:
        return run.config.build_trace(
            task=run.task,
            state=run.state,
            session_log=run.log,
            done=run.stop_reason == "done",
            llm=run.llm,
            llm_calls=run.llm_calls,
            elapsed_ms=elapsed,
        )
    run.let_go()  # the dicts below stand beside all that the run keeps
    return {
        "task": run.task,
        "steps": [step.to_dict() for step in run.state.steps],
        "llm_calls": run.llm_calls,
        "total_time_ms": elapsed,
        "conversation": run.conversation,
    }
