"""The provenance sink, recording backends and recorders, through every driver."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from looplet import (
    DefaultState,
    EvalContext,
    HookDecision,
    LoopConfig,
    MockLLMBackend,
    Stop,
    Tracer,
    composable_loop,
    run_sub_loop,
    tools_from,
)
from looplet.errors import RecorderReused, TraceTaken, TraceUnwritable
from looplet.provenance import (
    AsyncRecordingLLMBackend,
    LLMCall,
    ProvenanceSink,
    RecordingLLMBackend,
    TrajectoryRecorder,
    read_trace,
    serialize_harness,
)
from looplet.redaction import Redactor
from looplet.testing import AsyncMockLLMBackend, ScriptedToolBackend
from tests.guarantees.parts import APPLE, DONE, PEAR, call, hook, several, shop


def files(folder: Path) -> list[str]:
    return sorted(
        place.relative_to(folder).as_posix() for place in folder.rglob("*") if place.is_file()
    )


def loaded(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "trajectory.json").read_text("utf-8"))


def manifest(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "manifest.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def recorded(drive: Any, folder: Path, replies: list[Any], **options: Any) -> Any:
    """A run through a sink of its own; the sink, and what the run left."""
    names = ("redact", "redact_upstream", "max_chars_per_call", "capture_context")
    given = {name: options.pop(name) for name in names if name in options}
    sink = ProvenanceSink(dir=folder, **given)
    options.setdefault("tools", shop())
    hooks = [*options.pop("hooks", ()), sink.trajectory_hook()]
    model = options.pop("model", None) or drive.text(replies)
    ran = drive(sink.wrap_llm(model), hooks=hooks, **options)
    return sink, ran


def test_a_run_leaves_a_directory_that_reads_back_as_the_run(drive, tmp_path):
    sink, ran = recorded(drive, tmp_path / "traces" / "run_1", [APPLE, PEAR, DONE], task="Price.")
    folder = sink.flush()
    assert folder == tmp_path / "traces" / "run_1"
    assert files(folder) == sorted(
        [f"call_0{n}_{what}.txt" for n in range(3) for what in ("prompt", "response")]
        + [f"steps/step_0{n}.json" for n in (1, 2, 3)]
        + ["manifest.jsonl", "run.json", "trajectory.json"]
    )
    assert read_trace(folder) == sink.trajectory
    context = EvalContext.from_trajectory_dir(folder)
    assert context.steps == ran.steps
    assert [step.pretty() for step in context.steps] == [step.pretty() for step in ran.steps]
    whole = loaded(folder)
    assert (whole["task"], whole["stop_reason"]) == ({"description": "Price."}, "done")
    assert len(whole["run_id"]) == 12
    assert whole["session_log_text"].startswith("SESSION LOG\nS1 price")
    assert whole["llm_calls"] == manifest(folder)


def test_files_are_there_before_anybody_can_act_on_them(drive, tmp_path):
    seen: list[tuple[int, int, int]] = []

    def look(step: Any) -> None:
        steps = list((tmp_path / "steps").iterdir())
        seen.append((step.number, len(steps), len(manifest(tmp_path))))

    sink = ProvenanceSink(dir=tmp_path)
    replies = [several(APPLE, PEAR), "?", "??", "???", call("done"), DONE]
    options = {"tools": shop(), "hooks": [sink.trajectory_hook()], "on_step": look}
    ran = drive(sink.wrap_llm(drive.text(replies)), **options)
    assert [step.tool_call.tool for step in ran.steps] == [
        "price", "price", "__parse_error__", "done", "done",
    ]  # fmt: skip
    assert seen == [(1, 1, 1), (2, 2, 1), (3, 3, 4), (4, 4, 5), (5, 5, 6)]
    assert [step.step_num for step in read_trace(tmp_path).steps] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("first", ["hook", "wrap", "wrap twice"])
def test_hook_and_backends_may_be_asked_for_in_any_order(drive, tmp_path, first):
    sink = ProvenanceSink(dir=tmp_path)
    model = drive.text(["planned", APPLE, DONE, "judged"])
    if first == "hook":
        taken = sink.trajectory_hook()
    llm = sink.wrap_llm(model)
    other = sink.wrap_llm(model) if first == "wrap twice" else llm
    ask(llm, "plan")
    taken = sink.trajectory_hook()
    assert taken is sink.trajectory_hook()
    drive(other, tools=shop(), hooks=[taken])
    ask(llm, "judge")
    run = read_trace(sink.flush())
    assert [each.response for each in run.llm_calls] == ["planned", APPLE, DONE, "judged"]
    assert [each.step_num for each in run.llm_calls] == [1, 1, 2, None]
    assert [step.llm_call_indices for step in run.steps] == [[0, 1], [2]]
    assert run == sink.trajectory


def ask(llm: Any, prompt: str, **keywords: Any) -> Any:
    """One call, whichever kind of backend it is."""
    reply = llm.generate(prompt, **keywords)
    return asyncio.run(_wait(reply)) if hasattr(reply, "__await__") else reply


async def _wait(reply: Any) -> Any:
    return await reply


def test_a_hook_without_a_backend_and_a_backend_without_a_hook(drive, tmp_path):
    steps_only = ProvenanceSink(dir=tmp_path / "steps")
    drive(drive.text([DONE]), tools=shop(), hooks=[steps_only.trajectory_hook()])
    run = read_trace(steps_only.flush())
    assert (len(run.steps), run.llm_calls, run.stop_reason) == (1, [], "done")
    calls_only = ProvenanceSink(dir=tmp_path / "calls")
    drive(calls_only.wrap_llm(drive.text([DONE])), tools=shop())
    run = read_trace(calls_only.flush())
    assert (len(run.llm_calls), run.steps, run.stop_reason) == (1, [], None)
    assert loaded(tmp_path / "calls")["termination_reason"] == "no_steps"
    assert EvalContext.from_trajectory_dir(tmp_path / "calls").stop_reason == "no_steps"


@pytest.mark.parametrize(
    ("replies", "hooks", "reason", "kind"),
    [
        ([DONE], [], "done", "done"),
        ([APPLE], [hook(should_stop=lambda *a: Stop("enough"))], "enough", "max_steps_or_stop"),
        ([APPLE], [hook(pre_prompt=lambda *a: Stop("early"))], "early", "no_steps"),
        ([call("price", fruit="fig")] * 9, [], "budget_exhausted", "error"),
        ([TypeError("gone")], [], "llm_error", "error"),
        ([APPLE], [hook(post_dispatch=lambda *a: {}["x"])], "error", "error"),
        ([APPLE], [hook(pre_prompt=lambda *a: {}["x"])], "error", "error"),
        ([DONE] * 9, [hook(check_done=lambda *a: "no")], "budget_exhausted", "max_steps_or_stop"),
    ],
)
def test_a_run_is_classed_by_its_end(drive, tmp_path, replies, hooks, reason, kind):
    sink, ran = recorded(drive, tmp_path, replies, hooks=hooks, max_steps=3)
    whole = loaded(tmp_path)
    assert (whole["stop_reason"], whole["termination_reason"]) == (ran.stop_reason, kind)
    assert whole["stop_reason"] == reason
    context = EvalContext.from_trajectory_dir(tmp_path)
    assert (context.stop_reason, context.metadata["termination_reason"]) == (reason, kind)
    assert context.completed is (reason == "done")
    assert read_trace(tmp_path) == sink.trajectory


def test_a_done_tool_of_another_name_is_known(drive, tmp_path):
    tools = tools_from([], include_done=True, done_name="finish")
    reply = call("finish", summary="x")
    recorded(drive, tmp_path, [reply], tools=tools, config=LoopConfig(done_tool="finish"))
    assert loaded(tmp_path)["done_tool"] == "finish"
    assert EvalContext.from_trajectory_dir(tmp_path).final_output == {"summary": "x"}
    (tmp_path / "trajectory.json").unlink()
    left = EvalContext.from_trajectory_dir(tmp_path)
    assert (left.stop_reason, left.final_output) == ("interrupted", {"summary": "x"})
    assert left.metadata["termination_reason"] == "done"


def test_each_step_has_the_briefing_and_the_line_of_its_own(drive, tmp_path):
    class Briefs:
        def pre_prompt(self, state, session_log, context, step_num):
            return f"briefing of turn {step_num}"

    replies = [several(APPLE, PEAR), DONE]
    _, ran = recorded(drive, tmp_path / "a", replies, hooks=[Briefs()])
    run = read_trace(tmp_path / "a")
    told = [step.context_before for step in run.steps]
    assert told == ["briefing of turn 1"] * 2 + ["briefing of turn 3"]
    assert [step.pretty for step in run.steps] == [step.pretty() for step in ran.steps]
    recorded(drive, tmp_path / "b", replies, hooks=[Briefs()], capture_context=False)
    assert {step.context_before for step in read_trace(tmp_path / "b").steps} == {""}


def test_metadata_is_that_of_the_end_of_the_run(drive, tmp_path):
    class Notes:
        def should_stop(self, state, step_num, new_entities):
            state.steps[0].tool_call.metadata["seen"] = step_num

        def on_loop_end(self, state, session_log, context, llm):
            state.steps[0].tool_result.metadata["late"] = True

    extract = LoopConfig(extract_step_metadata=lambda state, step: {"number": step.number})
    options = {"hooks": [Notes()], "config": extract}
    sink, _ = recorded(drive, tmp_path, [APPLE, PEAR, DONE], **options)
    first, second, _ = read_trace(tmp_path).steps
    assert first.tool_call.metadata == {"seen": 2}
    assert first.metadata == first.tool_result.metadata == {"number": 1, "late": True}
    assert second.metadata == {"number": 2}
    record = json.loads((tmp_path / "steps" / "step_01.json").read_text("utf-8"))
    assert record == loaded(tmp_path)["steps"][0]
    sink.trajectory_hook()._live[0].tool_result.warnings.append("after the end")
    assert read_trace(sink.flush()).steps[0].tool_result.warnings == ["after the end"]


def test_saved_data_is_not_cut_and_calls_are_where_they_are_told_to_be(drive, tmp_path):
    tools = shop()

    @tools.tool
    def long() -> list:
        return [{"text": "y" * 10_000}] * 30

    spoken = json.dumps({"tool": "long", "args": {}, "reasoning": "z" * 400})
    given = {"tools": tools, "max_chars_per_call": 100, "system_prompt": "s" * 300}
    sink, ran = recorded(drive, tmp_path, [spoken, DONE], **given)
    run = read_trace(tmp_path)
    assert run.steps[0].tool_result.data == [{"text": "y" * 10_000}] * 30
    assert run.steps[0].tool_call.reasoning == "z" * 400
    first = run.llm_calls[0]
    whole = manifest(tmp_path)[0]
    for name, text in (("response", first.response), ("system_prompt", first.system_prompt)):
        length = {"response": len(spoken), "system_prompt": 300}[name]
        assert text[100:] == (
            f" [… {length - 100:,} of {length:,} characters cut by max_chars_per_call=100]"
        )
    assert first.prompt.startswith("TOOLS")
    assert len(first.prompt) < 200 < whole["prompt_chars"]
    assert whole["response_chars"] == len(spoken)
    assert first.metadata["truncated"] is True
    assert {message.content for message in first.messages} == {first.system_prompt, first.prompt}
    assert run == sink.trajectory
    assert ran.steps[0].tool_call.reasoning == "z" * 400


def test_the_texts_of_blocks_have_a_limit_together(tmp_path):
    blocks = [
        {"type": "text", "text": "a" * 30},
        {"type": "tool_use", "id": "c" * 40, "name": "n" * 40, "input": {"q": ["b" * 30, "", 7]}},
    ]
    llm = RecordingLLMBackend(ScriptedToolBackend([blocks]), max_chars_per_call=40)
    assert llm.generate_with_tools("hi", tools=[]) == blocks
    (made,) = llm.calls
    first, second = made.response
    assert first == blocks[0]
    assert (second["id"], second["name"]) == ("c" * 40, "n" * 40)
    cut, empty, number = second["input"]["q"]
    assert cut.startswith("b" * 10 + " [… 20 of 30 characters cut")
    assert (empty, number, made.metadata["truncated"]) == ("", 7, True)
    with pytest.raises(ValueError, match="max_chars_per_call is 0"):
        RecordingLLMBackend(MockLLMBackend(), max_chars_per_call=0)


def test_a_recording_backend_keeps_its_calls_and_saves_them(drive, tmp_path):
    model = drive.text(["yes", ConnectionError("lost"), DONE])
    kind = AsyncRecordingLLMBackend if _is_async(model) else RecordingLLMBackend
    llm = kind(model)
    llm.current_step_num = 4
    assert ask(llm, "really?", system_prompt="Be brief.") == "yes"
    with pytest.raises(ConnectionError, match="lost"):
        ask(llm, "sure?")
    first, second = llm.calls
    assert (first.index, first.step_num, first.system_prompt) == (0, 4, "Be brief.")
    assert (second.error, second.response) == ("ConnectionError: lost", None)
    assert llm.save(tmp_path) == tmp_path
    lines = manifest(tmp_path)
    assert [line["error"] for line in lines] == [None, "ConnectionError: lost"]
    assert [line["tokens_estimated"] for line in lines] == [True, True]
    assert not (tmp_path / "trajectory.json").exists()
    run = read_trace(tmp_path)
    assert (run.llm_calls, run.stop_reason, run.steps) == (llm.calls, None, [])
    llm.reset()
    assert (llm.calls, llm.current_step_num) == ([], None)
    assert ask(llm, "again") == DONE
    llm.save(tmp_path)
    assert [line["index"] for line in manifest(tmp_path)] == [0]
    assert files(tmp_path) == [
        "call_00_prompt.txt", "call_00_response.txt", "manifest.jsonl", "run.json",
    ]  # fmt: skip


def _is_async(model: Any) -> bool:
    return isinstance(model, AsyncMockLLMBackend)


def test_a_recorder_takes_the_calls_of_a_recording_backend(drive, tmp_path):
    model = drive.text([APPLE, DONE])
    kind = AsyncRecordingLLMBackend if _is_async(model) else RecordingLLMBackend
    llm = kind(model, redact=lambda text: text.replace("apple", "fruit"))
    snapshot = serialize_harness(config=LoopConfig(), llm=llm, extra={"of": "apple"})
    recorder = TrajectoryRecorder(
        recording_llm=llm, output_dir=tmp_path / "as it goes", harness_snapshot=snapshot
    )
    ran = drive(llm, tools=shop(), hooks=[recorder])
    assert ran.steps[0].tool_call.args == {"fruit": "apple"}
    run = recorder.trajectory
    assert run.llm_calls is llm.calls
    assert run.steps[0].tool_call.args == {"fruit": "fruit"}
    assert run.metadata["harness_snapshot"]["llm_backend"] == type(model).__name__
    assert run.metadata["harness_snapshot"]["extra"] == {"of": "fruit"}
    assert read_trace(tmp_path / "as it goes") == run
    assert recorder.save(tmp_path / "copy") == tmp_path / "copy"
    assert read_trace(tmp_path / "copy") == run
    assert llm.save(tmp_path / "copy") == tmp_path / "copy"
    assert read_trace(tmp_path / "copy") == run
    assert recorder.summary().startswith(f"{run.run_id}  ✓ done  2 steps  2 LLM calls  ")


def test_a_recorder_refuses_what_it_cannot_use():
    with pytest.raises(TypeError, match="recording_llm is MockLLMBackend"):
        TrajectoryRecorder(recording_llm=MockLLMBackend())
    with pytest.raises(ValueError, match="redact= to it alone"):
        TrajectoryRecorder(recording_llm=RecordingLLMBackend(MockLLMBackend()), redact=str.upper)


def test_two_recorders_of_one_backend_do_not_mix_their_runs(drive, tmp_path):
    model = drive.text([APPLE, DONE, PEAR, DONE])
    llm = (AsyncRecordingLLMBackend if _is_async(model) else RecordingLLMBackend)(model)
    recorders = [
        TrajectoryRecorder(recording_llm=llm, output_dir=tmp_path / str(number))
        for number in range(2)
    ]
    for recorder in recorders:
        drive(llm, tools=shop(), hooks=[recorder])
    first, second = (recorder.trajectory for recorder in recorders)
    assert [each.response for each in first.llm_calls] == [APPLE, DONE]
    assert [each.response for each in second.llm_calls] == [PEAR, DONE]
    assert first.run_id != second.run_id
    assert [read_trace(tmp_path / str(number)) for number in range(2)] == [first, second]


def test_a_run_has_spans_of_its_own_or_in_the_tracer_given(drive, tmp_path):
    sink, _ = recorded(drive, tmp_path, [APPLE, call("fly"), DONE])
    (root,) = sink.trajectory.spans
    assert root.name == "loop.run"
    assert [span.name for span in root.children] == ["tool.price", "tool.fly", "tool.done"]
    assert [span.status for span in root.children] == ["ok", "error", "ok"]
    assert all(span.end_time is not None for span in (root, *root.children))
    assert "loop.run" not in (tmp_path / "trajectory.json").read_text("utf-8")
    tracer, tools = Tracer(), shop()

    @tools.tool
    def look() -> str:
        tracer.end_span(tracer.start_span("inside"))
        return "x"

    recorder = TrajectoryRecorder(tracer=tracer)
    drive(drive.text([call("look"), DONE]), tools=tools, hooks=[recorder])
    assert recorder.trajectory.spans is tracer.root_spans
    (root,) = tracer.root_spans
    assert [span.name for span in root.children[0].children] == ["inside"]


class Foreign:
    """A tracer of another make."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def start_span(self, name: str, **keywords: Any) -> Any:
        ended = self.ended
        return hook(end=lambda: ended.append(name), set_attribute=lambda *a: None)


