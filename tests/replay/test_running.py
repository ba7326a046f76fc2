"""Whole runs through a cassette: recorded, replayed, forked, compared."""

from __future__ import annotations

import asyncio
import tempfile
import warnings
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings

from looplet import LoopConfig, async_composable_loop, composable_loop, tool, tools_from
from looplet.core.codec import exact
from looplet.errors import CassetteError
from looplet.replay import (
    Divergence,
    afork,
    areplay,
    diff,
    fork,
    read_trajectory,
    replay,
    use_cassette,
)
from tests.replay.agents import FRUIT, Desk, agent, call, model, script
from tests.trajectory.conftest import VALUES


def record(path, desk=None, llm=None, tools="recorded", **options):
    """Record a run; its steps and the digest of each."""
    desk = desk or Desk()
    llm = model() if llm is None else llm
    with use_cassette(path, record_mode="once", tools=tools, **options) as cassette:
        steps = list(
            composable_loop(
                llm=cassette.wrap_llm(llm),
                tools=cassette.wrap_tools(desk.tools()),
                config=cassette.wrap_config(LoopConfig(max_steps=10)),
                task={"description": "Price the stock"},
            )
        )
        return steps, cassette.runs[0]


def arecord(path):
    async def go():
        with use_cassette(path, record_mode="once", tools="recorded") as cassette:
            loop = async_composable_loop(
                llm=cassette.wrap_llm(model(asynchronous=True)),
                tools=cassette.wrap_tools(Desk().tools()),
                config=cassette.wrap_config(LoopConfig(max_steps=10)),
                task={"description": "Price the stock"},
            )
            return [step async for step in loop], cassette.runs[0]

    return asyncio.run(go())


def test_a_replay_equals_the_recording_and_has_no_side_effect(path):
    _, recorded = record(path)
    desk = Desk()
    result = replay(path, agent(desk))
    assert result.matches
    assert result.divergence is None
    assert result.unplayed == 0
    assert result.trajectory.digest == recorded.digest
    assert [step.digest for step in result.trajectory.steps] == recorded.digests
    assert desk.did == []
    assert str(result).endswith("equal (6 steps, done)")


def test_both_drivers_replay_what_either_recorded(tmp_path):
    _, one = record(tmp_path / "sync.yaml")
    _, other = arecord(tmp_path / "async.yaml")
    assert one.digests == other.digests
    for name in ("sync", "async"):
        path = tmp_path / f"{name}.yaml"
        for asynchronous in (False, True):
            llm = model([], asynchronous=asynchronous)
            result = replay(path, agent(llm=llm))
            assert (result.matches, result.trajectory.digest) == (True, one.digest)


def test_inside_an_event_loop_an_async_agent_is_awaited(path):
    record(path)

    async def go():
        with pytest.raises(CassetteError, match="await areplay"):
            replay(path, agent(llm=model([], asynchronous=True)))
        return await areplay(path, agent(llm=model([], asynchronous=True)))

    assert asyncio.run(go()).matches


@pytest.mark.parametrize(
    "given",
    [
        agent,
        lambda: (None, Desk().tools(), LoopConfig(max_steps=10)),
        SimpleNamespace(tools=Desk().tools(), config=LoopConfig(max_steps=10)),
    ],
)
def test_an_agent_is_given_in_several_ways(path, given):
    record(path)
    assert replay(path, given).matches


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tools": [], "tols": 1}, "not tols"),
        ({"config": LoopConfig()}, "needs tools"),
        (7, "int is no agent"),
        ((None,) * 8, "at most"),
    ],
)
def test_what_is_no_agent_is_refused(path, given, said):
    record(path)
    with pytest.raises(CassetteError, match=said):
        replay(path, given)


def test_a_changed_prompt_diverges_at_its_step(path):
    record(path)
    result = replay(path, agent(config=LoopConfig(max_steps=10, system_prompt="Be brief.")))
    assert not result.matches
    assert (result.divergence.step, result.divergence.lane) == (1, "main")
    assert "Be brief." in str(result)


def test_a_live_tool_that_gives_something_else_diverges_where_it_is_sent(path):
    record(path)
    desk = Desk(euro=0.5)
    result = replay(path, agent(desk), tools="live")
    assert desk.did == ["pear"]
    assert (result.matches, result.divergence.step) == (False, 2)
    assert "0.4" in result.divergence.diff


