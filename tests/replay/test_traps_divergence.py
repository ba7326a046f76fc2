"""What differs is named, and nothing that catches exceptions hides it."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress

import pytest

from looplet import LoopConfig, async_composable_loop, composable_loop, tools_from
from looplet.backends import BackendRouter, ResilientBackend
from looplet.core.events import LifecycleEvent
from looplet.core.tools import ToolContext, tool
from looplet.replay import Divergence, areplay, fork, replay, use_cassette
from looplet.testing import AsyncMockLLMBackend, MockLLMBackend, ScriptedToolBackend
from tests.replay.agents import Desk, agent, call, model
from tests.replay.test_running import record

SYSTEM = "You are a careful clerk. " + "Follow the rules of the desk. " * 20


def native(path):
    """Record a run in native mode; a function that replays it with another system prompt."""

    def use(call_id, name, **args):
        return [{"type": "tool_use", "id": call_id, "name": name, "input": args}]

    def run(cassette, llm, system, desk):
        steps = composable_loop(
            llm=cassette.wrap_llm(llm),
            tools=cassette.wrap_tools(desk.tools()),
            config=cassette.wrap_config(
                LoopConfig(max_steps=5, use_native_tools=True, system_prompt=system)
            ),
            task="Price the stock",
        )
        return list(steps)

    replies = [
        use("a", "price", fruit="pear"),
        use("b", "price", fruit="fig"),
        use("c", "done", summary="ok"),
    ]
    with use_cassette(path, record_mode="once", tools="recorded") as cassette:
        run(cassette, ScriptedToolBackend(replies), SYSTEM, Desk())
    return run


def test_one_changed_word_of_a_text_prompt_is_named(path):
    record(path, llm=model())

    class Words:
        """One word of the third question is another one."""

        def pre_prompt(self, state, session_log, context, step_num):
            return "Quick now." if step_num == 3 else None

    error = replay(path, agent(hooks=[Words()])).divergence
    assert (error.lane, error.step, error.message_index, error.role) == ("main", 3, 0, "user")
    assert (error.call, error.cassette) == (3, str(path))
    assert "added 'Quick now.'" in " ".join(error.diff.split()) or "Quick" in error.diff
    assert f"cassette {path}, lane main, call 3, step 3, message 0 (user)" in str(error)


def test_one_changed_word_of_a_native_conversation_is_named(path):
    run = native(path)
    desk = Desk()
    with pytest.raises(Divergence) as caught, use_cassette(path, tools="recorded") as cassette:
        run(cassette, None, SYSTEM.replace("careful", "careless"), desk)
    error = caught.value
    assert (error.lane, error.step, error.message_index, error.role) == ("main", 1, 0, "system")
    assert "'careful' → 'careless'" in error.diff
    assert desk.did == []


def test_a_changed_result_of_a_live_tool_is_named_by_the_message_that_tells_it(path):
    run = native(path)
    desk = Desk(euro=0.7)
    with pytest.raises(Divergence) as caught, use_cassette(path, tools="live") as cassette:
        run(cassette, None, SYSTEM, desk)
    error = caught.value
    assert (error.lane, error.step, error.role) == ("main", 2, "tool")
    assert error.message_index == 3  # system, briefing, call, result
    assert "'4' → '7'" in error.diff
    assert desk.did == ["pear"]


def test_changed_arguments_of_a_recorded_tool_are_named(path):
    """A hook that changes what is asked of a tool."""
    record(path)

    class Swaps:
        def pre_dispatch(self, state, session_log, tool_call, step_num):
            tool_call.args["fruit"] = "melon" if step_num == 2 else tool_call.args.get("fruit")

    error = replay(path, agent(hooks=[Swaps()])).divergence
    assert (error.lane, error.step) == ("tool:price", 2)
    assert "argument fruit: 'kiwi' → 'melon'" in error.diff


# Code that catches what it should not.


def changed(path, hooks=(), **keywords):
    """Replay with a prompt that was not recorded, raising what the with block raises."""
    return replayed(path, hooks=hooks, system="Be brief.", **keywords)


def replayed(
    path, *, hooks=(), system="", wrap=lambda llm: llm, asynchronous=False, mode="recorded"
):
    desk = Desk()
    with use_cassette(path, tools=mode) as cassette:
        llm = wrap(cassette.wrap_llm(None, async_=asynchronous))
        keywords = {
            "llm": llm,
            "tools": cassette.wrap_tools(desk.tools()),
            "config": cassette.wrap_config(LoopConfig(max_steps=10, system_prompt=system)),
            "task": {"description": "Price the stock"},
            "hooks": hooks,
        }
        if not asynchronous:
            return list(composable_loop(**keywords))

        async def go():
            return [step async for step in async_composable_loop(**keywords)]

        return asyncio.run(go())


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda llm: llm,
        lambda llm: ResilientBackend(llm, retries=5, retry_on=Exception),
        lambda llm: ResilientBackend(llm, retries=5, timeout_s=20.0),
        lambda llm: BackendRouter({"a": llm, "b": llm}, fallback=["b"]),
    ],
    ids=["loop", "resilient", "resilient with a time limit", "router"],
)
def test_whoever_catches_exceptions_and_retries_does_not_hide_it(path, wrap, asynchronous):
    record(path)
    steps = []

    class Sees:
        def on_step(self, state, session_log, step, briefing):
            steps.append(step)

    with pytest.raises(Divergence) as caught:
        changed(path, wrap=wrap, asynchronous=asynchronous, hooks=[Sees()])
    assert (caught.value.call, caught.value.step) == (1, 1)
    assert steps == []  # nor is there one that says that the model failed


class CatchesAll:
    """Catches whatever is raised, and asks again."""

    def __init__(self, inner):
        self.inner = inner

    def generate(self, prompt, *, system_prompt="", max_tokens=2000, temperature=0.2, caller=None):
        for _ in range(3):
            try:
                return self.inner.generate(
                    prompt, system_prompt=system_prompt, max_tokens=max_tokens,
                    temperature=temperature, caller=caller,
                )  # fmt: skip
            except BaseException:
                continue
        return call("done", summary="gave up")


def test_a_backend_that_catches_everything_ends_as_the_divergence(path):
    record(path)
    with pytest.raises(Divergence) as caught:
        changed(path, wrap=CatchesAll)
    assert caught.value.call == 1


class GivesUp(CatchesAll):
    """Catches whatever is raised, asks no more, and goes on with an answer of its own."""

    def generate(self, prompt, **keywords):
        try:
            return self.inner.generate(prompt, **keywords)
        except BaseException:
            return call("done", summary="gave up")


def test_code_without_a_loop_that_catches_everything_ends_as_the_divergence(path, model):
    with use_cassette(path, record_mode="once") as cassette:
        cassette.wrap_llm(model("one")).generate("a")

    def goes_on():
        with use_cassette(path) as cassette:
            for each in "xa":
                with suppress(BaseException):
                    cassette.wrap_llm(None).generate(each)

    with pytest.raises(Divergence):
        goes_on()


def test_a_run_that_went_on_and_then_failed_otherwise_ends_as_the_divergence(path):
    record(path)

    class Fails:
        def post_dispatch(self, state, session_log, tool_call, tool_result, step_num):
            if tool_call.tool == "done":
                raise RuntimeError("of another kind")

    class Answers(GivesUp):
        """A step is made of an answer of its own, and then the run fails."""

        asked = 0

        def generate(self, prompt, **keywords):
            self.asked += 1
            own = call("no such tool") if self.asked == 1 else call("done", summary="x")
            try:
                return self.inner.generate(prompt, **keywords) if self.asked == 1 else own
            except BaseException:
                return own

    with pytest.raises(Divergence):
        changed(path, wrap=Answers, hooks=[Fails()], mode="live")


def test_a_backend_that_answers_itself_instead_ends_as_the_divergence(path):
    record(path)
    with pytest.raises(Divergence):
        changed(path, wrap=GivesUp)
    result = replay(path, agent(config=LoopConfig(max_steps=10, system_prompt="Be brief.")))
    assert result.divergence.step == 1


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("catches", [Exception, BaseException])
def test_a_tool_that_catches_it_does_not_hide_it(path, asynchronous, catches):
    """The tool runs live and asks the model what was not recorded."""

    def tools(question):
        @tool
        def ask(ctx: ToolContext) -> dict:
            """Ask the model, whatever happens."""
            try:
                return {"answer": ctx.llm.generate(question)}
            except catches:
                return {"answer": "nothing"}

        return tools_from([ask], include_done=True)

    def run(llm, question, config):
        keywords = {
            "llm": llm, "tools": tools(question), "config": config, "task": "Ask",
        }  # fmt: skip
        if not asynchronous:
            return list(composable_loop(**keywords))

        async def go():
            return [step async for step in async_composable_loop(**keywords)]

        return asyncio.run(go())

    kind = AsyncMockLLMBackend if asynchronous else MockLLMBackend
    live = kind([call("ask"), "yes", call("done", summary="x")])
    with use_cassette(path, record_mode="once") as cassette:
        run(cassette.wrap_llm(live), "Sure?", cassette.wrap_config(LoopConfig(max_steps=3)))

    def replay_it():
        with use_cassette(path) as cassette:
            llm = cassette.wrap_llm(None, async_=asynchronous)
            run(llm, "Really?", cassette.wrap_config(LoopConfig(max_steps=3)))

    with pytest.raises(Divergence) as caught:
        replay_it()
    assert (caught.value.lane, caught.value.step) == ("tool:ask", 1)
    assert "'Sure' → 'Really'" in caught.value.diff


@pytest.mark.parametrize("slot", ["pre_prompt", "post_dispatch", "should_stop", "on_loop_end"])
@pytest.mark.parametrize("catches", [Exception, BaseException])
def test_a_hook_that_catches_it_does_not_hide_it(path, slot, catches):
    record(path)

    class Judge:
        llm = None

        def asks(self, *_, **__):
            try:
                self.llm.generate("Is that so?")
            except catches:
                return

    judge = type("Judging", (Judge,), {slot: Judge.asks})()

    def wrap(llm):
        judge.llm = llm
        return llm

    with pytest.raises(Divergence) as caught:
        replayed(path, wrap=wrap, hooks=[judge])
    assert "Is that so?" in caught.value.diff


def ask_many(llm, how):
    async def gathered():
        return await asyncio.gather(*(llm.generate(each) for each in "abx"))

    async def gathered_with_failures():
        answers = await asyncio.gather(
            *(llm.generate(each) for each in "abx"), return_exceptions=True
        )
        return answers, await llm.generate("c")

    async def grouped():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(llm.generate(each)) for each in "abx"]
        return [task.result() for task in tasks]

    async def waited_for():
        return await asyncio.wait_for(llm.generate("x"), 10)

    async def wrapped():
        try:
            return await llm.generate("x")
        except BaseException as error:
            raise RuntimeError("the agent failed") from error

    return asyncio.run(locals()[how]())


@pytest.mark.parametrize(
    "how", ["gathered", "gathered_with_failures", "grouped", "waited_for", "wrapped"]
)
def test_asyncio_does_not_hide_it(path, async_model, how):
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(async_model("1", "2", "3"))
        for each in "abc":
            asyncio.run(llm.generate(each))
    with pytest.raises(Divergence) as caught, use_cassette(path) as cassette:
        ask_many(cassette.wrap_llm(None, async_=True), how)
    assert caught.value.lane == "main"


def test_a_replay_of_an_agent_that_groups_its_tasks_tells_where_it_diverged(path):
    """A task group wraps what its tasks raise in a group of its own."""

    class Grouped:
        def __init__(self, inner):
            self.inner = inner

        async def generate(self, prompt, **keywords):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(self.inner.generate(prompt, **keywords))
            return task.result()

    record(path)

    class Build:
        """Wraps what the loop asks in task groups."""

        async def pre_prompt(self, state, session_log, context, step_num):
            if step_num == 2:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.llm.generate("never recorded"))

    async def go():
        hook = Build()
        with use_cassette(path, tools="recorded") as cassette:
            hook.llm = Grouped(cassette.wrap_llm(None, async_=True))
            loop = async_composable_loop(
                llm=cassette.wrap_llm(None, async_=True),
                tools=cassette.wrap_tools(Desk().tools()),
                config=cassette.wrap_config(LoopConfig(max_steps=10)),
                task={"description": "Price the stock"},
                hooks=[hook],
            )
            return [step async for step in loop]

    with pytest.raises(Divergence):
        asyncio.run(go())


def test_areplay_gives_a_divergence_out_of_a_task_group_in_its_result(path):
    from tests.replay.test_running import arecord

    arecord(path)

    class Judge:
        """Asks, in a task group, what was not recorded."""

        async def on_event(self, payload):
            if payload.event is LifecycleEvent.PRE_LLM_CALL and payload.step_num == 2:
                async with asyncio.TaskGroup() as group:
                    group.create_task(payload.extra["backend"].generate("Is that so?"))

    parts = agent(llm=AsyncMockLLMBackend([""]), hooks=[Judge()])
    result = asyncio.run(areplay(path, parts))
    assert "Is that so?" in result.divergence.diff
    assert len(result.trajectory.steps) == 1


def test_a_thread_that_dies_of_it_does_not_hide_it(path, model, monkeypatch):
    with use_cassette(path, record_mode="once") as cassette:
        cassette.wrap_llm(model("one")).generate("a")
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def replay_it():
        with use_cassette(path) as cassette:
            thread = threading.Thread(target=cassette.wrap_llm(None).generate, args=("x",))
            thread.start()
            thread.join()

    with pytest.raises(Divergence):
        replay_it()


def test_what_was_expected_and_cleared_is_not_raised_again(path, model):
    with use_cassette(path, record_mode="once") as cassette:
        cassette.wrap_llm(model("one")).generate("a")
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None)
        with pytest.raises(Divergence):
            llm.generate("x")
        with pytest.raises(Divergence):
            llm.generate("a")
        cassette.clear_divergence()
        assert llm.generate("a") == "one"


def test_another_failure_of_the_block_stays_what_it_was(path, model):
    with use_cassette(path, record_mode="once") as cassette:
        cassette.wrap_llm(model("one")).generate("a")

    def replay_it(failure):
        with use_cassette(path) as cassette:
            with pytest.raises(Divergence):
                cassette.wrap_llm(None).generate("x")
            raise failure

    with pytest.raises(AssertionError, match="my own"):
        replay_it(AssertionError("my own"))
    with pytest.raises(KeyboardInterrupt):
        replay_it(KeyboardInterrupt())


def test_a_fork_that_diverged_does_not_go_live(tmp_path):
    path, into = tmp_path / "a.yaml", tmp_path / "b.yaml"
    record(path)
    live = model()

    class Swallows:
        """Asks what was not recorded, and goes on whatever is raised."""

        def on_event(self, payload):
            if payload.event is LifecycleEvent.PRE_LLM_CALL:
                self.llm = payload.extra["backend"]

        def should_stop(self, state, step_num, new_entities):
            if step_num == 2:
                with suppress(BaseException):
                    self.llm.generate("never recorded")
            return False

    with pytest.raises(Divergence):
        fork(path, at=3, agent=agent(hooks=[Swallows()]), llm=live, into=into)
    assert live.calls == 0
    assert not into.exists()


def test_no_retry_waits_in_a_replay(path, model, monkeypatch):
    """A recorded refusal is raised at once, and asked again at once, whoever asks again."""
    from looplet.errors import BackendRefused

    busy = BackendRefused("too many requests", status=429, retry_after=30.0)
    waited = []
    with use_cassette(path, record_mode="once") as cassette:
        llm = ResilientBackend(
            cassette.wrap_llm(model(busy, busy, "one")), retries=3, sleep=waited.append
        )
        assert llm.generate("a") == "one"
    assert len(waited) == 2
    monkeypatch.setattr(time, "sleep", waited.append)
    with use_cassette(path) as cassette:
        assert ResilientBackend(cassette.wrap_llm(None), retries=3).generate("a") == "one"
    assert len(waited) == 2
