"""Small routers, and a backend over any router. Knows backends; knows no provider and no loop.

A router is anything with ``select(purpose=...)`` that gives a backend, as ``LoopConfig.router``
takes it. ``BackendRouter`` does all of this at once; these are its parts under their own names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from looplet.backends.profile import Backends, ModelProfile, profiles_of
from looplet.backends.router import DEFAULT_PURPOSE, BackendRouter
from looplet.core.backend import Reply, is_async, only_taken, takes
from looplet.core.codec import JSON
from looplet.core.lastcall import CallOutcome, LastCall, TellsLastCall
from looplet.core.messages import Method
from looplet.core.records import is_dunder
from looplet.core.wrapping import lent

PURPOSES = (DEFAULT_PURPOSE, "repair", "compaction", "tool")
"""What the loop asks for."""


class _Counted:
    """A router that chooses by one rule, on top of a ``BackendRouter`` that counts."""

    _router: BackendRouter

    def select(self, purpose: str = DEFAULT_PURPOSE) -> Any:
        """The backend for that purpose, its calls counted here."""
        return self._router.select(purpose)

    def report(self) -> dict[str, JSON]:
        """What the calls took, by backend and by purpose; see ``BackendRouter.report``."""
        return self._router.report()


class SimpleRouter(_Counted):
    """A router that takes the first profile with the purpose among its ``strengths``.

    ``default_profile`` names the profile for every other purpose.

    >>> from looplet.testing import MockLLMBackend
    >>> small = ModelProfile("small", MockLLMBackend(["quick"]), strengths=["repair"])
    >>> router = SimpleRouter([ModelProfile("big", MockLLMBackend(["deep"])), small],
    ...                       default_profile="big")
    >>> router.select("repair").generate("Fix it."), router.select("odd").generate("Why?")
    ('quick', 'deep')
    """

    def __init__(self, profiles: Backends, *, default_profile: str) -> None:
        routes: dict[str, str] = {}
        for profile in profiles_of(profiles):
            for purpose in profile.strengths:
                routes.setdefault(purpose, profile.name)
        self._router = BackendRouter(profiles, default=default_profile, routes=routes)


class FallbackRouter(_Counted):
    """A router whose backend asks ``primary``, and ``fallback`` when that fails.

    Both are backends or profiles, sync or async alike. The rule of when the second is asked is
    ``BackendRouter``'s: not for a request that is wrong in itself.

    >>> from looplet.testing import MockLLMBackend
    >>> router = FallbackRouter(primary=MockLLMBackend([ConnectionError("down")]),
    ...                         fallback=MockLLMBackend(["here"]))
    >>> router.select().generate("hi")
    'here'
    """

    def __init__(self, *, primary: Any, fallback: Any) -> None:
        first, second = _profile("primary", primary), _profile("fallback", fallback)
        self._router = BackendRouter([first, second], default=first.name, fallback=(second.name,))


class RoutingLLMBackend(TellsLastCall):
    """A backend that hands each call to the one that ``router`` selects for its purpose.

    A call without ``purpose=`` is for ``default_purpose``, and so is one that the backend for its
    purpose cannot be asked (native tools). It has ``generate_with_tools``, and
    every other attribute, exactly if the backend for that purpose has it; around async backends
    its calls are awaited.
    """

    def __new__(cls, router: Any, default_purpose: str = DEFAULT_PURPOSE) -> RoutingLLMBackend:  # noqa: PYI034  # or its async kind
        """A backend whose calls are awaited if the selected backend's calls are."""
        if cls is RoutingLLMBackend and is_async(router.select(purpose=default_purpose)):
            cls = AsyncRoutingLLMBackend  # noqa: PLW0642  # the kind of backend is the kind selected
        return super().__new__(cls)

    def __init__(self, router: Any, default_purpose: str = DEFAULT_PURPOSE) -> None:
        self.router = router
        self.default_purpose = default_purpose
        self._last = LastCall()

    def __getnewargs__(self) -> tuple[Any, str]:
        """What ``copy`` hands to ``__new__``."""
        return self.router, self.default_purpose

    def generate(self, prompt: str, *, purpose: str | None = None, **keywords: Any) -> Any:
        """Ask the backend for ``purpose`` for text."""
        return self._ask("generate", prompt, purpose, keywords)

    def takes(self, method: str, keyword: str) -> bool:
        """Whether a call may carry that keyword.

        ``messages`` stands for the prompt, so every backend that the loop may be given, and that
        can be asked by that method, must take it.
        """
        if keyword == "purpose":
            return hasattr(self, method)
        if keyword != "messages":
            return takes(self._select(None), method, keyword)
        purposes: Iterable[str] = {self.default_purpose, *PURPOSES}
        able = [each for each in map(self._select, purposes) if hasattr(each, method)]
        return bool(able) and all(takes(each, method, keyword) for each in able)

    def __getattr__(self, name: str) -> Any:
        if name in {"router", "_last"} or is_dunder(name):  # not set yet, or not ours to lend
            raise AttributeError(name)
        value = lent(self._select(None), name)
        return self._with_tools if name == "generate_with_tools" else value

    def _with_tools(self, prompt: str, *, purpose: str | None = None, **keywords: Any) -> Any:
        return self._ask("generate_with_tools", prompt, purpose, keywords)

    def _select(self, purpose: str | None) -> Any:
        return self.router.select(purpose=purpose or self.default_purpose)

    def _ask(
        self, method: Method, prompt: str, purpose: str | None, keywords: dict[str, Any]
    ) -> Any:
        backend, sent = self._chosen(method, purpose, keywords)
        return self._told(backend, getattr(backend, method)(prompt, **sent))

    def _chosen(
        self, method: Method, purpose: str | None, keywords: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        self._last.clear()
        backend = self._select(purpose)
        if not hasattr(backend, method):
            backend = self._select(None)
        wanted = {**keywords, "purpose": purpose or self.default_purpose}
        return backend, only_taken(backend, method, wanted)

    def _told(self, backend: Any, reply: Reply) -> Reply:
        usage = getattr(backend, "last_usage", None)
        reason = getattr(backend, "last_stop_reason", None)
        self._last.set(CallOutcome(usage=usage, stop_reason=reason))
        return reply


class AsyncRoutingLLMBackend(RoutingLLMBackend):
    """What ``RoutingLLMBackend`` makes of a router of async backends."""

    async def generate(self, prompt: str, *, purpose: str | None = None, **keywords: Any) -> Any:
        """Ask the backend for ``purpose`` for text."""
        return await self._ask("generate", prompt, purpose, keywords)

    async def _with_tools(self, prompt: str, *, purpose: str | None = None, **keywords: Any) -> Any:
        return await self._ask("generate_with_tools", prompt, purpose, keywords)

    async def _ask(
        self, method: Method, prompt: str, purpose: str | None, keywords: dict[str, Any]
    ) -> Any:
        backend, sent = self._chosen(method, purpose, keywords)
        return self._told(backend, await getattr(backend, method)(prompt, **sent))


def _profile(name: str, given: Any) -> ModelProfile:
    return given if isinstance(given, ModelProfile) else ModelProfile(name, given)
