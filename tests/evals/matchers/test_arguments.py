"""Arguments: when they are the same, what may be ignored, and comparators of one's own."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.errors import EvalError, NotEvaluable
from looplet.evals.matchers import ANY, Call, any_order, exact, in_order, subset, superset
from looplet.evals.matchers.arguments import Rules, differences
from looplet.evals.matchers.globs import patterns_of, without
from looplet.evals.matchers.sameness import is_plain, mark_of
from looplet.evals.trying import context_of_calls
from tests.trajectory.conftest import VALUES

NAMES = st.sampled_from(["id", "n", "at"])
LEAVES = st.one_of(
    st.integers(0, 2), st.sampled_from([1.0, True, None, "x", float("nan"), 2**70, b"x"]),
    st.sets(st.integers(0, 1), max_size=1), st.just(datetime(2024, 3, 1, tzinfo=UTC)),
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=5,
)
ARGS = st.dictionaries(NAMES, TREES, max_size=3)
MATCHERS = (exact, in_order, any_order, subset, superset)


def differ(expected, got, mode="exact"):
    rules = Rules.of(mode, (), None)
    return list(differences(expected, got, tool="t", rules=rules, about="step 1"))


@given(ARGS, ARGS)
def test_arguments_found_by_their_key_are_those_found_by_looking(one, other):
    assert (mark_of(one) == mark_of(other)) == (not differ(one, other))
    assert not differ(one, one)
    assert {miss.path for miss in differ(one, other)} == {miss.path for miss in differ(other, one)}


KINDS = (
    0, 1, 1.0, True, False, None, "", "1", b"1", 2**70, 2.0**70, Decimal(1), (1,), [1.0], [], {},
    [True], {1}, frozenset({1}), {"a": 1}, {"a": True}, datetime(2024, 3, 1, tzinfo=UTC),
)  # fmt: skip


def test_values_of_every_kind_are_found_by_their_key_if_they_are_the_same():
    for one, other in product((*KINDS, float("nan")), (*KINDS, float("nan"))):
        alike = not differ({"v": one}, {"v": other})
        assert (mark_of(one) == mark_of(other)) == alike, (one, other)
    pairs = combinations(KINDS, 2)
    alike = [(one, other) for one, other in pairs if not differ({"v": one}, {"v": other})]
    assert alike == [
        (1, 1.0), (1, Decimal(1)), (1.0, Decimal(1)), (2**70, 2.0**70), ((1,), [1.0]),
        ({1}, frozenset({1})),
    ]  # fmt: skip


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=2))
def test_any_arguments_that_can_be_stored_are_the_same_as_themselves(args):
    ctx = context_of_calls(("send", args))
    for matcher in MATCHERS:
        assert matcher(ctx, [("send", args)])
        assert matcher(ctx, [("send", args)], args="subset")


@given(ARGS, ARGS)
def test_exact_arguments_are_a_subset_and_more_arguments_still_are(one, other):
    if not differ(one, other):
        assert not differ(one, other, "subset")
    assert not differ(one, {**other, **one}, "subset")
    assert not differ(one, other, "any")


def noisy(value, noise):
    """The value with noise under each ``id`` at any depth."""
    if isinstance(value, dict):
        kept = {key: noisy(each, noise) for key, each in value.items() if key != "id"}
        return {**kept, "id": noise}
    return [noisy(each, noise) for each in value] if isinstance(value, list) else value


@given(ARGS, ARGS, TREES, TREES)
def test_a_matcher_is_invariant_under_what_it_ignores(made, wanted, noise, other):
    options = {"ignore": ["**.id"], "compare": {"other": lambda one, two: one == two}}
    for matcher in MATCHERS:
        for tool in ("price", "other"):
            plain = matcher(context_of_calls((tool, made)), [(tool, wanted)], **options)
            ctx = context_of_calls((tool, noisy(made, noise)))
            changed = matcher(ctx, [(tool, noisy(wanted, other))], **options)
            assert changed == plain


def test_a_predicate_does_not_see_what_is_ignored():
    ctx = context_of_calls(("price", {"item": {"id": 7, "n": 1}}))
    seen = []

    def see(value):
        seen.append(value)
        return True

    for spec in (("price", see), Call("price", item=see), lambda call: see(call.args)):
        assert exact(ctx, [spec], ignore="item.id")
    assert seen == [{"item": {"n": 1}}, {"n": 1}, {"item": {"n": 1}}]
    assert ctx.steps[0].tool_call.args == {"item": {"id": 7, "n": 1}}


@pytest.mark.parametrize(
    ("globs", "left"),
    [
        ("id", {"user_id": 1, "items": [{"id": 2, "n": 3}, {"id": 4}], "at": {"x.y": 5}}),
        ("*_id", {"items": [{"id": 2, "n": 3}, {"id": 4}], "at": {"x.y": 5}}),
        ("**.id", {"user_id": 1, "items": [{"n": 3}, {}], "at": {"x.y": 5}}),
        ("items.*.id", {"user_id": 1, "items": [{"n": 3}, {}], "at": {"x.y": 5}}),
        ("items.1", {"user_id": 1, "items": [{"id": 2, "n": 3}], "at": {"x.y": 5}}),
        ("items.**", {"user_id": 1, "items": [], "at": {"x.y": 5}}),
        (("at.x?y", "items"), {"user_id": 1, "at": {}}),
        ("**", {}),
    ],
)
def test_a_pattern_of_a_path_names_these_places(globs, left):
    args = {"user_id": 1, "items": [{"id": 2, "n": 3}, {"id": 4}], "at": {"x.y": 5}}
    assert without(args, patterns_of(globs, "ignore")) == left


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        (1, 1.0, True), (1, True, False), (0, False, False), ("1", 1, False), (None, 0, False),
        ([1, 2], (1, 2), True), ([1, 2], [2, 1], False), ([], [None], False), ({}, [], False),
        (float("nan"), float("nan"), True), (int, 3, True), (int, True, False), (bool, True, True),
        (object, True, True), (float, 3, False), (int, "3", False), (re.compile("a+"), "aa", True),
        (re.compile("a"), "aa", False), (re.compile("1"), 1, False), (re.compile(b"a"), b"a", True),
        (re.compile("a"), b"a", False), (ANY, None, True), (lambda v: v > 1, 2, True),
        (lambda v: [], 2, False), (pytest.approx(0.3), 0.1 + 0.2, True), ({1}, {1}, True),
        ({"a": [ANY, {"b": int}]}, {"a": [7, {"b": 1}]}, True),
        ({"a": [ANY, {"b": int}]}, {"a": [7, {"b": "1"}]}, False),
    ],
)  # fmt: skip
def test_values_fit(expected, got, same):
    assert (not differ({"v": expected}, {"v": got})) is same


def test_a_value_that_is_not_given_is_missing_even_where_anything_will_do():
    misses = differ({"a": ANY, "b": None, "c": {"d": 1}}, {"c": {"e": 1}, "f": 2})
    assert [str(miss) for miss in misses] == ["any a", "b=None", "c.d=1", "no c.e", "no f"]


def deep(levels, leaf):
    value = leaf
    for _ in range(levels):
        value = {"in": value}
    return value


@pytest.mark.parametrize("levels", [49, 50, 51, 300])
def test_what_is_nested_deeply_is_compared_too(levels):
    assert not differ({"v": deep(levels, 1)}, {"v": deep(levels, 1)})
    assert differ({"v": deep(levels, 1)}, {"v": deep(levels, 2)})
    assert mark_of(deep(levels, 1)) != mark_of(deep(levels, 2))


class Unhashable:
    __hash__ = None

    def __init__(self, n):
        self.n = n

    def __eq__(self, other):
        return isinstance(other, Unhashable) and self.n == other.n


def test_values_without_a_hash_are_compared_by_themselves():
    ctx = context_of_calls(("put", {"v": Unhashable(1)}), ("put", {"v": 2}))
    assert any_order(ctx, [Call("put", v=2), Call("put", v=Unhashable(1))], extra=False)
    assert not any_order(ctx, [Call("put", v=Unhashable(2))])
    assert subset(ctx, [Call("put", v=2), Call("put", v=Unhashable(1))])
    assert not is_plain(Unhashable(1))
    equal_to_two = type("Two", (Unhashable,), {"__eq__": lambda self, other: other == 2})
    odd = context_of_calls(("put", {"v": equal_to_two(0)}))
    for matcher in MATCHERS:
        assert matcher(odd, [("put", {"v": 2})])


def test_a_comparator_judges_an_argument_or_all_of_them():
    ctx = context_of_calls(("search", {"query": "Pear PRICES", "page": 1}), ("buy", {"n": 3}))
    expected = [Call("search", query="pear prices", page=1), Call("buy", n=2)]
    compare = {
        "sea*": {"query": lambda one, other: one.lower() == other.lower()},
        "buy": lambda one, other: abs(one["n"] - other["n"]) <= 1,
    }
    for matcher in MATCHERS:
        assert matcher(ctx, expected, compare=compare)
        assert not matcher(ctx, expected)
    stricter = {**compare, "buy": lambda one, other: one == other}
    match = in_order(ctx, expected, compare=stricter)
    assert match.explanation == "step 2: buy(n=3) expected buy(n=2)"
    match = in_order(ctx, [Call("search", query="plum", page=2)], compare=compare)
    assert match.explanation == (
        "step 1: search(query='Pear PRICES', page=1) expected query='plum', page=2"
    )
    assert exact(ctx, [Call("search", query=ANY, page=1), "buy"], compare=compare)


def test_a_comparator_that_fails_is_an_error_and_one_that_says_nothing_too():
    ctx = context_of_calls(("buy", {"n": 3}))

    def broken(one, other):
        return one / 0

    with pytest.raises(EvalError, match="broken cannot judge step 1: buy, argument n: Zero"):
        exact(ctx, [Call("buy", n=3)], compare={"buy": {"n": broken}})
    with pytest.raises(EvalError, match="says nothing"):
        exact(ctx, [Call("buy", n=3)], compare={"*": lambda one, other: None})

    def absent(value):
        raise NotEvaluable("no table of prices")

    with pytest.raises(NotEvaluable, match="no table"):
        exact(ctx, [Call("buy", n=absent)])
