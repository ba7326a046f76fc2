"""A backend around a backend: the one place that forwards what a wrapper does not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from looplet.core.backend import Reply, only_taken, takes
from looplet.core.messages import Method, ModelRequest
from looplet.core.records import is_dunder
from looplet.core.sofar import SoFar

TRANSPORT = frozenset(
    {"cancel_token", "scope", "purpose", "caller", "cache_breakpoints", "on_chunk"}
)
"""Keywords that tell how or for whom a call is made; they do not change what is asked."""


def request_of(method: Method, prompt: str, keywords: Mapping[str, Any]) -> ModelRequest:
    """Say what a backend call asks, whatever keywords it came with.

    >>> request_of("generate", "hi", {"temperature": 0.5, "top_p": 1, "scope": "tool:x"}).params()
    {'temperature': 0.5, 'max_tokens': 2000, 'top_p': 1}
    """
    known = {key: value for key, value in keywords.items() if key in _FIELDS and value is not None}
    if "messages" in known and not isinstance(known["messages"], SoFar):
        known["messages"] = tuple(known["messages"])
    extra = {
        key: value
        for key, value in keywords.items()
        if key not in _FIELDS and key not in TRANSPORT and value is not None
    }
    return ModelRequest(method=method, prompt=prompt, extra=extra, **known)


_FIELDS = frozenset({"system_prompt", "messages", "tools", "max_tokens", "temperature"})


def begin_anew(tell: object) -> None:
    """Tell a listener of pieces that the call is made again, so that what it was told is void.

    A wrapper that asks again calls it before it does. ``tell`` is what was given as ``on_chunk``;
    a listener that wants to know has a method ``begin_anew()``.
    """
    anew = getattr(tell, "begin_anew", None)
    if callable(anew):
        anew()


def lent(inner: Any, name: str) -> Any:
    """An attribute of a wrapped backend, for the wrapper to have too.

    Raises ``AttributeError`` for ``stream``: what a wrapper does it does around a call, and pieces
    that are fetched from the wrapped backend itself would pass it by.
    """
    if name == "stream":
        raise AttributeError(
            "a wrapped backend has no stream(), which would pass the wrapper by; pass on_chunk= to "
            "generate or generate_with_tools, and it is told each piece"
        )
    return getattr(inner, name)


def answers_at_once(backend: object) -> bool:
    """Whether a backend's replies come from a recording, so that there is nothing to wait for.

    A backend says so by an attribute of that name, which wrappers lend.

    >>> answers_at_once("a live backend")
    False
    """
    return getattr(backend, "answers_at_once", False) is True


class Wrapper:
    """What every wrapper does, sync or async."""

    own_keywords: frozenset[str] = frozenset()
    """Keywords that the wrapper itself reads; they are forwarded where `inner` takes them too."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def takes(self, method: str, keyword: str) -> bool:
        """Whether a call of ``method`` may carry that keyword."""
        return keyword in self.own_keywords or takes(self.inner, method, keyword)

    def __getattr__(self, name: str) -> Any:
        # Copying and unpickling look before `inner` is set, and ask for dunder methods, which
        # would be the wrapped backend's and lose the wrapper.
        if name == "inner" or is_dunder(name):
            raise AttributeError(name)
        value = lent(self.inner, name)
        return self._with_tools if name == "generate_with_tools" else value

    def _forwarded(self, method: str, keywords: Mapping[str, Any]) -> dict[str, Any]:
        return only_taken(self.inner, method, keywords)


def innermost(backend: object) -> object:
    """The backend inside of all wrappers: the one that its user knows.

    >>> type(innermost(SyncWrapper(SyncWrapper("a backend")))).__name__
    'str'
    """
    while isinstance(backend, Wrapper):
        backend = backend.inner
    return backend


class SyncWrapper(Wrapper):
    """A wrapped sync backend. Subclasses put their work into ``around``.

    It has ``generate_with_tools`` exactly if the wrapped backend has it, and every attribute of
    the wrapped backend that it does not define itself.
    """

    def generate(self, prompt: str, **keywords: Any) -> Any:
        """Ask for text."""
        return self.around("generate", prompt, keywords)

    def _with_tools(self, prompt: str, **keywords: Any) -> Any:
        return self.around("generate_with_tools", prompt, keywords)

    def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Make one call; the default hands it on."""
        reply: Reply = self.forward(method, prompt, keywords)
        return reply

    def forward(self, method: Method, prompt: str, keywords: Mapping[str, Any]) -> Any:
        """Call the wrapped backend with the keywords that it takes."""
        return getattr(self.inner, method)(prompt, **self._forwarded(method, keywords))


class AsyncWrapper(Wrapper):
    """The same for an async backend; ``around`` is a coroutine function."""

    async def generate(self, prompt: str, **keywords: Any) -> Any:
        """Ask for text."""
        return await self.around("generate", prompt, keywords)

    async def _with_tools(self, prompt: str, **keywords: Any) -> Any:
        return await self.around("generate_with_tools", prompt, keywords)

    async def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Make one call; the default hands it on."""
        reply: Reply = await self.forward(method, prompt, keywords)
        return reply

    async def forward(self, method: Method, prompt: str, keywords: Mapping[str, Any]) -> Any:
        """Call the wrapped backend with the keywords that it takes."""
        return await getattr(self.inner, method)(prompt, **self._forwarded(method, keywords))
