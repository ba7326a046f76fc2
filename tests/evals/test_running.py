"""One eval on one run."""

from __future__ import annotations

import pytest

from looplet.evals import EvalContext, EvalResult, NotEvaluable, eval_mark
from looplet.evals.results import Outcome
from looplet.evals.running import evaluate

DONE = EvalContext([], stop_reason="done")


def test_the_time_is_taken_from_the_clock_that_is_given():
    times = iter([1.0, 1.25])
    evaluation = evaluate(lambda ctx: True, DONE, clock=lambda: next(times))
    assert evaluation.result.duration_ms == 250


def test_missing_data_is_neither_pass_nor_fail_nor_zero():
    def eval_x(ctx):
        raise NotEvaluable("no price is known")

    evaluation = evaluate(eval_x, DONE)
    assert evaluation.outcome is Outcome.NOT_EVALUABLE
    assert evaluation.result.score is None
    assert evaluation.result.explanation == "no price is known"


def test_a_need_that_is_absent_is_not_evaluable_and_the_eval_is_not_called():
    @eval_mark(needs=("expected", "final_output"))
    def eval_x(ctx):
        raise AssertionError

    evaluation = evaluate(eval_x, EvalContext([], final_output={"a": 1}))
    assert evaluation.outcome is Outcome.NOT_EVALUABLE
    assert evaluation.result.explanation == "the run has no expected"


def test_an_eval_that_needs_a_judge_is_not_evaluable_without_one():
    evaluation = evaluate(lambda ctx, llm: True, DONE)
    assert evaluation.outcome is Outcome.NOT_EVALUABLE
    assert "judge" in evaluation.result.explanation


def test_an_exception_is_an_error_and_keeps_its_traceback():
    def eval_x(ctx):
        return ctx.final_output["price"]

    evaluation = evaluate(eval_x, DONE)
    assert evaluation.outcome is Outcome.ERROR
    assert evaluation.result == EvalResult(
        "eval_x",
        label="error",
        explanation="KeyError: 'price'",
        duration_ms=evaluation.result.duration_ms,
    )
    assert evaluation.error.__traceback__ is not None


def test_what_ends_a_process_is_not_caught():
    def eval_x(ctx):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(eval_x, DONE)
