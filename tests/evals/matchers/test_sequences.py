"""The laws of exact, in_order, any_order, subset and superset, and what they say of a miss."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.core.records import Step, ToolCall, ToolResult
from looplet.errors import EvalError, NotEvaluable
from looplet.evals.matchers import ANY, Call, any_order, exact, in_order, subset, superset
from looplet.evals.trying import context_of_calls

TOOLS = st.sampled_from(["price", "stock", "search_web"])
NUMBERS = st.sampled_from([1, 2, 1.0, True])
ARGS = st.dictionaries(st.sampled_from("ab"), NUMBERS, max_size=2)
MADE = st.lists(st.tuples(TOOLS, ARGS), max_size=5)
SPECS = st.one_of(
    TOOLS,
    st.sampled_from(["search_*", "*"]),
    st.tuples(TOOLS, ARGS),
    st.tuples(TOOLS, st.dictionaries(st.sampled_from("ab"), st.sampled_from([ANY, int, 1]))),
    st.tuples(TOOLS, st.just(lambda args: args.get("a") == 1)),
    st.just(lambda call: len(call.args) == 1),
)
WANTED = st.lists(SPECS, min_size=1, max_size=4)
MODES = st.sampled_from(["exact", "subset", "any"])


def fits(call, spec, args):
    """Whether a call fits one expected call, by the plainest matcher."""
    return bool(exact(context_of_calls(call), [spec], args=args))


@given(MADE, WANTED, MODES)
def test_exact_implies_in_order_which_implies_any_order_which_implies_superset(made, wanted, args):
    ctx = context_of_calls(*made)
    strict, ordered = exact(ctx, wanted, args=args), in_order(ctx, wanted, args=args)
    loose, among = any_order(ctx, wanted, args=args), superset(ctx, wanted, args=args)
    assert strict.passed <= ordered.passed <= loose.passed <= among.passed
    assert strict.passed <= any_order(ctx, wanted, args=args, extra=False).passed
    assert strict.passed <= subset(ctx, wanted, args=args).passed


@given(MADE, WANTED, MODES)
def test_a_run_matches_what_it_did_itself(made, wanted, args):
    ctx = context_of_calls(*made)
    assert exact(ctx, ctx.steps, args=args)
    assert any_order(ctx, ctx.steps[::-1], args=args, extra=False)
    more = context_of_calls(*made, "unheard_of")
    assert not exact(more, ctx.steps, args=args)
    assert not any_order(more, ctx.steps, args=args, extra=False)
    assert not subset(more, ctx.steps, args=args)


@given(MADE, WANTED, MODES)
def test_matchers_find_what_trying_every_way_finds(made, wanted, args):
    table = [[fits(call, spec, args) for call in made] for spec in wanted]

    def holds(places):
        return all(row[place] for row, place in zip(table, places, strict=True))

    ctx, places = context_of_calls(*made), range(len(made))
    assert in_order(ctx, wanted, args=args).passed == any(
        map(holds, combinations(places, len(wanted)))
    )
    best = any(map(holds, permutations(places, len(wanted))))
    assert any_order(ctx, wanted, args=args).passed == best
    whole = best and len(made) == len(wanted)
    assert any_order(ctx, wanted, args=args, extra=False).passed == whole
    assert superset(ctx, wanted, args=args).passed == all(map(any, table))
    assert subset(ctx, wanted, args=args).passed == all(map(any, zip(*table, strict=True)))


@given(MADE.filter(bool), MADE.filter(bool), st.sampled_from(["exact", "any"]))
def test_subset_and_superset_are_dual_and_a_bag_counts(one, other, args):
    mine, theirs = context_of_calls(*one), context_of_calls(*other)
    assert subset(mine, other, args=args).passed == superset(theirs, one, args=args).passed
    bags = [Counter(_plain(*call, args) for call in calls) for calls in (one, other)]
    assert any_order(mine, other, args=args, extra=False).passed == (bags[0] == bags[1])


def _plain(tool, given, args):
    told = [(key, str(value is True or float(value))) for key, value in sorted(given.items())]
    return (tool, *told) if args == "exact" else tool


@given(MADE, WANTED, MODES, st.data())
def test_calls_of_ignored_tools_change_nothing(made, wanted, args, data):
    places = data.draw(st.lists(st.integers(0, len(made)), max_size=3))
    noisy = list(made)
    for place in sorted(places, reverse=True):
        noisy.insert(place, ("think", {"a": place}))
    quiet = [spec for spec in wanted if spec != "*"] or ["price"]
    for matcher in (exact, in_order, any_order, subset, superset):
        with_noise = matcher(context_of_calls(*noisy), quiet, args=args, ignore_tools="thin[k]")
        without = matcher(context_of_calls(*made), quiet, args=args)
        assert with_noise.passed == without.passed
        assert with_noise.metrics == without.metrics


PEAR = ("price", {"fruit": "pear", "count": 2})


@pytest.mark.parametrize(
    ("matcher", "expected", "explanation", "step"),
    [
        (exact, [("price", {"fruit": "plum"}), "stock", "done"],
         "step 1: price(fruit='pear', count=2) expected fruit='plum', no count", 1),
        (exact, ["price", ("done", {})], "step 2: stock() expected done() (and 1 more)", 2),
        (exact, [PEAR], "step 2: stock() is not expected (and 1 more)", 2),
        (exact, [PEAR, "stock", "done", Call("buy", n=1)],
         "expected buy(n=1) after step 3, the last call", None),
        (exact, [PEAR, lambda call: call.args, "done"],
         "step 2: stock() expected a call for which the lambda at test_sequences.py:0 holds", 2),
        (in_order, ["stock", Call("price", fruit=ANY, count=2)],
         ("step 1: price(fruit='pear', count=2) comes too early; "
          "expected price(fruit=ANY, count=2) after step 2: stock()"), 1),
        (in_order, ["stock", ("done", {"sum": int})],
         "step 3: done(sum='1.10') expected sum of type int", 3),
        (in_order, [Call("price", fruit="pear", count=lambda n: n > 2)],
         ("step 1: price(count=2, …) expected count for which the lambda at test_sequences.py:0 "
          "holds"), 1),
        (in_order, [Call("price", fruit=re.compile("pl.*"), count=ANY, unit=ANY)],
         "step 1: price(fruit='pear', …) expected fruit matching 'pl.*', any unit", 1),
        (any_order, ["buy"], "expected buy, which is never called", None),
        (any_order, ["stock", Call("stock")], "expected stock() once more than it is called", None),
        (any_order, [PEAR, Call("price", fruit="plum")],
         "expected price(fruit='plum'), and no further call of price is made", None),
        (any_order, [("price", lambda args: False)],
         ("step 1: price(fruit='pear', count=2) expected arguments for which the lambda at "
          "test_sequences.py:0 holds"), 1),
        (superset, [PEAR, "s?ock", "sell"], "expected sell, which is never called", None),
        (subset, ["price", Call("stock", n=1)], "step 2: stock() expected n=1 (and 1 more)", 2),
        (subset, ["stock", "price"], "step 3: done(sum='1.10') is not expected", 3),
    ],
)  # fmt: skip
def test_the_explanation_names_the_first_step_that_differs(matcher, expected, explanation, step):
    ctx = context_of_calls(PEAR, "stock", ("done", {"sum": "1.10"}))
    match = matcher(ctx, expected)
    assert not match
    assert re.sub(r"py:\d+", "py:0", match.explanation) == explanation
    assert match.misses[0].step == step


def test_the_call_that_comes_nearest_is_the_one_shown():
    ctx = context_of_calls(("price", {"a": 1, "b": 1}), ("price", {"a": 1, "b": 2}))
    match = any_order(ctx, [Call("price", a=2, b=2)])
    assert match.explanation == "step 2: price(a=1, …) expected a=2"
    assert [(each.path, each.expected, each.got) for each in match.misses[0].arguments] == [
        ("a", 2, 1)
    ]


def test_expected_calls_are_shared_out_so_that_each_has_one():
    ctx = context_of_calls(("price", {"n": 1}), ("price", {"n": 2}))
    greedy_fails = ["price", Call("price", n=1)]
    assert any_order(ctx, greedy_fails, extra=False)
    assert any_order(ctx, ["price", "price", "price"]).metrics == {
        "expected": 3, "matched": 2, "extra": 0
    }  # fmt: skip


def test_all_ways_to_write_a_call_mean_the_same():
    ctx = context_of_calls(("price", {"fruit": "pear", "__theory__": "cheap"}))
    args = {"fruit": "pear"}
    call = ToolCall("price", {**args, "__theory__": "other"})
    step = Step(9, call, ToolResult("price", "", 0.5))
    for spec in (Call("price", **args), ("price", args), ["price", args], call, step):
        assert exact(ctx, [spec])
    assert exact(ctx, [{"tool": "price", "args": args}])
    assert exact(ctx, [{"tool": "price"}])
    assert not exact(ctx, [Call("price")])
    assert exact(ctx, [Call("price", fruit="pear", __theory__=re.compile("ch.*"))])
    assert not exact(ctx, [Call("price", fruit="pear", __theory__="other")])


def test_a_reply_that_was_no_call_is_none():
    ctx = context_of_calls("price", ("__parse_error__", {}, ValueError("no JSON")), "done")
    assert exact(ctx, ["price", "done"])


@pytest.mark.parametrize(
    ("expected", "options", "text"),
    [
        ("price", {}, r"come in a list; write \['price'\]"),
        (Call("price"), {}, r"come in a list; write \[price\(\)\]"),
        (("price", {"fruit": "pear"}), {}, "a pair of name and arguments stands in a list"),
        ([3], {}, "3 is no expected call"),
        ([("price", 3)], {}, r"as a pair it is \(tool, arguments\)"),
        ([()], {}, "as a pair"),
        ([{"tool": "price", "argz": {}}], {}, "as a dict"),
        (["price"], {"args": "superset"}, "args is one of 'exact', 'subset', 'any'"),
        (["price"], {"ignore": [3]}, "ignore takes names and patterns"),
        (["price"], {"compare": {"price": {"n": 3}}}, r"compare\['price'\] holds what cannot"),
        (["think"], {"ignore_tools": "th*"}, "ignore_tools leaves it out by 'th[*]'"),
        ([lambda call: None], {}, r"says nothing \(None\) of step 1: price"),
        ([lambda call: call.args["x"]], {}, "cannot judge step 1: price: KeyError: 'x'"),
        ([Call("price", n=lambda n: n + "")], {}, "step 1: price, argument n: TypeError"),
    ],
)  # fmt: skip
def test_what_is_no_expected_call_is_refused_by_name(expected, options, text):
    with pytest.raises(EvalError, match=text):
        exact(context_of_calls(("price", {"n": 1})), expected, **options)


async def _yes(_call):
    return False


def test_a_predicate_that_is_async_never_says_yes():
    with pytest.raises(EvalError, match="_yes is async"):
        superset(context_of_calls("price"), [_yes])


def test_where_nothing_is_expected_there_is_nothing_to_judge():
    ctx = context_of_calls("price")
    for matcher in (in_order, any_order, superset):
        with pytest.raises(NotEvaluable, match="no call is expected"):
            matcher(ctx, [])
    assert not exact(ctx, [])
    assert not any_order(ctx, [], extra=False)
    assert not subset(ctx, [])
    assert exact(context_of_calls(), [])


def test_ten_misses_are_described_and_the_others_counted():
    match = subset(context_of_calls(*["buy"] * 13), ["price"])
    assert (len(match.misses), match.more) == (10, 3)
    assert match.explanation == "step 1: buy() is not expected (and 12 more)"
    result = match.to_result("eval_x")
    assert (result.name, result.score, result.label) == ("eval_x", 0.0, "fail")
    assert result.details[-1] == "and 3 more"
    assert len(result.details) == 10


def test_what_is_shown_of_a_call_is_short_and_harmless():
    args = {"text": "x" * 10_000, "items": list(range(10_000)), "\x1b[31m": {"a": "\x1b[31m"}}
    match = exact(context_of_calls(("send", args)), [Call("send", text="y", items=None)])
    assert len(match.explanation) < 1000
    assert "[31m" in match.explanation
    assert "\x1b" not in match.explanation


def test_long_texts_are_told_apart_by_the_words_that_differ():
    said = "please send the parcel to the old address in the north of the town " * 3
    ctx = context_of_calls(("send", {"text": said + "today"}))
    match = exact(ctx, [Call("send", text=said + "tomorrow")])
    assert "today" in match.explanation
    assert "tomorrow" in match.explanation
