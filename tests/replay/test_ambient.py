"""A cassette around every loop that starts, and the code that starts them run again."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from looplet import LoopConfig, async_composable_loop, composable_loop, run_sub_loop, tools_from
from looplet.core.ambient import AROUND
from looplet.core.records import Step, ToolCall, ToolResult, summarize_args
from looplet.core.tools import ToolContext, tool
from looplet.errors import CassetteError
from looplet.redaction import Redactor
from looplet.replay import read_trajectory, replay, replay_loops, use_cassette
from looplet.replay.runs import redacted
from tests.replay.agents import Desk, call, model

ROOT = Path(__file__).resolve().parent.parent.parent


def loop(llm, task="Price the stock", tools=None, **config):
    """Code that starts a loop and has never heard of a cassette."""
    config = LoopConfig(**({"max_steps": 10} | config))
    return list(composable_loop(llm, task, tools or Desk().tools(), config=config))


def fruit(*names):
    return model([*(call("price", fruit=each) for each in names), call("done", summary="priced")])


def record(path, code, tools="recorded", **options):
    with (
        use_cassette(path, record_mode="once", tools=tools, **options) as cassette,
        cassette.ambient(),
    ):
        value = code()
    return SimpleNamespace(value=value, runs=cassette.runs, calls=len(cassette))


def again(path, code, tools="recorded"):
    """A replay, which must not ask any model; the replayed code's value."""
    seen = []
    result = replay_loops(path, lambda: seen.append(code()), tools=tools)
    assert result.matches, str(result)
    assert result.unplayed == 0
    return seen[0]


def results(steps):
    return [(step.tool_call.tool, step.tool_result.data) for step in steps]


def lanes(path):
    return {each.lane for each in read_trajectory(path).llm_calls}


def test_a_loop_that_knows_of_no_cassette_is_recorded_and_replayed(path, drive):
    desk, script = Desk(), [call("price", fruit="fig"), call("done", summary="priced")]
    parts = {"task": "Price the stock", "config": LoopConfig(max_steps=4)}

    def run(replies, desk):
        llm = drive.text(replies) if replies else drive.text([RuntimeError("a model was asked")])
        return drive(llm, tools=desk.tools(), **parts).steps

    recorded = record(path, lambda: run(script, desk))
    assert len(recorded.value) == 2
    assert (recorded.calls, [len(run.digests) for run in recorded.runs]) == (4, [2])
    other = Desk()
    assert results(again(path, lambda: run(None, other))) == results(recorded.value)
    assert (desk.did, other.did) == (["fig"], [])


def test_nothing_is_around_a_loop_outside_of_the_block(path):
    record(path, lambda: loop(fruit("fig")))
    assert AROUND == []
    llm = fruit("fig")
    assert len(loop(llm)) == 2
    assert llm.calls == 2
    with use_cassette(path) as cassette:
        with pytest.raises(ZeroDivisionError), cassette.ambient():
            raise ZeroDivisionError
        assert AROUND == []


def test_loops_one_after_the_other_become_runs(path):
    def code(ask=lambda *names: model([])):
        first = loop(ask("pear"), "Price pears")
        return [first, loop(ask("fig", "kiwi"), "Price figs"), loop(ask("lime"), "Price pears")]

    recorded = record(path, lambda: code(fruit))
    assert [len(run.digests) for run in recorded.runs] == [2, 3, 2]
    assert [run.task["description"] for run in recorded.runs] == [
        "Price pears", "Price figs", "Price pears",
    ]  # fmt: skip
    assert lanes(path) == {"main", "run:2"}
    assert read_trajectory(path, run=1).digest == recorded.runs[1].digest
    played = again(path, code)
    assert [results(run) for run in played] == [results(run) for run in recorded.value]


def test_a_loop_in_a_thread_of_a_pool_goes_through_the_cassette(path):
    def code(ask):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(len, "").result()  # the thread is there before the loop starts
            return pool.submit(loop, ask).result()

    record(path, lambda: code(fruit("fig")))
    assert len(again(path, lambda: code(model([])))) == 2


