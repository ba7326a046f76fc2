"""Several backends as one: by purpose, with fallback, every token counted.

Knows backends; knows no provider and no loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from looplet.backends.ledger import Counted, Ledger, Prices, PriceTable, priced_call
from looplet.backends.profile import DEFAULT_NAME, Backends, ModelProfile, profiles_of
from looplet.core.backend import Reply, is_async, only_taken, takes
from looplet.core.codec import JSON
from looplet.core.failures import describe, is_overflow, status_of
from looplet.core.lastcall import CallOutcome, LastCall, TellsLastCall
from looplet.core.messages import Method
from looplet.core.usage import count_tokens
from looplet.core.wrapping import begin_anew, lent, request_of
from looplet.errors import RunCancelled, UnknownBackend

DEFAULT_PURPOSE = "reasoning"
REQUEST_IS_WRONG = frozenset({400, 422})
"""Statuses that another backend would give as well."""


class BackendRouter(TellsLastCall, Counted):
    """A backend that asks one of several, by purpose, and counts what was used.

    ``backends`` is one backend, a mapping name → backend or ``ModelProfile``, or a sequence of
    profiles; all sync, or all async, and then the router's calls are awaited. ``routes`` maps a
    purpose to a name, or to names in order of preference; a purpose without a route, or a call
    that no backend on its route can be asked (native tools), uses ``default`` (the first backend
    if ``None``). The next name, and then those in ``fallback``,
    are asked when one fails in a way that another may not; a request that is wrong in itself
    (400, 422, too long) is not. The last error is raised, with the earlier ones as notes.
    ``prices`` maps names to USD per 1000 tokens, ``(input, output)``, or to a table of prices,
    such as ``GenAIPrices()``; a table alone is for every backend whose profile has no prices.

    Tokens are the provider's own if given, else ``ceil(chars / 4)``, and ``tokens_estimated``
    tells. Calls that failed are not counted. Threads may share a router.

    >>> from looplet.testing import MockLLMBackend
    >>> router = BackendRouter({"big": MockLLMBackend(["deep"]), "small": MockLLMBackend(["ok"])},
    ...                        routes={"repair": "small"}, prices={"big": (1.0, 1.0)})
    >>> router.generate("Why?"), router.generate("Fix it.", purpose="repair")
    ('deep', 'ok')
    >>> router.call_count, router.total_input_tokens, router.total_cost
    (2, 3, 0.002)
    """

    def __new__(cls, backends: Backends, **_keywords: Any) -> BackendRouter:  # noqa: PYI034  # or its async kind
        """A router whose calls are awaited if the backends' calls are."""
        if cls is BackendRouter and any(is_async(each.backend) for each in profiles_of(backends)):
            cls = AsyncBackendRouter  # noqa: PLW0642  # the kind of router is the kind of backend
        return super().__new__(cls)

    def __init__(
        self,
        backends: Backends,
        *,
        default: str | None = None,
        routes: Mapping[str, str | Sequence[str]] | None = None,
        fallback: Sequence[str] = (),
        prices: Mapping[str, Prices] | PriceTable | None = None,
    ) -> None:
        named = prices if isinstance(prices, Mapping) else {}
        alone = default or (next(iter(named)) if len(named) == 1 else DEFAULT_NAME)
        self._profiles = {each.name: each for each in profiles_of(backends, alone=alone)}
        self._default = default or next(iter(self._profiles))
        self._fallback = _names(fallback)
        self._routes = {purpose: _names(route) for purpose, route in (routes or {}).items()}
        self._check(named)
        table = None if isinstance(prices, Mapping) else prices
        self._ledger = Ledger({**self._own_prices(table), **named})
        self._last = LastCall()

    def __getnewargs__(self) -> tuple[Backends]:
        """What ``copy`` hands to ``__new__``."""
        return ([*self._profiles.values()],)

    def generate(self, prompt: str, *, purpose: str = DEFAULT_PURPOSE, **keywords: Any) -> Any:
        """Ask the backend for ``purpose`` for text."""
        return self._ask("generate", prompt, purpose, keywords)

    def select(self, purpose: str = DEFAULT_PURPOSE) -> SelectedBackend:
        """A backend that asks for that purpose, its calls counted here."""
        return SelectedBackend(self, purpose)

    def report(self) -> dict[str, JSON]:
        """The five figures, and the same under ``backends`` by name and ``purposes`` by purpose.

        With a table of prices also ``unpriced``: models that it does not know, and their calls.
        """
        ledger = self._ledger
        return {
            **ledger.total().to_dict(),
            **ledger.report_unpriced(),
            "backends": {name: each.to_dict() for name, each in ledger.by_backend().items()},
            "purposes": {name: each.to_dict() for name, each in ledger.by_purpose().items()},
        }

    def takes(self, method: str, keyword: str) -> bool:
        """Whether a call may carry that keyword.

        ``messages`` stands for the prompt, so every backend that may be asked must take it; any
        other keyword goes to those that take it.
        """
        if keyword == "purpose":
            return method == "generate" or hasattr(self, method)
        return self._taken_by([*self._profiles.values()], method, keyword)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # not set yet: copying and unpickling look before __init__
            raise AttributeError(name)
        value = lent(self._profiles[self._default].backend, name)
        return self._with_tools if name == "generate_with_tools" else value

    def _with_tools(self, prompt: str, *, purpose: str = DEFAULT_PURPOSE, **keywords: Any) -> Any:
        return self._ask("generate_with_tools", prompt, purpose, keywords)

    def _ask(self, method: Method, prompt: str, purpose: str, keywords: dict[str, Any]) -> Any:
        attempts = self._attempts(method, purpose)
        while True:
            profile = attempts.next()
            sent = self._sent(profile, method, purpose, keywords)
            try:
                reply: Reply = getattr(profile.backend, method)(prompt, **sent)
            except Exception as error:
                if not attempts.goes_on(profile, error):
                    raise
                begin_anew(keywords.get("on_chunk"))
            else:
                return self._count(profile, purpose, request_of(method, prompt, sent), reply)

    def _candidates(self, purpose: str) -> list[ModelProfile]:
        names = (*self._routes.get(purpose, (self._default,)), *self._fallback)
        return [self._profiles[name] for name in dict.fromkeys(names)]

    def _attempts(self, method: Method, purpose: str) -> _Attempts:
        self._last.clear()
        able = [each for each in self._candidates(purpose) if hasattr(each.backend, method)]
        return _Attempts(able or [self._profiles[self._default]])

    def _sent(
        self, profile: ModelProfile, method: Method, purpose: str, keywords: Mapping[str, Any]
    ) -> dict[str, Any]:
        return only_taken(profile.backend, method, {**keywords, "purpose": purpose})

    def _count(self, profile: ModelProfile, purpose: str, request: Any, reply: Reply) -> Reply:
        backend = profile.backend
        usage = getattr(backend, "last_usage", None)
        reason = getattr(backend, "last_stop_reason", None)
        self._last.set(CallOutcome(usage=usage, stop_reason=reason))
        tokens = count_tokens(request, reply, usage)
        self._ledger.add(profile.name, purpose, priced_call(backend, tokens, usage))
        return reply

    def _taken_by(self, profiles: Iterable[ModelProfile], method: str, keyword: str) -> bool:
        able = [each.backend for each in profiles if hasattr(each.backend, method)]
        quantifier = all if keyword == "messages" else any
        return bool(able) and quantifier(takes(backend, method, keyword) for backend in able)

    def _own_prices(self, table: PriceTable | None) -> dict[str, Prices]:
        """The profiles' own prices, and the table for those that have none."""
        prices: dict[str, Prices] = {}
        for each in self._profiles.values():
            own = (each.cost_per_1k_input, each.cost_per_1k_output)
            prices[each.name] = table if table is not None and not any(own) else own
        return prices

    def _check(self, prices: Mapping[str, Prices]) -> None:
        self._known("default", (self._default,))
        self._known("fallback", self._fallback)
        self._known("prices", prices)
        for purpose, route in self._routes.items():
            self._known(f"the route for {purpose!r}", route)

    def _known(self, place: str, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._profiles:
                near = get_close_matches(name, self._profiles, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise UnknownBackend(
                    f"{place} names {name!r}, but the router has {', '.join(self._profiles)}{hint}"
                )


class AsyncBackendRouter(BackendRouter):
    """What ``BackendRouter`` makes of async backends: the same, with calls to be awaited."""

    async def generate(
        self, prompt: str, *, purpose: str = DEFAULT_PURPOSE, **keywords: Any
    ) -> Any:
        """Ask the backend for ``purpose`` for text."""
        return await self._ask("generate", prompt, purpose, keywords)

    async def _with_tools(
        self, prompt: str, *, purpose: str = DEFAULT_PURPOSE, **keywords: Any
    ) -> Any:
        return await self._ask("generate_with_tools", prompt, purpose, keywords)

    def select(self, purpose: str = DEFAULT_PURPOSE) -> AsyncSelectedBackend:
        """A backend that asks for that purpose, its calls counted here."""
        return AsyncSelectedBackend(self, purpose)

    async def _ask(
        self, method: Method, prompt: str, purpose: str, keywords: dict[str, Any]
    ) -> Any:
        attempts = self._attempts(method, purpose)
        while True:
            profile = attempts.next()
            sent = self._sent(profile, method, purpose, keywords)
            try:
                reply: Reply = await getattr(profile.backend, method)(prompt, **sent)
            except Exception as error:
                if not attempts.goes_on(profile, error):
                    raise
                begin_anew(keywords.get("on_chunk"))
            else:
                return self._count(profile, purpose, request_of(method, prompt, sent), reply)


class SelectedBackend:
    """A router seen through one purpose; a backend whose calls the router counts.

    It has ``generate_with_tools`` exactly if the backend that it asks first has it.
    """

    def __init__(self, router: BackendRouter, purpose: str) -> None:
        self._router = router
        self._purpose = purpose

    def generate(self, prompt: str, **keywords: Any) -> Any:
        """Ask for text."""
        return self._router.generate(prompt, **{**keywords, "purpose": self._purpose})

    def takes(self, method: str, keyword: str) -> bool:
        """Whether a call may carry that keyword; the router's rule, for this purpose."""
        router = self._router
        return router._taken_by(router._candidates(self._purpose), method, keyword)  # noqa: SLF001  # a part of it

    @property
    def last_usage(self) -> Mapping[str, int] | None:
        """The provider's usage for the last call of the calling thread or task."""
        return self._router.last_usage

    @property
    def last_stop_reason(self) -> str | None:
        """Why the last reply to the calling thread or task ended."""
        return self._router.last_stop_reason

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # not set yet: copying and unpickling look before __init__
            raise AttributeError(name)
        first = self._router._candidates(self._purpose)[0]  # noqa: SLF001  # a part of it
        value = lent(first.backend, name)
        return self._with_tools if name == "generate_with_tools" else value

    def _with_tools(self, prompt: str, **keywords: Any) -> Any:
        keywords["purpose"] = self._purpose
        return self._router._with_tools(prompt, **keywords)  # noqa: SLF001  # a part of it


class AsyncSelectedBackend(SelectedBackend):
    """The same for an async router."""

    async def generate(self, prompt: str, **keywords: Any) -> Any:
        """Ask for text."""
        return await super().generate(prompt, **keywords)

    async def _with_tools(self, prompt: str, **keywords: Any) -> Any:
        return await super()._with_tools(prompt, **keywords)


class _Attempts:
    """The backends that one call may ask, and how those asked so far failed."""

    def __init__(self, profiles: Sequence[ModelProfile]) -> None:
        self._left = list(profiles)
        self._notes: list[str] = []

    def next(self) -> ModelProfile:
        """The backend to ask now; there is one as long as `goes_on` says so."""
        return self._left.pop(0)

    def goes_on(self, profile: ModelProfile, error: Exception) -> bool:
        """Whether the next backend is asked; if not, the error learns of the earlier ones."""
        if self._left and _another_may_answer(error):
            self._notes.append(f"before this, {profile.name!r} failed: {describe(error)}")
            return True
        for note in self._notes:
            error.add_note(note)
        return False


def _another_may_answer(error: Exception) -> bool:
    if isinstance(error, TypeError | RunCancelled) or is_overflow(error):
        return False
    return status_of(error) not in REQUEST_IS_WRONG


def _names(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
