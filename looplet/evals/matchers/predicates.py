"""What stands for a value without being it: anything, a type, a pattern, a test of one's own.

Knows values; knows no call.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Final, TypeAlias

from looplet.errors import EvalError, NotEvaluable

Predicate: TypeAlias = Callable[..., object]
"""Says by its truth whether a value fits."""


class _Any:
    """Any value at all."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ANY"


ANY: Final[Any] = _Any()
"""In place of an argument's value: it must be given, whatever it is."""


def is_test(expected: object) -> bool:
    """Whether something stands for values rather than being one.

    That is `ANY`, a class (an instance is wanted), a compiled pattern (the whole text must match)
    and any other callable (it must say yes).
    """
    return expected is ANY or isinstance(expected, re.Pattern) or callable(expected)


def passes(expected: Any, got: object, *, about: str) -> bool:
    """Whether a value fits what stands for it; ``about`` names the value in errors.

    A bool is no ``int``. Raises ``EvalError`` if a predicate fails or says nothing.

    >>> passes(int, 3, about="n"), passes(int, True, about="n")
    (True, False)
    >>> passes(re.compile("p.*"), "pear", about="fruit"), passes(len, "", about="fruit")
    (True, False)
    """
    if expected is ANY:
        return True
    if isinstance(expected, re.Pattern):
        return _matches(expected, got)
    if isinstance(expected, type):
        as_int = isinstance(got, bool) and expected is not bool and issubclass(expected, int)
        return isinstance(got, expected) and not as_int
    return says_yes(expected, got, about=about)


def says_yes(predicate: Predicate, *values: object, about: str) -> bool:
    """Ask a predicate. Raises ``EvalError`` if it raises, or answers with nothing."""
    try:
        answer = predicate(*values)
    except NotEvaluable:
        raise
    except Exception as error:
        raise EvalError(
            f"{name_of(predicate)} cannot judge {about}: {type(error).__name__}: {error}"
        ) from error
    if answer is None:
        raise EvalError(f"{name_of(predicate)} says nothing (None) of {about}; return a bool")
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise EvalError(f"{name_of(predicate)} is async; write it as a plain function")
    return bool(answer)


def name_of(predicate: Predicate) -> str:
    """What a message calls a predicate; a lambda goes by the place where it stands."""
    name: str = getattr(predicate, "__qualname__", None) or type(predicate).__qualname__
    code = getattr(predicate, "__code__", None)
    if code is None or "<lambda>" not in name:
        return name.rpartition("<locals>.")[2]
    return f"the lambda at {PurePath(code.co_filename).name}:{code.co_firstlineno}"


def _matches(pattern: re.Pattern[Any], got: object) -> bool:
    kind = type(pattern.pattern)  # a pattern of bytes fits bytes
    return isinstance(got, kind) and pattern.fullmatch(got) is not None
