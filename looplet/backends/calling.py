"""A backend's call made in another thread as if it were made here. Knows no provider.

What a backend tells of its last call it keeps in context variables, for the calling thread or
task alone; so the variables that the other thread set are taken over when it is done.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from looplet.core.backend import is_async, only_taken
from looplet.core.messages import Method
from looplet.core.threads import in_thread
from looplet.errors import BackendTimeout


async def async_llm_call(
    llm: Any, prompt: str, *, method: Method = "generate", **keywords: Any
) -> Any:
    """Ask any backend from async code: an async one is awaited, a sync one runs in a thread.

    Keywords that the backend does not take are left out. ``llm.last_usage`` then tells of this
    call, whichever kind it is.

    >>> import asyncio
    >>> from looplet.testing import MockLLMBackend
    >>> asyncio.run(async_llm_call(MockLLMBackend(["hello"]), "hi", temperature=0.0))
    'hello'
    """
    taken = only_taken(llm, method, keywords)
    if is_async(llm):
        return await getattr(llm, method)(prompt, **taken)

    import asyncio

    context = copy_context()
    work = _without_stop_iteration(lambda: getattr(llm, method)(prompt, **taken))
    try:
        return await asyncio.get_running_loop().run_in_executor(None, context.run, work)
    finally:
        take_over(context)


def call_within(seconds: float, work: Callable[[], Any]) -> Any:
    """Do ``work`` in a thread that is waited for no longer than that.

    Raises ``BackendTimeout`` then; the thread is left to itself, and does not hold up the
    interpreter's exit.
    """
    context = copy_context()
    outcome = in_thread(work, name="looplet-call", context=context)
    if not outcome.finished.wait(seconds):
        outcome.given_up = too_slow(seconds)
        raise outcome.given_up
    take_over(context)
    return outcome.take()


def too_slow(seconds: float) -> BackendTimeout:
    """The failure of a call that took longer than that."""
    return BackendTimeout(
        f"the backend did not answer within {seconds:g} s; allow more (timeout_s), or ask for less"
    )


def take_over(context: Context) -> None:
    """Set here what was set in ``context``, a copy of this one."""
    missing = object()
    for variable, value in context.items():
        if variable.get(missing) is not value:
            variable.set(value)


def _without_stop_iteration(work: Callable[[], Any]) -> Callable[[], Any]:
    """The same work; a ``StopIteration``, which a future cannot hold, is raised as another."""

    def call() -> Any:
        try:
            return work()
        except StopIteration as error:
            raise RuntimeError("the backend raised StopIteration") from error

    return call
