"""Guarantees 2, 3, 6 and 12: what a turn may do, what it must say, what it must not change."""

from __future__ import annotations

import copy
import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import (
    CancelToken,
    DefaultState,
    DomainAdapter,
    HookDecision,
    LoopConfig,
    StaticMemorySource,
    Stop,
    preview_prompt,
    run_sub_loop,
    tools_from,
)
from tests.drivers import DRIVERS
from tests.guarantees.parts import APPLE, DONE, PEAR, at, call, hook, price, several, shop


def counting() -> tuple[Any, list[str]]:
    """Tools, two of which may run side by side, and the calls that were really run."""
    ran: list[str] = []
    tools = tools_from([], include_done=True)

    @tools.tool(concurrent_safe=True)
    def safe(n: int) -> dict:
        ran.append(f"safe {n}")
        return {"n": n}

    @tools.tool
    def alone(n: int) -> dict:
        ran.append(f"alone {n}")
        return {"n": n}

    return tools, ran


mixed = st.lists(st.sampled_from(["safe", "alone", "nothing"]), min_size=1, max_size=8)


@given(
    asked=mixed,
    budget=st.integers(0, 6),
    concurrent=st.booleans(),
    name=st.sampled_from([*DRIVERS]),
)
def test_a_turn_or_batch_never_exceeds_max_steps_and_says_what_was_not_run(
    asked, budget, concurrent, name
):
    drive, (tools, ran_calls) = DRIVERS[name], counting()
    reply = several(*[call(tool, n=place) for place, tool in enumerate(asked)])
    config = LoopConfig(max_steps=budget, concurrent_dispatch=concurrent)
    ran = drive(drive.text([reply] * 9), tools=tools, config=config)
    assert len(ran.steps) == len(ran.state.steps) == budget
    known = [step for step in ran.steps if step.tool_call.tool != "nothing"]
    assert sorted(ran_calls) == sorted(
        f"{step.tool_call.tool} {step.tool_call.args['n']}" for step in known
    )
    assert ran.stop_reason == "budget_exhausted"
    left = -budget % len(asked)
    warned = [text for step in ran.steps for text in step.tool_result.warnings]
    named = ", ".join(asked[len(asked) - left :])
    assert warned == ([f"not run: {named}"] if left and budget else [])
    if warned:
        assert ran.steps[-1].tool_result.warnings == warned


def stop_at(number: int, slot: str) -> Any:
    places = {"pre_dispatch": 3, "post_dispatch": 4}
    return hook(**{slot: lambda *args: Stop("enough") if args[places[slot]] == number else None})


@pytest.mark.parametrize("concurrent", [False, True], ids=["alone", "batch"])
@pytest.mark.parametrize("slot", ["pre_dispatch", "post_dispatch"])
def test_a_stop_takes_effect_inside_of_a_turn(drive, slot, concurrent):
    tools, ran_calls = counting()
    reply = several(*[call("alone", n=n) for n in range(1, 6)])
    ran = drive(
        drive.text([reply]),
        tools=tools,
        hooks=[stop_at(2, slot)],
        config=LoopConfig(concurrent_dispatch=concurrent),
    )
    assert ran.tools == ["alone", "alone"]
    assert ran_calls == ["alone 1", "alone 2"][: 1 if slot == "pre_dispatch" else 2]
    assert ran.steps[-1].tool_result.warnings == ["not run: alone, alone, alone"]
    assert ran.stop_reason == "enough"


@pytest.mark.parametrize(
    ("slot", "runs", "left"), [("pre_dispatch", 1, 3), ("post_dispatch", 5, 0)]
)
def test_a_stop_in_a_batch_leaves_no_call_without_a_word(drive, slot, runs, left):
    tools, ran_calls = counting()
    reply = several(*[call("safe", n=n) for n in range(1, 6)])
    ran = drive(
        drive.text([reply]),
        tools=tools,
        hooks=[stop_at(2, slot)],
        config=LoopConfig(concurrent_dispatch=True),
    )
    assert len(ran_calls) == runs
    assert len(ran.steps) + left == 5, "what was run has a step, what was not is named"
    warned = ["not run: " + ", ".join(["safe"] * left)] if left else []
    assert ran.steps[-1].tool_result.warnings == warned
    assert ran.stop_reason == "enough"


@pytest.mark.parametrize("where", ["tool", "hook", "consumer"])
def test_a_cancelled_run_says_which_calls_it_left(drive, where):
    token = CancelToken()
    tools = tools_from([price], include_done=True)

    @tools.tool
    def abort() -> dict:
        if where == "tool":
            token.cancel()
        return {}

    def after(*args: Any) -> None:
        token.cancel() if where == "hook" else None

    ran = drive(
        drive.text([several(call("abort"), APPLE, PEAR)]),
        tools=tools,
        hooks=[hook(post_dispatch=after)],
        config=LoopConfig(cancel_token=token),
        on_step=lambda step: token.cancel() if where == "consumer" else None,
    )
    assert (ran.tools, ran.stop_reason) == (["abort"], "cancelled")
    assert ran.steps[0].tool_result.warnings == ["not run: price, price"]


