"""Which functions are evals. Knows functions and their attributes; knows no pytest."""

from __future__ import annotations

import inspect
import keyword
import numbers
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
GIVEN = frozenset({"case", "llm"})
"""Parameters that looplet itself gives an eval: the case of the run, and the judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalMark:
    """What ``eval_mark`` was told."""

    tags: tuple[str, ...] = ()
    threshold: float | None = None
    """The lowest average at which the gate holds, 0 to 1; ``None`` leaves it to the run."""
    required: bool = False
    """Whether the gate falls if this eval is missing, or not evaluable, even once."""
    needs: tuple[str, ...] = ()
    """Fields of the context without which there is nothing to judge."""
    vectorized: bool = False
    """Whether it takes a table of many runs at once, and gives a value for each."""
    columns: tuple[str, ...] = ()
    """The columns that the table is to have; empty: those of the view, and steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """What an eval asks for beside its context, by the names of its parameters."""

    takes: frozenset[str] = frozenset()
    """Those of ``GIVEN`` that it takes."""
    needs: frozenset[str] = frozenset()
    """Those of them that have no default."""
    fixtures: tuple[str, ...] = ()
    """All others without a default, in order."""


_PLAIN = EvalMark()


def eval_mark(
    *tags: str,
    threshold: float | None = None,
    required: bool = False,
    needs: Iterable[str] = (),
    vectorized: bool = False,
    columns: Iterable[str] = (),
) -> Callable[[Function], Function]:
    """Mark a function as an eval. It stays the same function, to be called with a context.

    ``tags`` become pytest marks. ``threshold`` is the average, 0 to 1, below which the gate does
    not hold; of an eval that says yes or no that is its pass rate. A ``required`` eval must be run,
    and be evaluable on every run. A run that lacks one of ``needs`` is not evaluable. A
    ``vectorized`` eval is called once, with an Arrow table of all runs instead of a context, and
    gives a value for each row; ``columns`` names those that it needs, so that no others are read
    (one of the steps as ``steps.tool``).

    Raises ``EvalError`` on a tag that cannot be a mark, a threshold outside 0 to 1, or a need that
    no context has.

    >>> @eval_mark("verdict", threshold=0.9, needs=("final_output",))
    ... def eval_names_a_sum(ctx):
    ...     return "sum" in ctx.final_output
    >>> mark_of(eval_names_a_sum).tags
    ('verdict',)
    """
    for tag in tags:
        _check_tag(tag)
    _check_threshold(threshold)
    for name, flag in (("required", required), ("vectorized", vectorized)):
        if not isinstance(flag, bool):
            raise EvalError(f"eval_mark's {name} is True or False, not {flag!r}")
    mark = EvalMark(
        tags=tags,
        threshold=threshold,
        required=required,
        needs=_checked_needs(needs),
        vectorized=vectorized,
        columns=_checked_columns(columns, vectorized=vectorized),
    )

    def put(function: Function) -> Function:
        function.__dict__[ATTRIBUTE] = mark
        return function

    return put


def mark_of(function: Callable[..., Any]) -> EvalMark:
    """The mark of a function; the plain one if it has none."""
    mark: EvalMark = getattr(function, "__dict__", {}).get(ATTRIBUTE, _PLAIN)
    return mark


def name_of(function: Callable[..., Any]) -> str:
    """What an eval is called; an object that can be called, by its class."""
    name: str = getattr(function, "__name__", type(function).__name__)
    return name


def is_marked(function: object) -> bool:
    """Whether ``eval_mark`` was put on a function."""
    return isinstance(function, FunctionType) and ATTRIBUTE in function.__dict__


def is_eval(function: object, module_name: str, *, prefix: str = PREFIX) -> bool:
    """Whether an object is an eval of that very module: marked, or named ``eval_*``."""
    if not isinstance(function, FunctionType) or function.__module__ != module_name:
        return False
    return is_marked(function) or function.__name__.startswith(prefix)


@lru_cache(maxsize=256)  # asked again for every run
def wants_of(function: Callable[..., Any]) -> Wants:
    """What an eval asks for. A parameter with a default is its own, but for those of ``GIVEN``.

    >>> wants_of(lambda ctx, tmp_path, llm=None, limit=3: True).fixtures
    ('tmp_path',)
    """
    rest = [
        each
        for each in [*inspect.signature(function).parameters.values()][1:]
        if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    bare = [each.name for each in rest if each.default is each.empty]
    return Wants(
        takes=GIVEN.intersection(each.name for each in rest),
        needs=GIVEN.intersection(bare),
        fixtures=tuple(name for name in bare if name not in GIVEN),
    )


def check_parameters(function: Callable[..., Any]) -> None:
    """Raise ``EvalError`` unless a function can be called as ``(ctx)``, the rest by name."""
    parameters = list(inspect.signature(function).parameters.values())
    name, takes = name_of(function), "a table" if mark_of(function).vectorized else "a context"
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or parameters[0].kind not in (*positional, inspect.Parameter.VAR_POSITIONAL):
        raise EvalError(f"{name} takes no context. Write it as: def {name}(ctx): ...")
    if parameters[0].name in GIVEN:
        raise EvalError(
            f"the first parameter of {name} is {takes}, and it is called {parameters[0].name!r}. "
            f"Write it as: def {name}(ctx, {parameters[0].name}): ..."
        )
    for parameter in parameters[1:]:
        if parameter.kind is parameter.POSITIONAL_ONLY and parameter.default is parameter.empty:
            raise EvalError(f"{name} takes {parameter.name!r} by place; an eval is given by name")
    if mark_of(function).vectorized and "case" in wants_of(function).needs:
        raise EvalError(f"{name} is vectorized: it judges many runs at once, and gets no case")


def _check_threshold(threshold: object) -> None:
    if threshold is None:
        return
    is_number = isinstance(threshold, numbers.Real) and not isinstance(threshold, bool)
    if not is_number or not 0 <= threshold <= 1:  # type: ignore[operator]
        raise EvalError(f"eval_mark's threshold is an average from 0 to 1, not {threshold!r}")


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


def _checked_columns(columns: Iterable[str], *, vectorized: bool) -> tuple[str, ...]:
    names = (columns,) if isinstance(columns, str) else tuple(columns)
    if names and not vectorized:
        raise EvalError("eval_mark's columns are those of a vectorized eval's table")
    for name in names:
        if not isinstance(name, str):
            raise EvalError(f"eval_mark's columns are names, not {name!r}")
    return names
