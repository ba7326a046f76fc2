"""What is asked of every run of the programmer."""

from typing import Any

from looplet import EvalContext, eval_mark
from looplet.core.records import Step
from looplet.evals import library
from looplet.evals.matchers import Match

CHANGES = ("write", "edit")


@eval_mark("verdict", required=True)
def eval_ended_with_tests_that_pass(ctx: EvalContext) -> bool:
    """The last run of the tests passed, and no file was changed after it."""
    tools = [_is_test(step) or step.tool_call.tool for step in ctx.steps]
    if True not in tools:
        return False
    last = len(tools) - 1 - tools[::-1].index(True)
    changed_later = any(tool in CHANGES for tool in tools[last:])
    return _exit_code(ctx.steps[last]) == 0 and not changed_later


@eval_mark("verdict", needs=("expected",))
def eval_the_code_is_what_was_asked(ctx: EvalContext) -> bool:
    """The file, as it was read last, has the code that it should."""
    read = [step for step in ctx.steps if step.tool_call.args.get("path") == ctx.expected["path"]]
    return bool(read) and ctx.expected["code"] in str(read[-1].tool_result.data)


@eval_mark("path")
def eval_saw_a_test_fail_first(ctx: EvalContext) -> bool:
    """The first run of the tests failed, as that of a test that is worth something does."""
    codes = [_exit_code(step) for step in ctx.steps if _is_test(step)]
    return bool(codes) and codes[0] != 0


@eval_mark("path", threshold=0.5)
def eval_wanted_nothing_risky(ctx: EvalContext) -> Match:
    """No command was one that a person is asked about."""
    return library.no_tool_errors(ctx)


@eval_mark("budget")
def eval_ended_by_itself(ctx: EvalContext) -> Match:
    """The run ended by done, within its steps."""
    return library.completed(ctx)


def _is_test(step: Step) -> bool:
    return "unittest" in str(step.tool_call.args.get("command"))


def _exit_code(step: Step) -> Any:
    data = step.tool_result.data
    return data.get("exit_code") if isinstance(data, dict) else None
