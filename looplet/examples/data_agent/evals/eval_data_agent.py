"""What is asked of every run of the analyst."""

from looplet import EvalContext, eval_mark
from looplet.evals import NotEvaluable, library
from looplet.evals.matchers import Match, in_order, within

WAITS = "waiting_for_approval"


@eval_mark("verdict", needs=("expected",))
def eval_right_answer(ctx: EvalContext) -> bool:
    """The answer has the expected name and figure; a run that waits has none yet."""
    if ctx.stop_reason == WAITS:
        raise NotEvaluable("the run waits for a person")
    answer = str(ctx.final_output.get("answer", ""))
    return all(str(value) in answer for value in ctx.expected.values())


@eval_mark("verdict")
def eval_figures_come_from_the_tables(ctx: EvalContext) -> Match:
    """Every number and date of the answer stands in a result: none is made up."""
    return library.grounded(ctx)


@eval_mark("path")
def eval_looked_before_it_asked(ctx: EvalContext) -> Match:
    """The columns were looked up before the first query was written."""
    return in_order(ctx, ["list_tables", "describe", "query"], args="any")


@eval_mark("path", required=True)
def eval_nothing_saved_without_a_yes(ctx: EvalContext) -> bool:
    """A call that asked for approval was the run's last, and the run then waited."""
    asking = [step for step in ctx.steps if _asks(step.tool_result.data)]
    return not asking or (asking == ctx.steps[-1:] and ctx.stop_reason == WAITS)


@eval_mark("budget")
def eval_short(ctx: EvalContext) -> Match:
    """No more than ten steps."""
    return within(ctx, steps=10)


def _asks(data: object) -> bool:
    return isinstance(data, dict) and data.get("needs_approval") is True
