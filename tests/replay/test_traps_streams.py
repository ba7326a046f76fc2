"""Streams, failures, timeouts and cancellations: recorded and replayed as what they were."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from looplet import CancelToken, LoopConfig, async_composable_loop, composable_loop, tools_from
from looplet.backends import ResilientBackend
from looplet.core.tools import ToolContext, tool
from looplet.errors import BackendRefused, BackendTimeout, BackendUnreachable, RunCancelled
from looplet.replay import read_trajectory, replay, use_cassette
from looplet.trajectory import TrajectoryRecorder
from looplet.trajectory.recording import CallLog
from tests.replay.agents import Desk, agent, call, model


class Streams:
    """Tells its reply in pieces; between them it does what it is told."""

    model = "streaming-1"

    def __init__(self, *pieces, between=lambda: None, fails=None, anew=0):
        self.pieces, self.between, self.fails, self.anew = pieces, between, fails, anew

    def generate(
        self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2, on_chunk=None
    ):
        for _ in range(self.anew):
            on_chunk("void")
            on_chunk.begin_anew()
        for piece in self.pieces:
            if on_chunk is not None:
                on_chunk(piece)
            self.between()
        if self.fails is not None:
            raise self.fails
        return "".join(self.pieces)


class AsyncStreams(Streams):
    async def generate(
        self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2, on_chunk=None
    ):
        return Streams.generate(self, prompt, on_chunk=on_chunk)


def test_the_first_piece_is_heard_before_the_second_is_made(path):
    """The model waits for the listener, so that a piece which is held back is never heard."""
    heard = threading.Event()
    told = []

    def listen(piece):
        told.append(piece)
        heard.set()

    def wait():
        assert heard.wait(10), "the first piece was held back"

    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(Streams("Hel", "lo", between=wait))
        assert llm.generate("a", on_chunk=listen) == "Hello"
    assert told == ["Hel", "lo"]


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self, monkeypatch):
        self.now, self.slept = 100.0, []
        monkeypatch.setattr("looplet.replay.session.time.perf_counter", lambda: self.now)
        monkeypatch.setattr("looplet.replay.session.time.sleep", self.sleep)

    def sleep(self, seconds):
        self.slept.append(round(seconds, 3))
        self.now += seconds

    def passes(self):
        self.now += 0.25


def test_offsets_are_kept_and_replayed_at_once_or_in_real_time(path, monkeypatch):
    clock = Clock(monkeypatch)
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(Streams("Hel", "lo", "!", between=clock.passes))
        llm.generate("a", on_chunk=lambda _: None)
        assert llm.last_timing == (750.0, 0.0)
    assert "stream: 3@0 2@250 1@500" in path.read_text()
    told = []
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None)
        llm.generate("a", on_chunk=told.append)
        assert llm.last_timing == (750.0, 0.0)
    assert (told, clock.slept) == (["Hel", "lo", "!"], [])
    with use_cassette(path, stream="realtime") as cassette:
        cassette.wrap_llm(None).generate("a", on_chunk=told.append)
    assert told[3:] == ["Hel", "lo", "!"]
    assert clock.slept == [0.0, 0.25, 0.25, 0.25]


def test_an_async_stream_takes_its_time_too(path):
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(AsyncStreams("Hel", "lo", between=lambda: time.sleep(0.01)))
        asyncio.run(llm.generate("a", on_chunk=lambda _: None))
    told = []

    async def ask(llm):
        first = asyncio.get_running_loop().time()
        await llm.generate("a", on_chunk=told.append)
        return asyncio.get_running_loop().time() - first

    with use_cassette(path, stream="realtime") as cassette:
        assert asyncio.run(ask(cassette.wrap_llm(None, async_=True))) > 0.015
    assert told == ["Hel", "lo"]


def test_a_stream_that_was_begun_anew_counts_its_attempts_again(path):
    def run(llm):
        heard = []

        class Hears:
            def on_chunk(self, text, step_num, attempt):
                heard.append((text, attempt))

        steps = composable_loop(
            llm, "Rest", tools_from([], include_done=True), hooks=[Hears()], max_steps=1
        )
        assert len(list(steps)) == 1
        return heard

    text = call("done", summary="x")
    with use_cassette(path, record_mode="once") as cassette:
        recorded = run(cassette.wrap_llm(Streams(text[:9], text[9:], anew=2)))
    assert recorded[-2:] == [(text[:9], 3), (text[9:], 3)]
    with use_cassette(path) as cassette:
        assert run(cassette.wrap_llm(None)) == recorded[-2:]


def test_a_stream_that_broke_off_breaks_off_after_the_same_pieces(path):
    lost = BackendUnreachable("the line broke off")
    with (
        pytest.raises(BackendUnreachable),
        use_cassette(path, record_mode="once") as cassette,
    ):
        cassette.wrap_llm(Streams("Hel", "lo", fails=lost)).generate("a", on_chunk=lambda _: None)
    told = []
    with use_cassette(path) as cassette, pytest.raises(BackendUnreachable, match="broke off"):
        cassette.wrap_llm(None).generate("a", on_chunk=told.append)
    assert told == ["Hel", "lo"]


def test_the_time_to_the_first_piece_is_in_the_recorded_call_and_in_its_replay(path):
    """Measured by whoever records the run; of a replay it is what the recording had."""

    def first_token(llm):
        log = CallLog()
        log.wrap(llm).generate("a", on_chunk=lambda _: None)
        return log.calls[0].first_token_ms

    slow = Streams("Hel", "lo", between=lambda: time.sleep(0.01))
    assert 0 <= first_token(slow) < 10
    with use_cassette(path, record_mode="once") as cassette:
        recorded = first_token(cassette.wrap_llm(slow))
    assert read_trajectory(path).llm_calls[0].first_token_ms == recorded
    with use_cassette(path) as cassette:
        assert first_token(cassette.wrap_llm(None)) == recorded


def test_a_call_that_told_no_piece_has_no_time_of_a_first_one(path):
    log = CallLog()
    with use_cassette(path, record_mode="once") as cassette:
        log.wrap(cassette.wrap_llm(model(["Hello"]))).generate("a")
    with use_cassette(path) as cassette:
        log.wrap(cassette.wrap_llm(None)).generate("a")
    assert [each.first_token_ms for each in log.calls] == [None, None]
    assert TrajectoryRecorder().trajectory.llm_calls == []


# Failures.


@pytest.mark.parametrize("status", [429, 500])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("through_config", [True, False])
def test_a_run_with_refusals_is_replayed_with_them_and_without_a_pause(
    path, monkeypatch, status, asynchronous, through_config
):
    class RateLimitError(Exception):
        """A client's own, which is not there in a replay."""

        status_code = status

    slept = []

    def run(llm, config):
        tools = tools_from([], include_done=True)
        if not asynchronous:
            steps = list(composable_loop(llm, "Rest", tools, config=config))
        else:

            async def go():
                loop = async_composable_loop(llm, "Rest", tools, config=config)
                return [step async for step in loop]

            steps = asyncio.run(go())
        return [(step.tool_call.tool, step.tool_result.error) for step in steps]

    from looplet.core.runtime import Runtime

    runtime = Runtime(sleep=slept.append)
    busy = [RateLimitError("wait a little")] * 2
    replies = [*busy, call("nothing"), *busy, RateLimitError("at last")]
    given = LoopConfig(max_steps=4, runtime=runtime)
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(model(replies, asynchronous=asynchronous))
        config = cassette.wrap_config(given) if through_config else given
        recorded = run(llm, config)
    assert "RateLimitError: at last" in recorded[1][1]
    assert len(slept) == 4

    def refuse(*_):
        raise AssertionError("a replay waited")

    monkeypatch.setattr(time, "sleep", refuse)
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None, async_=asynchronous)
        config = cassette.wrap_config(LoopConfig(max_steps=4)) if through_config else given
        assert run(llm, config) == recorded
        assert cassette.unplayed == 0
    assert len(slept) == 4


