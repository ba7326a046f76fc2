"""A run as a stream of events, through both drivers."""

from __future__ import annotations

import asyncio
import json
import queue
import subprocess
import sys
import threading

import pytest

from looplet import (
    AnthropicStreamingBackend,
    AsyncAnthropicStreamingBackend,
    AsyncOpenAIStreamingBackend,
    BackendRouter,
    CancelToken,
    Deny,
    EventPayload,
    FallbackRouter,
    LifecycleEvent,
    LoopConfig,
    OpenAIStreamingBackend,
    ResilientBackend,
    async_composable_loop,
    tool,
    tools_from,
)
from looplet.streaming import (
    CallbackEmitter,
    CompositeEmitter,
    LLMCallEndEvent,
    LLMChunkEvent,
    LoopEndEvent,
    QueueEmitter,
    StepEndEvent,
    StreamingHook,
    ToolDispatchEvent,
    ToolResultEvent,
)
from tests.drivers import DRIVERS
from tests.servers import Answer, completion, message
from tests.streams import endless, events_of, in_threes


@tool(concurrent_safe=True)
def price(fruit: str) -> dict:
    """Price of one piece of fruit, in euro."""
    if fruit == "ctrl-c":
        raise KeyboardInterrupt
    return {"fruit": fruit, "euro": {"apple": 0.4, "pear": 0.55}[fruit]}


def call(name, **args):
    return json.dumps({"tool": name, "args": args})


APPLE, DONE = call("price", fruit="apple"), call("done", summary="x")


def shop():
    return tools_from([price], include_done=True)


def hook(**methods):
    return type("Given", (), {name: staticmethod(body) for name, body in methods.items()})()


def fail(*args, **keywords):
    raise LookupError("broken hook")


class Kept:
    """An emitter that keeps events, and raises at those of one kind."""

    def __init__(self, breaks_at=None):
        self.events, self.breaks_at = [], breaks_at

    def emit(self, event):
        self.events.append(event)
        if event.event_type == self.breaks_at:
            raise BrokenPipeError(f"at {event.event_type}")

    @property
    def types(self):
        return [event.event_type.removesuffix("Event") for event in self.events]

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def test_a_run_is_told_in_order(drive):
    kept = Kept()
    drive(drive.text([APPLE, DONE]), task="Buy fruit", tools=shop(), stream=kept)
    step = ["StepStart", "LLMCallStart", "LLMCallEnd", "ToolDispatch", "ToolResult", "StepEnd"]
    assert kept.types == ["LoopStart", *step, *step, "LoopEnd"]
    start, end = kept.events[0], kept.events[-1]
    assert (start.task_summary, start.max_steps) == ("Buy fruit", 15)
    assert (end.total_steps, end.total_llm_calls, end.reason) == (2, 2, "done")
    assert [each.classification for each in kept.of(StepEndEvent)] == ["ok", "done"]
    assert kept.of(ToolDispatchEvent)[0].args_summary == "fruit=apple"
    assert kept.of(LLMCallEndEvent)[0].response_length == len(APPLE)


def test_a_stream_and_a_streaming_hook_tell_the_same(drive, clock):
    stream, hooked = Kept(), Kept()
    hooks = [StreamingHook(hooked, runtime=clock.runtime)]
    config = LoopConfig(runtime=clock.runtime)
    drive(drive.text([APPLE, DONE]), tools=shop(), stream=stream, hooks=hooks, config=config)
    # A tool's duration is real time, and the tool ran once for both.
    assert stream.events == hooked.events
    assert {event.timestamp for event in stream.events} == {1_000.0}


def test_entities_of_a_step_are_counted(drive):
    kept = Kept()
    config = LoopConfig(extract_entities=lambda data: ["a", "b"] if "euro" in data else [])
    drive(drive.text([APPLE, DONE]), tools=shop(), stream=kept, config=config)
    assert [each.new_entities_count for each in kept.of(StepEndEvent)] == [2, 0]


