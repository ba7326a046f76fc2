"""Calls that are expected, and calls that were made. Knows steps and contexts; compares one pair.

An expected call is written in the shortest way that says it; `ExpectedCall` lists them all.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from looplet.core.records import Step, ToolCall, is_dunder
from looplet.errors import EvalError
from looplet.evals.context import EvalContext
from looplet.evals.matchers import globs
from looplet.evals.matchers.arguments import Rules, differences
from looplet.evals.matchers.predicates import Predicate, name_of, says_yes
from looplet.evals.matchers.sameness import is_plain, mark_of
from looplet.evals.matchers.showing import MISSING, ArgumentMiss, call_text
from looplet.trajectory.model import StepRecord


@dataclass(frozen=True, slots=True, init=False)
class Call:
    """An expected call: the tool, and what its arguments should be.

    A value may also be ``ANY``, a class, a compiled pattern, or a predicate.

    >>> Call("price", fruit="pear", count=int)
    price(fruit='pear', count=int)
    """

    tool: str
    args: Mapping[str, Any]

    def __init__(self, tool: str, /, **args: Any) -> None:
        object.__setattr__(self, "tool", tool)
        object.__setattr__(self, "args", args)

    def __repr__(self) -> str:
        return call_text(self.tool, self.args)


ExpectedCall: TypeAlias = (
    str | Call | tuple[str, Any] | list[Any] | Mapping[str, Any] | ToolCall | Step | StepRecord
) | Predicate
"""How an expected call may be written:

- ``"price"``: a call of that tool, whatever its arguments; ``"search_*"`` is a pattern;
- ``Call("price", fruit="pear")`` or ``("price", {"fruit": "pear"})``: with such arguments;
- ``("price", predicate)``: with arguments, as a dict, for which the predicate holds;
- ``{"tool": "price", "args": {"fruit": "pear"}}`` and ``["price", {…}]``, as JSON has it;
- a ``ToolCall``, or a step of another run: the same call again;
- a predicate, which is given the ``ToolCall``.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A call of the run, as a matcher sees it."""

    number: int
    """Its step's number."""
    call: ToolCall
    args: Mapping[str, Any]
    """Its arguments without what is ignored, and without looplet's own."""

    @property
    def tool(self) -> str:
        """The tool's name."""
        return self.call.tool

    @property
    def text(self) -> str:
        """The call with all its arguments."""
        return call_text(self.tool, self.args)

    def key(self) -> Hashable:
        """Equal for the same calls; ``None`` if an argument cannot be hashed."""
        mark = mark_of(self.args)
        return None if mark is None else (self.tool, mark)


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """An expected call, read."""

    rules: Rules
    tool: str | None = None
    """A name or a pattern; ``None`` for any tool."""
    args: Mapping[str, Any] | None = None
    """``None`` for any arguments."""
    test: Predicate | None = None
    """Judges all arguments; or the whole call, where no tool is named."""
    key: Hashable = None
    """If there is one, exactly the calls with that key fit, beside those that have none."""

    @property
    def text(self) -> str:
        """The expected call, for messages."""
        if self.tool is None:
            return f"a call for which {name_of(self.test)} holds" if self.test else "a call"
        return self.tool + "(…)" if self.test else call_text(self.tool, self.args)

    def is_of(self, tool: str) -> bool:
        """Whether calls of that tool may fit."""
        return self.tool is None or globs.fits(tool, self.tool)

    def fits(self, made: Made) -> bool:
        """Whether a call is as expected."""
        return self.is_of(made.tool) and not any(True for _ in self._differences(made))

    def differences(self, made: Made) -> list[ArgumentMiss]:
        """Where the arguments of a call of that tool are not those expected."""
        return list(self._differences(made))

    def _differences(self, made: Made) -> Iterable[ArgumentMiss]:
        about = f"step {made.number}"
        if self.test is not None:
            asked: Any = (
                made.args if self.tool is not None else replace(made.call, args=dict(made.args))
            )
            if says_yes(self.test, asked, about=f"{about}: {made.tool}"):
                return ()
            return (ArgumentMiss(path="", expected=self.test, got=MISSING),)
        if self.args is None:
            return ()
        got = made.args
        own = [key for key in self.args if is_dunder(key)]
        if own:  # whoever names looplet's own arguments means them
            got = {**got, **{key: made.call.args[key] for key in own if key in made.call.args}}
        return differences(self.args, got, tool=made.tool, rules=self.rules, about=about)