@pytest.mark.parametrize("outside", [True, False])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_resilient_backend_inside_or_outside_waits_only_while_recording(
    path, monkeypatch, outside, asynchronous
):
    busy = BackendRefused("too many", status=429, retry_after=20.0)
    slept = []

    def wrap(cassette, llm, **options):
        if outside:
            wrapped = cassette.wrap_llm(llm, async_=asynchronous)
            return ResilientBackend(wrapped, retries=3, **options)
        if llm is None:
            return cassette.wrap_llm(None, async_=asynchronous)
        return cassette.wrap_llm(ResilientBackend(llm, retries=3, **options))

    def ask(llm):
        answer = llm.generate("a")
        return asyncio.run(answer) if asynchronous else answer

    live = model([busy, busy, "one"], asynchronous=asynchronous)
    with use_cassette(path, record_mode="once") as cassette:
        assert ask(wrap(cassette, live, sleep=slept.append)) == "one"
        assert len(cassette) == (3 if outside else 1)
    assert len(slept) == 2

    def refuse(*_):
        raise AssertionError("a replay waited")

    monkeypatch.setattr(time, "sleep", refuse)
    monkeypatch.setattr(asyncio, "sleep", refuse)
    with use_cassette(path) as cassette:
        assert ask(wrap(cassette, None)) == "one"
        assert cassette.unplayed == 0