def test_a_tracer_of_another_make_is_taken(drive):
    tracer = Foreign()
    recorder = TrajectoryRecorder(tracer=tracer)
    drive(drive.text([APPLE, DONE]), tools=shop(), hooks=[recorder])
    assert tracer.ended == ["tool.price", "tool.done", "loop.run"]
    assert recorder.trajectory.spans == []


def test_a_sink_serves_one_run_after_the_other(drive, tmp_path):
    sink = ProvenanceSink(dir=tmp_path)
    llm = sink.wrap_llm(drive.text([APPLE, PEAR, DONE, DONE]))
    drive(llm, tools=shop(), hooks=[sink.trajectory_hook()])
    first = sink.trajectory
    assert read_trace(sink.flush()) == first
    drive(llm, tools=shop(), hooks=[sink.trajectory_hook()])
    second = read_trace(sink.flush())
    assert second == sink.trajectory
    assert (len(second.steps), len(second.llm_calls)) == (1, 1)
    assert (len(first.steps), len(first.llm_calls)) == (3, 3)
    assert first.run_id != second.run_id
    assert "call_01_prompt.txt" not in files(tmp_path)


def test_a_run_that_begins_while_another_goes_on_is_refused_and_leaves_it_as_it_is(tmp_path):
    sink = ProvenanceSink(dir=tmp_path)
    llm = sink.wrap_llm(MockLLMBackend([APPLE, DONE]))
    options = {"tools": shop(), "hooks": [sink.trajectory_hook()]}
    running = composable_loop(llm, "first", **options)
    next(running)
    with pytest.raises(RecorderReused, match=sink.trajectory.run_id):
        next(composable_loop(llm, "second", **options))
    assert (sink.trajectory.ended_at, sink.trajectory.stop_reason) == (None, None)
    assert [step.tool_call.tool for step in running] == ["done"]
    run = read_trace(tmp_path)
    assert (run.task, run.stop_reason, len(run.steps)) == ({"description": "first"}, "done", 2)


