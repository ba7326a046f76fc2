"""How a call is run, timed and given up."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from looplet.core.records import ErrorKind, ToolCall
from looplet.core.registry import tools_from
from looplet.core.tools import ToolContext, tool

SHORT = 0.05


def run_sync(function, ctx=None, **args):
    return tools_from([function]).dispatch(ToolCall(function.name, args), ctx=ctx)


def run_async(function, ctx=None, **args):
    return asyncio.run(tools_from([function]).adispatch(ToolCall(function.name, args), ctx=ctx))


def run_inside(function, ctx=None, **args):
    """The plain dispatch, called where an event loop runs."""

    async def main():
        return run_sync(function, ctx, **args)

    return asyncio.run(main())


@pytest.fixture(params=[run_sync, run_async, run_inside])
def run(request):
    return request.param


def test_a_plain_tool_that_is_too_slow_is_given_up_and_told_to_stop(run):
    told = threading.Event()

    @tool(timeout_s=SHORT)
    def slow(ctx):
        if ctx.cancel_token.wait(20):
            told.set()

    result = run(slow)
    assert (result.error_kind, result.error_retriable) == (ErrorKind.TIMEOUT, True)
    assert "slow did not finish within 0.05 s" in result.error
    assert told.wait(10)


def test_the_runs_own_token_is_not_set_by_a_tool_that_was_too_slow(run):
    from looplet.core.cancel import CancelToken

    token = CancelToken()

    @tool(timeout_s=SHORT)
    def slow(ctx):
        ctx.cancel_token.wait(20)

    assert run(slow, ToolContext(cancel_token=token)).error_kind is ErrorKind.TIMEOUT
    assert not token.is_cancelled


def test_a_coroutine_tool_that_is_too_slow_is_cancelled(run):
    cancelled = threading.Event()

    @tool(timeout_s=SHORT)
    async def slow():
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    assert run(slow).error_kind is ErrorKind.TIMEOUT
    assert cancelled.wait(10)


def test_a_tool_in_time_is_not_touched(run):
    @tool(timeout_s=30)
    def quick(n: int):
        return n

    @tool(timeout_s=30)
    async def soon(n: int):
        return n

    assert (run(quick, n=1).data, run(soon, n=2).data) == (1, 2)


def test_a_tools_own_timeout_error_keeps_its_text(run):
    @tool(timeout_s=30)
    async def asks():
        raise TimeoutError("the other side is slow")

    result = run(asks)
    assert result.error == "TimeoutError: the other side is slow"


@pytest.mark.parametrize("timeout_s", [None, 30])
def test_an_exception_becomes_the_results_error(run, timeout_s):
    @tool(timeout_s=timeout_s)
    def ends():
        return next(iter([]))

    @tool(timeout_s=timeout_s)
    def breaks():
        raise RuntimeError("broke")

    assert run(ends).error == "StopIteration"
    assert run(breaks).error == "RuntimeError: broke"


def test_a_plain_function_that_returns_an_awaitable_is_waited_for(run):
    async def inner():
        return 7

    @tool
    def outer():
        return inner()

    assert run(outer).data == 7


@pytest.mark.parametrize("timeout_s", [None, 30])
def test_what_is_no_exception_escapes(timeout_s):
    class Outside(BaseException):
        pass

    @tool(timeout_s=timeout_s)
    def leaves():
        raise Outside

    for run in (run_sync, run_async, run_inside):
        with pytest.raises(Outside):
            run(leaves)


def test_a_result_has_its_duration_and_its_calls_id():
    @tool
    def nap():
        time.sleep(0.002)

    result = tools_from([nap]).dispatch(ToolCall("nap", call_id="c"))
    assert result.duration_ms > 1
    assert result.call_id == "c"


@pytest.mark.parametrize("batch", [False, True])
def test_a_tool_that_never_ends_does_not_hold_up_the_interpreters_exit(batch):
    code = f"""
import threading
from looplet.core.records import ToolCall
from looplet.core.registry import tools_from
from looplet.core.tools import tool
stuck = tool(name="stuck", timeout_s=0.05, concurrent_safe=True)(lambda: threading.Event().wait())
calls = [ToolCall("stuck")] * (3 if {batch} else 1)
print([result.error_kind.value for result in tools_from([stuck]).dispatch_batch(calls)])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == str(["timeout"] * (3 if batch else 1))


def test_a_plain_tool_of_a_cancelled_task_is_told_to_stop():
    began, told = threading.Event(), threading.Event()

    @tool
    def wait(ctx: ToolContext):
        began.set()
        if ctx.cancel_token.wait(60):
            told.set()

    async def run():
        task = asyncio.create_task(tools_from([wait]).adispatch(ToolCall("wait")))
        await asyncio.to_thread(began.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert told.is_set()