def test_calls_side_by_side_are_each_told_once(drive):
    kept = Kept()
    block = {"type": "tool_use", "name": "price", "input": {"fruit": "pear"}}
    llm = drive.native([[{**block, "id": "a"}, {**block, "id": "b"}], "bye"])
    config = LoopConfig(use_native_tools=True, concurrent_dispatch=True, max_steps=2)
    drive(llm, tools=shop(), stream=kept, config=config)
    for kind in (ToolDispatchEvent, ToolResultEvent, StepEndEvent):
        assert [each.step_num for each in kept.of(kind)] == [1, 2]


@pytest.mark.parametrize("slot", ["pre_dispatch", "check_permission"])
def test_a_call_that_another_hook_denies_is_told_with_its_error(drive, slot):
    kept = Kept()
    hooks = [hook(**{slot: lambda *args: Deny("no")}), StreamingHook(kept)]
    drive(drive.text([APPLE, DONE]), tools=shop(), hooks=hooks)
    assert len(kept.of(ToolDispatchEvent)) == 2
    assert [each.has_error for each in kept.of(ToolResultEvent)] == [True, False]
    assert "Hook" in kept.types


def test_a_done_that_is_rejected_is_classified(drive):
    kept = Kept()
    drive(
        drive.text([DONE]),
        tools=shop(),
        hooks=[hook(check_done=lambda *args: "not yet"), StreamingHook(kept)],
        max_steps=1,
    )
    assert [each.classification for each in kept.of(StepEndEvent)] == ["rejected"]
    assert kept.events[-1].reason == "budget_exhausted"


def cancelled():
    token = CancelToken()
    token.cancel()
    return token


@pytest.mark.parametrize(
    ("replies", "options", "reason"),
    [
        ([APPLE, DONE], {}, "done"),
        ([APPLE] * 3, {"leave_after": 1}, "stream_closed"),
        ([APPLE, DONE], {"leave_after": 2}, "done"),
        ([APPLE] * 3, {"max_steps": 2}, "budget_exhausted"),
        ([APPLE], {"config": LoopConfig(cancel_token=cancelled())}, "cancelled"),
        ([TypeError("no such model")], {}, "llm_error"),
        ([call("price", fruit="ctrl-c")], {}, "interrupted"),
        ([APPLE], {"hooks": [hook(should_stop=lambda *args: True)]}, "hook_stop"),
        ([APPLE], {"hooks": [hook(pre_loop=fail)]}, "error"),
        ([APPLE], {"hooks": [hook(pre_prompt=fail)]}, "error"),
        ([APPLE], {"hooks": [hook(post_dispatch=fail)]}, "error"),
        ([DONE], {"hooks": [hook(on_loop_end=fail)]}, "done"),
    ],
)
@pytest.mark.parametrize("place", ["stream", "first", "last"])
def test_every_end_is_told_exactly_once_with_its_stop_reason(
    drive, replies, options, reason, place
):
    kept, options = Kept(), dict(options)
    hooks = list(options.pop("hooks", []))
    if place == "stream":
        options["stream"] = kept
    else:
        hooks.insert(0 if place == "first" else len(hooks), StreamingHook(kept))
    ran = drive(drive.text(replies), tools=shop(), hooks=hooks, **options)
    (end,) = kept.of(LoopEndEvent)
    assert end is kept.events[-1]
    assert end.reason == ran.stop_reason == reason
    assert end.total_steps == len(ran.state.steps) == len(kept.of(StepEndEvent))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("LoopStartEvent", "error"),
        ("StepStartEvent", "error"),
        ("LLMCallStartEvent", "error"),
        ("LLMCallEndEvent", "error"),
        ("ToolDispatchEvent", "error"),
        ("ToolResultEvent", "error"),
        ("StepEndEvent", "error"),
        ("LoopEndEvent", "done"),
    ],
)
def test_what_an_emitter_raises_leaves_after_the_run_is_finalised(drive, kind, reason):
    kept, ends = Kept(kind), []
    watcher = hook(on_loop_end=lambda *args: ends.append(1))
    ran = drive(drive.text([APPLE, DONE]), tools=shop(), stream=kept, hooks=[watcher])
    assert isinstance(ran.error, BrokenPipeError)
    assert str(ran.error) == f"at {kind}"
    assert (ends, ran.stop_reason) == ([1], reason)
    assert [each.reason for each in kept.of(LoopEndEvent)] == [reason]
    assert kept.types[-2:] != ["LoopEnd", "LoopEnd"]