def test_reset_begins_anew_and_forgets_what_is_under_way(tmp_path):
    sink = ProvenanceSink(dir=tmp_path)

    class Resets:
        def generate(self, prompt: str) -> str:
            sink.reset()
            return "late"

    assert sink.wrap_llm(Resets()).generate("x") == "late"
    assert (sink.trajectory.llm_calls, files(tmp_path)) == ([], [])
    llm = sink.wrap_llm(MockLLMBackend([APPLE, DONE]))
    loop = composable_loop(llm, "x", shop(), hooks=[sink.trajectory_hook()])
    next(loop)
    loop.close()
    sink.reset()
    assert sink.trajectory.steps == []
    list(composable_loop(llm, "y", shop(), hooks=[sink.trajectory_hook()]))
    run = read_trace(sink.flush())
    assert ([each.response for each in run.llm_calls], len(run.steps)) == ([DONE], 1)


def test_flush_may_be_called_at_any_time(tmp_path):
    sink = ProvenanceSink(dir=tmp_path / "new")
    assert read_trace(sink.flush()).steps == []
    llm = sink.wrap_llm(MockLLMBackend([APPLE, PEAR, DONE]))
    sink.flush()
    for step in composable_loop(llm, "x", shop(), hooks=[sink.trajectory_hook()]):
        run = read_trace(sink.flush())
        assert len(run.steps) == step.number
        assert run.stop_reason == "interrupted"
    assert read_trace(sink.flush()) == read_trace(sink.flush()) == sink.trajectory
    assert sink.trajectory.stop_reason == "done"


