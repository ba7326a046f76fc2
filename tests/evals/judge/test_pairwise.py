"""A judge of pairs: both orders are asked, and a verdict that goes with the place is a tie."""

from __future__ import annotations

import asyncio

import pytest

from looplet.errors import EvalError
from looplet.evals import EvalResult, NotEvaluable
from looplet.evals.judge import PREFERENCE, PairwiseJudge, agreement, position_bias
from looplet.testing import AsyncScriptedToolBackend, ScriptedToolBackend

KINDER = PairwiseJudge("kinder", rubric="Which answer is kinder?")


@pytest.mark.parametrize(
    ("said", "label", "score", "flip"),
    [
        (("first", "second"), "a", 1.0, 0.0),
        (("second", "first"), "b", 0.0, 0.0),
        (("tie", "tie"), "tie", 0.5, 0.0),
        (("first", "first"), "tie", 0.5, 1.0),
        (("second", "second"), "tie", 0.5, 1.0),
        (("first", "tie"), "tie", 0.5, 1.0),
    ],
)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_both_orders_are_asked_and_must_agree(make_ctx, say, said, label, score, flip, kind):
    runs = make_ctx("Hello!"), make_ctx("What?")
    replies = [say(verdict) for verdict in said]
    if kind == "sync":
        llm = ScriptedToolBackend(replies)
        result = KINDER(*runs, llm)
    else:
        llm = AsyncScriptedToolBackend(replies)
        result = asyncio.run(KINDER.ajudge(*runs, llm))
    assert (result.label, result.score, result.metrics) == (label, score, {"position_flip": flip})
    assert result.metadata["said"] == list(said)
    assert result.explanation.startswith("[unvalidated judge] ")
    assert ("changed with the places" in result.explanation) is (flip == 1)
    one, other = (request.prompt for request in llm.requests)
    assert one.index("Hello!") < one.index("What?")
    assert other.index("What?") < other.index("Hello!")
    assert {keywords["scope"] for keywords in llm.keywords} == {"judge:kinder"}


def test_the_position_bias_is_a_rate_with_an_interval(make_ctx, say):
    script = [("first", "first")] * 3 + [("second", "second")] + [("first", "second")] * 4
    llm = ScriptedToolBackend([say(verdict) for pair in script for verdict in pair])
    results = [KINDER(make_ctx("a"), make_ctx("b"), llm) for _ in script]
    bias = position_bias(results)
    assert (bias.n, bias.flips, bias.to_first, bias.to_second) == (8, 4, 3, 1)
    assert bias.rate == 0.5
    assert str(bias) == (
        "position bias 0.50 [0.22, 0.78], n=8: 3 to the first place, 1 to the second"
    )
    humans = ["a", "b", "tie", "tie", "a", "a", "a", "a"]
    found = agreement(results, humans, scale=PREFERENCE)
    assert found.table == ((0, 0, 0), (1, 2, 1), (0, 0, 4))


def test_one_order_without_a_verdict_is_no_comparison(make_ctx, say):
    llm = ScriptedToolBackend([say("first"), "?", "?"])
    with pytest.raises(NotEvaluable, match="no verdict"):
        KINDER(make_ctx("a"), make_ctx("b"), llm)


@pytest.mark.parametrize(
    ("results", "said"), [([], "no comparison"), ([EvalResult("x", 1.0)], "no result of a Pair")]
)
def test_a_bias_of_no_comparisons_is_refused(results, said):
    with pytest.raises(EvalError, match=said):
        position_bias(results)
