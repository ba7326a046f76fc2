"""A backend that says for whom it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from looplet.core.backend import Reply, is_async
from looplet.core.messages import Method
from looplet.core.wrapping import AsyncWrapper, SyncWrapper


class _Scoped(SyncWrapper):
    def __init__(self, inner: Any, labels: dict[str, str]) -> None:
        super().__init__(inner)
        self._labels = labels

    def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        return super().around(method, prompt, {**self._labels, **keywords})


class _AsyncScoped(AsyncWrapper):
    def __init__(self, inner: Any, labels: dict[str, str]) -> None:
        super().__init__(inner)
        self._labels = labels

    async def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        return await super().around(method, prompt, {**self._labels, **keywords})


def scoped(backend: Any, scope: str, *, purpose: str = "tool") -> Any:
    """The same backend, whose calls carry ``scope`` and ``purpose`` where it takes them."""
    labels = {"scope": scope, "purpose": purpose}
    return _AsyncScoped(backend, labels) if is_async(backend) else _Scoped(backend, labels)


class _Bridged(SyncWrapper):
    """An async backend for plain code in a thread: each call runs on the event loop."""

    def __init__(self, inner: Any, loop: Any) -> None:
        super().__init__(inner)
        self._loop = loop

    def forward(self, method: str, prompt: str, keywords: Mapping[str, Any]) -> Any:
        import asyncio

        call = getattr(self.inner, method)(prompt, **self._forwarded(method, keywords))
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()


def bridged(backend: Any, loop: Any) -> Any:
    """The same backend for code that runs in another thread and cannot wait."""
    return _Bridged(backend, loop)
