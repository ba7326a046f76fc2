"""A backend that says for whom it is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from looplet.core.backend import Reply, is_async
from looplet.core.lastcall import CallOutcome, LastCall, TellsLastCall
from looplet.core.messages import Method
from looplet.core.wrapping import AsyncWrapper, SyncWrapper, Wrapper

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class _Scoped(SyncWrapper):
    def __init__(self, inner: Any, labels: dict[str, str]) -> None:
        super().__init__(inner)
        self._labels = labels

    def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        return super().around(method, prompt, _within(self._labels, keywords))


class _AsyncScoped(AsyncWrapper):
    def __init__(self, inner: Any, labels: dict[str, str]) -> None:
        super().__init__(inner)
        self._labels = labels

    async def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        return await super().around(method, prompt, _within(self._labels, keywords))


def scoped(backend: Any, scope: str, *, purpose: str = "tool", caller: str | None = None) -> Any:
    """The same backend, whose calls carry these labels where it takes them.

    ``scope`` and ``caller`` of a call within another are paths: a tool of a sub-agent that a tool
    runs asks with ``tool:delegate/tool:search`` and ``3/1``.
    """
    labels = {"scope": scope, "purpose": purpose}
    if caller is not None:
        labels["caller"] = caller
    return _AsyncScoped(backend, labels) if is_async(backend) else _Scoped(backend, labels)


def is_scoped(backend: object) -> bool:
    """Whether a backend is what ``scoped`` gives, whatever is around that.

    >>> is_scoped(scoped("a backend", "tool:search")), is_scoped("a backend")
    (True, False)
    """
    while isinstance(backend, Wrapper):
        if isinstance(backend, _Scoped | _AsyncScoped):
            return True
        backend = backend.inner
    return False


def _within(labels: Mapping[str, str], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a call, with the path of who asks in front of what they say themselves."""
    joined = {**labels, **keywords}
    for name in ("scope", "caller"):
        outer, inner = labels.get(name), keywords.get(name)
        if outer and inner and inner != outer:
            joined[name] = f"{outer}/{inner}"
    return joined


class _Bridged(TellsLastCall, SyncWrapper):
    """An async backend for plain code in a thread: each call runs on the event loop.

    On the loop's own thread, which must not be held up, a call gives its coroutine instead.
    """

    def __init__(self, inner: Any, loop: AbstractEventLoop) -> None:
        super().__init__(inner)
        self._loop = loop
        self._last = LastCall()

    def forward(self, method: str, prompt: str, keywords: Mapping[str, Any]) -> Any:
        import asyncio

        call = getattr(self.inner, method)(prompt, **self._forwarded(method, keywords))
        if asyncio._get_running_loop() is self._loop:  # noqa: SLF001 - its public kin raises
            return call
        asked = asyncio.run_coroutine_threadsafe(_with_outcome(call, self.inner), self._loop)
        reply, outcome = asked.result()
        self._last.set(outcome)
        return reply


async def _with_outcome(call: Awaitable[Reply], backend: Any) -> tuple[Reply, CallOutcome]:
    """The reply, and what belongs to the task that asked."""
    reply = await call
    usage = getattr(backend, "last_usage", None)
    stop_reason = getattr(backend, "last_stop_reason", None)
    return reply, CallOutcome(usage=usage, stop_reason=stop_reason)


def bridged(backend: Any, loop: AbstractEventLoop) -> Any:
    """The same backend for code that runs in another thread and cannot wait."""
    return _Bridged(backend, loop)