def test_flush_from_an_except_block_keeps_what_there_was(drive, tmp_path):
    sink = ProvenanceSink(dir=tmp_path)
    llm = sink.wrap_llm(drive.text([APPLE, PEAR]))

    def fail(step: Any) -> None:
        try:
            {}["the caller's own"]
        except KeyError:
            sink.flush()
            raise

    ran = drive(llm, tools=shop(), hooks=[sink.trajectory_hook()], on_step=fail)
    assert isinstance(ran.error, KeyError)
    del ran
    run = read_trace(tmp_path)
    assert [step.pretty for step in run.steps] == [sink.trajectory.steps[0].pretty]
    assert run.stop_reason in ("interrupted", "stream_closed", "cancelled")


def test_a_flush_without_a_run_leaves_an_earlier_trace(tmp_path):
    recorded_run = RecordingLLMBackend(MockLLMBackend(["x"]))
    recorded_run.generate("hi")
    recorded_run.save(tmp_path)
    before = read_trace(tmp_path)
    assert ProvenanceSink(dir=tmp_path).flush() == tmp_path
    assert read_trace(tmp_path) == before


def test_a_directory_that_another_run_takes_stops_the_first_run(drive, tmp_path):
    sink = ProvenanceSink(dir=tmp_path)
    model = drive.text([APPLE, PEAR, DONE])

    def take(step: Any) -> None:
        other = RecordingLLMBackend(MockLLMBackend(["other"]))
        other.generate("hi")
        other.save(tmp_path)

    ran = drive(sink.wrap_llm(model), tools=shop(), hooks=[sink.trajectory_hook()], on_step=take)
    assert isinstance(ran.error, TraceTaken)
    assert len(ran.steps) == 1
    assert model.calls == 2, "what cannot be kept is not asked for again"
    assert [each.response for each in read_trace(tmp_path).llm_calls] == ["other"]


