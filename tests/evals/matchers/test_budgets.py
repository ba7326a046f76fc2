"""What a run may take, by the figures that were recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from looplet.core.records import Usage
from looplet.errors import EvalError, NotEvaluable
from looplet.evals import EvalContext
from looplet.evals.matchers import within
from looplet.evals.trying import context_of_calls
from looplet.trajectory.model import LLMCall

START = datetime(2024, 3, 1, tzinfo=UTC)


def llm_call(index: int, sent: int | None, received: int | None, **more: Any) -> LLMCall:
    return LLMCall(
        index, 0.0, 1.0, "generate", "p", "", "r", input_tokens=sent, output_tokens=received, **more
    )


@pytest.fixture
def ctx(run):
    calls = [llm_call(0, 100, 10, model="a"), llm_call(1, 200, 20, model="a")]
    known = {"started_at": START, "ended_at": START + timedelta(seconds=2.5), "cost_usd": 0.02}
    return EvalContext.from_trajectory(run("pears", 0, 2.0, llm_calls=calls, **known))


def changed(ctx: EvalContext, **fields: Any) -> EvalContext:
    return EvalContext.from_trajectory(replace(ctx.trajectory, **fields))


@pytest.mark.parametrize(
    ("name", "figure", "text"),
    [
        ("steps", 2, "2 steps"),
        ("tokens", 330, "330 tokens"),
        ("input_tokens", 300, "300 input tokens"),
        ("output_tokens", 30, "30 output tokens"),
        ("cost_usd", 0.02, "0.02 USD"),
        ("seconds", 2.5, "2.5 seconds"),
    ],
)
def test_a_budget_holds_up_to_its_limit_and_no_further(ctx, name, figure, text):
    match = within(ctx, **{name: figure})
    assert match
    assert match.explanation == text
    assert match.metrics == {name: figure}
    less = figure - (1 if isinstance(figure, int) else 0.001)
    match = within(ctx, **{name: less})
    assert not match
    assert match.explanation == f"{text}, of {less:,} allowed"


def test_all_limits_are_judged_at_once(ctx):
    match = within(ctx, steps=1, tokens=1_000, seconds=1)
    assert [miss.text for miss in match.misses] == [
        "2 steps, of 1 allowed",
        "2.5 seconds, of 1 allowed",
    ]
    assert match.metrics == {"steps": 2, "tokens": 330, "seconds": 2.5}


@pytest.mark.parametrize(
    ("limits", "fields", "text"),
    [
        ({"tokens": 10**6}, {"llm_calls": []}, "no model call tells its tokens"),
        ({"tokens": 10**6}, {"llm_calls": [llm_call(0, 5, 5), llm_call(1, None, 5)]},
         "1 of 2 model calls do not tell their tokens"),
        ({"cost_usd": 10**6}, {"cost_usd": None}, "the cost was not recorded"),
        ({"seconds": 10**6}, {"ended_at": None}, "when the run began and ended is not known"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_not_evaluable_and_never_nothing(ctx, limits, fields, text):
    with pytest.raises(NotEvaluable, match=text):
        within(changed(ctx, **fields), **limits)
    over = within(changed(ctx, **fields), steps=1, **limits)
    assert not over, "what is known is too much already"
    assert over.metrics == {"steps": 2}
    with pytest.raises(NotEvaluable, match=text):
        within(changed(ctx, **fields), steps=2, **limits)


def test_a_part_that_is_known_may_be_too_much_already(ctx):
    partly = changed(ctx, llm_calls=[llm_call(0, 500, 5), llm_call(1, None, 5)])
    assert not within(partly, input_tokens=499)
    with pytest.raises(NotEvaluable):
        within(partly, input_tokens=500)
    assert within(partly, output_tokens=10)


def test_an_estimate_is_called_one(ctx):
    calls = [llm_call(0, 1200, 10, tokens_estimated=True)]
    assert within(changed(ctx, llm_calls=calls), tokens=2000).explanation == (
        "1,210 tokens (estimated)"
    )


def test_a_live_context_tells_what_its_steps_and_metadata_tell():
    live = context_of_calls("price", "done")
    for limits in ({"tokens": 1}, {"seconds": 1}, {"cost_usd": 1}):
        with pytest.raises(NotEvaluable):
            within(live, **limits)
    live.steps[0].usage = Usage(90, 10, 100)
    live.metadata.update(started_at=1.0, ended_at=3.5)
    match = within(live, tokens=100, input_tokens=90, seconds=2.5)
    assert match
    assert match.metrics == {"tokens": 100, "input_tokens": 90, "seconds": 2.5}
    assert not within(live, output_tokens=9)


class Table:
    def cost(self, call):
        tokens = call.usage.total_tokens - call.cached_tokens
        return Decimal(tokens) / 1000 if call.model == "a" else None


def test_prices_tell_the_cost_where_none_was_recorded(ctx):
    assert within(ctx, cost_usd=1, prices=(1, 2)).metrics == {"cost_usd": 0.02}
    ctx = changed(ctx, cost_usd=None)
    assert within(ctx, cost_usd=1, prices=(1, 2)).metrics == {"cost_usd": pytest.approx(0.36)}
    assert within(ctx, cost_usd=1, prices=Table()).metrics == {"cost_usd": pytest.approx(0.33)}
    calls = [
        llm_call(0, 100, 10, model="a", cached_tokens=60),
        llm_call(1, 900, 0, model="a", error="TimeoutError: late"),
    ]
    cached = changed(ctx, llm_calls=calls)
    assert within(cached, cost_usd=1, prices=Table()).metrics == {"cost_usd": pytest.approx(0.05)}
    for lacking, text in (
        (llm_call(0, None, 10, model="a"), "call 0, which does not tell its tokens"),
        (llm_call(0, 1, 10, model="b"), "the model b"),
        (llm_call(0, 1, 10), "a call without a model"),
    ):
        with pytest.raises(NotEvaluable, match=f"nobody knows the price of {text}"):
            within(changed(ctx, llm_calls=[lacking]), cost_usd=1, prices=Table())
    with pytest.raises(NotEvaluable, match="no model call was recorded"):
        within(changed(ctx, llm_calls=[]), cost_usd=1, prices=Table())


@pytest.mark.parametrize("limits", [{}, {"steps": -1}, {"tokens": "9"}, {"cost_usd": True},
                                    {"seconds": float("nan")}])  # fmt: skip
def test_a_limit_is_a_number_and_there_is_one(ctx, limits):
    with pytest.raises(EvalError, match="limit"):
        within(ctx, **limits)
