"""In a replay with recorded tools no tool runs, by whatever way it is reached."""

from __future__ import annotations

import asyncio
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from looplet import LoopConfig, async_composable_loop, composable_loop, run_sub_loop, tools_from
from looplet.core.records import ToolCall, ToolResult
from looplet.core.registry import BaseToolRegistry
from looplet.core.tools import ToolContext, tool
from looplet.replay import SideEffectRefused, fork, replay, use_cassette
from tests.replay.agents import Desk, agent, call, model, script
from tests.replay.test_running import record

BATCH = f'{{"tools": [{call("note", text="a")}, {call("note", text="b")}]}}'
REPLIES = [BATCH, call("note", text="c"), call("done", summary="noted")]


def note(place, text):
    """Write a line, in whatever process it is done."""
    with Path(place).open("a") as file:
        file.write(f"{text}\n")
    return {"noted": text}


def noting(place):
    @tool(concurrent_safe=True)
    def note_it(text: str) -> dict:
        """Write it down."""
        return note(place, text)

    note_it.name = "note"
    return note_it


class Pooled(BaseToolRegistry):
    """Runs batches in a pool of its own, and must be told of how many threads."""

    def __init__(self, workers):
        super().__init__()
        self.pool = ThreadPoolExecutor(workers)

    def dispatch_batch(self, calls, *, ctx=None):
        return list(self.pool.map(self.dispatch, calls))


class Foreign:
    """A registry of another kind, that runs functions of its own in other processes."""

    def __init__(self, place):
        self.place = place
        self.pool = ProcessPoolExecutor(1)
        self.functions = {"note": note}

    @property
    def tool_names(self):
        return ["note", "done"]

    def tool_catalog_text(self):
        return "- note(text: string)\n- done(summary: string)"

    def tool_schemas(self):
        return []

    def get(self, name):
        return None

    def dispatch(self, call, *, ctx=None):
        data = {"status": "completed"}
        if call.tool == "note":
            data = self.pool.submit(self.functions["note"], self.place, call.args["text"]).result()
        return ToolResult(call.tool, "", data, call_id=call.call_id)

    def dispatch_batch(self, calls, *, ctx=None):
        return [self.dispatch(each) for each in calls]

    def run_now(self, text):
        return note(self.place, text)


def plain(place):
    return tools_from([noting(place)], include_done=True)


def pooled(place):
    registry = Pooled(2)
    for spec in plain(place):
        registry.register(spec)
    return registry


def run(cassette, llm, tools, **config):
    return [
        step.tool_result.data
        for step in composable_loop(
            llm=cassette.wrap_llm(llm),
            tools=cassette.wrap_tools(tools),
            config=cassette.wrap_config(
                LoopConfig(max_steps=5, concurrent_dispatch=True, **config)
            ),
            task="Note it",
        )
    ]


@pytest.fixture
def place(tmp_path):
    return tmp_path / "notes.txt"


def noted(place):
    return sorted(place.read_text().split()) if place.exists() else []


@pytest.mark.parametrize("make", [plain, pooled, Foreign])
def test_no_registry_runs_a_tool_in_a_replay(path, place, make):
    with use_cassette(path, record_mode="once", tools="recorded") as cassette:
        recorded = run(cassette, model(REPLIES), make(place))
    assert noted(place) == ["a", "b", "c"]
    place.unlink()
    with use_cassette(path, tools="recorded") as cassette:
        tools = make(place)
        assert run(cassette, None, tools) == recorded
        assert cassette.unplayed == 0
    assert not place.exists()
    if hasattr(tools, "pool"):
        tools.pool.shutdown()


def ways_to_a_function(tools):
    """Each gives what runs the tool without the cassette, or raises."""
    return {
        "get": lambda: tools.get("note").execute,
        "get, called": lambda: tools.get("note"),
        "iteration": lambda: next(iter(tools)).execute,
        "its table": lambda: tools._specs["note"].execute,
        "a copy": lambda: tools.copy().get("note").execute,
        "a copy of a copy": lambda: tools.copy(without={"done"}).copy().get("note").execute,
        "the wrapped function": lambda: tools.get("note").__wrapped__,
        "what it prepares": lambda: (
            lambda text: tools.prepare(ToolCall("note", {"text": text}), None).start()
        ),
    }


@pytest.mark.parametrize("way", list(ways_to_a_function(None)))
def test_no_way_round_the_cassette_runs_a_tool(path, place, way):
    with use_cassette(path, record_mode="once", tools="recorded") as cassette:
        run(cassette, model(REPLIES), plain(place))
    place.unlink()
    with use_cassette(path, tools="recorded") as cassette:
        tools = cassette.wrap_tools(plain(place))
        find = ways_to_a_function(tools)[way]
        with pytest.raises((SideEffectRefused, AttributeError)):
            find()(text="x")
        with ThreadPoolExecutor(1) as pool, pytest.raises((SideEffectRefused, AttributeError)):
            pool.submit(lambda: find()(text="x")).result()
    assert not place.exists()


def test_methods_of_a_registry_of_another_kind_are_refused(path, place):
    with use_cassette(path, record_mode="once", tools="recorded") as cassette:
        foreign = Foreign(place)
        run(cassette, model(REPLIES), foreign)
        foreign.pool.shutdown()
    place.unlink()
    with use_cassette(path, tools="recorded") as cassette:
        tools = cassette.wrap_tools(Foreign(place))
        assert tools.tool_names == ["note", "done"]
        assert tools.tool_catalog_text().startswith("- note")
        with pytest.raises(SideEffectRefused, match=r"Foreign\.run_now\(\)"):
            tools.run_now("x")
        with pytest.raises(SideEffectRefused, match=r"Foreign\.functions"):
            tools.functions["note"](place, "x")
        assert tools.place == place
    assert not place.exists()