def test_a_directory_that_cannot_be_written_ends_the_run_with_its_reason(drive, tmp_path):
    (tmp_path / "taken").write_text("a file")
    sink = ProvenanceSink(dir=tmp_path / "taken")
    ran = drive(sink.wrap_llm(drive.text([DONE])), tools=shop(), hooks=[sink.trajectory_hook()])
    assert isinstance(ran.error, TraceUnwritable)
    assert str(tmp_path / "taken") in str(ran.error)
    assert (ran.steps, ran.stop_reason) == ([], "error")


def test_calls_are_linked_to_the_tools_that_make_them(drive, tmp_path):
    tools, sink = shop(), ProvenanceSink(dir=tmp_path)
    llm = sink.wrap_llm(
        MockLLMBackend([several(call("inner"), call("inner"), call("outer")), DONE])
    )
    direct = sink.wrap_llm(MockLLMBackend(["r"]))
    helper = sink.wrap_llm(MockLLMBackend([APPLE, DONE]))

    @tools.tool(concurrent_safe=True)
    def inner() -> str:
        return direct.generate("by itself")

    @tools.tool(concurrent_safe=True)
    def outer() -> Any:
        return run_sub_loop(helper, "help", shop(), subagent_id="h")["summary"]

    config = LoopConfig(concurrent_dispatch=True)
    drive(llm, tools=tools, hooks=[sink.trajectory_hook()], config=config)
    run = read_trace(sink.flush())
    links = {each.index: (each.step_num, each.scope) for each in run.llm_calls}
    assert sorted(links.values(), key=str) == sorted(
        [(1, None), (1, None), (2, None), (3, "sub:h"), (3, "sub:h"), (4, None)], key=str
    )
    for step in run.steps:
        own = [index for index, (number, _) in links.items() if number == step.step_num]
        assert step.llm_call_indices == own


