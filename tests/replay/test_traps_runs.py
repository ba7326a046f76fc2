"""Whole runs, whatever is in them: a replay is equal, a fork is equal up to its step."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from looplet import (
    LoopConfig,
    async_composable_loop,
    composable_loop,
    run_sub_loop,
    tools_from,
)
from looplet.core.events import LifecycleEvent
from looplet.core.runtime import Runtime
from looplet.core.tools import ToolContext, tool
from looplet.errors import BackendRefused, BackendTimeout, CassetteError
from looplet.replay import Divergence, afork, fork, read_trajectory, replay, use_cassette
from looplet.testing import (
    AsyncMockLLMBackend,
    AsyncScriptedToolBackend,
    MockLLMBackend,
    ScriptedToolBackend,
)
from tests.replay.agents import Desk, agent, call, model, script
from tests.replay.test_running import record

DATA = Path(__file__).parent / "data"
FIXTURES = Path(__file__).parents[2] / "fixtures" / "cassettes" / "parcel_desk"
MAX_STEPS = 6


# Any script.

FAILURES = [
    lambda: BackendRefused("busy", status=429, retry_after=2.0),
    lambda: BackendRefused("broken", status=500),
    lambda: BackendTimeout("slow"),
    lambda: ConnectionResetError(104, "reset"),
    lambda: type("OverloadedError", (Exception,), {})("of a client"),
    lambda: ValueError("two\nlines \ud800"),
]
VALUES = st.one_of(
    st.none(),
    st.integers(),
    st.text(max_size=8),
    st.sampled_from(["two\nlines, and more than forty characters in all of it", "\ud800", "é\t"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=4), st.booleans(), max_size=2),
)
CALLS = st.one_of(
    st.tuples(st.just("give"), VALUES),
    st.tuples(st.just("fail"), st.sampled_from(["kind", "type", "plain"])),
    st.tuples(st.just("ask"), st.text(max_size=6)),
    st.tuples(st.sampled_from(["odd", "no such tool"]), st.integers(0, 3)),
    st.tuples(st.just("done"), st.just("ok")),
)
REPLIES = st.one_of(
    st.lists(CALLS, min_size=1, max_size=3),
    st.sampled_from(FAILURES),
    st.sampled_from(["no call at all", '{"tool": "give", "args": ', ""]),
)
ODD = [
    (1, "two"),
    {3, 1, 2},
    {"when": dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "raw": b"\x00"},
    Path("a/b"),
]


def odd_tools():
    @tool(concurrent_safe=True)
    def give(value: object = None) -> dict:
        """Give it back."""
        return {"value": value}

    @tool(concurrent_safe=True)
    def odd(value: int = 0) -> object:
        """Give what JSON has no form for."""
        return ODD[value]

    @tool
    def fail(value: str = "") -> dict:
        """Fail."""
        raise {"kind": PermissionError, "type": TypeError}.get(value, RuntimeError)(f"no: {value}")

    @tool  # tools that run together would be heard in no order
    def ask(ctx: ToolContext, value: str = "") -> dict:
        """Ask the model, and tell how far it is."""
        ctx.report_progress("asking", {"of": (value,)})
        ctx.warn(f"asked {value}")
        return {"answer": ctx.llm.generate(f"What of {value}?")}

    return tools_from([give, odd, fail, ask], include_done=True)


def scripted(replies, *, native, asynchronous):
    """A model that answers the loop from a script, and tools always alike."""
    numbers = itertools.count()

    def shown(reply):
        if callable(reply):
            return reply()
        if isinstance(reply, str):
            return reply
        calls = [
            (name, {"summary": value} if name == "done" else {"value": value})
            for name, value in reply
        ]
        if native:
            return [
                {"type": "tool_use", "id": f"c{next(numbers)}", "name": name, "input": args}
                for name, args in calls
            ]
        return f'{{"tools": [{", ".join(call(name, **args) for name, args in calls)}]}}'

    kinds = {
        (True, True): AsyncScriptedToolBackend, (True, False): ScriptedToolBackend,
        (False, True): AsyncMockLLMBackend, (False, False): MockLLMBackend,
    }  # fmt: skip
    inner = kinds[native, asynchronous]([shown(each) for each in replies], cycle=True)

    class Both:
        model = "both-1"

        def takes(self, method, keyword):
            return keyword not in {"on_chunk", "messages"} or (native and keyword == "messages")

    def answered(method):
        def plain(self, prompt, *, scope=None, **keywords):
            if (scope or "main") != "main":
                return f"of {prompt}"
            keywords = {key: value for key, value in keywords.items() if key in WANTED[native]}
            return getattr(inner, method)(prompt, **keywords)

        async def awaited(self, prompt, **keywords):
            answer = plain(self, prompt, **keywords)
            return answer if isinstance(answer, str) else await answer

        return awaited if asynchronous else plain

    for method in ("generate", "generate_with_tools") if native else ("generate",):
        setattr(Both, method, answered(method))
    return Both()


WANTED = {
    True: {"tools", "messages", "system_prompt", "max_tokens", "temperature"},
    False: {"system_prompt", "max_tokens", "temperature"},
}


class Hears:
    """Every event, with what it tells but times and backends."""

    def __init__(self):
        self.heard = []

    def on_event(self, payload):
        result = payload.tool_result
        told = [
            payload.event.value, payload.step_num, payload.prompt, payload.raw_response,
            payload.tool_call.tool if payload.tool_call else None,
            repr((result.data, result.error, result.warnings)) if result else None,
            payload.termination_reason, payload.extra.get("error"), payload.extra.get("stage"),
            repr(payload.extra.get("data")), payload.extra.get("usage"),
        ]  # fmt: skip
        self.heard.append(told)


def run(cassette, llm, *, native, asynchronous, hears=None):
    keywords = {
        "llm": cassette.wrap_llm(llm, async_=asynchronous),
        "tools": cassette.wrap_tools(odd_tools()),
        "config": cassette.wrap_config(
            LoopConfig(
                max_steps=MAX_STEPS,
                use_native_tools=native,
                concurrent_dispatch=True,
                runtime=Runtime(sleep=lambda _: None),
            )
        ),
        "task": {"goal": "Go on"},
        "hooks": [hears or Hears()],
    }
    if not asynchronous:
        return list(composable_loop(**keywords))

    async def go():
        return [step async for step in async_composable_loop(**keywords)]

    return asyncio.run(go())


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(
    replies=st.lists(REPLIES, min_size=1, max_size=5),
    native=st.booleans(),
    recorded_async=st.booleans(),
)
def test_any_run_is_replayed_equal_by_both_drivers(
    tmp_path_factory, replies, native, recorded_async
):
    path = tmp_path_factory.mktemp("any") / "run.yaml"
    hears = Hears()
    with use_cassette(path, record_mode="once", tools="recorded") as cassette:
        llm = scripted(replies, native=native, asynchronous=recorded_async)
        run(cassette, llm, native=native, asynchronous=recorded_async, hears=hears)
        recorded = cassette.runs[0]
    for asynchronous in (False, True):
        again = Hears()
        with use_cassette(path, tools="recorded") as cassette:
            run(cassette, None, native=native, asynchronous=asynchronous, hears=again)
            assert cassette.replayed[0].digests == recorded.digests
            assert cassette.replayed[0].digest == recorded.digest
            assert cassette.unplayed == 0
        if asynchronous == recorded_async:
            assert again.heard == hears.heard
        assert sorted(map(str, again.heard)) == sorted(map(str, hears.heard))
    assert read_trajectory(path).digest == recorded.digest


# Forks and new episodes.


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)
@given(
    fruit=st.lists(st.sampled_from(["pear", "kiwi", "fig"]), min_size=1, max_size=5),
    later=st.lists(st.sampled_from(["lime", "pear", "nut"]), max_size=3),
    at=st.integers(1, 6),
    asynchronous=st.booleans(),
)
def test_any_fork_is_its_parent_up_to_its_step_and_live_from_it(
    tmp_path_factory, fruit, later, at, asynchronous
):
    """Another model goes on than the one that was recorded."""
    place = tmp_path_factory.mktemp("fork")
    path, into = place / "a.yaml", place / "b.yaml"
    at = min(at, len(fruit) + 1)
    _, parent = record(path, llm=named("old-1", script(tuple(fruit))))
    desk = Desk(euro=9.0)
    live = named("new-2", script(tuple(later)), asynchronous=asynchronous)
    parts = agent(desk)
    if asynchronous:
        child = asyncio.run(afork(path, at=at, agent=parts, llm=live, into=into))
    else:
        child = fork(path, at=at, agent=parts, llm=live, into=into)
    digests = [step.digest for step in child.trajectory.steps]
    assert digests[: at - 1] == parent.digests[: at - 1]
    assert live.calls == len(later) + 1
    assert desk.did == later
    assert len(digests) == at - 1 + len(later) + 1
    for llm in (None, named("old-1", []), named("new-2", [])):
        again = replay(into, agent(llm=llm))
        assert again.matches, str(again)
        assert again.unplayed == 0
        assert [step.digest for step in again.trajectory.steps] == digests
    assert read_trajectory(into).digest == child.trajectory.digest
    assert [each.model for each in read_trajectory(into).llm_calls] == [
        *["old-1"] * (at - 1),
        *["new-2"] * (len(later) + 1),
    ]


def named(name, replies, *, asynchronous=False):
    llm = model(replies, asynchronous=asynchronous)
    llm.model = name
    return llm


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)
@given(
    fruit=st.lists(st.sampled_from(["pear", "kiwi", "fig"]), min_size=1, max_size=5),
    at=st.integers(1, 6),
    asynchronous=st.booleans(),
)
def test_any_new_episode_takes_nothing_old_from_its_first_new_call_on(
    tmp_path_factory, fruit, at, asynchronous
):
    """The agent asks the same as before but for one step, and all behind it is asked anew."""
    path = tmp_path_factory.mktemp("episode") / "a.yaml"
    at = min(at, len(fruit) + 1)
    _, old = record(path, llm=model(script(tuple(fruit))))
    live = model(script(tuple(fruit[at - 1 :])), asynchronous=asynchronous)
    desk = Desk(euro=9.0)

    class Adds:
        def pre_prompt(self, state, session_log, context, step_num):
            return "Hurry." if step_num == at else None

    def go(cassette):
        keywords = {
            "llm": cassette.wrap_llm(live),
            "tools": cassette.wrap_tools(desk.tools()),
            "config": cassette.wrap_config(LoopConfig(max_steps=10)),
            "task": {"description": "Price the stock"},
            "hooks": [Adds()],
        }
        if not asynchronous:
            return list(composable_loop(**keywords))

        async def each():
            return [step async for step in async_composable_loop(**keywords)]

        return asyncio.run(each())

    with use_cassette(path, record_mode="new_episodes", tools="recorded") as cassette:
        steps = go(cassette)
    prices = [step.tool_result.data.get("euro") for step in steps[:-1]]
    assert prices == [0.4] * (at - 1) + [9.0] * (len(fruit) - at + 1)
    assert live.calls == len(fruit) - at + 2
    assert desk.did == fruit[at - 1 :]
    result = replay(path, agent(hooks=[Adds()]))
    assert result.matches
    assert result.unplayed == 0
    assert result.recorded.digests[: at - 1] == old.digests[: at - 1]


def test_a_question_that_was_recorded_is_asked_anew_behind_a_new_one(path):
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(model(["old a", "old b"]))
        assert [llm.generate(each) for each in "ab"] == ["old a", "old b"]
    with use_cassette(path, record_mode="new_episodes") as cassette:
        llm = cassette.wrap_llm(model(["new x", "new b"]))
        assert [llm.generate(each) for each in "axb"] == ["old a", "new x", "new b"]
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None)
        assert [llm.generate(each) for each in "axb"] == ["old a", "new x", "new b"]
        assert cassette.unplayed == 0


def test_a_fork_has_the_calls_that_its_parents_tools_made(tmp_path):
    """So that a replay of it with live tools finds them."""
    path, into = tmp_path / "a.yaml", tmp_path / "b.yaml"
    replies = [[("ask", "a")], [("ask", "b")], [("done", "ok")]]
    with use_cassette(path, record_mode="once", tools="recorded") as cassette:
        run(cassette, scripted(replies, native=False, asynchronous=False),
            native=False, asynchronous=False)  # fmt: skip
    parts = {
        "config": LoopConfig(max_steps=MAX_STEPS), "task": {"goal": "Go on"}, "tools": odd_tools(),
    }  # fmt: skip
    live = scripted([[("done", "early")]], native=False, asynchronous=False)
    fork(path, at=2, agent=parts, llm=live, into=into)
    assert [each.lane for each in read_trajectory(into).llm_calls] == ["main", "tool:ask", "main"]
    for tools in ("recorded", "live"):
        result = replay(into, parts, tools=tools)
        assert result.matches
        assert result.unplayed == 0


# What was handed out is the caller's own.


def test_changing_what_was_handed_out_changes_neither_the_file_nor_a_later_play(tmp_path):
    def mutating(path, mode):
        with use_cassette(path, record_mode=mode, tools="recorded") as cassette:
            llm = Usage([*script(("pear", "fig"))])
            for step in composable_loop(
                llm=cassette.wrap_llm(llm),
                tools=cassette.wrap_tools(Desk().tools()),
                config=cassette.wrap_config(LoopConfig(max_steps=10)),
                task={"description": "Price the stock"},
                hooks=[Mutates()],
            ):
                step.tool_result.data["mine"] = [1]
                step.tool_result.warnings.append("mine")
                step.tool_call.args["mine"] = 2

    class Usage(MockLLMBackend):
        @property
        def last_usage(self):
            return {"input_tokens": 1}

    class Mutates:
        def on_event(self, payload):
            if payload.event is LifecycleEvent.POST_LLM_RESPONSE:
                payload.extra["usage"]["input_tokens"] = 99

    path, plain = tmp_path / "a.yaml", tmp_path / "b.yaml"
    mutating(path, "once")
    _, recorded = record(plain, llm=model(script(("pear", "fig"))))
    assert "mine" not in path.read_text()
    assert [each.input_tokens for each in read_trajectory(path).llm_calls] == [1, 1, 1]
    before = path.read_bytes()
    for mode in ("none", "none", "new_episodes"):
        mutating(path, mode)
        assert path.read_bytes() == before
    result = replay(path, agent())
    assert result.matches
    assert result.replayed.digest == recorded.digest


def test_what_was_changed_before_an_episode_goes_live_is_not_in_its_file(path):
    record(path)
    tools = [{"name": "t", "input_schema": {}}]

    class Adds:
        def pre_prompt(self, state, session_log, context, step_num):
            return "Hurry." if step_num == 3 else None

    with use_cassette(path, record_mode="new_episodes", tools="recorded") as cassette:
        for step in composable_loop(
            llm=cassette.wrap_llm(model(script(("fig",)))),
            tools=cassette.wrap_tools(Desk().tools()),
            config=cassette.wrap_config(LoopConfig(max_steps=10)),
            task={"description": "Price the stock"},
            hooks=[Adds()],
        ):
            step.tool_result.data["mine"] = tools
            step.tool_call.args["mine"] = tools
        assert cassette.recording
    assert "mine" not in path.read_text()
    assert replay(path, agent(hooks=[Adds()])).matches


# Time, identifiers, chance.


class Moving:
    """A world whose clock runs, and whose identifiers and chance are never the same again."""

    started = itertools.count(1_700_000_000, 86_400)

    def __init__(self):
        ticks = itertools.count(next(self.started), 0.37)
        self.runtime = Runtime(
            now=lambda: next(ticks), perf=lambda: next(ticks), sleep=lambda _: None
        )


def shows_time(cassette, llm, *, asynchronous=False, with_tools=True):
    """An agent that shows time, an identifier and a number in each prompt; its tools read too."""
    config = cassette.wrap_config(
        LoopConfig(max_steps=8, concurrent_dispatch=True, runtime=Moving().runtime)
    )
    runtime, chance = config.runtime, cassette.random

    class Shows:
        def pre_prompt(self, state, session_log, context, step_num):
            return f"{runtime.now()} {runtime.new_id()} {chance.random()} {chance.gauss()}"

    @tool(concurrent_safe=True)
    def look(ctx: ToolContext, n: int) -> dict:
        """Read time and chance, and let a sub-agent do so."""
        read = [runtime.now(), runtime.new_id(), chance.randint(1, 10**9), chance.gauss()]
        if not asynchronous:
            sub = run_sub_loop(
                ctx.llm, "x", tools_from([]), config=config, subagent_id="s", hooks=[Shows()]
            )
            read.append(sub["summary"])
        return {"read": read}

    keywords = {
        "llm": cassette.wrap_llm(llm, async_=asynchronous),
        "tools": cassette.wrap_tools(tools_from([look], include_done=True)),
        "config": config, "task": "x", "hooks": [Shows()],
    }  # fmt: skip
    if not asynchronous:
        return [step.tool_result.data for step in composable_loop(**keywords)]

    async def go():
        return [step.tool_result.data async for step in async_composable_loop(**keywords)]

    return asyncio.run(go())


class Looks:
    """Calls the tool several times at once, then once; sub-agents are done at once."""

    model = "looking-1"

    def __init__(self):
        batch = f'{{"tools": [{", ".join(call("look", n=n % 2) for n in range(4))}]}}'
        self.replies = [batch, call("look", n=7), call("done", summary="x")]

    def takes(self, method, keyword):
        return keyword in {"scope", "max_tokens", "system_prompt", "temperature"}

    def generate(self, prompt, *, scope=None, **keywords):
        if (scope or "main") != "main":
            return call("done", summary=f"{scope} {hash(prompt)}")
        return self.replies.pop(0)


class AsyncLooks(Looks):
    async def generate(self, prompt, **keywords):
        return Looks.generate(self, prompt, **keywords)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_an_agent_that_shows_time_identifiers_and_chance_is_replayed_equal(path, asynchronous):
    with use_cassette(path, record_mode="once", tools="recorded") as cassette:
        llm = AsyncLooks() if asynchronous else Looks()
        recorded = shows_time(cassette, llm, asynchronous=asynchronous)
        kept = cassette.runs[0]
    for _ in range(5):
        with use_cassette(path, tools="recorded") as cassette:
            assert shows_time(cassette, None, asynchronous=asynchronous) == recorded
            assert cassette.replayed[0].digest == kept.digest
            assert cassette.unplayed == 0


def test_new_episodes_of_an_agent_that_shows_time_are_replayed_equal(tmp_path):
    """What is read goes on where the recording stood, and is in the new file from the start."""
    path = tmp_path / "a.yaml"
    with use_cassette(path, record_mode="once", tools="recorded") as cassette:
        recorded = shows_time(cassette, Looks())
    llm = Looks()
    llm.replies = [call("look", n=8), call("done", summary="y")]
    with use_cassette(path, record_mode="new_episodes", tools="recorded") as cassette:
        changed = shows_time_later(cassette, llm)
        assert cassette.recording
    assert changed[:4] == recorded[:4]
    with use_cassette(path, tools="recorded") as cassette:
        assert shows_time_later(cassette, None) == changed
        assert cassette.unplayed == 0


def shows_time_later(cassette, llm):
    """The same agent, whose second turn begins with another sentence."""

    class Cassette:
        random = cassette.random

        def __getattr__(self, name):
            return getattr(cassette, name)

        def wrap_config(self, config):
            class Adds:
                def pre_prompt(self, state, session_log, context, step_num):
                    return "Hurry." if step_num == 5 else None

            return cassette.wrap_config(replace(config, hooks=[Adds()]))

    return shows_time(Cassette(), llm)


def test_a_duration_does_not_run_backwards_where_a_replay_goes_live(path):
    clock = itertools.count(5_000.0)
    with use_cassette(path, record_mode="once") as cassette:
        runtime = cassette.wrap_config(
            LoopConfig(runtime=Runtime(perf=lambda: next(clock)))
        ).runtime
        read = [runtime.perf(), runtime.perf()]
        cassette.wrap_llm(model(["one"])).generate("a")
    with use_cassette(path, record_mode="new_episodes") as cassette:
        runtime = cassette.wrap_config(
            LoopConfig(runtime=Runtime(perf=itertools.count(3.0).__next__))
        ).runtime
        llm = cassette.wrap_llm(model(["two"]))
        again = [runtime.perf(), runtime.perf()]
        llm.generate("a")
        llm.generate("b")
        later = [runtime.perf(), runtime.perf()]
    assert again == read
    assert later == sorted(later)
    assert later[0] >= again[-1]


def test_chance_is_the_same_again_for_each_tool_in_threads(path):
    def run(cassette):
        @tool(concurrent_safe=True)
        def roll(n: int) -> dict:
            """Roll a die."""
            return {"points": [cassette.random.random() for _ in range(50)], "n": n}

        calls = ", ".join(call("roll", n=n) for n in range(8))
        llm = model([f'{{"tools": [{calls}]}}', call("done", summary="x")])
        steps = composable_loop(
            llm=cassette.wrap_llm(llm),
            tools=cassette.wrap_tools(tools_from([roll], include_done=True)),
            config=cassette.wrap_config(LoopConfig(max_steps=9, concurrent_dispatch=True)),
            task="x",
        )
        rolled = [step.tool_result.data for step in steps]
        return rolled, cassette.random.random()

    with use_cassette(path, record_mode="once", tools="recorded") as cassette:
        recorded = run(cassette)
    with use_cassette(path, tools="recorded") as cassette:
        assert run(cassette) == recorded
    assert len({str(each["points"]) for each in recorded[0][:-1]}) == 8


def test_threads_that_ask_for_chance_first_get_the_same_generator(path):
    with use_cassette(path, record_mode="once") as cassette, ThreadPoolExecutor(8) as pool:
        assert len(set(map(id, pool.map(lambda _: cassette.random, range(64))))) == 1
        cassette.wrap_llm(model(["one"])).generate("a")
    with use_cassette(path) as cassette:
        assert isinstance(cassette.random, random.Random)


def test_new_episodes_may_draw_by_chance_what_the_old_recording_did_not(path):
    with use_cassette(path, record_mode="once") as cassette:
        cassette.wrap_llm(model(["one"])).generate("a")
    with use_cassette(path, record_mode="new_episodes") as cassette:
        cassette.wrap_llm(model(["two"])).generate(f"new {cassette.random.random()}")
    with use_cassette(path) as cassette:
        asked = f"new {cassette.random.random()}"
        assert cassette.wrap_llm(None).generate(asked) == "two"


def test_chance_that_was_never_asked_for_is_refused_in_a_replay(path):
    with use_cassette(path, record_mode="once") as cassette:
        cassette.wrap_llm(model(["one"])).generate("a")
    with (
        use_cassette(path) as cassette,
        pytest.raises(CassetteError, match="nothing random was recorded"),
    ):
        _ = cassette.random


# Re-recordings that fail.


@pytest.mark.parametrize("mode", ["all", "rewrite", "new_episodes"])
@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, SystemExit, Divergence])
def test_a_failed_rerecording_leaves_the_old_cassette(path, mode, failure):
    record(path)
    before = path.read_bytes()

    def fails():
        with use_cassette(path, record_mode=mode, tools="recorded") as cassette:
            cassette.wrap_tools(Desk().tools())
            cassette.wrap_llm(model(["new"])).generate("new")
            raise failure("stop")

    with pytest.raises(failure) as caught:
        fails()
    assert path.read_bytes() == before
    assert "was left as it was" in caught.value.__notes__[0]
    assert replay_quietly(path).matches


def replay_quietly(path):
    with pytest.warns(UserWarning, match="did not end"):
        return replay(path, agent())


@pytest.mark.parametrize("mode", ["all", "new_episodes"])
def test_a_rerecording_that_cannot_be_saved_leaves_the_old_cassette(path, mode, monkeypatch):
    record(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    def fails():
        with use_cassette(path, record_mode=mode, tools="recorded") as cassette:
            cassette.wrap_tools(Desk().tools())
            cassette.wrap_llm(model(["new"])).generate("new")
            monkeypatch.setattr("looplet.replay.persister.write_whole", full)

    with pytest.raises(OSError, match="No space"):
        fails()
    assert path.read_bytes() == before
    assert path.with_name("run.yaml.journal").exists()


# Files of before.


def test_the_cassettes_of_the_first_format_are_read():
    found = sorted(FIXTURES.glob("*.yaml"))
    assert found
    for each in found[:5]:
        assert "looplet_format: 1\n" in each.read_text()
        with use_cassette(each) as cassette:
            assert len(cassette) > 0
        assert read_trajectory(each).llm_calls


def test_a_cassette_of_the_first_format_is_replayed():
    place = DATA / "format1.yaml"
    with use_cassette(place) as cassette:
        steps = list(
            composable_loop(
                llm=cassette.wrap_llm(None),
                tools=Desk().tools(),
                config=LoopConfig(max_steps=10),
                task={"description": "Price the stock"},
            )
        )
        assert cassette.unplayed == 0
    assert [step.tool_call.args.get("fruit") for step in steps] == ["pear", "kiwi", "fig", None]
    result = replay(place, agent(), tools="live")
    assert result.matches
    assert result.recorded is None


def test_a_cassette_of_the_first_format_can_be_gone_on_with(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes((DATA / "format1.yaml").read_bytes())
    with use_cassette(path, record_mode="new_episodes") as cassette:
        llm = cassette.wrap_llm(model(["more"]))
        llm.generate("never recorded")
    with use_cassette(path) as cassette:
        assert cassette.wrap_llm(None).generate("never recorded") == "more"
    assert "looplet_format: 2\n" in path.read_text()
