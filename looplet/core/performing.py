"""What the engine asks for, done: sync and async, side by side. Holds no policy."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from looplet.core.backend import is_async
from looplet.core.effects import AskModel, Await, Compact, Effect, ModelReply, Pause, RunTools, Save
from looplet.core.failures import INTERRUPTS
from looplet.core.judging import spec_of
from looplet.core.records import ToolCall, ToolResult
from looplet.core.run import Run
from looplet.core.tools import ToolContext

Given = TypeVar("Given")


def do(run: Run, effect: Effect) -> Any:
    """Do what an effect asks for and return its answer; raises what came in between.

    Raises ``TypeError`` for what can only be awaited.
    """
    if isinstance(effect, AskModel):
        answer = _call_backend(effect)
        if not hasattr(answer.reply, "__await__"):
            return answer
        effect = Await(answer.reply, f"{type(effect.backend).__name__}.{effect.method}")
    if isinstance(effect, RunTools):
        return _run_tools(run, effect)
    if isinstance(effect, Pause):
        return _pause(run, effect.seconds)
    if isinstance(effect, Save):
        return effect.write()
    if isinstance(effect, Compact):
        outcome = effect.service.compact(**effect.keywords)
        if not inspect.isawaitable(outcome):
            return outcome
        effect = Await(outcome, f"{type(effect.service).__name__}.compact")
    if isinstance(effect, Await) and inspect.iscoroutine(effect.awaitable):
        effect.awaitable.close()
    where = effect.where if isinstance(effect, Await) else "the engine"
    raise TypeError(f"{where} returned an awaitable under the sync loop; use async_composable_loop")


async def do_async(run: Run, effect: Effect) -> Any:
    """Do the same inside an event loop, which nothing plain holds up."""
    if isinstance(effect, AskModel) and is_async(effect.backend):
        backend = effect.backend
        reply = await getattr(backend, effect.method)(effect.prompt, **effect.keywords)
        return _reply(backend, reply)
    if isinstance(effect, RunTools):
        dispatch = getattr(run.tools, "adispatch", None)
        if dispatch is not None and len(effect.calls) == 1:
            ctx = _for_thread(run, effect.calls[0], effect.contexts[0])
            return [await dispatch(effect.calls[0], ctx=ctx)]
        return await _run_tools_async(run, effect)
    return await _wait_async(run, effect)


async def _wait_async(run: Run, effect: Effect) -> Any:
    if isinstance(effect, AskModel):
        answer = await _call_in_thread(effect)
        if not hasattr(answer.reply, "__await__"):
            return answer
        return _reply(effect.backend, await answer.reply)
    if isinstance(effect, Pause):
        return await _pause_async(run, effect.seconds)
    if isinstance(effect, Save):
        return await _in_thread(effect.write)
    if isinstance(effect, Compact):
        return await _compact_async(effect)
    assert isinstance(effect, Await)
    return await effect.awaitable


async def _in_thread(work: Callable[..., Given], *args: Any, **keywords: Any) -> Given:
    """Do in a thread what may take its time."""
    import asyncio

    return await asyncio.to_thread(_hand_on, work, *args, **keywords)


def _hand_on(work: Callable[..., Given], *args: Any, **keywords: Any) -> Given:
    """Do work whose ``StopIteration``, which a future cannot hold, would never be heard of."""
    try:
        return work(*args, **keywords)
    except StopIteration as error:
        raise RuntimeError("work in a thread raised StopIteration") from error


def _call_backend(effect: AskModel) -> ModelReply:
    backend = effect.backend
    try:
        reply = getattr(backend, effect.method)(effect.prompt, **effect.keywords)
    except StopIteration as error:  # which means something else to whoever hands it on
        name = f"{type(backend).__name__}.{effect.method}"
        raise RuntimeError(f"{name} raised StopIteration") from error
    return _reply(backend, reply)


async def _call_in_thread(effect: AskModel) -> ModelReply:
    """Ask a plain backend without holding up the event loop, where pieces are told all the same."""
    tell = effect.keywords.get("on_chunk")
    if tell is None:
        return await _in_thread(_call_backend, effect)
    import asyncio

    from looplet.core.pieces import Relay

    relay = Relay(tell, asyncio.get_running_loop())
    relayed = replace(effect, keywords={**effect.keywords, "on_chunk": relay})
    try:
        return await _in_thread(_call_backend, relayed)
    finally:
        relay.over = True


def _reply(backend: Any, reply: Any) -> ModelReply:
    """Take usage and stop reason where the call was made: they belong to that thread or task."""
    usage = getattr(backend, "last_usage", None)
    return ModelReply(reply, usage, getattr(backend, "last_stop_reason", None))


def _run_tools(run: Run, effect: RunTools) -> list[ToolResult]:
    if len(effect.calls) == 1:
        return [run.tools.dispatch(effect.calls[0], ctx=effect.contexts[0])]
    return list(run.tools.dispatch_batch(effect.calls, ctx=effect.contexts))


async def _run_tools_async(run: Run, effect: RunTools) -> list[ToolResult]:
    import asyncio

    dispatch = getattr(run.tools, "adispatch", None)
    if dispatch is None:
        return await _in_thread(_run_tools, run, effect)
    tasks = [
        asyncio.ensure_future(_keeping(dispatch(call, ctx=_for_thread(run, call, ctx))))
        for call, ctx in zip(effect.calls, effect.contexts, strict=True)
    ]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException as error:  # no tool goes on behind a run that ends
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(error, _Interrupted):
            raise error.interrupt from None
        raise


class _Interrupted(BaseException):
    """Carries a tool's interrupt out of a task, whose own would end the event loop with it."""

    def __init__(self, interrupt: BaseException) -> None:
        super().__init__()
        self.interrupt = interrupt


async def _keeping(work: Awaitable[ToolResult]) -> ToolResult:
    try:
        return await work
    except INTERRUPTS as interrupt:
        raise _Interrupted(interrupt) from None


def _for_thread(run: Run, call: ToolCall, ctx: ToolContext | None) -> ToolContext | None:
    """A plain tool runs in a thread, where it can wait for a reply of an async backend."""
    if ctx is None or ctx.llm is None or not is_async(ctx.llm):
        return ctx
    spec = spec_of(run, call)
    if spec is None or spec.is_async:
        return ctx
    import asyncio

    from looplet.core.scoped import bridged

    return replace(ctx, llm=bridged(ctx.llm, asyncio.get_running_loop()))


async def _compact_async(effect: Compact) -> Any:
    """Run a service in a thread; an async backend is asked on this loop, for plain services."""
    import asyncio

    from looplet.core.scoped import bridged

    loop, llm = asyncio.get_running_loop(), effect.keywords["llm"]
    keywords = dict(effect.keywords)
    if is_async(llm):
        keywords["llm"] = bridged(llm, loop)
    outcome = await _in_thread(effect.service.compact, **keywords)
    return await outcome if inspect.isawaitable(outcome) else outcome


def _pause(run: Run, seconds: float) -> None:
    token = run.config.cancel_token
    if token is not None and run.config.runtime.sleep is time.sleep:
        token.wait(seconds)
    else:
        run.config.runtime.sleep(seconds)


async def _pause_async(run: Run, seconds: float) -> None:
    import asyncio

    sleep = run.config.runtime.sleep
    if sleep is not time.sleep:
        waited = sleep(seconds)
        if inspect.isawaitable(waited):
            await waited
        return
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    # A cancel token is set from any thread, so it is looked at rather than waited for.
    while not run.cancelled and (left := end - loop.time()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(min(left, 0.1) if run.config.cancel_token else left)