def calls_made(ctx: EvalContext, rules: Rules, ignore_tools: Iterable[str] = ()) -> list[Made]:
    """The run's calls in order, without those of tools that are ignored.

    Steps that stand for no call, as ``__parse_error__`` does, are left out.
    """
    return [
        Made(number=step.number, call=step.tool_call, args=rules.seen(_own_args(step.tool_call)))
        for step in ctx.steps
        if is_call(step, ignore_tools)
    ]


def is_call(step: Step, ignore_tools: Iterable[str] = ()) -> bool:
    """Whether a step stands for a call of a tool that is not ignored."""
    tool = step.tool_call.tool
    return not is_dunder(tool) and not any(globs.fits(tool, each) for each in ignore_tools)


def wants_of(
    expected: Iterable[ExpectedCall], rules: Rules, ignore_tools: Iterable[str] = ()
) -> list[Want]:
    """Read expected calls. Raises ``EvalError`` for what is none, and for one that is ignored."""
    if isinstance(expected, str | Mapping | Call | ToolCall | Step | StepRecord) or not isinstance(
        expected, Iterable
    ):
        raise EvalError(f"expected calls come in a list; write [{expected!r}]")
    wants = [_want(each, rules) for each in expected]
    for want in wants:
        ignored = [each for each in ignore_tools if want.tool and globs.fits(want.tool, each)]
        if ignored:
            raise EvalError(
                f"{want.text} is expected, and ignore_tools leaves it out by {ignored[0]!r}"
            )
    return wants


def _want(spec: ExpectedCall, rules: Rules) -> Want:
    if isinstance(spec, str):
        return Want(rules=rules, tool=spec)
    if isinstance(spec, Step | StepRecord):
        spec = spec.tool_call
    if isinstance(spec, ToolCall):
        return _with_args(spec.tool, _own_args(spec), rules)
    if isinstance(spec, Call):
        return _with_args(spec.tool, spec.args, rules)
    if isinstance(spec, Mapping):
        return _want_of_mapping(spec, rules)
    if isinstance(spec, list | tuple):
        return _want_of_pair(spec, rules)
    if callable(spec):
        return Want(rules=rules, test=spec)
    raise EvalError(f"{spec!r} is no expected call; write a tool's name, or Call(tool, name=value)")


def _want_of_mapping(spec: Mapping[str, Any], rules: Rules) -> Want:
    tool = spec.get("tool")
    if not isinstance(tool, str) or spec.keys() - {"tool", "args"}:
        raise EvalError(
            f'{spec!r} is no expected call; as a dict it is {{"tool": name, "args": {{…}}}}, '
            "and a pair of name and arguments stands in a list of its own"
        )
    return _want_of_pair((tool, spec["args"]), rules) if "args" in spec else _want(tool, rules)


def _want_of_pair(spec: list[Any] | tuple[Any, ...], rules: Rules) -> Want:
    tool, args = spec if len(spec) == 2 else (None, None)  # noqa: PLR2004 - a pair
    if isinstance(tool, str) and callable(args) and rules.mode == "any":
        return Want(rules=rules, tool=tool)
    if isinstance(tool, str) and isinstance(args, Mapping):
        return _with_args(tool, args, rules)
    if isinstance(tool, str) and callable(args):
        return Want(rules=rules, tool=tool, test=args)
    raise EvalError(f"{spec!r} is no expected call; as a pair it is (tool, arguments)")


def _with_args(tool: str, args: Mapping[str, Any], rules: Rules) -> Want:
    if rules.mode == "any":
        return Want(rules=rules, tool=tool)
    seen = rules.seen(args)
    return Want(rules=rules, tool=tool, args=seen, key=_key(tool, seen, rules))


def _key(tool: str, args: Mapping[str, Any], rules: Rules) -> Hashable:
    """The key of calls that fit, if values alone decide that."""
    if rules.mode != "exact" or globs.is_pattern(tool) or rules.comparator(tool) is not None:
        return None
    if any(map(is_dunder, args)) or not is_plain(dict(args)):
        return None
    mark = mark_of(args)
    return None if mark is None else (tool, mark)


def _own_args(call: ToolCall) -> dict[str, Any]:
    return {key: value for key, value in call.args.items() if not is_dunder(key)}