def test_a_tool_that_is_registered_in_a_replay_does_not_run(path, place):
    with use_cassette(path, record_mode="once", tools="recorded") as cassette:
        run(cassette, model(REPLIES), plain(place))
    place.unlink()
    with use_cassette(path, tools="recorded") as cassette:
        tools = cassette.wrap_tools(tools_from([], include_done=True))
        tools.register(noting(place))
        with pytest.raises(SideEffectRefused):
            tools.get("note").execute(text="x")
        with pytest.raises(SideEffectRefused):
            tools._specs["note"](text="x")
    assert not place.exists()


@pytest.mark.parametrize("mode", ["once", "none"])
def test_a_cassette_with_tools_refuses_a_run_without_any_wrapped_registry(path, place, mode):
    """Recording or not: the recording would lack the tools, the replay would run them."""
    if mode == "none":
        with use_cassette(path, record_mode="once", tools="recorded") as cassette:
            run(cassette, model(REPLIES), plain(place))
        place.unlink()
    with (
        pytest.raises(SideEffectRefused, match="no registry was wrapped"),
        use_cassette(path, record_mode=mode, tools="recorded") as cassette,
    ):
        list(composable_loop(cassette.wrap_llm(model(REPLIES)), "Note it", plain(place)))
    assert not place.exists()


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("mode", ["once", "none"])
def test_another_registry_than_the_wrapped_one_is_refused(path, place, mode, asynchronous):
    """One was wrapped, and the loop was given the bare one all the same."""
    if mode == "none":
        with use_cassette(path, record_mode="once", tools="recorded") as cassette:
            run(cassette, model(REPLIES), plain(place))
        place.unlink()

    def go():
        with use_cassette(path, record_mode=mode, tools="recorded") as cassette:
            tools = plain(place)
            cassette.wrap_tools(tools)
            keywords = {
                "llm": cassette.wrap_llm(model(REPLIES, asynchronous=asynchronous)),
                "tools": tools, "task": "Note it",
                "config": cassette.wrap_config(LoopConfig(max_steps=5)),
            }  # fmt: skip
            if not asynchronous:
                return list(composable_loop(**keywords))

            async def each():
                return [step async for step in async_composable_loop(**keywords)]

            return asyncio.run(each())

    with pytest.raises(SideEffectRefused, match="'note' was to be run past the cassette"):
        go()
    assert not place.exists()


def test_a_sub_agent_of_a_tool_runs_nothing_in_a_replay(path, place):
    def tools(cassette):
        own = cassette.wrap_tools(plain(place))

        @tool
        def delegate(ctx: ToolContext) -> dict:
            """Let a sub-agent do it."""
            note(place, "delegated")
            result = run_sub_loop(ctx.llm, "Note it", tools=own, subagent_id="clerk")
            return {"stopped": result["stop_reason"]}

        return tools_from([delegate], include_done=True)

    replies = [call("delegate"), call("note", text="a"), call("done", summary="x")]
    llm = model([*replies, call("done", summary="y")])
    with use_cassette(path, record_mode="once", tools="recorded") as cassette:
        recorded = run(cassette, llm, tools(cassette))
    assert noted(place) == ["a", "delegated"]
    place.unlink()
    with use_cassette(path, tools="recorded") as cassette:
        assert run(cassette, None, tools(cassette)) == recorded
        assert cassette.unplayed == 0
    assert not place.exists()


def test_tools_can_be_reached_from_where_a_replay_goes_live_and_not_before(path):
    record(path)
    desk, live = Desk(), model(script(("lime",)))
    with use_cassette(path, record_mode="new_episodes", tools="recorded") as cassette:
        tools, llm = cassette.wrap_tools(desk.tools()), cassette.wrap_llm(live)
        spec = tools._specs["price"]
        assert tools.dispatch(ToolCall("price", {"fruit": "pear"})).data["euro"] == 0.4
        with pytest.raises(SideEffectRefused):
            spec.execute(fruit="pear", ctx=ToolContext())
        assert desk.did == []
        llm.generate("never recorded")
        assert spec.execute(fruit="lime", ctx=ToolContext())["euro"] == 0.4
        assert tools.dispatch(ToolCall("price", {"fruit": "kiwi"})).data["euro"] == 0.4
    assert desk.did == ["lime", "kiwi"]


def test_a_fork_runs_the_tools_from_its_step_on_and_no_other(tmp_path):
    path, into = tmp_path / "a.yaml", tmp_path / "b.yaml"
    record(path)
    desk = Desk()
    fork(path, at=3, into=into, llm=model(script(("lime",))), agent=agent(desk))
    assert desk.did == ["lime"]


def test_what_hooks_put_around_tools_is_around_them_while_they_are_recorded(path, place):
    entered = []

    class Around:
        @contextmanager
        def around_tool(self, tool_call, step_num):
            entered.append(("in", step_num))
            yield
            entered.append(("out", step_num))

    with use_cassette(path, record_mode="once", tools="recorded") as cassette:
        run(cassette, model(REPLIES), plain(place), hooks=[Around()])
    assert sorted(entered) == [(way, step) for way in ("in", "out") for step in (1, 2, 3, 4)]


def test_a_replay_of_the_agent_runs_nothing_although_its_registry_could(path):
    record(path)
    desk = Desk()
    assert replay(path, agent(desk)).matches
    assert desk.did == []
