"""Guarantees 1, 5 and 15: how runs end, once, and under one name everywhere."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from looplet import (
    ApprovalHook,
    CallbackEmitter,
    CancelToken,
    DefaultState,
    ErrorKind,
    EvalContext,
    HookDecision,
    LoopConfig,
    Stop,
    TrajectoryRecorder,
    async_composable_loop,
    composable_loop,
    tools_from,
)
from looplet.core.runtime import Runtime
from looplet.errors import BackendRefused, LLMResponsesExhausted, RetryExhausted
from looplet.testing import AsyncMockLLMBackend, MockLLMBackend
from tests.guarantees.parts import APPLE, DONE, Watcher, at, call, hook, several, shop

NO_PAUSE = Runtime(sleep=lambda seconds: None)


def fails(*args: Any, **keywords: Any) -> Any:
    raise LookupError("broken hook")


@dataclass
class End:
    """One way for a run to end."""

    reason: str
    replies: list[Any] = field(default_factory=lambda: [APPLE, APPLE, DONE])
    hooks: list[Any] = field(default_factory=list)
    leave_after: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    error: type[BaseException] | None = None
    steps: int = 0


def interrupting(error: type[BaseException]) -> Any:
    tools = shop()

    @tools.tool
    def wait() -> dict:
        raise error

    @tools.tool
    def ask() -> dict:
        return {"needs_approval": True}

    return tools


def cancelled() -> CancelToken:
    token = CancelToken()
    token.cancel()
    return token


BROKEN = {
    slot: End("error", hooks=[hook(**{slot: fails})], error=LookupError, steps=steps)
    for slot, steps in {
        "pre_loop": 0, "pre_prompt": 0, "pre_dispatch": 0, "check_permission": 0,
        "post_dispatch": 0, "should_stop": 1, "check_done": 2,
    }.items()
}  # fmt: skip
ENDS: dict[str, End] = {
    "done": End("done", steps=3),
    "a stop from a hook": End(
        "enough", hooks=[hook(should_stop=lambda *a: Stop("enough"))], steps=1
    ),
    "an empty stop text": End("", hooks=[hook(should_stop=lambda *a: Stop(""))], steps=1),
    "a bare true": End("hook_stop", hooks=[hook(should_stop=lambda *a: True)], steps=1),
    "a stop before the first call": End("early", hooks=[hook(pre_prompt=lambda *a: Stop("early"))]),
    "a stop at an event": End("seen", hooks=[at("post_llm_response", give=Stop("seen"))]),
    "the budget": End("budget_exhausted", config={"max_steps": 2}, steps=2),
    "no budget": End("budget_exhausted", config={"max_steps": 0}),
    "approval": End("waiting_for_approval", replies=[call("ask")], hooks=[ApprovalHook()], steps=1),
    "a cancelled token": End("cancelled", config={"cancel_token": cancelled()}),
    "a model that fails": End("llm_error", replies=[TypeError("no")], steps=1),
    "the consumer leaves": End("stream_closed", leave_after=1, steps=1),
    "the consumer leaves in the middle of a turn": End(
        "stream_closed", replies=[several(APPLE, APPLE, APPLE)], leave_after=2, steps=2
    ),
    "the consumer leaves at the accepted done": End("done", replies=[DONE], leave_after=1, steps=1),
    "a tool is interrupted": End(
        "interrupted", replies=[APPLE, call("wait")], error=KeyboardInterrupt, steps=2
    ),
    "a tool exits": End("interrupted", replies=[APPLE, call("wait")], error=SystemExit, steps=2),
    "an on_loop_end raises": End(
        "done", hooks=[hook(on_loop_end=fails)], error=LookupError, steps=3
    ),
    "an on_loop_end raises after the consumer left": End(
        "stream_closed", hooks=[hook(on_loop_end=fails)], leave_after=1, error=LookupError, steps=1
    ),
    **{f"{slot} raises": end for slot, end in BROKEN.items()},
}


def finish(drive: Any, end: End, hooks: list[Any], **keywords: Any) -> Any:
    """Run to that end, with the given hooks beside those that bring it about."""
    given = {"max_steps": 9, "runtime": NO_PAUSE, **end.config}
    return drive(
        drive.text(end.replies),
        tools=interrupting(end.error or KeyboardInterrupt),
        hooks=[*end.hooks, *hooks],
        config=LoopConfig(**given),
        leave_after=end.leave_after,
        **keywords,
    )


every_end = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())


@every_end
def test_on_loop_end_and_stop_fire_exactly_once_however_the_run_ends(drive, end):
    first, last = Watcher(), Watcher()
    ran = finish(drive, replace(end, hooks=[first, *end.hooks]), [last])
    assert type(ran.error) is (end.error or type(None))
    assert ran.stop_reason == end.reason
    for watcher in (first, last):
        assert watcher.ends == 1
        assert watcher.stops == [end.reason]
        assert watcher.events[-1] == "stop"
    assert len(ran.state.steps) == end.steps
    assert ran.state.steps[: len(ran.steps)] == ran.steps


@every_end
def test_the_stop_reason_has_one_name_live_and_saved(drive, end):
    seen: dict[str, Any] = {}
    recorder = TrajectoryRecorder()
    listener = at("stop", give=lambda payload: seen.update(event=payload.termination_reason))

    def keep(event: Any) -> None:
        if event.event_type == "LoopEndEvent":
            assert "stream" not in seen
            seen["stream"] = event.reason

    hooks = [recorder, *end.hooks, listener]
    ran = finish(drive, replace(end, hooks=hooks), [], stream=CallbackEmitter(keep))
    context = EvalContext.from_trajectory(recorder.trajectory)
    assert ran.stop_reason == end.reason
    assert seen == {"event": end.reason, "stream": end.reason}
    assert recorder.trajectory.stop_reason == context.stop_reason == end.reason
    assert context.completed is (end.reason == "done")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_attempt_is_a_step_in_state_and_trace(drive, error):
    recorder = TrajectoryRecorder()
    end = End("interrupted", replies=[APPLE, call("wait")], error=error)
    ran = finish(drive, end, [recorder])
    step = ran.state.steps[-1]
    assert step.tool_call.tool == "wait"
    assert step.tool_result.error_kind is ErrorKind.CANCELLED
    assert [each.tool_call.tool for each in recorder.trajectory.steps] == ["price", "wait"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_every_attempt_of_an_interrupted_batch_is_a_step(drive, error):
    tools = tools_from([], include_done=True)

    @tools.tool(concurrent_safe=True)
    def wait(name: str) -> dict:
        if name == "b":
            raise error
        return {}

    reply, watcher = several(call("wait", name="a"), call("wait", name="b")), Watcher()
    config = LoopConfig(concurrent_dispatch=True)
    ran = drive(drive.text([reply]), tools=tools, config=config, hooks=[watcher])
    assert type(ran.error) is error
    assert [step.tool_call.args["name"] for step in ran.state.steps] == ["a", "b"]
    assert (watcher.ends, ran.stop_reason) == (1, "interrupted")


@pytest.mark.parametrize("slot", ["pre_prompt", "post_dispatch", "should_stop"])
def test_the_first_exception_is_the_one_that_leaves(drive, slot):
    def late(*args: Any) -> None:
        raise RuntimeError("and then this")

    watcher = Watcher()
    hooks = [hook(on_loop_end=late), hook(**{slot: fails}), watcher]
    ran = drive(drive.text([APPLE]), tools=shop(), hooks=hooks)
    assert isinstance(ran.error, LookupError)
    assert ran.error.__notes__ == ["while the run was ended: RuntimeError: and then this"]
    assert (watcher.ends, ran.stop_reason) == (1, "error")


def test_of_several_on_loop_ends_that_raise_the_first_exception_leaves(drive):
    def other(*args: Any) -> None:
        raise RuntimeError("second")

    watcher = Watcher()
    hooks = [hook(on_loop_end=fails), hook(on_loop_end=other), watcher]
    ran = drive(drive.text([DONE]), tools=shop(), hooks=hooks)
    assert isinstance(ran.error, LookupError)
    assert (watcher.ends, ran.stop_reason) == (1, "done")


def test_a_loop_that_is_dropped_is_finalised():
    watcher = Watcher()
    loop = composable_loop(MockLLMBackend([APPLE]), tools=shop(), hooks=[watcher])
    next(loop)
    del loop
    assert (watcher.ends, watcher.stops) == (1, ["stream_closed"])


def test_a_loop_that_never_began_has_no_end():
    watcher = Watcher()
    composable_loop(MockLLMBackend([APPLE]), tools=shop(), hooks=[watcher]).close()
    assert (watcher.ends, watcher.stops) == (0, [])


@pytest.mark.parametrize("where", ["model", "tool", "hook", "ending"])
def test_cancelling_the_task_finalises_once_wherever_it_waits(where):
    watcher, state = Watcher(), DefaultState()

    async def run() -> bool:
        reached = asyncio.Event()

        async def wait_at(place: str) -> None:
            if place == where:
                reached.set()
                await asyncio.Event().wait()

        class Model(AsyncMockLLMBackend):
            async def generate(self, prompt, *, max_tokens=9, system_prompt="", temperature=0):
                await wait_at("model")
                return await super().generate(prompt)

        class Slow:
            async def should_stop(self, *args: Any) -> None:
                await wait_at("hook")

            async def on_loop_end(self, *args: Any) -> None:
                await wait_at("ending")

        tools = tools_from([], include_done=True)

        @tools.tool
        async def look() -> dict:
            await wait_at("tool")
            return {}

        async def consume() -> None:
            hooks = [Slow(), watcher]
            llm = Model([call("look"), DONE])
            async for _ in async_composable_loop(llm, tools=tools, hooks=hooks, state=state):
                pass

        task = asyncio.create_task(consume())
        await reached.wait()
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(run())
    reason = "done" if where == "ending" else "cancelled"
    assert state._stop_reason == reason
    assert (watcher.ends, watcher.stops) == (1, [reason])


FAILURES = {
    "transient": (ConnectionError("down"), 3, ErrorKind.NETWORK),
    "too many": (BackendRefused("slow down", status=429), 3, ErrorKind.RATE_LIMIT),
    "a server's own": (BackendRefused("oops", status=500), 3, ErrorKind.EXECUTION),
    **{
        f"status {status}": (BackendRefused("no", status=status), 1, ErrorKind.EXECUTION)
        for status in (400, 401, 403, 404, 422)
    },
    "a wrong call": (TypeError("no such keyword"), 1, ErrorKind.VALIDATION),
    "retried already": (RetryExhausted("all failed", attempts=4), 1, ErrorKind.EXECUTION),
    "a script's end": (LLMResponsesExhausted("no reply left"), 1, ErrorKind.EXECUTION),
}


@pytest.mark.parametrize(("error", "calls", "kind"), FAILURES.values(), ids=FAILURES.keys())
def test_a_model_failure_is_its_own_step_with_its_cause_and_its_own_stop_reason(
    drive, clock, error, calls, kind
):
    llm = drive.text([APPLE] + [error] * 5)
    ran = drive(llm, tools=shop(), config=LoopConfig(runtime=clock.runtime))
    result = ran.steps[-1].tool_result
    assert ran.tools == ["price", "__llm_error__"]
    assert result.error.startswith("LLM call failed after all retry attempts")
    assert f"{type(error).__name__}: {error}" in result.error
    assert result.error_kind is kind
    assert result.error_detail.context == {"attempts": calls}
    assert llm.calls == 1 + calls
    assert clock.pauses == [1.0, 2.0][: calls - 1]
    assert ran.stop_reason == "llm_error"


def test_a_failure_of_a_repair_is_visible_too(drive, clock):
    llm = drive.text(["no call in this"] + [ConnectionError("down")] * 3)
    ran = drive(llm, tools=shop(), config=LoopConfig(runtime=clock.runtime))
    assert (ran.tools, ran.stop_reason, llm.calls) == (["__llm_error__"], "llm_error", 4)


@pytest.mark.parametrize("repair", [False, True], ids=["first call", "repair"])
def test_a_failure_has_its_step_although_a_listener_ends_the_run(drive, clock, repair):
    seen: list[str] = []

    def stop_at_error(payload):
        seen.append(payload.event.value)
        return HookDecision(stop="seen") if "error" in payload.extra else None

    replies = (["no call"] if repair else []) + [TypeError("no such keyword")]
    hooks = [at("pre_llm_call", "post_llm_response", give=stop_at_error)]
    ran = drive(drive.text(replies), tools=shop(), hooks=hooks)
    assert (ran.tools, ran.stop_reason) == (["__llm_error__"], "seen")
    assert seen == ["pre_llm_call", "post_llm_response"] * len(replies)


@pytest.mark.parametrize("how", ["stop", "cancel"])
@pytest.mark.parametrize("reply", ["no call", "cut short", "too long"])
def test_the_model_is_not_asked_again_once_the_run_is_to_end(drive, clock, reply, how):
    token, seen = CancelToken(), []

    def end(payload):
        seen.append(payload.event.value)
        if payload.event.value == "post_llm_response":
            token.cancel() if how == "cancel" else None
            return Stop("enough") if how == "stop" else None
        return None

    script = {
        "no call": "no call in this",
        "cut short": '{"tool": "pri',
        "too long": BackendRefused("prompt too long", status=413),
    }
    llm = drive.text([script[reply]] * 9)
    llm.last_stop_reason = "max_tokens" if reply == "cut short" else "end_turn"
    config = LoopConfig(cancel_token=token, max_turn_continuations=2, runtime=clock.runtime)
    hooks = [at("pre_llm_call", "post_llm_response", "pre_compact", give=end)]
    ran = drive(llm, tools=shop(), hooks=hooks, config=config)
    assert llm.calls == 1
    assert seen == ["pre_llm_call", "post_llm_response"]
    assert ran.stop_reason == ("enough" if how == "stop" else "cancelled")
