"""What is asked of every run at the parcel desk."""

import re

from looplet import EvalContext, eval_mark
from looplet.evals import NotEvaluable

QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*(kg|eur)", re.IGNORECASE)  # euro, EUR, Euros


@eval_mark("verdict", needs=("expected",), threshold=0.5)
def eval_right_answer(ctx: EvalContext) -> bool:
    """The answer names the expected quantity and no other; no answer is a wrong one."""
    return quantities(answer_of(ctx)) == quantities(ctx.expected["answer"])


@eval_mark("verdict", threshold=0.7)
def eval_grounded_answer(ctx: EvalContext) -> bool:
    """Every quantity of the answer stands in a tool's result: none is made up."""
    results = [step.tool_result.data for step in ctx.steps if step.tool_result.error is None]
    stated = quantities(answer_of(ctx))
    if not stated:
        raise NotEvaluable("the run gave no answer, or one without a quantity")
    return stated <= quantities(str(results[:-1]))  # the last result is the done-call's own


@eval_mark("path", needs=("expected",), threshold=0.5)
def eval_took_the_right_tools(ctx: EvalContext) -> bool:
    """The tools that lead to the answer, in order, and no others."""
    called = [name for name in ctx.tool_sequence if name != "done"]
    return called == list(ctx.expected["tools"])


@eval_mark("path", threshold=0.5)
def eval_no_tool_refused(ctx: EvalContext) -> bool:
    """No step ended in an error."""
    return not ctx.errors


@eval_mark("budget", threshold=0.8)
def eval_ended_by_itself(ctx: EvalContext) -> bool:
    """The run ended by done, within its steps."""
    return ctx.completed


def answer_of(ctx: EvalContext) -> str:
    """The text given to done; empty if the run never got there."""
    return str(ctx.final_output.get("answer", ""))


def quantities(text: str) -> set[tuple[float, str]]:
    """Numbers with their units: ``{(2.5, "kg")}``, ``{(9.0, "eur")}``."""
    return {(float(number), unit.lower()) for number, unit in QUANTITY.findall(text)}
