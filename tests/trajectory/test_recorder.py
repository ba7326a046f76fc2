"""What a run leaves in its recorder, by hand and through both drivers."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from looplet import (
    DefaultState,
    LoopConfig,
    async_composable_loop,
    composable_loop,
    tool,
    tools_from,
)
from looplet.core.messages import ChatMessage
from looplet.core.records import Step, ToolCall, ToolResult
from looplet.core.runtime import Runtime
from looplet.errors import RecorderReused
from looplet.testing import (
    AsyncMockLLMBackend,
    AsyncScriptedToolBackend,
    MockLLMBackend,
    ScriptedToolBackend,
)
from looplet.trajectory import TrajectoryRecorder, TrajectoryStore
from looplet.trajectory.model import chain, first_difference
from looplet.trajectory.trace_reading import read_trace


@dataclass
class State:
    task: Any = field(default_factory=lambda: {"goal": "price"})
    steps: list[Step] = field(default_factory=list)
    _stop_reason: str | None = None


def taken(number: int, name: str = "price", data: Any = None, **more: Any) -> Step:
    call = ToolCall(name, {"n": number}, call_id=f"c{number}")
    return Step(number, call, ToolResult(name, f"n={number}", data, call_id=call.call_id, **more))


def fixed() -> Runtime:
    ticks, names = itertools.count(1_000), itertools.count(1)
    return Runtime(
        now=lambda: float(next(ticks)), perf=lambda: 0.0, new_id=lambda: f"id{next(names)}"
    )


@tool
def price(fruit: str) -> dict:
    """Price of one piece of fruit, in euro."""
    return {"fruit": fruit, "euro": {"apple": 0.4, "pear": 0.55}[fruit]}


@tool
def ask(question: str, ctx: Any) -> str:
    """Ask the model."""
    return ctx.llm.generate(question)


@tool
async def ask_async(question: str, ctx: Any) -> str:
    """Ask the model."""
    return await ctx.llm.generate(question)


def call(name: str, **args: Any) -> str:
    return json.dumps({"tool": name, "args": args})


def several(*calls: tuple[str, dict[str, Any]]) -> str:
    return json.dumps({"tools": [{"tool": name, "args": args} for name, args in calls]})


def use(name: str, call_id: str, **args: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": args}


class Sync:
    text, native, ask = MockLLMBackend, ScriptedToolBackend, ask

    def __call__(self, llm: Any, recorder: Any, *, leave_after: int = 99, **keywords: Any) -> Any:
        keywords.setdefault("tools", tools_from([price], include_done=True))
        llm = recorder.wrap_llm(llm) if recorder else llm
        hooks = [*keywords.pop("hooks", ()), *([recorder] if recorder else ())]
        loop = composable_loop(llm, hooks=hooks, **keywords)
        for _ in itertools.islice(loop, leave_after):
            pass
        loop.close()
        return recorder.trajectory


class Async:
    text, native, ask = AsyncMockLLMBackend, AsyncScriptedToolBackend, ask_async

    def __call__(self, llm: Any, recorder: Any, *, leave_after: int = 99, **keywords: Any) -> Any:
        async def run() -> None:
            keywords.setdefault("tools", tools_from([price], include_done=True))
            hooks = [*keywords.pop("hooks", ()), recorder]
            loop = async_composable_loop(recorder.wrap_llm(llm), hooks=hooks, **keywords)
            steps = 0
            try:
                while steps < leave_after:
                    await anext(loop)
                    steps += 1
            except StopAsyncIteration:
                pass
            await loop.aclose()

        asyncio.run(run())
        return recorder.trajectory


@pytest.fixture(params=[Sync(), Async()], ids=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Any:
    return request.param


DONE = call("done", summary="0.95 euro")
TALK = [call("price", fruit="apple"), call("price", fruit="plum"), DONE]


def test_a_run_is_recorded_from_start_to_end(drive):
    recorder = TrajectoryRecorder(task_id="fruit", trial=2, tags=["x"], runtime=fixed())
    run = drive(drive.text(TALK, cycle=False), recorder, task={"goal": "price"})
    assert [step.tool_call.tool for step in run.steps] == ["price", "price", "done"]
    assert run.steps[0].tool_result.data == {"fruit": "apple", "euro": 0.4}
    assert "plum" in run.steps[1].tool_result.error
    assert (run.task, run.task_id, run.trial, run.tags) == ({"goal": "price"}, "fruit", 2, ["x"])
    assert (run.stop_reason, run.completed, run.error) == ("done", True, None)
    assert run.final_output == {"summary": "0.95 euro"}
    assert run.trajectory_id == "id1"
    assert run.started_at < run.ended_at
    assert [step.llm_call_indices for step in run.steps] == [[0], [1], [2]]
    assert [each.step_num for each in run.llm_calls] == [1, 2, 3]
    assert [each.response for each in run.llm_calls] == TALK
    assert [step.digest for step in run.steps] == list(chain(run.task, run.steps))
    assert [step.pretty for step in run.steps] == [step.to_step().pretty() for step in run.steps]


def test_a_recorded_run_comes_back_from_a_store(drive, tmp_path):
    recorder = TrajectoryRecorder(metadata={"n": (1, 2)}, expected={3})
    talk = [[use("price", f"c{n}", fruit="apple")] for n in range(4)]
    talk.append([{"type": "text", "text": "Well."}, use("done", "c9", summary="ok")])
    llm = drive.native(talk, usage={"input_tokens": 7, "output_tokens": 2, "cached_tokens": 3})
    run = drive(llm, recorder, task="Price it.", config=LoopConfig(use_native_tools=True))
    store = TrajectoryStore(tmp_path)
    store.append(run)
    assert list(store) == [run]
    assert (run.input_tokens, run.output_tokens, run.cached_tokens) == (35, 10, 15)
    assert not run.tokens_estimated
    assert run.model == "scripted"
    assert [each.finish_reason for each in run.llm_calls] == ["tool_use"] * 5
    assert len(run.llm_calls[4].messages) > len(run.llm_calls[0].messages)
    assert len({each.key for each in run.llm_calls}) == 5
    assert store.to_arrow("messages").num_rows < sum(len(c.messages) for c in run.llm_calls)


class ByModel:
    """A table that knows the price of one model."""

    def __init__(self, model):
        self._model = model

    def cost(self, call):
        known = call.model == self._model
        return Decimal(call.usage.total_tokens) / 100 if known else None


@pytest.mark.parametrize(
    ("prices", "cost"),
    [((1, 10), 0.054), (ByModel("scripted"), 0.18), (ByModel("other"), None), (None, None)],
)
def test_the_cost_of_a_run_is_recorded_where_prices_are_given(drive, tmp_path, prices, cost):
    recorder = TrajectoryRecorder(prices=prices, output_dir=tmp_path / "trace")
    talk = [[use("price", "c1", fruit="apple")], [use("done", "c2", summary="ok")]]
    llm = drive.native(talk, usage={"input_tokens": 7, "output_tokens": 2})
    run = drive(llm, recorder, task="Price it.", config=LoopConfig(use_native_tools=True))
    assert run.cost_usd == (cost if cost is None else pytest.approx(cost))
    assert read_trace(tmp_path / "trace").cost_usd == run.cost_usd
    assert TrajectoryRecorder(prices=prices).trajectory.cost_usd is None


def test_a_run_whose_model_was_not_recorded_has_no_cost():
    recorder = TrajectoryRecorder(prices=(1, 1))
    list(composable_loop(llm=MockLLMBackend([DONE]), tools=tools_from([price], include_done=True),
                         task="Price it.", hooks=[recorder]))  # fmt: skip
    assert recorder.trajectory.completed
    assert recorder.trajectory.cost_usd is None


def test_tokens_are_estimated_and_marked_where_the_backend_tells_none(drive):
    recorder = TrajectoryRecorder()
    drive(drive.text([DONE], cycle=False), recorder)
    (made,) = recorder.trajectory.llm_calls
    assert made.tokens_estimated
    assert made.output_tokens == -(-len(DONE) // 4)
    assert made.input_tokens == -(-len(made.prompt) // 4)
    assert made.messages == (ChatMessage(role="user", content=made.prompt),)


def test_equal_runs_have_equal_digests_and_a_changed_reply_parts_them(drive):
    runs = [
        drive(drive.text(talk, cycle=False), TrajectoryRecorder(), task="x")
        for talk in (TALK, TALK, [TALK[0], call("price", fruit="pear"), DONE])
    ]
    assert runs[0].digest == runs[1].digest != runs[2].digest
    assert first_difference(runs[0].steps, runs[1].steps) is None
    assert first_difference(runs[0].steps, runs[2].steps) == 1


def test_a_turn_with_several_calls_links_its_model_call_to_the_first(drive):
    both = several(("price", {"fruit": "apple"}), ("price", {"fruit": "pear"}))
    run = drive(drive.text([both, DONE], cycle=False), TrajectoryRecorder())
    assert [step.llm_call_indices for step in run.steps] == [[0], [], [1]]
    assert [each.step_num for each in run.llm_calls] == [1, 3]


def test_a_call_that_a_tool_makes_belongs_to_the_tools_step(drive):
    name = drive.ask.name
    both = several((name, {"question": "first?"}), (name, {"question": "second?"}))
    tools = tools_from([price, drive.ask], include_done=True)
    llm = drive.text([both, "yes", "no", DONE], cycle=False)
    run = drive(llm, TrajectoryRecorder(), tools=tools)
    assert [step.llm_call_indices for step in run.steps] == [[0, 1], [2], [3]]
    assert [each.scope for each in run.llm_calls] == [None, f"tool:{name}", f"tool:{name}", None]
    assert [each.step_num for each in run.llm_calls] == [1, 1, 2, 3]


def test_repairs_and_unreadable_replies_are_steps_and_calls_too(drive):
    run = drive(drive.text(["?", "??", "???", DONE], cycle=False), TrajectoryRecorder())
    assert [step.tool_call.tool for step in run.steps] == ["__parse_error__", "done"]
    assert [step.llm_call_indices for step in run.steps] == [[0, 1, 2], [3]]
    assert [each.lane for each in run.llm_calls] == ["main", "repair", "repair", "main"]


def test_a_model_that_fails_for_good_is_recorded(drive):
    llm = drive.text([TALK[0], TypeError("no such model")], cycle=False)
    run = drive(llm, TrajectoryRecorder())
    assert [step.tool_call.tool for step in run.steps] == ["price", "__llm_error__"]
    assert (run.stop_reason, run.completed, run.final_output) == ("llm_error", False, None)
    assert "no such model" in run.error
    assert run.llm_calls[1].error == "TypeError: no such model"
    assert run.llm_calls[1].response is None
    assert run.llm_calls[1].output_tokens == 0
    assert run.steps[1].llm_call_indices == [1]


class Reject:
    """Rejects the first done-call."""

    def __init__(self) -> None:
        self.left = 1

    def check_done(self, state: Any, session_log: Any, context: Any, step_num: int) -> str | None:
        self.left -= 1
        return "look again" if self.left >= 0 else None


def test_a_rejected_done_is_a_step_and_not_the_output(drive):
    talk = [call("done", summary="early"), call("done", summary="late")]
    run = drive(drive.text(talk, cycle=False), TrajectoryRecorder(), hooks=[Reject()])
    assert [step.tool_call.args["summary"] for step in run.steps] == ["early", "late"]
    assert run.final_output == {"summary": "late"}
    rejected = TrajectoryRecorder()
    drive(drive.text(talk, cycle=False), rejected, hooks=[Reject()], max_steps=1)
    assert rejected.trajectory.stop_reason == "budget_exhausted"
    assert rejected.trajectory.final_output is None


def test_a_run_that_is_left_has_what_was_yielded(drive):
    run = drive(drive.text(TALK, cycle=False), TrajectoryRecorder(), leave_after=1)
    assert [step.step_num for step in run.steps] == [1]
    assert run.stop_reason == "stream_closed"
    assert run.ended_at is not None


class Break:
    """A hook that breaks at the second step."""

    def post_dispatch(self, state: Any, log: Any, tool_call: Any, result: Any, n: int) -> None:
        if n == 2:
            raise RuntimeError("a hook broke")


def test_a_run_that_breaks_keeps_what_it_had(drive):
    recorder = TrajectoryRecorder()
    with pytest.raises(RuntimeError, match="a hook broke"):
        drive(drive.text(TALK, cycle=False), recorder, hooks=[Break()])
    run = recorder.trajectory
    assert (run.stop_reason, run.error) == ("error", "RuntimeError: a hook broke")
    assert len(run.steps) == 1
    assert len(run.llm_calls) == 2


class Note:
    """Adds to the first step after every turn."""

    def should_stop(self, state: Any, step_num: int, new_entities: Any) -> bool:
        state.steps[0].tool_call.metadata["note"] = step_num
        return False


def test_metadata_that_hooks_add_later_is_kept(drive):
    run = drive(drive.text(TALK, cycle=False), TrajectoryRecorder(), hooks=[Note()])
    assert run.steps[0].tool_call.metadata == {"note": 2}


def test_data_that_a_tool_changes_later_is_kept_as_it_was():
    stock: dict[str, int] = {"apples": 0}
    state, recorder = State(), TrajectoryRecorder()
    recorder.pre_loop(state, None, None)
    for number in (1, 2, 3):
        stock["apples"] = number
        state.steps.append(taken(number, data=stock))
        recorder.should_stop(state, number, [])
    recorder.on_loop_end(state, None, None, None)
    run = recorder.trajectory
    assert [step.tool_result.data for step in run.steps] == [{"apples": n} for n in (1, 2, 3)]
    assert [step.digest for step in run.steps] == list(chain(run.task, run.steps))


def test_a_recorder_refuses_a_second_run():
    recorder = TrajectoryRecorder(run_id="first")
    recorder.pre_loop(State(), None, None)
    with pytest.raises(RecorderReused, match="already holds run first"):
        recorder.pre_loop(State(), None, None)


def test_steps_from_before_the_run_are_not_the_runs():
    recorder, state = TrajectoryRecorder(), State(steps=[taken(1)])
    recorder.pre_loop(state, None, None)
    state.steps.append(taken(2))
    assert [step.step_num for step in recorder.trajectory.steps] == [2]


def test_steps_are_there_while_the_run_goes_on():
    recorder = TrajectoryRecorder()
    llm = recorder.wrap_llm(MockLLMBackend(TALK, cycle=False))
    tools = tools_from([price], include_done=True)
    seen = [
        (len(recorder.trajectory.steps), recorder.trajectory.stop_reason)
        for _ in composable_loop(llm, tools=tools, hooks=[recorder], state=DefaultState())
    ]
    assert seen == [(1, None), (2, None), (3, None)]
    assert recorder.trajectory.stop_reason == "done"


def test_each_step_is_taken_once():
    class Counting(list[Step]):
        looked_at = 0

        def __getitem__(self, place: Any) -> Any:
            Counting.looked_at += 1
            return super().__getitem__(place)

    state, recorder = State(steps=Counting()), TrajectoryRecorder()
    recorder.pre_loop(state, None, None)
    for number in range(1, 51):
        recorder.pre_prompt(state, None, None, number)
        state.steps.append(taken(number))
        recorder.should_stop(state, number, [])
    recorder.on_loop_end(state, None, None, None)
    assert len(recorder.trajectory.steps) == Counting.looked_at == 50


def test_identifiers_and_provenance_can_be_handed_in():
    run = TrajectoryRecorder(
        trajectory_id="t",
        run_id="r",
        cassette="c.yaml",
        cassette_hash="h",
        replay_of="o",
        git_sha="g",
    ).trajectory
    assert (run.trajectory_id, run.run_id, run.cassette) == ("t", "r", "c.yaml")
    assert (run.cassette_hash, run.replay_of, run.git_sha) == ("h", "o", "g")


def test_a_wrapper_is_native_exactly_if_its_backend_is():
    recorder = TrajectoryRecorder()
    assert hasattr(recorder.wrap_llm(ScriptedToolBackend([])), "generate_with_tools")
    assert not hasattr(recorder.wrap_llm(MockLLMBackend([])), "generate_with_tools")


def test_calls_that_run_side_by_side_keep_their_places():
    recorder = TrajectoryRecorder()
    llm = recorder.wrap_llm(AsyncMockLLMBackend([f"r{n}" for n in range(8)], cycle=False))

    async def run() -> list[str]:
        return list(await asyncio.gather(*(llm.generate(f"p{n}") for n in range(8))))

    replies = asyncio.run(run())
    calls = recorder.trajectory.llm_calls
    assert [each.index for each in calls] == list(range(8))
    assert {each.prompt: each.response for each in calls} == {
        f"p{n}": reply for n, reply in enumerate(replies)
    }


def test_an_interrupted_call_is_recorded_and_raised():
    recorder = TrajectoryRecorder()
    llm = recorder.wrap_llm(MockLLMBackend([KeyboardInterrupt("stop")], cycle=False))
    with pytest.raises(KeyboardInterrupt):
        llm.generate("x")
    assert recorder.trajectory.llm_calls[0].error == "KeyboardInterrupt: stop"