class Slow:
    """Its first call takes until it is let go; whoever waits has given up by then."""

    model = "slow-1"

    def __init__(self):
        self.asked = 0
        self.go = threading.Event()

    def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
        self.asked += 1
        mine = self.asked
        if mine == 1:
            self.go.wait(10)
        return f"answer {mine}"


@pytest.mark.parametrize("ends", ["while the cassette is open", "never"])
def test_a_call_that_nobody_waited_for_is_replayed_as_the_timeout_that_it_was(path, ends):
    """The thread of a call that was given up goes on, and its answer comes when nobody wants it."""
    slow = Slow()
    failures = []

    def retry(error):
        failures.append(error)
        return True

    with use_cassette(path, record_mode="once") as cassette:
        llm = ResilientBackend(
            cassette.wrap_llm(slow), retries=2, timeout_s=0.05, retry_on=retry, sleep=lambda _: None
        )
        assert llm.generate("a") == "answer 2"
        if ends != "never":
            slow.go.set()
            for _ in range(200):
                if len(cassette) == 2:
                    break
                time.sleep(0.01)
    slow.go.set()
    with use_cassette(path) as cassette:
        assert len(cassette) == 2
        llm = ResilientBackend(cassette.wrap_llm(None), retries=2, timeout_s=20.0, retry_on=retry)
        assert llm.generate("a") == "answer 2"
        assert cassette.unplayed == 0
    assert [str(each) for each in failures] == [str(failures[0])] * 2
    assert all(isinstance(each, BackendTimeout) for each in failures)


def test_a_tool_that_ran_out_of_time_while_it_asked_does_so_again(path):
    slow = Slow()

    def run(llm):
        @tool(timeout_s=0.05)
        def ask(ctx: ToolContext) -> dict:
            """Ask a slow model."""
            return {"answer": ctx.llm.generate("Sure?")}

        steps = composable_loop(llm, "Ask", tools_from([ask], include_done=True), max_steps=2)
        return [(step.tool_result.data, step.tool_result.error) for step in steps]

    class Both:
        replies = (call("ask"), call("done", summary="x"))

        def __init__(self):
            self.replies = list(Both.replies)

        def generate(self, prompt, *, scope=None, **keywords):
            return slow.generate(prompt) if scope else self.replies.pop(0)

    with use_cassette(path, record_mode="once") as cassette:
        recorded = run(cassette.wrap_llm(Both()))
    slow.go.set()
    assert "ask did not finish within 0.05 s" in recorded[0][1]
    with use_cassette(path) as cassette:
        assert run(cassette.wrap_llm(None)) == recorded


