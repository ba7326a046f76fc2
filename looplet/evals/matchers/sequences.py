"""The calls of a run against those expected: as a sequence, as a bag, as a set.

`exact` ⇒ `in_order` ⇒ `any_order` ⇒ `superset`. Where whole calls are compared, `subset` is
`superset` with its sides changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import zip_longest

from looplet.errors import NotEvaluable
from looplet.evals.context import EvalContext
from looplet.evals.matchers import globs
from looplet.evals.matchers.arguments import ArgumentMode, Comparators, Rules
from looplet.evals.matchers.calls import ExpectedCall, Made, Want, calls_made, wants_of
from looplet.evals.matchers.explaining import (
    instead,
    missing,
    nearest_miss,
    unexpected,
    wrong_place,
)
from looplet.evals.matchers.finding import CallFinder, WantFinder
from looplet.evals.matchers.match import Match, Miss, match_of
from looplet.evals.matchers.pairing import pair


def exact(
    ctx: EvalContext,
    expected: Iterable[ExpectedCall],
    *,
    args: ArgumentMode = "exact",
    ignore: str | Iterable[str] = (),
    compare: Comparators | None = None,
    ignore_tools: str | Iterable[str] = (),
) -> Match:
    """Whether the run made the expected calls, in that order, and no others.

    The done-call is a call like any other. ``args`` says how much of the arguments counts,
    ``ignore`` names places in them that do not (``"*_id"``, ``"items.*.price"``, ``"**.time"``),
    ``compare`` gives comparators by tool, and calls of tools in ``ignore_tools`` are left out.
    Raises ``EvalError`` for what is no expected call, and for a predicate that fails.

    >>> from looplet.evals.trying import context_of_calls
    >>> ctx = context_of_calls(("price", {"fruit": "pear"}), ("done", {"euro": 0.55}))
    >>> exact(ctx, [("price", {"fruit": "plum"}), "done"])
    <exact fails: step 1: price(fruit='pear') expected fruit='plum'>
    """
    made, wants = _sides(ctx, expected, Rules.of(args, ignore, compare), ignore_tools)
    missed = [
        (want, call)
        for want, call in zip_longest(wants, made)
        if want is None or call is None or not want.fits(call)
    ]
    return match_of(
        "exact",
        missed,
        partial(_pair_miss, last=made[-1] if made else None),
        held=f"the {len(made)} calls are those expected",
        metrics={"expected": len(wants), "matched": len(wants) - _misses_of_wants(missed)},
    )


def in_order(
    ctx: EvalContext,
    expected: Iterable[ExpectedCall],
    *,
    args: ArgumentMode = "exact",
    ignore: str | Iterable[str] = (),
    compare: Comparators | None = None,
    ignore_tools: str | Iterable[str] = (),
) -> Match:
    """Whether the run made the expected calls in that order; others may stand between.

    Each expected call takes the first call after the one before it that fits, which finds a way if
    there is any. The rest is as in ``exact``. Raises ``NotEvaluable`` if nothing is expected.

    >>> from looplet.evals.trying import context_of_calls
    >>> ctx = context_of_calls("search", ("price", {"fruit": "pear"}), "done")
    >>> bool(in_order(ctx, ["search", "done"])), bool(in_order(ctx, ["price", "search"]))
    (True, False)
    """
    made, wants = _sides(ctx, expected, Rules.of(args, ignore, compare), ignore_tools)
    _need_some(wants)
    matched, after = _walk_in_order(wants, made)
    missed = wants[matched:]
    return match_of(
        "in_order",
        missed[:1],
        lambda want: _miss_in_order(want, made, after),
        held=f"the {len(wants)} expected calls come in order",
        metrics={"expected": len(wants), "matched": matched},
    )


def any_order(
    ctx: EvalContext,
    expected: Iterable[ExpectedCall],
    *,
    extra: bool = True,
    args: ArgumentMode = "exact",
    ignore: str | Iterable[str] = (),
    compare: Comparators | None = None,
    ignore_tools: str | Iterable[str] = (),
) -> Match:
    """Whether the run made every expected call, each by a call of its own, in any order.

    Where a call fits several expected ones, they are shared out so that as many as can be have one
    (a maximum matching). With ``extra=False`` no other calls may be made. The rest is as in
    ``exact``. Raises ``NotEvaluable`` if nothing is expected, unless there may be no other calls.

    >>> from looplet.evals.trying import context_of_calls
    >>> ctx = context_of_calls(("price", {"fruit": "plum"}), ("price", {"fruit": "pear"}))
    >>> bool(any_order(ctx, ["price", ("price", {"fruit": "plum"})]))
    True
    >>> bool(any_order(ctx, ["price"], extra=False))
    False
    """
    made, wants = _sides(ctx, expected, Rules.of(args, ignore, compare), ignore_tools)
    if extra:
        _need_some(wants)
    finder = CallFinder(made)
    chosen = pair([finder.options(want) for want in wants])
    taken = {place for place in chosen if place is not None}
    left = [call for place, call in enumerate(made) if place not in taken]
    missed: list[Want | Made] = [
        want for want, place in zip(wants, chosen, strict=True) if place is None
    ]
    matched = len(wants) - len(missed)
    if not extra:
        missed += left

    def describe(item: Want | Made) -> Miss:
        return nearest_miss(item, left, made) if isinstance(item, Want) else unexpected(item)

    return match_of(
        "any_order",
        missed,
        describe,
        held=f"the {len(wants)} expected calls are made",
        metrics={"expected": len(wants), "matched": matched, "extra": len(left)},
    )


def superset(
    ctx: EvalContext,
    expected: Iterable[ExpectedCall],
    *,
    args: ArgumentMode = "exact",
    ignore: str | Iterable[str] = (),
    compare: Comparators | None = None,
    ignore_tools: str | Iterable[str] = (),
) -> Match:
    """Whether every expected call is among those made. How often and when does not matter.

    The rest is as in ``exact``. Raises ``NotEvaluable`` if nothing is expected.

    >>> from looplet.evals.trying import context_of_calls
    >>> bool(superset(context_of_calls("search", "price"), ["price", "price"]))
    True
    """
    made, wants = _sides(ctx, expected, Rules.of(args, ignore, compare), ignore_tools)
    _need_some(wants)
    finder = CallFinder(made)
    missed = [want for want in wants if not finder.has(want)]
    return match_of(
        "superset",
        missed,
        lambda want: nearest_miss(want, made, made),
        held=f"the {len(wants)} expected calls are among those made",
        metrics={"expected": len(wants), "matched": len(wants) - len(missed)},
    )


def subset(
    ctx: EvalContext,
    expected: Iterable[ExpectedCall],
    *,
    args: ArgumentMode = "exact",
    ignore: str | Iterable[str] = (),
    compare: Comparators | None = None,
    ignore_tools: str | Iterable[str] = (),
) -> Match:
    """Whether every call made is among those expected. How often and when does not matter.

    A run without calls passes. The rest is as in ``exact``.

    >>> from looplet.evals.trying import context_of_calls
    >>> subset(context_of_calls("search", "buy"), ["search", "price"])
    <subset fails: step 2: buy() is not expected>
    """
    made, wants = _sides(ctx, expected, Rules.of(args, ignore, compare), ignore_tools)
    finder = WantFinder(wants)
    missed = [call for call in made if not finder.has(call)]
    return match_of(
        "subset",
        missed,
        lambda call: unexpected(call, wants),
        held=f"the {len(made)} calls are among those expected",
        metrics={"made": len(made), "matched": len(made) - len(missed)},
    )


def _sides(
    ctx: EvalContext,
    expected: Iterable[ExpectedCall],
    rules: Rules,
    ignore_tools: str | Iterable[str],
) -> tuple[list[Made], list[Want]]:
    ignored = globs.names_of(ignore_tools, "ignore_tools")
    return calls_made(ctx, rules, ignored), wants_of(expected, rules, ignored)


def _need_some(wants: Sequence[Want]) -> None:
    if not wants:
        raise NotEvaluable("no call is expected, so that any run would match")


def _walk_in_order(wants: Sequence[Want], made: Sequence[Made]) -> tuple[int, int]:
    """How many expected calls come in order, and the place after the last of them."""
    matched = after = 0
    for place, call in enumerate(made):
        if matched == len(wants):
            break
        if wants[matched].fits(call):
            matched, after = matched + 1, place + 1
    return matched, after


def _miss_in_order(want: Want, made: Sequence[Made], after: int) -> Miss:
    earlier = next((call for call in made[:after] if want.fits(call)), None)
    if earlier is not None:
        return wrong_place(want, earlier, made[after - 1])
    return nearest_miss(want, made[after:], made)


def _pair_miss(pair_of: tuple[Want | None, Made | None], last: Made | None) -> Miss:
    want, call = pair_of
    if call is None:
        assert want is not None
        return missing(want, last)
    return unexpected(call) if want is None else instead(call, want)


def _misses_of_wants(missed: Iterable[tuple[Want | None, Made | None]]) -> int:
    return sum(want is not None for want, _ in missed)