def test_calls_from_threads_of_the_tools_own_are_linked_to_its_step(drive, tmp_path):
    tools, model = shop(), MockLLMBackend([several(*[call("ask")] * 3), *"xyz", DONE])

    @tools.tool(concurrent_safe=True)
    def ask(ctx: Any) -> str:
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.append(ctx.llm.generate("by a thread")))
        thread.start()
        thread.join()
        return found[0]

    sink = ProvenanceSink(dir=tmp_path)
    config = LoopConfig(concurrent_dispatch=True)
    drive(sink.wrap_llm(model), tools=tools, hooks=[sink.trajectory_hook()], config=config)
    run = read_trace(sink.flush())
    for step in run.steps[:3]:
        replies = [run.llm_calls[index].response for index in step.llm_call_indices]
        assert replies[-1] == step.tool_result.data


def test_a_call_that_comes_when_its_step_is_over_is_added_to_it(tmp_path):
    gate, made = threading.Event(), threading.Event()
    tools, sink = shop(), ProvenanceSink(dir=tmp_path)
    llm = sink.wrap_llm(MockLLMBackend([call("slow"), APPLE, DONE]))
    direct = sink.wrap_llm(MockLLMBackend(["late"]))

    @tools.tool(timeout_s=0.01)
    def slow() -> None:
        gate.wait(5)
        direct.generate("too late")
        made.set()

    for step in composable_loop(llm, "x", tools, hooks=[sink.trajectory_hook()]):
        if step.number == 1:
            gate.set()
            assert made.wait(5)
    run = read_trace(sink.flush())
    assert [step.llm_call_indices for step in run.steps] == [[0, 1], [2], [3]]
    assert [each.step_num for each in run.llm_calls] == [1, 1, 2, 3]
    record = json.loads((tmp_path / "steps" / "step_01.json").read_text("utf-8"))
    assert record["llm_call_indices"] == [0, 1]


