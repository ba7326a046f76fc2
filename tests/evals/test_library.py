"""Evals that are ready to be used, and arguments judged by the tools' schemas."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from looplet import EvalContext, LoopConfig, ToolSpec, composable_loop, tools_from
from looplet.errors import EvalError, NotEvaluable
from looplet.evals import library
from looplet.evals.matchers import Call, any_order, exact, in_order, no_repeats, progresses, subset
from looplet.evals.trying import context_of_calls
from looplet.testing import ScriptedToolBackend
from looplet.trajectory import TrajectoryRecorder
from tests.guarantees.parts import shop
from tests.trajectory.conftest import TRAJECTORIES

NUMBER = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}


def test_how_a_run_ended_is_told_or_not_known():
    assert library.completed(context_of_calls())
    late = library.completed(context_of_calls("price", stop_reason="timeout"))
    assert late.explanation == "the run ended by timeout, after 1 steps"
    with pytest.raises(NotEvaluable, match="how the run ended"):
        library.completed(context_of_calls(stop_reason=None))


def test_a_reply_that_was_no_call_is_no_tools_error():
    ctx = context_of_calls(("__parse_error__", {}, ValueError("no JSON")), ("a", {}, OSError("x")))
    assert [miss.step for miss in library.no_tool_errors(ctx).misses] == [2]
    assert library.no_tool_errors(ctx, ignore_tools="a")


def test_names_are_forbidden_and_calls_are_not_taken_for_names():
    assert not library.no_forbidden_tool(context_of_calls("bash"), "ba*")
    for tools in ((), (Call("bash"),)):
        with pytest.raises(EvalError):
            library.no_forbidden_tool(context_of_calls("bash"), *tools)


def use(name, **args):
    return {"type": "tool_use", "id": "c", "name": name, "input": args}


def recorded(*replies):
    """A run with native tools, which sends their schemas."""
    recorder = TrajectoryRecorder()
    llm = recorder.wrap_llm(ScriptedToolBackend([[reply] for reply in replies]))
    config = LoopConfig(use_native_tools=True, max_steps=len(replies))
    list(composable_loop(llm, "Price.", shop(), config=config, hooks=[recorder]))
    return recorder.trajectory


def test_arguments_are_judged_by_the_schemas_that_were_sent():
    good = use("price", fruit="pear"), use("done", summary="x")
    assert library.valid_arguments(EvalContext.from_trajectory(recorded(*good))).explanation == (
        "the arguments of 2 calls are valid"
    )
    bad = (
        use("price", fruit=3),
        use("price"),
        use("prize", fruit="pear"),
        use("done", summery="x"),
    )
    match = library.valid_arguments(EvalContext.from_trajectory(recorded(*bad)))
    assert [miss.text for miss in match.misses] == [
        "step 1: price(fruit=3): argument 'fruit' must be string, got integer 3",
        "step 2: price(): missing required argument 'fruit'; given: none. Expected: 'fruit'",
        "step 3: prize(fruit='pear'): there is no such tool; there are price, done",
        ("step 4: done(summery='x'): unexpected argument 'summery'. Did you mean 'summary'? "
         "Expected: 'summary'"),
    ]  # fmt: skip
    assert library.valid_arguments(
        EvalContext.from_trajectory(recorded(*bad)), ignore_tools=("pri*", "done")
    )


def test_each_step_is_judged_by_what_its_own_model_call_offered():
    trajectory = recorded(use("price", fruit="pear"), use("price", fruit="pear"))
    narrower = [{"name": "price", "input_schema": {"type": "object", "properties": {}}}]
    trajectory.llm_calls[1].tools = narrower
    match = library.valid_arguments(EvalContext.from_trajectory(trajectory))
    assert [miss.step for miss in match.misses] == [2]
    trajectory.llm_calls[1].tools = None
    assert library.valid_arguments(EvalContext.from_trajectory(trajectory))


def test_where_no_schema_is_known_there_is_nothing_to_judge():
    trajectory = replace(recorded(use("price", fruit=3)), llm_calls=[])
    for ctx in (context_of_calls("price"), EvalContext.from_trajectory(trajectory)):
        with pytest.raises(NotEvaluable, match="schema of price is not known; pass tools="):
            library.valid_arguments(ctx)
    assert not library.valid_arguments(EvalContext.from_trajectory(trajectory), tools=shop())
    nameless = [{"name": "price"}, {"name": "n", "parameters": NUMBER}]
    with pytest.raises(NotEvaluable, match="schema of price"):
        library.valid_arguments(context_of_calls("price"), tools=nameless)
    assert not library.valid_arguments(context_of_calls("price", ("n", {"n": 0})), tools=nameless)


@pytest.mark.parametrize(
    "tools",
    [
        [{"name": "add", "input_schema": NUMBER}],
        [{"type": "function", "function": {"name": "add", "parameters": NUMBER}}],
        [{"name": "add", "inputSchema": NUMBER}],
        [ToolSpec("add", "Add.", NUMBER, print)],
        tools_from([ToolSpec("add", "Add.", NUMBER, print)]),
    ],
    ids=["anthropic", "openai", "mcp", "spec", "registry"],
)
def test_schemas_may_come_in_any_form_and_are_judged_in_full(tools):
    ctx = context_of_calls(
        ("add", {"n": 1, "__theory__": "one"}), ("add", {"n": 0}), ("add", {"m": 1})
    )
    match = library.valid_arguments(ctx, tools=tools)
    assert [miss.step for miss in match.misses] == [2, 3]
    assert "0 is less than the minimum of 1" in match.misses[0].text


def test_what_is_no_schema_is_an_error_that_names_the_tool():
    tools = [{"name": "add", "parameters": {"properties": {"n": {"minimum": "x"}}}}]
    with pytest.raises(EvalError, match="what the tool 'add' has is no JSON Schema"):
        library.valid_arguments(context_of_calls(("add", {"n": 1})), tools=tools)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TRAJECTORIES)
def test_no_run_that_can_be_stored_breaks_an_eval(trajectory):
    ctx = EvalContext.from_trajectory(trajectory)
    tools = list(ctx.tool_sequence) or ["price"]
    evals = [
        library.completed, library.no_tool_errors, library.no_repeated_calls, library.grounded,
        progresses, no_repeats,
        lambda ctx: library.valid_arguments(ctx, tools=[]),
        lambda ctx: library.within_budget(ctx, steps=1, tokens=1, seconds=1, cost_usd=1),
        lambda ctx: library.no_forbidden_tool(ctx, "a*"),
        *(lambda ctx, how=how: how(ctx, ctx.steps) for how in (exact, in_order, any_order, subset)),
        lambda ctx: in_order(ctx, [*ctx.steps, "unheard of"]),
    ]  # fmt: skip
    for judge in evals:
        with suppress(NotEvaluable):
            assert judge(ctx).explanation
    assert exact(ctx, ctx.steps) or any(tool.startswith("__") for tool in tools)
