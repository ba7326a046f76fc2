"""Which functions are evals. Knows functions and their attributes; knows no pytest."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from types import FunctionType
from typing import Any, TypeVar

from looplet.errors import EvalError

Function = TypeVar("Function", bound=Callable[..., Any])

ATTRIBUTE = "__looplet_eval__"
PREFIX = "eval_"
RESERVED = frozenset(
    {"filterwarnings", "parametrize", "skip", "skipif", "usefixtures", "xdist_group", "xfail"}
)
"""Marks that already mean something to pytest."""
NEEDABLE = (
    *("artifacts", "expected", "final_output", "metadata", "session_log_text"),
    *("steps", "stop_reason", "task", "trajectory"),
)
"""What ``needs`` may name: fields of the context that a run can lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalMark:
    """What ``eval_mark`` was told."""

    tags: tuple[str, ...] = ()
    threshold: float | None = None
    """The lowest pass rate at which the gate holds, 0 to 1; ``None`` leaves it to the run."""
    required: bool = False
    """Whether the gate falls if this eval is missing, or not evaluable, even once."""
    needs: tuple[str, ...] = ()
    """Fields of the context without which there is nothing to judge."""


_PLAIN = EvalMark()


def eval_mark(
    *tags: str,
    threshold: float | None = None,
    required: bool = False,
    needs: Iterable[str] = (),
) -> Callable[[Function], Function]:
    """Mark a function as an eval. It stays the same function, to be called with a context.

    ``tags`` become pytest marks. Raises ``EvalError`` on a tag that cannot be one, a threshold
    outside 0 to 1, or a need that no context has.

    >>> @eval_mark("verdict", threshold=0.9, needs=("final_output",))
    ... def eval_names_a_sum(ctx):
    ...     return "sum" in ctx.final_output
    >>> mark_of(eval_names_a_sum).tags
    ('verdict',)
    """
    for tag in tags:
        _check_tag(tag)
    if threshold is not None and not 0 <= threshold <= 1:
        raise EvalError(f"eval_mark's threshold is a pass rate from 0 to 1, not {threshold!r}")
    mark = EvalMark(tags=tags, threshold=threshold, required=required, needs=_checked_needs(needs))

    def put(function: Function) -> Function:
        function.__dict__[ATTRIBUTE] = mark
        return function

    return put


def mark_of(function: Callable[..., Any]) -> EvalMark:
    """The mark of a function; the plain one if it has none."""
    mark: EvalMark = getattr(function, "__dict__", {}).get(ATTRIBUTE, _PLAIN)
    return mark


def is_marked(function: object) -> bool:
    """Whether ``eval_mark`` was put on a function."""
    return isinstance(function, FunctionType) and ATTRIBUTE in function.__dict__


def is_eval(function: object, module_name: str, *, prefix: str = PREFIX) -> bool:
    """Whether an object is an eval of that very module: marked, or named ``eval_*``."""
    if not isinstance(function, FunctionType) or function.__module__ != module_name:
        return False
    return is_marked(function) or function.__name__.startswith(prefix)


@lru_cache(maxsize=256)  # asked again for every run
def wants_judge(function: Callable[..., Any]) -> bool:
    """Whether an eval has a parameter ``llm``."""
    return "llm" in inspect.signature(function).parameters


def check_parameters(function: Callable[..., Any]) -> None:
    """Raise ``EvalError`` unless a function can be called as ``(ctx)`` or ``(ctx, llm)``."""
    parameters = list(inspect.signature(function).parameters.values())
    name = function.__name__
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or parameters[0].kind not in (*positional, inspect.Parameter.VAR_POSITIONAL):
        raise EvalError(f"{name} takes no context. Write it as: def {name}(ctx): ...")
    for parameter in parameters[1:]:
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.name != "llm" and parameter.default is parameter.empty and not variadic:
            raise EvalError(
                f"{name} asks for {parameter.name!r}; an eval is called as (ctx) or (ctx, llm)"
            )


def _check_tag(tag: object) -> None:
    if callable(tag):
        raise EvalError(
            f"write @eval_mark() with parentheses on {getattr(tag, '__name__', 'the eval')}"
        )
    if not isinstance(tag, str) or not tag.isidentifier() or keyword.iskeyword(tag):
        raise EvalError(
            f"the tag {tag!r} cannot be a pytest mark. Use letters, digits and underscores, "
            "so that `pytest -m` can select it."
        )
    if tag in RESERVED:
        raise EvalError(f"the tag {tag!r} is pytest's own mark. Choose another word.")


def _checked_needs(needs: Iterable[str]) -> tuple[str, ...]:
    names = (needs,) if isinstance(needs, str) else tuple(needs)
    for name in names:
        if name not in NEEDABLE:
            raise EvalError(
                f"no context has {name!r}. eval_mark's needs may name: {', '.join(NEEDABLE)}"
            )
    return names