def test_a_run_that_asks_the_same_and_ends_otherwise_is_found_by_its_digests(path):
    record(path)

    class Rounds:
        def post_dispatch(self, state, session_log, tool_call, tool_result, step_num):
            if tool_call.tool == "done":
                tool_result.data["summary"] = "all priced!"

    result = replay(path, agent(hooks=[Rounds()]))
    assert not result.matches
    assert result.divergence.step == 6
    assert "result.summary: added '!'" in result.divergence.diff


def test_the_recorded_run_can_be_read_without_its_agent(path):
    steps, recorded = record(path)
    read = read_trajectory(path)
    assert read.digest == recorded.digest
    assert read.completed
    assert read.final_output == {"summary": "all priced"}
    assert [step.tool_result.data for step in read.steps] == [s.tool_result.data for s in steps]
    assert [each.llm_call_indices for each in read.steps] == [[n] for n in range(6)]
    assert read.llm_calls[0].prompt.startswith("TASK\ndescription: Price the stock")
    assert diff(read, replay(path, agent()).trajectory).equal


@pytest.mark.parametrize("at", [1, 2, 4, 6])
def test_a_fork_is_the_parent_before_its_step_and_live_from_it(tmp_path, at):
    path, into = tmp_path / "parent.yaml", tmp_path / "child.yaml"
    steps, recorded = record(path)
    desk, live = Desk(euro=9.0), model([call("price", fruit="nut"), call("done", summary="b")])
    child = fork(path, at=at, agent=agent(desk), llm=live, into=into)
    assert [step.digest for step in child.trajectory.steps][: at - 1] == recorded.digests[: at - 1]
    assert live.calls == 2
    assert desk.did == ["nut"]
    assert child.trajectory.steps[-1].step_num == at + 1
    with use_cassette(into) as cassette:
        assert cassette.parent == {"sha256": child.parent, "at": at}
    with use_cassette(path) as cassette:
        assert cassette.content_hash == child.parent
    again = replay(into, agent())
    assert again.matches
    assert again.trajectory.digest == child.trajectory.digest
    assert [s.tool_result.data for s in steps[: at - 1]] == [
        s.tool_result.data for s in again.trajectory.steps[: at - 1]
    ]


def test_a_fork_of_an_async_agent(tmp_path):
    path, into = tmp_path / "parent.yaml", tmp_path / "child.yaml"
    arecord(path)
    llm = model([call("done", summary="b")], asynchronous=True)
    child = asyncio.run(afork(path, at=3, agent=agent(), llm=llm, into=into))
    assert [step.tool_call.tool for step in child.trajectory.steps] == ["price", "price", "done"]
    assert llm.calls == 1


def test_a_fork_within_a_turn_takes_the_recorded_reply_and_runs_the_tool(tmp_path):
    path, into = tmp_path / "parent.yaml", tmp_path / "child.yaml"
    calls = [call("price", fruit=each) for each in ("pear", "kiwi")]
    two = f'{{"tools": [{", ".join(calls)}]}}'
    record(path, llm=model([two, call("done", summary="a")]))
    desk, live = Desk(euro=9.0), model([call("done", summary="b")])
    child = fork(path, at=2, agent=agent(desk), llm=live, into=into)
    assert desk.did == ["kiwi"]
    assert live.calls == 1
    assert [step.tool_result.data.get("euro") for step in child.trajectory.steps] == [
        0.4,
        9.0,
        None,
    ]


def test_a_fork_that_cannot_be_is_refused_and_writes_nothing(tmp_path):
    path, into = tmp_path / "parent.yaml", tmp_path / "child.yaml"
    record(path)
    with pytest.raises(CassetteError, match="counted from 1"):
        fork(path, at=0, agent=agent(), llm=model(), into=into)
    with pytest.raises(CassetteError, match="needs a backend"):
        fork(path, at=1, agent=agent(), into=into)
    with pytest.raises(CassetteError, match="ended after 6 steps, before step 9"):
        fork(path, at=9, agent=agent(), llm=model(), into=into)
    changed = agent(config=LoopConfig(max_steps=10, system_prompt="Be brief."))
    with pytest.raises(Divergence):
        fork(path, at=3, agent=changed, llm=model(), into=into)
    assert not into.exists()
    into.write_text("mine")
    with pytest.raises(CassetteError, match="is there already"):
        fork(path, at=3, agent=agent(), llm=model(), into=into)
    assert into.read_text() == "mine"


