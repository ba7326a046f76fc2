"""What the hook tells, through the SDK and its encoder, imported: the run that was recorded."""

from __future__ import annotations

import json

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from looplet import (
    LoopConfig,
    MockLLMBackend,
    TrajectoryRecorder,
    run_sub_loop,
    tool,
    tools_from,
)
from looplet.trajectory.importers import import_trajectories
from looplet.trajectory.recording import CallLog
from tests.drivers import DRIVERS
from tests.otel.conftest import Telemetry

FRUITS = ["apple", "pear", "kiwi"]


@tool(concurrent_safe=True)
def price(fruit: str) -> dict:
    """Price of one piece of fruit, in euro."""
    return {"fruit": fruit, "euro": (0.4, {"apple": 1, "pear": 2}[fruit])}


@tool
def weigh(fruit: str, grams: int = 100) -> str:
    """Weigh a fruit."""
    return f"{fruit}: {grams} g"


def call(name, **args):
    return json.dumps({"tool": name, "args": args})


DONE = call("done", summary="all told")


def native(index, *calls):
    """A reply with native calls, and a thought beside them."""
    asked = [
        {"type": "tool_use", "id": f"c{index}-{place}", "name": name, "input": args}
        for place, (name, args) in enumerate(calls)
    ]
    return [{"type": "text", "text": f"Turn {index}."}, *asked]


def imported(folder, telemetry, spread):
    """What importing the spans gives: in requests of so many spans, as the SDK encodes them."""
    spans = telemetry.exporter.get_finished_spans()
    lines = [
        json.dumps(json_format.MessageToDict(encode_spans(spans[start : start + spread])))
        for start in range(0, len(spans), spread)
    ]
    (folder / "traces.jsonl").write_text("".join(line + "\n" for line in lines))
    problems = []
    runs = list(import_trajectories(folder, on_problem=problems.append))
    assert problems == []
    return runs


def shown(run):
    """Steps of a run, but for those of a model that asked for no tool: they have no span."""
    return [
        (step.step_num, step.tool_call.tool, step.tool_call.args, step.tool_call.call_id,
         step.tool_result.data, step.tool_result.error_kind)
        for step in run.steps
        if not step.tool_call.tool.startswith("__")
    ]  # fmt: skip


ASKED = st.one_of(
    st.builds(lambda fruit: ("price", {"fruit": fruit}), st.sampled_from(FRUITS)),
    st.builds(
        lambda fruit, grams: ("weigh", {"fruit": fruit, "grams": grams}),
        st.text(max_size=4),
        st.integers(0, 9),
    ),
    st.just(("nowhere", {})),
)
TURNS = st.lists(st.lists(ASKED, min_size=1, max_size=3), max_size=3)
AT_ONCE = LoopConfig(use_native_tools=True, concurrent_dispatch=True, max_steps=20)


@pytest.mark.parametrize("driver", DRIVERS)
@given(turns=TURNS, as_text=st.booleans(), spread=st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_a_live_run_is_imported_as_it_was_recorded(
    driver, turns, as_text, spread, tmp_path_factory
):
    telemetry, drive = Telemetry(), DRIVERS[driver]
    if as_text:
        script = [call(name, **args) for turn in turns for name, args in turn]
        llm = drive.text([*script, DONE])
    else:
        replies = [native(index, *turn) for index, turn in enumerate(turns)]
        llm = drive.native([*replies, native(9, ("done", {"summary": "all told"}))])
    log = CallLog()
    recorder = TrajectoryRecorder(recording_llm=log.wrap(llm))
    drive(
        log.wrap(llm),
        task="Price it.",
        tools=tools_from([price, weigh], include_done=True),
        hooks=[telemetry.hook(capture_content=True, agent_name="clerk"), recorder],
        config=LoopConfig(max_steps=20) if as_text else AT_ONCE,
    )
    live = recorder.trajectory
    (run,) = imported(tmp_path_factory.mktemp("spans"), telemetry, spread)
    assert shown(run) == shown(live)
    assert (run.stop_reason, run.final_output) == (live.stop_reason, live.final_output)
    assert [step.tool_result.error_message for step in run.steps] == [
        step.tool_result.error_message for step in live.steps
    ]
    assert [step.llm_call_indices for step in run.steps] == [
        step.llm_call_indices for step in live.steps
    ]
    for ours, theirs in zip(live.llm_calls, run.llm_calls, strict=True):
        assert list(theirs.messages) == list(ours.messages)
        assert (theirs.response, theirs.tools) == (ours.response, ours.tools)
    assert (run.agent, run.task) == ("clerk", {"prompt": "Price it."})


def test_a_sub_agent_and_what_a_tool_asks_have_lanes(drive, telemetry, tmp_path):
    otel = telemetry.hook(capture_content=True, agent_name="buyer")

    @tool
    def ask_clerk(question: str) -> str:
        """Ask the clerk."""
        otel.wrap_llm(MockLLMBackend(["yes"])).generate("well?", scope="tool:ask_clerk")
        llm = MockLLMBackend([call("price", fruit="pear"), DONE], cycle=False)
        hooks = [telemetry.hook(capture_content=True, agent_name="clerk")]
        return run_sub_loop(llm, question, tools_from([price]), hooks=hooks)["summary"]

    llm = drive.text([call("ask_clerk", question="pear?"), DONE])
    drive(llm, task="Buy.", tools=tools_from([ask_clerk], include_done=True), hooks=[otel])
    (run,) = imported(tmp_path, telemetry, 100)
    assert [step.tool_call.tool for step in run.steps] == ["ask_clerk", "done"]
    assert [call.scope for call in run.llm_calls] == [
        None, "tool:ask_clerk", "tool:ask_clerk/clerk", "tool:ask_clerk/clerk", None,
    ]  # fmt: skip
    assert [step.llm_call_indices for step in run.steps] == [[0, 1, 2, 3], [4]]
    assert run.steps[0].tool_result.data == "all told"


def test_without_content_a_live_run_has_steps_without_arguments(drive, telemetry, tmp_path):
    hooks = [telemetry.hook(capture_content=False)]
    drive(
        drive.text([call("price", fruit="pear"), DONE]),
        tools=tools_from([price], include_done=True),
        hooks=hooks,
    )
    (run,) = imported(tmp_path, telemetry, 1)
    assert [(step.tool_call.tool, step.tool_call.args) for step in run.steps] == [
        ("price", {}), ("done", {}),
    ]  # fmt: skip
    assert (run.stop_reason, run.final_output, run.task) == ("done", None, None)