def test_a_call_whose_step_is_known_late_is_written_anew(tmp_path):
    sink = ProvenanceSink(dir=tmp_path)
    llm, state = sink.wrap_llm(MockLLMBackend(["planned", DONE])), DefaultState()
    llm.generate("plan")
    assert manifest(tmp_path)[0]["step_num"] is None
    list(composable_loop(llm, "x", shop(), hooks=[sink.trajectory_hook()], state=state))
    assert [line["step_num"] for line in manifest(tmp_path)] == [1, 1]
    assert "# step=1\n" in (tmp_path / "call_00_prompt.txt").read_text("utf-8")


def test_a_harness_is_told_by_settings_and_names():
    class Hook:
        def pre_prompt(self, *args: Any) -> None: ...

    class Memory:
        def load(self, state: Any) -> None: ...

    assert serialize_harness() == {"schema_version": 1, "extra": {}}
    llm = RecordingLLMBackend(MockLLMBackend())
    config = LoopConfig(max_steps=4, system_prompt="Be brief.")
    snapshot = serialize_harness(
        config=config, hooks=[Hook()], tools=shop(), memory_sources=[Memory()], llm=llm,
        extra={"tuple": (1, 2)},
    )  # fmt: skip
    assert json.loads(json.dumps(snapshot)) == snapshot
    assert snapshot == {
        "schema_version": 1, "extra": {"tuple": {"$looplet": "tuple", "value": [1, 2]}},
        "system_prompt": "Be brief.", "max_steps": 4, "max_tokens": 2000, "temperature": 0.2,
        "use_native_tools": False, "concurrent_dispatch": False, "done_tool": "done",
        "hooks": ["Hook"], "memory_sources": ["Memory"], "llm_backend": "MockLLMBackend",
        "tools": [
            {"name": "price", "description": "Price of one piece of fruit, in euro."},
            {"name": "done", "description": shop().tool_schemas()[1]["description"]},
        ],
    }  # fmt: skip