def test_a_turn_without_a_step_leaves_the_steps_before_it_alone(drive):
    token = CancelToken()

    def cancel(payload: Any) -> None:
        token.cancel() if payload.step_num == 2 else None

    ran = drive(
        drive.text([APPLE, several(APPLE, PEAR)]),
        tools=shop(),
        hooks=[at("post_llm_response", give=cancel)],
        config=LoopConfig(cancel_token=token),
    )
    assert (ran.tools, ran.stop_reason) == (["price"], "cancelled")
    assert ran.steps[0].tool_result.warnings == []


@pytest.mark.parametrize("rejected", [False, True], ids=["accepted", "rejected"])
def test_calls_after_a_done_are_named_and_told_to_the_model(drive, rejected):
    asked = []

    def judge(*args: Any) -> str | None:
        asked.append(1)
        return "not yet" if rejected and len(asked) == 1 else None

    llm = drive.text([several(APPLE, DONE, PEAR, DONE), DONE])
    ran = drive(llm, tools=shop(), hooks=[hook(check_done=judge)])
    assert ran.tools == ["price", "done"] + ["done"] * rejected
    assert ran.steps[1].tool_result.warnings == ["not run: price, done"]
    assert ("these calls were not run: price, done" in llm.last_prompt) is rejected


def test_config_registry_task_and_hooks_results_are_never_changed(drive):
    task = {"goal": "g", "nested": {"list": [1, {"a": 2}]}}
    config = LoopConfig(
        max_steps=7,
        system_prompt="one",
        generate_kwargs={"seed": {"n": 1}},
        tool_metadata={"a": [1]},
        memory_sources=[StaticMemorySource("m")],
        output_schema={"properties": {"summary": {"type": "string"}}},
        acceptance_criteria=["c"],
        domain=DomainAdapter(build_briefing=lambda *args: "brief"),
        concurrent_dispatch=True,
    )
    kept = {each.name: getattr(config, each.name) for each in fields(config)}
    before = copy.deepcopy({name: kept[name] for name in kept if name not in {"domain", "runtime"}})
    tools, args = shop(), {"fruit": "pear"}
    names, schemas = list(tools.tool_names), copy.deepcopy(tools.tool_schemas())
    change = hook(pre_dispatch=lambda *a: HookDecision(updated_args=args))
    reply = json.dumps({**json.loads(APPLE), "theory": "t"})
    frozen_task = copy.deepcopy(task)
    ran = drive(
        drive.text([reply, several(APPLE, PEAR), DONE]), task=task, tools=tools, hooks=[change],
        config=config, max_steps=4, system_prompt="two",
    )  # fmt: skip
    assert ran.stop_reason == "done"
    run_sub_loop(
        DRIVERS["sync"].text([DONE]), task, tools, config=config, state_mutating_tools=["price"]
    )
    after = {each.name: getattr(config, each.name) for each in fields(config)}
    assert all(after[name] is kept[name] for name in kept)
    assert {name: after[name] for name in before} == before
    assert (task, args) == (frozen_task, {"fruit": "pear"})
    assert (tools.tool_names, tools.tool_schemas()) == (names, schemas)


task_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(["{braces}", "%s %(x)s", "{0}", "{}", "$x", ""]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(task=st.dictionaries(st.text(min_size=1, max_size=8), task_values, min_size=1, max_size=5))
def test_all_task_values_are_shown_and_data_with_braces_comes_through(task):
    drive = DRIVERS["sync"]
    llm = drive.text([DONE])
    memory = StaticMemorySource("{memory} %s")
    config = LoopConfig(memory_sources=[memory], acceptance_criteria=["{criterion}"])
    assert preview_prompt(task, shop(), config=config) in drive_prompt(drive, llm, task, config)
    for key, value in task.items():
        plain = value if isinstance(value, str) else str(value)
        shown = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else plain
        assert f"{key}: {shown}" in llm.last_prompt
    assert "{memory} %s" in llm.last_prompt
    assert "{criterion}" in llm.last_prompt


def drive_prompt(drive: Any, llm: Any, task: Any, config: LoopConfig) -> str:
    drive(llm, tools=shop(), task=task, config=config)
    return llm.last_prompt


@pytest.mark.parametrize("native", [False, True], ids=["text", "native prompt"])
def test_a_runs_prompt_text_grows_linearly_with_its_steps(drive, native):
    tools = tools_from([], include_done=True)

    @tools.tool
    def look(n: int) -> dict:
        return {"rows": [f"{{row}} {n} {place}" for place in range(400)]}

    replies = [
        [{"type": "tool_use", "id": f"c{n}", "name": "look", "input": {"n": n}}]
        if native
        else json.dumps({"tool": "look", "args": {"n": n}, "reasoning": "because " * 50})
        for n in range(60)
    ]
    llm = drive.native(replies, takes_messages=False) if native else drive.text(replies)
    config = LoopConfig(max_steps=60, use_native_tools=native)
    drive(llm, tools=tools, config=config, state=DefaultState(max_steps=60))
    sizes = [len(request.prompt) for request in llm._script.asked]
    assert len(sizes) == 60
    assert sum(sizes[30:]) <= 1.2 * 30 * max(sizes[10:30])
    assert "{row}" in llm._script.asked[-1].prompt