def test_different_loops_side_by_side_may_start_in_another_order(path):
    names = ("pear", "fig", "kiwi", "plum")

    def code(order, ask):
        """One thread a task; they start in that order, and run at one time."""
        started = {name: threading.Event() for name in order}
        steps = {}

        class Waits:
            def pre_loop(self, state, session_log, context):
                started[state.task["description"]].set()

        def run(name, before):
            if before is not None:
                started[before].wait()
            config = LoopConfig(max_steps=4)
            llm, tools = ask(name), Desk().tools()
            steps[name] = list(composable_loop(llm, name, tools, hooks=[Waits()], config=config))

        pairs = zip(order, [None, *order], strict=False)
        threads = [threading.Thread(target=run, args=pair) for pair in pairs]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return {name: results(steps[name]) for name in names}

    recorded = record(path, lambda: code(names, fruit))
    assert lanes(path) == {"main"}
    assert again(path, lambda: code(names[::-1], lambda name: model([]))) == recorded.value


class Slow:
    """Answers the fourth of those that ask at once first; each of them something else."""

    def __init__(self):
        self.asked = 0

    async def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
        self.asked += 1
        number = self.asked
        if number <= LOOPS:
            await asyncio.sleep(0.02 * (LOOPS - number))
            return call("look")
        await asyncio.sleep(0.01 * (number % 3))
        return call("done", summary=f"answer {number}")


LOOPS = 4


def looking(counter):
    """A tool whose result is another each time, though the call is the same."""

    @tool
    def look() -> dict:
        """Look."""
        counter.append(1)
        return {"seen": len(counter)}

    return tools_from([look], include_done=True)


def test_alike_loops_side_by_side_each_get_their_own_answers(path):
    async def run(llm, tools):
        return [step async for step in async_composable_loop(llm, "Look", tools, max_steps=4)]

    def code(llm, counter):
        async def both():
            tools = looking(counter)
            return await asyncio.gather(*(run(llm, tools) for _ in range(LOOPS)))

        return [results(steps) for steps in asyncio.run(both())]

    recorded = record(path, lambda: code(Slow(), [])).value
    assert len({str(each) for each in recorded}) == LOOPS
    assert lanes(path) == {"main", "run:2", "run:3", "run:4"}
    for _ in range(5):
        untouched = []
        assert again(path, lambda tools=untouched: code(Slow(), tools)) == recorded
        assert untouched == []


def test_what_is_wrapped_already_is_left(path):
    def code(cassette, llm):
        tools = cassette.wrap_tools(Desk().tools())
        config = cassette.wrap_config(LoopConfig(max_steps=10))
        return list(composable_loop(cassette.wrap_llm(llm), "Price", tools, config=config))

    with (
        use_cassette(path, record_mode="once", tools="recorded") as cassette,
        cassette.ambient(),
    ):
        code(cassette, fruit("fig"))
        loop(cassette.wrap_llm(fruit("kiwi"), lane="mine"))
    assert (len(cassette), [len(run.digests) for run in cassette.runs]) == (8, [2, 2])
    assert lanes(path) == {"main", "mine"}
    with use_cassette(path, tools="recorded") as cassette, cassette.ambient():
        code(cassette, None)
        loop(cassette.wrap_llm(None, lane="mine"))
        assert cassette.unplayed == 0


def test_a_loop_with_a_cassette_of_its_own_is_left_to_it(tmp_path):
    outer, inner = tmp_path / "outer.yaml", tmp_path / "inner.yaml"
    with use_cassette(outer, record_mode="once") as around, around.ambient():
        with use_cassette(inner, record_mode="once") as cassette:
            loop(cassette.wrap_llm(fruit("fig")))
        assert (len(around), len(cassette)) == (0, 2)
    assert not outer.exists()


def delegating(own=None):
    """A tool that starts a loop: with the run's backend, or with one of its own."""

    @tool
    def delegate(goal: str, ctx: ToolContext) -> dict:
        """Have it done."""
        tools = tools_from([], include_done=True)
        return {"answer": run_sub_loop(own or ctx.llm, goal, tools)["summary"]}

    return tools_from([delegate], include_done=True)