def test_the_first_exception_of_an_emitter_that_stays_broken_leaves(drive):
    def write(event):
        raise BrokenPipeError(event.event_type)

    ran = drive(drive.text([APPLE, DONE]), tools=shop(), stream=CallbackEmitter(write))
    assert str(ran.error) == "LoopStartEvent"


def test_a_model_is_not_asked_when_the_stream_broke_before(drive):
    llm = drive.text([APPLE, DONE])
    drive(llm, tools=shop(), stream=Kept("LLMCallStartEvent"))
    assert llm.calls == 0


def test_a_failure_at_another_event_is_raised_by_the_next_slot(drive):
    kept = Kept("HookEvent")
    deny = hook(pre_dispatch=lambda *args: Deny("no"))
    ran = drive(drive.text([APPLE, DONE]), tools=shop(), stream=kept, hooks=[deny])
    assert isinstance(ran.error, BrokenPipeError)
    assert ran.stop_reason == "error"


def test_a_hook_serves_one_run_after_another(drive):
    kept = Kept()
    streaming = StreamingHook(kept)
    for _ in range(2):
        drive(drive.text([APPLE, DONE]), tools=shop(), hooks=[streaming])
    assert [each.total_llm_calls for each in kept.of(LoopEndEvent)] == [2, 2]


def test_a_compaction_is_told():
    kept = Kept()
    streaming = StreamingHook(kept)
    for event in (LifecycleEvent.PRE_COMPACT, LifecycleEvent.POST_COMPACT):
        streaming.on_event(EventPayload(event, step_num=3, messages_before=9, messages_after=4))
    pressure, recovery = kept.events
    assert (pressure.event_type, pressure.messages_before) == ("ContextPressureEvent", 9)
    assert (recovery.event_type, recovery.messages_after) == ("RecoveryEvent", 4)


@pytest.mark.parametrize("make", [queue.Queue, asyncio.Queue])
def test_a_queue_gets_the_events_and_a_full_one_ends_the_run(drive, make):
    events = make()
    drive(drive.text([DONE]), tools=shop(), stream=QueueEmitter(events))
    assert events.get_nowait().event_type == "LoopStartEvent"
    ran = drive(drive.text([DONE]), tools=shop(), stream=QueueEmitter(make(maxsize=1)))
    assert isinstance(ran.error, queue.Full | asyncio.QueueFull)


def test_several_emitters_all_get_an_event_that_one_of_them_fails_at(drive):
    good = Kept()
    ran = drive(
        drive.text([DONE]), tools=shop(), stream=CompositeEmitter([Kept("LoopStartEvent"), good])
    )
    assert isinstance(ran.error, BrokenPipeError)
    assert good.types == ["LoopStart", "LoopEnd"]


def test_what_several_emitters_raise_is_noted_on_the_first(drive):
    bad = [Kept("LoopStartEvent"), Kept("LoopStartEvent")]
    ran = drive(drive.text([DONE]), tools=shop(), stream=CompositeEmitter(bad))
    (note,) = ran.error.__notes__
    assert note.startswith("and then: BrokenPipeError")


async def later(event):
    pass


@pytest.mark.parametrize(
    "make",
    [
        lambda: CallbackEmitter(later),
        lambda: QueueEmitter([]),
        lambda: StreamingHook(object()),
        lambda: StreamingHook(type("Late", (), {"emit": staticmethod(later)})()),
    ],
)
def test_what_cannot_take_events_is_refused_by_name(make):
    with pytest.raises(TypeError, match=r"emit|function|queue"):
        make()


