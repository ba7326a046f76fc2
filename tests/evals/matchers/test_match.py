"""A matcher's answer: true or false, with reasons, and what an eval may return."""

from __future__ import annotations

import pytest

from looplet import EvalContext, MockLLMBackend, ProvenanceSink, composable_loop
from looplet.evals import library, matchers
from looplet.evals.matchers import Call, exact, in_order
from looplet.evals.results import EvalResult, Outcome
from looplet.evals.running import evaluate
from looplet.evals.trying import context_of_calls
from looplet.trajectory import TrajectoryStore
from tests.guarantees.parts import PEAR, call, shop

CTX = context_of_calls(("price", {"fruit": "pear"}), "done")


def test_an_eval_may_return_a_match_and_gets_its_reasons():
    def eval_asks_for_plums(ctx):
        return in_order(ctx, [Call("price", fruit="plum")])

    evaluation = evaluate(eval_asks_for_plums, CTX)
    assert evaluation.outcome is Outcome.FAIL
    result = evaluation.result
    assert (result.name, result.score, result.label) == ("eval_asks_for_plums", 0.0, "fail")
    assert result.explanation == "step 1: price(fruit='pear') expected fruit='plum'"
    assert result.metrics == {"expected": 1, "matched": 0}

    evaluation = evaluate(lambda ctx: exact(ctx, ["price", "done"]), CTX)
    assert evaluation.outcome is Outcome.PASS
    assert evaluation.result.explanation == "the 2 calls are those expected"


def test_a_match_is_a_truth_for_assert_and_and():
    assert in_order(CTX, ["price"])
    both = in_order(CTX, ["price"]) and in_order(CTX, ["stock"])
    assert not both
    assert EvalResult.from_return(both).explanation == "expected stock, which is never called"
    with pytest.raises(AssertionError, match="<in_order fails: expected stock, which is never"):
        assert in_order(CTX, ["stock"])


def test_an_eval_that_lacks_data_is_not_evaluable():
    assert evaluate(lambda ctx: in_order(ctx, []), CTX).outcome is Outcome.NOT_EVALUABLE
    budget = evaluate(lambda ctx: library.within_budget(ctx, tokens=5), CTX)
    assert budget.outcome is Outcome.NOT_EVALUABLE


@pytest.mark.parametrize("name", matchers.__all__)
def test_a_public_name_is_found(name):
    assert getattr(matchers, name) is not None
    assert name in dir(matchers)


def ways(ctx):
    """Every kind of matcher on one run."""
    yield exact(ctx, ["price", ("price", {"fruit": "fig"}), "done"])
    yield exact(ctx, ["price", ("price", {"fruit": "plum"}), "done"])
    yield matchers.any_order(ctx, ["done", Call("price", fruit=str)])
    yield matchers.subset(ctx, ["price"])
    yield matchers.no_errors(ctx)
    yield matchers.no_repeats(ctx)
    yield matchers.progresses(ctx, patience=1)
    yield matchers.within(ctx, steps=2, tokens=10**6, seconds=1000)
    yield library.completed(ctx)
    yield library.grounded(ctx, decimal=".")
    yield library.valid_arguments(ctx, tools=shop())
    yield library.no_forbidden_tool(ctx, "pr*")


def test_the_store_the_trace_directory_and_the_run_itself_give_the_same_answers(tmp_path):
    sink = ProvenanceSink(dir=tmp_path / "trace")
    answer = call("done", summary="A pear costs 0.55 euro, a plum 0.30.")
    llm = sink.wrap_llm(MockLLMBackend([PEAR, call("price", fruit="fig"), answer]))
    steps = list(composable_loop(llm, "Price.", shop(), hooks=[sink.trajectory_hook()]))
    sink.flush()
    store = TrajectoryStore(tmp_path / "store")
    store.append([sink.trajectory])
    recorded = list(ways(EvalContext.from_trajectory(sink.trajectory)))
    assert [match.passed for match in recorded] == [
        True, False, True, False, False, True, True, False, True, False, True, False
    ]  # fmt: skip
    assert list(ways(EvalContext.from_trajectory_dir(tmp_path / "trace"))) == recorded
    (stored,) = store
    assert list(ways(EvalContext.from_trajectory(stored))) == recorded
    about = {"started_at": 0.0, "ended_at": 1.0}
    said = steps[-1].tool_call.args
    live = EvalContext(steps, "Price.", said, "", about, stop_reason="done")
    for mine, theirs in zip(ways(live), recorded, strict=True):
        assert mine.misses == theirs.misses