@pytest.mark.parametrize("tools", ["recorded", "live"])
def test_a_loop_inside_of_a_tool_is_part_of_its_run(path, tools):
    replies = [
        call("delegate", goal="Rest"),
        call("done", summary="sub"),
        call("done", summary="x"),
    ]
    recorded = record(path, lambda: loop(model(replies), tools=delegating()), tools=tools)
    assert results(recorded.value)[0][1] == {"answer": "sub"}
    assert [len(run.digests) for run in recorded.runs] == [2]
    assert lanes(path) == {"main", "tool:delegate"}
    assert again(path, lambda: len(loop(model([]), tools=delegating())), tools) == 2


def test_a_loop_inside_of_a_tool_with_a_backend_of_its_own_is_recorded_there(path):
    own = model([call("done", summary="sub")])
    replies = [call("delegate", goal="Rest"), call("done", summary="over")]
    recorded = record(path, lambda: loop(model(replies), tools=delegating(own)))
    assert (recorded.calls, len(recorded.runs)) == (6, 1)
    assert lanes(path) == {"main", "sub"}
    other = model([])
    assert len(again(path, lambda: loop(model([]), tools=delegating(other)))) == 2
    assert other.calls == 0


class Router:
    """Picks the one backend that it has."""

    def __init__(self, llm):
        self.llm = llm

    def select(self, purpose="default"):
        return self.llm


def test_what_a_router_picks_goes_through_the_cassette(path):
    asked = fruit("fig")
    recorded = record(path, lambda: loop(model([]), router=Router(asked)))
    assert (asked.calls, recorded.calls) == (2, 4)
    silent = model([])
    assert len(again(path, lambda: loop(model([]), router=Router(silent)))) == 2
    config = LoopConfig(max_steps=10, router=Router(silent))
    agent = {"llm": model([]), "tools": Desk().tools(), "config": config}
    assert replay(path, agent).matches
    assert silent.calls == 0


def test_two_ambient_cassettes_at_once_are_refused(tmp_path):
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    with (
        use_cassette(one, record_mode="once") as first,
        use_cassette(other, record_mode="once") as second,
    ):
        with first.ambient():
            with pytest.raises(CassetteError, match=r"one\.yaml.*other\.yaml"), second.ambient():
                pass
            with pytest.raises(CassetteError, match="already"), first.ambient():
                pass
            loop(fruit("fig"))
        with second.ambient():
            loop(fruit("kiwi", "lime"))
    assert (len(first), len(second)) == (2, 3)


def test_what_is_no_backend_is_refused_as_ever(path):
    with (
        use_cassette(path, record_mode="once", tools="recorded") as cassette,
        cassette.ambient(),
    ):
        with pytest.raises(TypeError, match="generate"):
            loop("a model")
        with pytest.raises(ValueError, match="tools is missing"):
            list(composable_loop(fruit("fig"), "Price"))
        with pytest.raises(CassetteError, match="needs a backend"):
            loop(None, "Another task")
        loop(fruit("fig"))
    with use_cassette(path) as cassette, cassette.ambient():
        assert len(loop(None)) == 2  # a replay needs no backend