def test_the_loop_loads_no_stream_until_one_is_given():
    code = "import sys, looplet.core.loop; print([n for n in sys.modules if 'stream' in n])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def typing(drive, *replies):
    """A scripted backend that hands its reply on in pieces of four characters."""
    model = drive.text(list(replies))
    kind = type(model)

    def pieces(reply, on_chunk):
        for place in range(0, len(reply), 4):
            on_chunk(reply[place : place + 4])
            if reply.startswith("FALLS"):
                raise ConnectionError("the line went dead")
        return reply

    if asyncio.iscoroutinefunction(kind.generate):

        async def generate(self, prompt, *, on_chunk=None):
            reply = await kind.generate(self, prompt)
            return pieces(reply, on_chunk or (lambda text: None))

    else:

        def generate(self, prompt, *, on_chunk=None):
            reply = kind.generate(self, prompt)
            return pieces(reply, on_chunk or (lambda text: None))

    model.__class__ = type("Typing", (kind,), {"generate": generate})
    return model


def test_pieces_of_a_streamed_reply_are_told_as_they_come(drive):
    kept = Kept()
    ran = drive(typing(drive, APPLE, DONE), tools=shop(), stream=kept)
    assert ran.tools == ["price", "done"]
    chunks = [event for event in kept.events if isinstance(event, LLMChunkEvent)]
    told = {number: "".join(c.text for c in chunks if c.step_num == number) for number in (1, 2)}
    assert told == {1: APPLE, 2: DONE}
    kinds = [event.event_type for event in kept.events]
    first = kinds.index("LLMChunkEvent")
    assert kinds[first - 1] == "LLMCallStartEvent"
    assert kinds.index("LLMCallEndEvent") > first


def test_a_reply_that_broke_off_is_told_anew_with_its_attempt(drive, clock):
    kept = Kept()
    model = typing(drive, "FALLS over", DONE)
    ran = drive(model, tools=shop(), stream=kept, config=LoopConfig(runtime=clock.runtime))
    chunks = [event for event in kept.events if isinstance(event, LLMChunkEvent)]
    assert [(chunk.text, chunk.attempt) for chunk in chunks[:2]] == [("FALL", 1), (DONE[:4], 2)]
    assert ran.stop_reason == "done"


def test_an_emitter_that_fails_at_a_piece_ends_the_run_and_is_no_failure_of_the_model(drive):
    ran = drive(typing(drive, APPLE, DONE), tools=shop(), stream=Kept(breaks_at="LLMChunkEvent"))
    assert isinstance(ran.error, BrokenPipeError)
    assert ran.stop_reason == "error"
    assert ran.steps == []


def test_a_backend_that_does_not_stream_is_not_asked_to(drive):
    kept = Kept()
    drive(drive.text([DONE]), tools=shop(), stream=kept)
    assert not [event for event in kept.events if isinstance(event, LLMChunkEvent)]


@pytest.mark.parametrize("drive", [DRIVERS["async"], DRIVERS["threads"]], ids=["async", "threads"])
def test_an_async_hook_at_pieces_is_awaited_when_the_reply_is_whole(drive):
    seen = []

    class Slow:
        async def on_chunk(self, text, step_num, attempt):
            await asyncio.sleep(0)
            seen.append(text)

    drive(typing(drive, DONE), tools=shop(), hooks=[Slow()])
    assert "".join(seen) == DONE


@pytest.mark.parametrize("drive", [DRIVERS["async"], DRIVERS["threads"]], ids=["async", "threads"])
def test_an_async_hook_that_fails_at_a_piece_leaves_no_other_piece_unawaited(drive):
    class Failing:
        async def on_chunk(self, text, step_num, attempt):
            raise BrokenPipeError(text)

    ran = drive(typing(drive, DONE), tools=shop(), hooks=[Failing()])
    assert repr(ran.error) == repr(BrokenPipeError(DONE[:4]))