class Hangs:
    """Never answers."""

    model = "hanging-1"

    async def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
        await asyncio.sleep(30)


def timed_out(llm):
    async def go():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await llm.generate("a")
        return "timed out"

    return asyncio.run(go())


def cancelled(llm):
    async def go():
        task = asyncio.ensure_future(llm.generate("a"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    return asyncio.run(go())


@pytest.mark.parametrize("ask", [timed_out, cancelled])
def test_a_cancelled_call_is_cancelled_again(path, ask):
    with use_cassette(path, record_mode="once") as cassette:
        recorded = ask(cassette.wrap_llm(Hangs()))
        assert len(cassette) == 1
    assert "interrupt: CancelledError" in path.read_text()
    with use_cassette(path) as cassette:
        assert ask(cassette.wrap_llm(None, async_=True)) == recorded
        assert cassette.unplayed == 0


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_call_is_interrupted_again(path, kind):
    def run(llm, config):
        return list(composable_loop(llm, "Rest", tools_from([], include_done=True), config=config))

    with (
        pytest.raises(kind),
        use_cassette(path, record_mode="once") as cassette,
    ):
        run(cassette.wrap_llm(model([kind()])), cassette.wrap_config())
    with pytest.raises(kind), use_cassette(path) as cassette:
        run(cassette.wrap_llm(None), cassette.wrap_config())
    assert read_trajectory(path).stop_reason == "interrupted"


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("together", [False, True])
def test_an_interrupted_tool_is_interrupted_again(path, asynchronous, together):
    """Beside it a tool that is still under way is cancelled, or has ended before."""

    def run(cassette, llm):
        @tool(concurrent_safe=True)
        async def wait() -> dict:
            """Take long."""
            await asyncio.sleep(0.2)
            return {}

        @tool(concurrent_safe=True)
        async def stop() -> dict:
            """Be interrupted."""
            raise KeyboardInterrupt

        keywords = {
            "llm": cassette.wrap_llm(llm, async_=asynchronous),
            "tools": cassette.wrap_tools(tools_from([wait, stop], include_done=True)),
            "config": cassette.wrap_config(LoopConfig(max_steps=4, concurrent_dispatch=True)),
            "task": "Wait",
        }
        if not asynchronous:
            return list(composable_loop(**keywords))

        async def go():
            return [step async for step in async_composable_loop(**keywords)]

        return asyncio.run(go())

    reply = f'{{"tools": [{call("wait")}, {call("stop")}]}}' if together else call("stop")
    with (
        pytest.raises(KeyboardInterrupt),
        use_cassette(path, record_mode="once", tools="recorded") as cassette,
    ):
        run(cassette, model([reply], asynchronous=asynchronous))
    recorded = read_trajectory(path)
    assert recorded.stop_reason == "interrupted"
    with pytest.raises(KeyboardInterrupt), use_cassette(path, tools="recorded") as cassette:
        run(cassette, None)
    assert [run.digests for run in cassette.replayed] == [run.digests for run in cassette.runs]


def test_a_run_that_was_cancelled_while_the_model_was_asked_is_cancelled_again(path):
    class Cancelled:
        """Notices that the run was cancelled, as a backend that takes the token does."""

        def __init__(self, token):
            self.token = token

        def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2,
                     cancel_token=None):  # fmt: skip
            self.token.cancel()
            raise RunCancelled("cancelled while the model was asked")

    token = CancelToken()
    with use_cassette(path, record_mode="once", tools="recorded") as cassette:
        list(
            composable_loop(
                cassette.wrap_llm(Cancelled(token)),
                {"description": "Price the stock"},
                cassette.wrap_tools(Desk().tools()),
                config=cassette.wrap_config(LoopConfig(max_steps=10, cancel_token=token)),
            )
        )
        assert cassette.runs[0].stop_reason == "cancelled"
    config = LoopConfig(max_steps=10, cancel_token=CancelToken())
    assert replay(path, agent(config=config)).matches
