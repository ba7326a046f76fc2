"""Sub-agents: what they are given, who hears of them, and what comes back."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from looplet import (
    Block,
    CallbackEmitter,
    DefaultState,
    EventPayload,
    HookDecision,
    LoopConfig,
    MetricsCollector,
    MetricsHook,
    MockLLMBackend,
    StreamingHook,
    Tracer,
    composable_loop,
    tool,
    tools_from,
)
from looplet.subagent import run_sub_loop


@tool
def price(fruit: str) -> dict:
    """Price of one piece of fruit, in euro."""
    return {"fruit": fruit, "euro": 0.4}


@tool
def sell(fruit: str) -> dict:
    """Sell a piece of fruit."""
    return {"sold": fruit}


def call(name: str, **args: Any) -> str:
    return json.dumps({"tool": name, "args": args})


APPLE, DONE = call("price", fruit="apple"), call("done", summary="0.40 euro")


def script(*replies: str) -> MockLLMBackend:
    return MockLLMBackend(list(replies), cycle=False)


class Ears:
    """Keeps every event that it hears."""

    def __init__(self, decide: Any = None) -> None:
        self.heard: list[EventPayload] = []
        self.decide = decide

    def on_event(self, payload: EventPayload) -> Any:
        self.heard.append(payload)
        return self.decide(payload) if self.decide else None

    @property
    def names(self) -> list[str]:
        return [payload.event.value for payload in self.heard]


def test_the_answer_of_a_sub_agent_comes_back():
    llm = script(APPLE, DONE)
    result = run_sub_loop(llm, "What is an apple?", tools_from([price]), subagent_id="clerk")
    assert result["answer"] == {"summary": "0.40 euro"}
    assert result["summary"] == "0.40 euro"
    assert (result["stop_reason"], result["llm_calls"], result["subagent_id"]) == (
        "done", 2, "clerk",
    )  # fmt: skip
    assert [step.tool_call.tool for step in result["steps"]] == ["price", "done"]
    assert llm.calls == 2


def test_an_answer_of_several_arguments_is_summed_up_as_json():
    tools = tools_from([], include_done=True, done_parameters={"euro": "number", "kind": "str"})
    result = run_sub_loop(script(call("done", euro=0.4, kind="apple")), "Price?", tools)
    assert json.loads(result["summary"]) == result["answer"] == {"euro": 0.4, "kind": "apple"}


def test_without_an_accepted_done_there_is_no_answer():
    class Strict:
        def check_done(self, state: Any, session_log: Any, context: Any, step_num: int) -> Any:
            return Block("look again")

    result = run_sub_loop(script(DONE, DONE), "x", tools_from([]), hooks=[Strict()], max_steps=2)
    assert (result["answer"], result["summary"], result["stop_reason"]) == (
        None, "", "budget_exhausted",
    )  # fmt: skip


def test_what_is_given_is_not_changed():
    tools = tools_from([price, sell])
    config = LoopConfig(max_steps=9, system_prompt="Be brief.")
    before = asdict(config)
    llm = script(APPLE, APPLE, APPLE)
    result = run_sub_loop(llm, "x", tools, config=config, max_steps=2)
    assert len(result["steps"]) == 2
    assert llm.last_system_prompt == "Be brief."
    assert tools.tool_names == ["price", "sell"]
    assert asdict(config) == before


def test_tools_that_change_state_are_left_out_and_the_done_tool_stays():
    tools = tools_from(
        [price, sell], include_done=True, done_name="finish", done_parameters={"said": "str"}
    )
    llm = script(call("sell", fruit="apple"), call("finish", said="no"))
    result = run_sub_loop(
        llm, "x", tools, state_mutating_tools=["sell", "finish"],
        config=LoopConfig(done_tool="finish"),
    )  # fmt: skip
    assert "Unknown tool 'sell'" in result["steps"][0].tool_result.error
    assert result["answer"] == {"said": "no"}
    assert "sell" in tools


def test_sub_tools_stand_in_for_the_tools():
    llm = script(DONE)
    run_sub_loop(llm, "x", tools_from([sell]), sub_tools=tools_from([price]))
    assert "price(" in llm.last_prompt
    assert "sell(" not in llm.last_prompt


def test_a_sub_agent_without_tools_is_refused():
    with pytest.raises(ValueError, match="sub_tools="):
        run_sub_loop(script(DONE), "x")


def test_parent_hooks_hear_the_sub_loop_with_its_id():
    parent, own = Ears(), Ears()
    tools = tools_from([price])
    run_sub_loop(
        script(APPLE, DONE), "x", tools, hooks=[own], parent_hooks=[parent], subagent_id="clerk"
    )
    assert parent.names == own.names
    assert parent.names[0] == "subagent_start"
    assert parent.names[-2:] == ["stop", "subagent_stop"]
    assert {payload.subagent_id for payload in parent.heard} == {"clerk"}
    assert {payload.extra["subagent_id"] for payload in parent.heard} == {"clerk"}
    assert {payload.subagent_id for payload in own.heard[1:-1]} == {None}
    assert parent.heard[-1].termination_reason == "done"


def test_a_hook_of_both_hears_each_event_once_and_keeps_its_other_methods():
    class Both(Ears):
        stops = 0

        def should_stop(self, state: Any, step_num: int, new_entities: Any) -> bool:
            self.stops += 1
            return False

    both = Both()
    run_sub_loop(script(APPLE, DONE), "x", tools_from([price]), hooks=[both], parent_hooks=[both])
    assert both.names.count("subagent_start") == both.names.count("session_start") == 1
    assert None not in {payload.subagent_id for payload in both.heard}
    assert both.stops >= 1


def test_other_methods_of_a_parents_hook_are_not_called():
    class Parent(Ears):
        def pre_prompt(self, *args: Any) -> str:
            raise AssertionError("called")

    parent = Parent()
    assert run_sub_loop(script(DONE), "x", tools_from([]), parent_hooks=[parent])["answer"]
    assert parent.heard


def test_a_parent_may_deny_a_call_of_the_sub_agent():
    def deny(payload: EventPayload) -> Any:
        return HookDecision(block="not now") if payload.event == "pre_tool_use" else None

    parent = Ears(deny)
    result = run_sub_loop(script(APPLE, DONE), "x", tools_from([price]), parent_hooks=[parent])
    assert result["steps"][0].tool_result.error_kind.value == "permission_denied"
    told = [each for each in parent.heard if each.event == "hook_decision"]
    assert {each.hook_name for each in told} == {"Ears"}


def test_the_end_is_told_also_when_a_hook_raises():
    class Broken:
        def pre_prompt(self, *args: Any) -> None:
            raise RuntimeError("broken")

    parent = Ears()
    with pytest.raises(RuntimeError, match="broken"):
        run_sub_loop(script(DONE), "x", tools_from([]), hooks=[Broken()], parent_hooks=[parent])
    assert parent.names.count("subagent_stop") == 1
    assert parent.heard[-1].termination_reason == "error"


def test_a_summary_of_ones_own_adds_its_keys():
    def count(state: Any, session_log: Any, steps: Any) -> dict[str, Any]:
        return {"told": (state.step_count, len(session_log.entries), len(steps))}

    state = DefaultState(max_steps=5)
    result = run_sub_loop(
        script(APPLE, DONE), "x", tools_from([price]), state=state, build_summary=count
    )
    assert result["told"][0] == result["told"][2] == 2
    assert state.step_count == 2


def test_entities_come_back():
    config = LoopConfig(extract_entities=lambda data: [data["fruit"]] if "fruit" in data else [])
    result = run_sub_loop(script(APPLE, DONE), "x", tools_from([price]), config=config)
    assert result["entities"] == ["apple"]


def test_a_sub_agents_checkpoints_do_not_mix_with_its_parents(tmp_path):
    config = LoopConfig(checkpoint_dir=tmp_path)
    run_sub_loop(script(DONE), "x", tools_from([]), config=config)
    assert list(tmp_path.iterdir()) == []


def test_a_tool_may_run_a_sub_agent_on_the_runs_own_backend():
    @tool
    def ask_clerk(question: str, ctx: Any) -> dict:
        """Ask the clerk."""
        return {"said": run_sub_loop(ctx.llm, question, tools_from([price]))["summary"]}

    llm = script(call("ask_clerk", question="apple?"), APPLE, DONE, call("done", summary="told"))
    steps = list(composable_loop(llm, "x", tools_from([ask_clerk], include_done=True)))
    assert steps[0].tool_result.data == {"said": "0.40 euro"}
    assert llm.calls == 4


def test_a_sub_agent_on_the_runs_own_backend_works_in_both_loops(drive):
    @tool
    def ask_clerk(question: str, ctx: Any) -> dict:
        """Ask the clerk."""
        return {"said": run_sub_loop(ctx.llm, question, tools_from([price]))["summary"]}

    llm = drive.text(
        [call("ask_clerk", question="apple?"), APPLE, DONE, call("done", summary="told")]
    )
    ran = drive(llm, task="x", tools=tools_from([ask_clerk], include_done=True))
    assert ran.steps[0].tool_result.data == {"said": "0.40 euro"}
    assert (llm.calls, ran.stop_reason) == (4, "done")


def test_sub_agents_side_by_side_keep_their_answers_and_hooks_apart(drive):
    parent = Ears()

    @tool(concurrent_safe=True)
    def ask_clerk(name: str) -> Any:
        """Ask a clerk."""
        llm = script(APPLE, call("done", summary=name))
        tools = tools_from([price])
        result = run_sub_loop(llm, "x", tools, subagent_id=name, parent_hooks=[parent])
        return result["summary"]

    both = json.dumps({"tools": [{"tool": "ask_clerk", "args": {"name": n}} for n in "ab"]})
    ran = drive(
        drive.text([both, DONE]),
        tools=tools_from([ask_clerk], include_done=True),
        config=LoopConfig(concurrent_dispatch=True),
    )
    assert [step.tool_result.data for step in ran.steps[:2]] == ["a", "b"]
    for name in "ab":
        own = [each.event.value for each in parent.heard if each.subagent_id == name]
        assert (own[0], own[-2:]) == ("subagent_start", ["stop", "subagent_stop"])


def test_the_parents_figures_and_stream_do_not_take_a_sub_agents_steps_for_their_own(drive):
    collector, told = MetricsCollector(), []
    metrics = MetricsHook(collector)
    stream = StreamingHook(CallbackEmitter(told.append))

    @tool
    def ask_clerk(question: str) -> Any:
        """Ask the clerk."""
        hooks = [metrics, stream]
        return run_sub_loop(script(DONE), question, tools_from([]), parent_hooks=hooks)["summary"]

    llm = drive.text([call("ask_clerk", question="x"), DONE])
    drive(llm, tools=tools_from([ask_clerk], include_done=True), hooks=[metrics, stream])
    assert dict(collector.step_classifications) == {"ok": 1, "done": 1}
    assert collector.total_llm_calls == 3
    assert told[-1].total_llm_calls == 2
    kinds = [event.classification for event in told if event.event_type == "StepEndEvent"]
    assert kinds == ["ok", "done"]


def test_spans_of_a_sub_agent_stand_below_the_call_that_started_it(drive):
    tracer = Tracer()
    config = LoopConfig(tracer=tracer)

    @tool
    def ask_clerk(question: str) -> Any:
        """Ask the clerk."""
        return run_sub_loop(script(DONE), question, tools_from([]), config=config)["summary"]

    llm = drive.text([call("ask_clerk", question="x"), DONE])
    drive(llm, tools=tools_from([ask_clerk], include_done=True), config=config)
    (root,) = tracer.root_spans
    (sub,) = root.children[1].children
    assert (root.children[1].name, sub.name) == ("tool.ask_clerk", "loop.run")
    assert [span.name for span in sub.children] == ["llm.reasoning", "tool.done"]


def test_a_decision_about_the_start_of_a_sub_agent_is_warned_about():
    def stop(payload: EventPayload) -> Any:
        return HookDecision(stop="no") if payload.event == "subagent_start" else None

    with pytest.warns(UserWarning, match="no effect in subagent_start"):
        run_sub_loop(script(DONE), "x", tools_from([]), parent_hooks=[Ears(stop)])
