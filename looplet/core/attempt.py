"""One tool call that passed its checks: how it is run, timed, given up. Knows no registry."""

from __future__ import annotations

import contextvars
import inspect
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

from looplet.core.cancel import CancelToken
from looplet.core.failures import tool_error
from looplet.core.records import ToolCall, ToolError, ToolResult, summarize_args
from looplet.core.tools import ToolContext, ToolSpec, clean_args


class Attempt:
    """One call that passed its checks: run inside ``with``, then read ``result``.

    This is the one place where a tool's exception becomes an error of its result. What is not an
    ``Exception`` (an interrupt, a divergence) passes.
    """

    __slots__ = ("call", "error", "kwargs", "spec", "started", "token", "value", "warnings")

    def __init__(self, call: ToolCall, spec: ToolSpec, ctx: ToolContext | None) -> None:
        self.call, self.spec = call, spec
        self.kwargs = clean_args(call, spec)
        self.token: CancelToken | None = None
        self.warnings: list[str] = ctx.warnings if ctx is not None else []
        self.value: Any = None
        self.error: ToolError | None = None
        if spec.wants_ctx:
            self.kwargs["ctx"] = self._own_context(ctx)

    def __enter__(self) -> Self:
        self.started = time.perf_counter()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, Exception):
            self.error = tool_error(error)
            return True
        return False

    def start(self) -> Any:
        """Call the function; what it returns may have to be awaited."""
        return self.spec.execute(**self.kwargs)

    def give_up(self) -> None:
        """Set the call's own cancel token: nobody waits for it any more."""
        if self.token is not None:
            self.token.cancel()

    def result(self) -> ToolResult:
        """The outcome as a record."""
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
        given = ctx if ctx is not None else ToolContext(warnings=self.warnings)
        self.token = CancelToken(parent=given.cancel_token)
        return replace(given, cancel_token=self.token)


def run(attempt: Attempt) -> Any:
    """Run an attempt to its end, or until its time is over."""
    seconds = attempt.spec.timeout_s
    if seconds is not None:
        return _run_bounded(attempt, seconds)
    value = attempt.start()
    return _complete(value) if inspect.isawaitable(value) else value


def _complete(awaitable: Any) -> Any:
    """Run an awaitable to its end outside of any event loop."""
    import asyncio

    async def wait() -> Any:
        return await awaitable

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(wait())
    outcome = _in_thread(lambda: asyncio.run(wait()))
    outcome.finished.wait()
    return outcome.take()


def _run_bounded(attempt: Attempt, seconds: float) -> Any:
    def work() -> Any:
        value = attempt.start()
        return _complete(value) if inspect.isawaitable(value) else value

    outcome = _in_thread(work)
    if not outcome.finished.wait(seconds):
        attempt.give_up()
        raise _too_slow(attempt, seconds)
    return outcome.take()


def _too_slow(attempt: Attempt, seconds: float) -> TimeoutError:
    return TimeoutError(f"{attempt.spec.name} did not finish within {seconds:g} s")


async def run_async(attempt: Attempt) -> Any:
    """Do the same without holding up the running event loop."""
    import asyncio

    seconds = attempt.spec.timeout_s
    if seconds is not None and not inspect.iscoroutinefunction(attempt.spec.execute):
        return await asyncio.to_thread(_run_bounded, attempt, seconds)
    if not inspect.iscoroutinefunction(attempt.spec.execute):
        value = await asyncio.to_thread(attempt.start)
        return await value if inspect.isawaitable(value) else value
    try:
        async with asyncio.timeout(seconds) as limit:
            return await attempt.start()
    except TimeoutError:
        if seconds is None or not limit.expired():
            raise
        attempt.give_up()
        raise _too_slow(attempt, seconds) from None


class _Outcome:
    """What a thread of its own gave; the thread never holds up the interpreter's exit."""

    def __init__(self) -> None:
        self.finished = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None

    def take(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


def _in_thread(work: Callable[[], Any]) -> _Outcome:
    outcome = _Outcome()

    context = contextvars.copy_context()

    def body() -> None:
        try:
            outcome.value = context.run(work)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            outcome.error = error
        finally:
            outcome.finished.set()

    threading.Thread(target=body, name="looplet-tool", daemon=True).start()
    return outcome
