"""Whether a call's arguments are those expected, and if not, where. Knows values; knows no run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from looplet.errors import EvalError
from looplet.evals.matchers import globs, sameness
from looplet.evals.matchers.predicates import is_test, passes, says_yes
from looplet.evals.matchers.showing import MISSING, ArgumentMiss

ArgumentMode: TypeAlias = Literal["exact", "subset", "any"]
"""``exact``: the expected arguments and no others. ``subset``: at least the expected ones, at
every depth. ``any``: arguments do not matter."""
Comparator: TypeAlias = Callable[[Any, Any], object]
"""Takes what was expected and what was given; says by its truth whether that will do."""
Comparators: TypeAlias = Mapping[str, Comparator | Mapping[str, Comparator]]
"""By tool (a name or a pattern): a comparator of all arguments, or one for each of some."""

_NO_COMPARATORS: Mapping[str, Comparator] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How arguments are compared."""

    mode: ArgumentMode = "exact"
    ignore: tuple[globs.Pattern, ...] = ()
    compare: Comparators | None = None

    @classmethod
    def of(
        cls, mode: ArgumentMode, ignore: str | Iterable[str], compare: Comparators | None
    ) -> Rules:
        """Rules as a matcher is told them. Raises ``EvalError`` for what it cannot be told."""
        if mode not in get_args(ArgumentMode):
            choices = ", ".join(map(repr, get_args(ArgumentMode)))
            raise EvalError(f"args is one of {choices}, not {mode!r}")
        for tool, comparator in (compare or {}).items():
            each = comparator.values() if isinstance(comparator, Mapping) else [comparator]
            if not all(map(callable, each)):
                raise EvalError(f"compare[{tool!r}] holds what cannot be called")
        return cls(mode=mode, ignore=globs.patterns_of(ignore, "ignore"), compare=compare)

    def seen(self, args: Any) -> Any:
        """Arguments without what is ignored."""
        return globs.without(args, self.ignore)

    def comparator(self, tool: str) -> Comparator | Mapping[str, Comparator] | None:
        """The first comparator whose name fits a tool."""
        found = (each for name, each in (self.compare or {}).items() if globs.fits(tool, name))
        return next(found, None)


def differences(
    expected: Mapping[str, Any], got: Mapping[str, Any], *, tool: str, rules: Rules, about: str
) -> Iterator[ArgumentMiss]:
    """Where a call's arguments are not those expected, both as ``rules.seen`` gives them.

    ``about`` names the call in errors. Raises ``EvalError`` if a predicate or comparator fails.

    >>> found = differences({"n": 1}, {"n": 2}, tool="add", rules=Rules(), about="step 1")
    >>> [(miss.path, miss.expected, miss.got) for miss in found]
    [('n', 1, 2)]
    """
    if rules.mode == "any":
        return
    comparator = rules.comparator(tool)
    if callable(comparator):
        if not says_yes(comparator, expected, got, about=f"{about}: {tool}"):
            yield ArgumentMiss(path="", expected=expected, got=got)
        return
    walk = _Walk(exactly=rules.mode == "exact", about=f"{about}: {tool}")
    yield from walk.mapping((), expected, got, comparator or _NO_COMPARATORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """Two values side by side, from the top down."""

    exactly: bool
    about: str

    def mapping(
        self,
        path: tuple[str, ...],
        expected: Mapping[str, Any],
        got: Mapping[str, Any],
        comparators: Mapping[str, Comparator] = _NO_COMPARATORS,
    ) -> Iterator[ArgumentMiss]:
        for key, wanted in expected.items():
            place = (*path, str(key))
            if key not in got:
                yield _miss(place, wanted, MISSING)
            elif key in comparators:
                yield from self._compared(place, comparators[key], wanted, got[key])
            else:
                yield from self.value(place, wanted, got[key])
        if self.exactly:
            for key in got:
                if key not in expected:
                    yield _miss((*path, str(key)), MISSING, got[key])

    def value(self, path: tuple[str, ...], expected: Any, got: Any) -> Iterator[ArgumentMiss]:
        if is_test(expected):
            fits = passes(expected, got, about=f"{self.about}, argument {'.'.join(path)}")
        elif len(path) > sameness.DEEPEST:
            fits = sameness.same_deep(expected, got)
        elif isinstance(expected, Mapping) and isinstance(got, Mapping):
            yield from self.mapping(path, expected, got)
            return
        elif isinstance(expected, list | tuple) and isinstance(got, list | tuple):
            yield from self._sequence(path, expected, got)
            return
        else:
            fits = sameness.same(expected, got)
        if not fits:
            yield _miss(path, expected, got)

    def _sequence(
        self, path: tuple[str, ...], expected: Sequence[Any], got: Sequence[Any]
    ) -> Iterator[ArgumentMiss]:
        """Item by item; a list is as long as expected, in every mode."""
        for place in range(max(len(expected), len(got))):
            where = (*path, str(place))
            if place >= len(got):
                yield _miss(where, expected[place], MISSING)
            elif place >= len(expected):
                yield _miss(where, MISSING, got[place])
            else:
                yield from self.value(where, expected[place], got[place])

    def _compared(
        self, path: tuple[str, ...], comparator: Comparator, expected: Any, got: Any
    ) -> Iterator[ArgumentMiss]:
        about = f"{self.about}, argument {'.'.join(path)}"
        if is_test(expected):  # it says itself what fits
            yield from self.value(path, expected, got)
        elif not says_yes(comparator, expected, got, about=about):
            yield _miss(path, expected, got)


def _miss(path: tuple[str, ...], expected: Any, got: Any) -> ArgumentMiss:
    return ArgumentMiss(path=".".join(path), expected=expected, got=got)