def test_a_loop_in_a_forked_process_is_refused(tmp_path):
    code = """
import os, sys
from looplet import MockLLMBackend, composable_loop, tools_from
from looplet.errors import CassetteError
from looplet.replay import use_cassette

def loop():
    llm = MockLLMBackend(['{"tool": "done", "args": {"summary": "rested"}}'])
    return list(composable_loop(llm, "Rest", tools_from([], include_done=True)))

with use_cassette("run.yaml", record_mode="once") as cassette, cassette.ambient():
    child = os.fork()
    if not child:
        try:
            loop()
        except CassetteError as error:
            os.write(1, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    loop()
print("", len(cassette))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False,
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "process that was forked while run.yaml was open" in ran.stdout, ran.stderr
    assert ran.stdout.endswith(" 1\n")


# The comparison


def two(ask=lambda *names: model([]), **config):
    return [loop(ask("pear"), "Pears", **config), loop(ask("fig"), "Figs", **config)]


def test_a_changed_loop_diverges_where_it_asks_something_else(path):
    record(path, lambda: two(fruit))
    result = replay_loops(path, lambda: two(system_prompt="Be brief."))
    assert not result.matches
    assert (result.divergence.step, result.divergence.lane) == (1, "main")
    assert "Be brief." in str(result)
    assert len(result.runs) == 1


def test_a_divergence_is_the_verdict_whatever_the_code_makes_of_it(path):
    record(path, lambda: two(fruit))

    def hides():
        try:
            two(system_prompt="Be brief.")
        except BaseException as error:
            raise RuntimeError("something went wrong") from error

    def goes_on():
        for _ in range(2):
            with contextlib.suppress(BaseException):
                two(system_prompt="Be brief.")

    assert replay_loops(path, hides).divergence is not None
    assert replay_loops(path, goes_on).divergence is not None
    with pytest.raises(RuntimeError, match="my own"):
        replay_loops(path, lambda: (_ for _ in ()).throw(RuntimeError("my own")))


def test_a_divergence_in_a_group_of_tasks_is_the_verdict(path):
    def code(ask, **config):
        config = LoopConfig(max_steps=9, **config)

        async def run(name):
            loop = async_composable_loop(ask(name), name, Desk().tools(), config=config)
            return [step async for step in loop]

        async def both():
            async with asyncio.TaskGroup() as group:
                for name in ("pear", "fig"):
                    group.create_task(run(name))

        asyncio.run(both())

    record(path, lambda: code(fruit))
    assert replay_loops(path, lambda: code(lambda _: model([]))).matches
    changed = replay_loops(path, lambda: code(lambda _: model([]), system_prompt="Be brief."))
    assert changed.divergence is not None


def test_a_loop_less_and_a_loop_more_are_told(path):
    record(path, lambda: two(fruit))
    less = replay_loops(path, lambda: loop(model([]), "Figs"))
    assert not less.matches
    assert less.unplayed == 4
    assert less.differences == ('run 0 was not replayed: task {"description":"Pears"}',)
    more = replay_loops(path, lambda: [*two(), loop(model([]), "Figs", max_steps=0)])
    assert not more.matches
    assert "a run that was not recorded: 0 steps" in str(more)


def test_a_run_that_asks_the_same_and_comes_out_otherwise_is_shown(path):
    record(path, lambda: two(fruit))

    class Rounds:
        def post_dispatch(self, state, session_log, tool_call, tool_result, step_num):
            if tool_call.tool == "done" and state.task["description"] == "Figs":
                tool_result.data["summary"] = "rounded"

    result = replay_loops(path, lambda: two(hooks=[Rounds()]))
    assert result.divergence is None
    assert not result.matches
    (told,) = result.differences
    assert told.startswith("run 1: every call was as recorded")
    assert "step 2 (done): result.summary: 'priced' → 'rounded'" in told


def test_a_recording_that_was_broken_off_is_equal_as_far_as_it_went(path):
    left = []

    def begins(ask, *, steps):
        """A loop that nobody ends while the cassette is open."""
        left.append(composable_loop(ask, "Figs", Desk().tools(), max_steps=10))
        return [next(left[-1]) for _ in range(steps)]

    recorded = record(path, lambda: begins(fruit("fig", "kiwi"), steps=2))
    assert [run.digest for run in recorded.runs] == [None]
    assert replay_loops(path, lambda: begins(model([]), steps=2)).matches
    for fewer in (0, 1):
        assert not replay_loops(path, lambda n=fewer: begins(model([]), steps=n)).matches
    for each in left:
        with contextlib.suppress(CassetteError):
            each.close()


def test_a_secret_among_a_live_tools_arguments_is_not_in_the_file(path):
    secret = {"fig": "canary-fig-7731"}
    record(path, lambda: loop(fruit("canary-fig-7731")), tools="live", redact=secret)
    text = path.read_text("utf-8")
    assert "summary: fruit=[REDACTED:fig]" in text
    assert "canary" not in text
    result = replay_loops(path, lambda: loop(model([])), tools="live", redact=secret)
    assert result.matches


def test_half_a_secret_where_a_summary_cuts_it_is_not_kept():
    args = {"note": f"{'x' * 44}canary-fig-7731"}
    step = Step(1, ToolCall("write", args), ToolResult("write", summarize_args(args), None))
    assert "canary" in step.tool_result.args_summary
    kept = redacted(step, Redactor(secrets=["canary-fig-7731"]).value)
    assert "canary" not in kept.tool_result.args_summary
