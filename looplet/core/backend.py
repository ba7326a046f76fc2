"""What the loop needs of a model backend, and how one is wrapped. Knows no provider."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from looplet.core.codec import JSON

Block: TypeAlias = dict[str, JSON]
"""``{"type": "text", "text"}`` or ``{"type": "tool_use", "id", "name", "input"}``."""
Reply: TypeAlias = str | list[Block]
BY_NAME = frozenset({"caller"})
"""Keywords for looplet's own wrappers: a backend that takes any keyword is not sent them."""


def is_async(backend: object) -> bool:
    """Whether a backend's ``generate`` is a coroutine function."""
    function = getattr(backend, "generate", None)
    return function is not None and _is_coroutine(getattr(function, "__func__", function))


def takes(backend: object, method: str, keyword: str) -> bool:
    """Whether ``backend.<method>`` takes an argument of that name.

    A wrapper answers for what it wraps, by a method ``takes(method, keyword)`` of its own; for
    other backends the signature tells.

    >>> class Plain:
    ...     def generate(self, prompt, *, max_tokens=1): ...
    >>> takes(Plain(), "generate", "max_tokens"), takes(Plain(), "generate", "messages")
    (True, False)
    """
    own = getattr(backend, "takes", None)
    if callable(own):
        return bool(own(method, keyword))
    function = getattr(backend, method, None)
    return function is not None and _accepts(function, keyword)


def only_taken(backend: object, method: str, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords that ``backend.<method>`` takes; the rest is left out."""
    own = getattr(backend, "takes", None)
    if callable(own):
        return {key: value for key, value in keywords.items() if own(method, key)}
    function = getattr(backend, method, None)
    names = frozenset() if function is None else _names_of(function)
    if names is None:
        return {key: value for key, value in keywords.items() if key not in BY_NAME}
    return {key: value for key, value in keywords.items() if key in names}


def names_taken(backend: object, method: str) -> frozenset[str] | None:
    """Names of the arguments that ``backend.<method>`` takes, where they are always the same.

    ``None`` if it takes any, or answers by a method ``takes`` of its own.
    """
    function = getattr(backend, method, None)
    if function is None or callable(getattr(backend, "takes", None)):
        return None
    return _names_of(function)


def _accepts(function: Callable[..., Any], keyword: str) -> bool:
    names = _names_of(function)
    return keyword not in BY_NAME if names is None else keyword in names


def _names_of(function: Callable[..., Any]) -> frozenset[str] | None:
    """Names of a function's parameters, which are looked up once; a bound method is new each time.

    ``None`` if it takes any keyword.
    """
    return _keywords_of(getattr(function, "__func__", function))


@lru_cache(maxsize=1024)
def _is_coroutine(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function)


@lru_cache(maxsize=1024)
def _keywords_of(function: Callable[..., Any]) -> frozenset[str] | None:
    """Names of a function's parameters; ``None`` if it takes any keyword."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return frozenset()
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return None
    return frozenset(parameters)
