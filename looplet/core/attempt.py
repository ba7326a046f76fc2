"""One tool call that passed its checks: how it is run, timed, given up. Knows no registry."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from looplet.core.failures import tool_error
from looplet.core.records import ToolCall, ToolError, ToolResult, summarize_args
from looplet.core.tools import ToolContext, ToolSpec

if TYPE_CHECKING:
    from types import TracebackType

    from looplet.core.cancel import CancelToken


THREAD = "looplet-tool"
"""The name of the threads that tools run in."""


class Attempt:
    """One call that passed its checks: run inside ``with``, then read ``result``.

    This is the one place where a tool's exception becomes an error of its result. What is not an
    ``Exception`` (an interrupt, a divergence) passes.
    """

    __slots__ = (
        "_around", "_heard", "call", "error", "kwargs", "spec", "started", "token", "value",
        "warnings",
    )  # fmt: skip

    def __init__(
        self, call: ToolCall, kwargs: dict[str, Any], spec: ToolSpec, ctx: ToolContext | None
    ) -> None:
        self.call, self.spec, self.kwargs = call, spec, kwargs
        self.token: CancelToken | None = None
        self.warnings: list[str] = []
        self._heard = ctx.warnings if ctx is not None else []
        make = ctx.around if ctx is not None else None
        self._around = make() if make is not None else None
        self.value: Any = None
        self.error: ToolError | None = None
        if spec.wants_ctx:
            self.kwargs["ctx"] = self._own_context(ctx)

    def __enter__(self) -> Self:
        if self._around is not None:
            self._around.__enter__()
        self.started = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if self._around is not None:
            self._around.__exit__(kind, error, trace)  # it hears of the error and hides none
        if isinstance(error, Exception):
            self.fail(error)
            return True
        if error is not None:  # cancelled: a plain function may still be in its thread
            self.give_up()
        return False

    def fail(self, error: Exception) -> None:
        """Keep what the tool raised, as the result's error."""
        self.error = tool_error(error)

    def start(self) -> Any:
        """Call the function; what it returns may have to be awaited."""
        return self.spec.execute(**self.kwargs)

    def give_up(self) -> None:
        """Set the call's own cancel token: nobody waits for it any more."""
        if self.token is not None:
            self.token.cancel()

    def result(self) -> ToolResult:
        """The outcome as a record; the caller's context hears the warnings too."""
        if self.warnings:
            self._heard.extend(self.warnings)
        return ToolResult(
            self.call.tool,
            summarize_args(self.call.args),
            self.value if self.error is None else None,
            error=self.error.message if self.error else None,
            error_detail=self.error,
            duration_ms=(time.perf_counter() - self.started) * 1000,
            call_id=self.call.call_id,
            warnings=list(self.warnings),
        )

    def _own_context(self, ctx: ToolContext | None) -> ToolContext:
        given = ctx if ctx is not None else ToolContext()
        from looplet.core.cancel import CancelToken  # threads are loaded when a tool needs them

        self.token = CancelToken(parent=given.cancel_token)
        # Calls that share a context do not share the warnings; what is around this call is not
        # around calls that the tool itself makes with its context.
        return replace(given, cancel_token=self.token, warnings=self.warnings, around=None)


def run(attempt: Attempt) -> Any:
    """Run an attempt to its end, or until its time is over."""
    seconds = attempt.spec.timeout_s
    if seconds is None:
        value = attempt.spec.execute(**attempt.kwargs)
        return value if type(value) in _VALUES else _complete_if_awaitable(attempt, value)
    from looplet.core.threads import in_thread  # loaded when a tool needs a thread

    outcome = in_thread(lambda: _run_whole(attempt), name=THREAD)
    if not outcome.finished.wait(seconds):
        attempt.give_up()
        outcome.given_up = _too_slow(attempt)
        raise outcome.given_up
    return outcome.take()


async def run_async(attempt: Attempt) -> Any:
    """Do the same without holding up the running event loop."""
    import asyncio

    if attempt.spec.is_async:
        if attempt.spec.timeout_s is None:
            return await attempt.start()
        return await _wait_for(attempt, attempt.start())
    work = attempt.start if attempt.spec.timeout_s is None else lambda: run(attempt)
    value = await asyncio.to_thread(_without_stop_iteration, attempt, work)
    return await value if inspect.isawaitable(value) else value


_VALUES = frozenset({dict, str, list, int, float, bool, type(None)})
"""Types of what most tools return, which is found out faster than that it cannot be awaited."""


def _run_whole(attempt: Attempt) -> Any:
    return _complete_if_awaitable(attempt, attempt.start())


def _complete_if_awaitable(attempt: Attempt, value: Any) -> Any:
    return _complete(attempt, value) if inspect.isawaitable(value) else value


def _complete(attempt: Attempt, awaitable: Any) -> Any:
    """Run an awaitable to its end on an event loop of its own."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_wait_for(attempt, awaitable))
    from looplet.core.threads import in_thread  # loaded when a tool needs a thread

    outcome = in_thread(lambda: asyncio.run(_wait_for(attempt, awaitable)), name=THREAD)
    outcome.finished.wait()
    return outcome.take()


async def _wait_for(attempt: Attempt, awaitable: Any) -> Any:
    """Wait for an awaitable, which is cancelled when its time is over."""
    import asyncio

    try:
        async with asyncio.timeout(attempt.spec.timeout_s) as limit:
            return await awaitable
    except TimeoutError:
        if not limit.expired():
            raise
        attempt.give_up()
        raise _too_slow(attempt) from None


def _without_stop_iteration(attempt: Attempt, work: Callable[[], Any]) -> Any:
    """Do work in a thread; a ``StopIteration``, which a future cannot hold, is kept at once."""
    try:
        return work()
    except StopIteration as error:
        attempt.fail(error)
        return None


def _too_slow(attempt: Attempt) -> TimeoutError:
    return TimeoutError(f"{attempt.spec.name} did not finish within {attempt.spec.timeout_s:g} s")