def run(cassette, llm, desk, config=None):
    return list(
        composable_loop(
            llm=cassette.wrap_llm(llm),
            tools=cassette.wrap_tools(desk.tools()),
            config=cassette.wrap_config(config or LoopConfig(max_steps=10)),
            task={"description": "Price the stock"},
        )
    )


def test_new_episodes_replays_what_is_there_and_leaves_the_file_alone(path):
    record(path)
    before, llm, desk = path.read_bytes(), model([]), Desk()
    with use_cassette(path, record_mode="new_episodes", tools="recorded") as cassette:
        run(cassette, llm, desk)
        assert not cassette.recording
    assert (path.read_bytes(), llm.calls, desk.did) == (before, 0, [])
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_new_episodes_mixes_no_old_answer_in_behind_a_changed_step(path):
    """From the first new request on all is live, also where the old cassette has an answer."""
    record(path, llm=model(script(("pear", "kiwi"))))
    llm, desk = model([call("price", fruit="kiwi"), call("done", summary="new")]), Desk(euro=7.0)
    with use_cassette(path, record_mode="new_episodes", tools="recorded") as cassette:
        wrapped = cassette.wrap_llm(llm)
        tools = cassette.wrap_tools(desk.tools())
        config = cassette.wrap_config(LoopConfig(max_steps=10))
        task = {"description": "Price the stock"}

        class Adds:
            """Changes what the second question says."""

            def pre_prompt(self, state, session_log, context, step_num):
                return "Hurry." if step_num == 2 else None

        steps = list(composable_loop(wrapped, task, tools, config=config, hooks=[Adds()]))
        assert cassette.recording
    # kiwi was recorded at 0.4; behind the changed step it was asked for again.
    assert [step.tool_result.data.get("euro") for step in steps] == [0.4, 7.0, None]
    assert (llm.calls, desk.did) == (2, ["kiwi"])
    result = replay(path, agent(hooks=[Adds()]))
    assert result.matches
    assert len(read_trajectory(path).llm_calls) == 3


def test_a_failed_new_episode_leaves_the_cassette(path):
    record(path)
    before = path.read_bytes()
    changed = LoopConfig(max_steps=10, system_prompt="Be brief.")

    def fails():
        with use_cassette(path, record_mode="new_episodes", tools="recorded") as cassette:
            run(cassette, model(), Desk(), changed)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop") as stopped:
        fails()
    assert path.read_bytes() == before
    assert "was left as it was" in stopped.value.__notes__[0]
    assert path.with_name(f"{path.name}.journal").exists()


def test_a_replay_with_recorded_tools_needs_them_in_the_cassette(path):
    record(path, tools="live")
    with pytest.raises(CassetteError, match='recorded with tools="live"'):
        replay(path, agent())
    assert replay(path, agent(), tools="live").matches


@settings(max_examples=40)
@given(value=VALUES)
@example(value={"both": (1, {"x": {2: b"y"}}), "$looplet": "mine"})
def test_what_a_tool_gives_is_replayed_exactly(value):
    """Also what JSON has no form for: the agent is shown it, and the step's digest tells it."""

    @tool
    def find() -> dict:
        """Find it."""
        return {"found": value}

    tools = tools_from([find], include_done=True)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = f"{folder}/run.yaml"
        with use_cassette(path, record_mode="once", tools="recorded") as cassette:
            llm = cassette.wrap_llm(model([call("find"), call("done", summary="found")]))
            registry, config = cassette.wrap_tools(tools), cassette.wrap_config()
            steps = list(composable_loop(llm, "Find", registry, config=config))
        read = read_trajectory(path).steps[0].tool_result.data
        assert exact(read) == exact(steps[0].tool_result.data)
        result = replay(path, {"tools": tools})
        assert result.matches, str(result)


def test_a_hook_that_fails_before_the_run_begins_is_what_is_raised(path):
    class Fails:
        def pre_loop(self, state, session_log, context):
            raise ZeroDivisionError("mine")

    record(path)
    with pytest.raises(ZeroDivisionError) as raised:
        replay(path, agent(hooks=[Fails()]))
    assert not hasattr(raised.value, "__notes__")


def test_the_same_run_is_recorded_alike(tmp_path):
    _, one = record(tmp_path / "a.yaml")
    _, other = record(tmp_path / "b.yaml")
    assert one.digest == other.digest
    assert one.task == {"description": "Price the stock"}
    assert len(one.digests) == len(FRUIT) + 1
