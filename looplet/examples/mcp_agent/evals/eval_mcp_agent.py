"""What is asked of every run of the clerk."""

from looplet import EvalContext, eval_mark
from looplet.evals import library
from looplet.evals.matchers import Match


@eval_mark("verdict", needs=("expected",), required=True)
def eval_reserved_what_was_asked(ctx: EvalContext) -> bool:
    """All that the server says it reserved, together, is what it should be."""
    results = [step.tool_result.data for step in ctx.steps if step.tool_call.tool == "reserve"]
    reserved = [each for each in results if "reserved" in each]  # the others are refusals
    items = {each["item"] for each in reserved}
    crates = sum(each["reserved"] for each in reserved)
    return items <= {ctx.expected["item"]} and crates == ctx.expected["crates"]


@eval_mark("verdict")
def eval_figures_come_from_the_server(ctx: EvalContext) -> Match:
    """Every number of the answer stands in a result: none is made up."""
    return library.grounded(ctx)


@eval_mark("path", threshold=0.6)
def eval_looked_before_it_reserved(ctx: EvalContext) -> bool:
    """An item's stock was asked for before any of it was to be reserved."""
    looked = set()
    for step in ctx.steps:
        item = step.tool_call.args.get("item")
        if step.tool_call.tool == "stock":
            looked.add(item)
        elif step.tool_call.tool == "reserve" and item not in looked:
            return False
    return True


@eval_mark("budget")
def eval_ended_by_itself(ctx: EvalContext) -> Match:
    """The run ended by done, within its steps."""
    return library.completed(ctx)
