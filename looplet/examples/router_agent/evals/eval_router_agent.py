"""What is asked of every run of the helper. Its models are named ``cheap`` and ``strong``."""

from looplet import EvalContext, eval_mark
from looplet.evals import library
from looplet.evals.matchers import Match
from looplet.examples.router_agent.agent import CHEAP, STRONG, went_badly
from looplet.trajectory import LLMCall


@eval_mark("verdict", needs=("expected", "final_output"))
def eval_right_amount(ctx: EvalContext) -> bool:
    """Amount and unit are those expected."""
    return dict(ctx.final_output) == dict(ctx.expected)


@eval_mark("verdict", needs=("final_output",))
def eval_amount_comes_from_a_tool(ctx: EvalContext) -> Match:
    """The amount stands in a result: it is not made up."""
    return library.grounded(ctx)


@eval_mark("path", needs=("trajectory",), required=True)
def eval_strong_only_in_trouble(ctx: EvalContext) -> bool:
    """The strong model was asked after a step that failed, or where the cheap one did."""
    trouble = {step.number + 1 for step in ctx.steps if went_badly(step)}
    calls = calls_of(ctx)
    failed = {call.step_num for call in calls if call.model == CHEAP and call.error is not None}
    return all(call.step_num in trouble | failed for call in calls if call.model == STRONG)


@eval_mark("budget", needs=("trajectory",), threshold=0.5)
def eval_mostly_cheap(ctx: EvalContext) -> dict[str, float]:
    """Which part of the answers was the cheap model's; half of them is enough."""
    answered = [call.model for call in calls_of(ctx) if call.error is None]
    cheap, strong = answered.count(CHEAP), answered.count(STRONG)
    return {"score": cheap / (cheap + strong), "cheap_calls": cheap, "strong_calls": strong}


def calls_of(ctx: EvalContext) -> list[LLMCall]:
    """The run's model calls."""
    assert ctx.trajectory is not None  # the marks say that it is needed
    return ctx.trajectory.llm_calls