def test_a_call_can_be_made_by_place():
    made = LLMCall(0, 1.0, 2.0, "generate", "p", "s", "r", 0.5, 9, [{}], 3, "E: x", "tool:a", {})
    assert (made.step_num, made.error, made.scope) == (3, "E: x", "tool:a")
    assert (made.input_tokens, made.output_tokens, made.tokens_estimated) == (0, 0, False)


def test_a_redactor_is_taken_too(drive, tmp_path):
    redactor = Redactor(secrets={"fruit": "apple"}, defaults=False)
    recorded(drive, tmp_path, [APPLE, DONE], redact=redactor)
    assert read_trace(tmp_path).steps[0].tool_call.args == {"fruit": "[REDACTED:fruit]"}


def test_a_stop_of_a_hook_is_redacted_and_the_loops_own_words_stay(drive, tmp_path):
    stop = hook(should_stop=lambda *a: HookDecision(stop="hunter2 leaked"))
    given = {"redact": lambda text: text.replace("hunter2", "?").replace("done", "!")}
    recorded(drive, tmp_path / "a", [APPLE], hooks=[stop], **given)
    assert loaded(tmp_path / "a")["stop_reason"] == "? leaked"
    recorded(drive, tmp_path / "b", [DONE], **given)
    assert loaded(tmp_path / "b")["stop_reason"] == "done"


def test_a_backend_that_gives_no_reply_is_kept_as_such(tmp_path):
    class Broken:
        def generate(self, prompt: str) -> Any:
            return None

    llm = RecordingLLMBackend(Broken())
    assert llm.generate("x") is None
    llm.save(tmp_path)
    (made,) = read_trace(tmp_path).llm_calls
    assert (made.response, made.error) == (None, None)
