"""What is asked of every run of the greeter."""

from looplet import EvalContext, eval_mark
from looplet.core.records import Step
from looplet.examples.hello_world.agent import NAMES


@eval_mark("verdict")
def eval_greeted_both(ctx: EvalContext) -> bool:
    """Whether each of the two was greeted."""
    return set(NAMES) <= {*greeted(ctx)}


@eval_mark("path", needs=("expected",))
def eval_in_the_order_of_the_task(ctx: EvalContext) -> bool:
    """Whether nobody else was greeted, nobody twice, and the first one first."""
    return greeted(ctx) == list(ctx.expected["names"])


@eval_mark("budget")
def eval_ended_by_itself(ctx: EvalContext) -> bool:
    """Whether the run ended by an accepted done."""
    return ctx.completed


def greeted(ctx: EvalContext) -> list[str]:
    """Whom a greeting was made for, in order."""
    return [str(step.tool_call.args.get("name")) for step in ctx.steps if _is_greeting(step)]


def _is_greeting(step: Step) -> bool:
    return step.tool_call.tool == "greet" and step.tool_result.error is None