def cancelled_while(asked, llm, hooks):
    """Cancel the task of a run when a backend says that it was asked."""

    async def consume():
        async for _ in async_composable_loop(llm, tools=shop(), hooks=hooks):
            pass

    async def main():
        task = asyncio.ensure_future(consume())
        assert await asyncio.to_thread(asked.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_plain_backend_of_a_cancelled_task_tells_no_piece_after_the_end():
    told, asked, ended, written = [], threading.Event(), threading.Event(), threading.Event()

    class Typing:
        def generate(self, prompt, *, on_chunk=None):
            on_chunk("first")
            asked.set()
            ended.wait(60)
            try:
                on_chunk("second")
            finally:
                written.set()
            return DONE

    def end(*args):
        told.append("end")
        ended.set()

    watch = hook(on_chunk=lambda text, step_num, attempt: told.append(text), on_loop_end=end)
    cancelled_while(asked, Typing(), [watch])
    assert written.wait(60)
    assert told == ["first", "end"]


def test_pieces_that_no_async_hook_was_awaited_for_are_dropped_with_a_cancelled_task():
    told, asked = [], threading.Event()

    class Typing:
        async def generate(self, prompt, *, on_chunk=None):
            on_chunk("first")
            asked.set()
            await asyncio.sleep(60)

    class Slow:
        async def on_chunk(self, text, step_num, attempt):
            told.append(text)

    cancelled_while(asked, Typing(), [Slow()])
    assert told == []


def test_every_event_is_told_on_the_thread_of_the_loop(drive):
    threads = set()
    stream = CallbackEmitter(lambda event: threads.add(threading.get_ident()))
    ran = drive(typing(drive, APPLE, DONE), tools=shop(), stream=stream)
    assert ran.stop_reason == "done"
    assert threads == {threading.get_ident()}


WRAPS = {
    "resilient": lambda llm: ResilientBackend(llm, sleep=lambda seconds: None),
    "timed": lambda llm: ResilientBackend(llm, timeout_s=20, sleep=lambda seconds: None),
    "nested": lambda llm: ResilientBackend(WRAPS["timed"](llm), timeout_s=20),
    "router": lambda llm: BackendRouter({"a": llm, "b": llm}, fallback="b"),
    "fallback": lambda llm: FallbackRouter(primary=llm, fallback=llm).select(),
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS.keys())
def test_the_pieces_of_the_last_attempt_are_the_reply_whichever_wrapper_asks_again(drive, wrap):
    kept = Kept()
    ran = drive(wrap(typing(drive, "FALLS over", DONE)), tools=shop(), stream=kept)
    assert (ran.error, ran.stop_reason) == (None, "done")
    told = {n: "".join(t for _, attempt, t in chunks_of(kept) if attempt == n) for n in (1, 2)}
    assert told == {1: "FALL", 2: DONE}


def test_attempts_of_a_wrapper_and_of_the_loop_are_counted_together(drive, clock):
    kept, twice = Kept(), ["FALLS one", "FALLS two"]
    model = typing(drive, *twice, *twice, DONE)
    llm = BackendRouter({"a": model, "b": model}, fallback="b")
    ran = drive(llm, tools=shop(), stream=kept, config=LoopConfig(runtime=clock.runtime))
    assert ran.stop_reason == "done"
    assert [attempt for _, attempt, text in chunks_of(kept) if text == "FALL"] == [1, 2, 3, 4]
    assert "".join(text for _, attempt, text in chunks_of(kept) if attempt == 5) == DONE


# --- a backend that streams, from a real server


BACKENDS = {
    "openai": (OpenAIStreamingBackend, AsyncOpenAIStreamingBackend, completion, "url"),
    "anthropic": (AnthropicStreamingBackend, AsyncAnthropicStreamingBackend, message, "root"),
}


@pytest.fixture(params=BACKENDS.values(), ids=BACKENDS.keys())
def provider(request):
    return request.param


def connected(drive, provider, server):
    """A streaming backend for that driver, and a hook that closes it where the run ends."""
    sync, awaited, _, url = provider
    is_awaited = drive is DRIVERS["async"]
    llm = (awaited if is_awaited else sync)(base_url=getattr(server, url), api_key="k", model="m")

    async def close(*args):
        await llm.close()

    return llm, hook(on_loop_end=close if is_awaited else lambda *args: llm.close())


def chunks_of(kept):
    return [(event.step_num, event.attempt, event.text) for event in kept.of(LLMChunkEvent)]


def test_pieces_from_a_server_are_told_in_a_run_of_text(drive, provider, server):
    said = provider[2]
    server.says(said(APPLE), said(DONE))
    kept = Kept()
    llm, closes = connected(drive, provider, server)
    ran = drive(llm, tools=shop(), hooks=[closes], stream=CallbackEmitter(kept.emit))
    assert (ran.error, ran.tools, ran.stop_reason) == (None, ["price", "done"], "done")
    expected = [(n, 1, t) for n, text in ((1, APPLE), (2, DONE)) for t in in_threes(text)]
    assert chunks_of(kept) == expected
    assert ran.steps[0].usage.input_tokens == 7


def test_pieces_from_a_server_are_told_in_a_run_of_native_calls(drive, provider, server):
    said = provider[2]
    use = ("c1", "price", {"fruit": "pear"})
    if said is completion:
        reply = completion("I look.", calls=[(*use[:2], json.dumps(use[2]))])
    else:
        reply = message(
            "I look.", dict(zip(("id", "name", "input"), use, strict=True), type="tool_use")
        )
    server.says(reply, said("Done."))
    kept = Kept()
    llm, closes = connected(drive, provider, server)
    ran = drive(
        llm,
        tools=shop(),
        hooks=[closes],
        stream=CallbackEmitter(kept.emit),
        config=LoopConfig(use_native_tools=True, max_steps=1),
    )
    assert (ran.error, ran.tools) == (None, ["price"])
    assert ran.steps[0].tool_result.data == {"fruit": "pear", "euro": 0.55}
    assert chunks_of(kept) == [(1, 1, piece) for piece in in_threes("I look.")]


def test_a_stream_that_broke_off_is_asked_again_and_told_as_the_next_attempt(
    drive, provider, server, clock
):
    said = provider[2]
    broken = Answer(events=events_of(said(DONE))[:5])
    server.says(broken, said(DONE))
    kept = Kept()
    llm, closes = connected(drive, provider, server)
    config = LoopConfig(runtime=clock.runtime)
    ran = drive(llm, tools=shop(), hooks=[closes], stream=kept, config=config)
    assert (ran.error, ran.stop_reason) == (None, "done")
    told = {n: "".join(t for _, attempt, t in chunks_of(kept) if attempt == n) for n in (1, 2)}
    assert DONE.startswith(told[1])
    assert told[1] != DONE
    assert told[2] == DONE
    assert len(server.bodies) == 2


def test_a_stream_that_always_breaks_off_ends_the_run_and_is_no_step(
    drive, provider, server, clock
):
    said = provider[2]
    server.says(Answer(events=events_of(said(DONE))[:5]))
    llm, closes = connected(drive, provider, server)
    ran = drive(
        llm, tools=shop(), hooks=[closes], stream=Kept(), config=LoopConfig(runtime=clock.runtime)
    )
    assert (ran.stop_reason, len(server.bodies)) == ("llm_error", 3)
    assert "before it was whole" in ran.steps[-1].tool_result.error
    assert ran.tools != ["done"]


def test_a_cancelled_task_hangs_up_on_a_plain_backend_and_is_told_nothing_more(provider, server):
    server.says(Answer(events=endless(provider[2])))
    kept, first = Kept(), asyncio.Event()

    def tell(event):
        kept.emit(event)
        if isinstance(event, LLMChunkEvent):
            first.set()

    async def run():
        llm = provider[0](base_url=getattr(server, provider[3]), api_key="k", model="m")
        loop = async_composable_loop(llm, tools=shop(), stream=CallbackEmitter(tell))
        task = asyncio.ensure_future(anext(loop))
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.hung_up.wait, 20)
        llm.close()

    asyncio.run(run())
    assert kept.types[-1] == "LoopEnd"
    assert kept.events[-1].reason == "cancelled"
