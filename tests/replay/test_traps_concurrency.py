"""Calls at the same time: each replay gives each caller the answer that it had."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from looplet import LoopConfig, async_composable_loop, composable_loop, run_sub_loop, tools_from
from looplet.core.tools import ToolContext, tool
from looplet.replay import use_cassette
from tests.replay.agents import call

MANY, REPLAYS = 64, 20


class Counting:
    """Gives every call another answer, after a while that differs too."""

    model = "counting-1"

    def __init__(self):
        self._lock = threading.Lock()
        self.asked = 0
        self.delays = random.Random(7)

    def _answer(self):
        with self._lock:
            self.asked += 1
            return f"answer {self.asked}", self.delays.random() / 500

    def generate(self, prompt, **_keywords):
        answer, delay = self._answer()
        time.sleep(delay)
        return answer


class AsyncCounting(Counting):
    async def generate(self, prompt, **_keywords):
        answer, delay = self._answer()
        await asyncio.sleep(delay)
        return answer


class Asker(Counting):
    """The model of a loop that calls a tool many times at once; what tools ask it is counted."""

    def __init__(self, *replies):
        super().__init__()
        self.replies = list(replies)

    def generate(self, prompt, **keywords):
        if (keywords.get("scope") or "main") != "main":
            return super().generate(prompt, **keywords)
        return self.replies.pop(0)

    def takes(self, method, keyword):
        return keyword in {"scope", "caller", "max_tokens", "system_prompt", "temperature"}


class AsyncAsker(Asker):
    async def generate(self, prompt, **keywords):
        if (keywords.get("scope") or "main") != "main":
            answer, delay = self._answer()
            await asyncio.sleep(delay)
            return answer
        return self.replies.pop(0)


def turn(name, times, **args):
    calls = ", ".join(call(name, **args) for _ in range(times))
    return f'{{"tools": [{calls}]}}'


def together():
    """Calls of a turn that are safe to go together do so."""
    return LoopConfig(max_steps=MANY + 1, concurrent_dispatch=True)


def late():
    """Be late by chance: who comes first is another one each time."""
    time.sleep(random.random() / 1000)


def asking():
    @tool(concurrent_safe=True)
    def guess(ctx: ToolContext) -> dict:
        """Ask the model the same as all the others, twice."""
        late()
        first = ctx.llm.generate("Guess.")
        late()
        return {"guess": first, "again": ctx.llm.generate("Guess.")}

    return tools_from([guess], include_done=True)


def asking_async():
    @tool(concurrent_safe=True)
    async def guess(ctx: ToolContext) -> dict:
        """Do so in a task."""
        await asyncio.sleep(random.random() / 1000)
        return {"guess": await ctx.llm.generate("Guess.")}

    return tools_from([guess], include_done=True)


REPLIES = (turn("guess", MANY), call("done", summary="guessed"))


def guesses(steps):
    return [step.tool_result.data for step in steps]


def test_tools_of_a_batch_that_ask_the_same_in_threads(path):
    def run(llm):
        return guesses(composable_loop(llm=llm, tools=asking(), config=together(), task="Guess"))

    with use_cassette(path, record_mode="once") as cassette:
        recorded = run(cassette.wrap_llm(Asker(*REPLIES)))
    assert len({each["guess"] for each in recorded[:MANY]}) == MANY
    for _ in range(REPLAYS):
        with use_cassette(path) as cassette:
            assert run(cassette.wrap_llm(None)) == recorded
            assert cassette.unplayed == 0


@pytest.mark.parametrize("make", [asking, asking_async], ids=["plain tools", "async tools"])
def test_tools_of_a_batch_that_ask_the_same_in_an_event_loop(path, make):
    """Plain tools fill the event loop's threads, each waiting for a reply that is to be flushed."""

    def run(llm):
        async def go():
            loop = async_composable_loop(llm=llm, tools=make(), config=together(), task="Guess")
            return guesses([step async for step in loop])

        return asyncio.run(asyncio.wait_for(go(), 60))

    with use_cassette(path, record_mode="once") as cassette:
        recorded = run(cassette.wrap_llm(AsyncAsker(*REPLIES)))
    assert len({each["guess"] for each in recorded[:MANY]}) == MANY
    for _ in range(REPLAYS):
        with use_cassette(path) as cassette:
            assert run(cassette.wrap_llm(None, async_=True)) == recorded
            assert cassette.unplayed == 0


def test_recorded_tools_of_a_batch_own_the_calls_made_in_their_course(path):
    """Their tools do not run in a replay, and nothing is left over that nobody asked for."""

    def run(cassette, llm):
        return guesses(
            composable_loop(
                llm=cassette.wrap_llm(llm),
                tools=cassette.wrap_tools(asking()),
                config=cassette.wrap_config(together()),
                task="Guess",
            )
        )

    with use_cassette(path, record_mode="once", tools="recorded") as cassette:
        recorded = run(cassette, Asker(*REPLIES))
    with use_cassette(path, tools="recorded") as cassette:
        assert run(cassette, None) == recorded
        assert cassette.unplayed == 0


def test_threads_with_lanes_of_their_own(path):
    def run(cassette, llm):
        def work(number):
            own = cassette.wrap_llm(llm, lane=f"worker:{number}")
            late()
            first = own.generate("Guess.")
            late()
            return first, own.generate("Guess.")

        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(work, range(MANY)))

    with use_cassette(path, record_mode="once") as cassette:
        recorded = run(cassette, Counting())
    assert len({each for pair in recorded for each in pair}) == 2 * MANY
    for _ in range(REPLAYS):
        with use_cassette(path) as cassette:
            assert run(cassette, None) == recorded


def test_a_gathering_in_one_lane(path):
    async def ask(llm):
        return await asyncio.gather(*(llm.generate("Guess.") for _ in range(MANY)))

    with use_cassette(path, record_mode="once") as cassette:
        recorded = asyncio.run(ask(cassette.wrap_llm(AsyncCounting())))
    assert len(set(recorded)) == MANY
    for _ in range(REPLAYS):
        with use_cassette(path) as cassette:
            assert asyncio.run(ask(cassette.wrap_llm(None, async_=True))) == recorded


class SubModel(Counting):
    """Every call of it lets a sub-agent finish with another answer."""

    def generate(self, prompt, **keywords):
        return call("done", summary=super().generate(prompt, **keywords))


def test_sub_agents_side_by_side(path):
    def run(cassette, llm):
        wrapped = cassette.wrap_llm(llm)

        def work(number):
            late()
            result = run_sub_loop(
                wrapped,
                "Guess",
                tools_from([]),
                subagent_id=f"guesser-{number}",
                system_prompt="You guess.",
            )
            return result["summary"]

        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(work, range(MANY)))

    with use_cassette(path, record_mode="once") as cassette:
        recorded = run(cassette, SubModel())
    assert len(set(recorded)) == MANY
    for _ in range(REPLAYS):
        with use_cassette(path) as cassette:
            assert run(cassette, None) == recorded


def test_sub_agents_of_a_batch_of_tools(path):
    """They have one name, so the step of the tool that began each tells them apart."""

    def run(llm):
        @tool(concurrent_safe=True)
        def delegate(ctx: ToolContext) -> dict:
            """Let a sub-agent guess."""
            late()
            result = run_sub_loop(ctx.llm, "Guess", tools_from([]), subagent_id="guesser")
            return {"guess": result["summary"]}

        tools = tools_from([delegate], include_done=True)
        config = together()
        return guesses(composable_loop(llm=llm, tools=tools, config=config, task="Guess"))

    class Both(Asker):
        def generate(self, prompt, **keywords):
            answer = super().generate(prompt, **keywords)
            return call("done", summary=answer) if answer.startswith("answer") else answer

    model = Both(turn("delegate", MANY), call("done", summary="guessed"))
    with use_cassette(path, record_mode="once") as cassette:
        recorded = run(cassette.wrap_llm(model))
    assert len({each["guess"] for each in recorded[:MANY]}) == MANY
    for _ in range(REPLAYS):
        with use_cassette(path) as cassette:
            assert run(cassette.wrap_llm(None)) == recorded


def test_agents_in_threads_that_ask_the_same_of_recorded_tools(path):
    """A registry is wrapped with a lane for each, as a backend is."""
    agents = 16

    def run(cassette, llm):
        rolled = iter(range(agents))

        @tool
        def roll() -> dict:
            """Roll a die."""
            return {"points": next(rolled)}

        def work(number):
            lane = f"worker:{number}"
            late()
            result = run_sub_loop(
                cassette.wrap_llm(llm, lane=lane),
                "Roll",
                tools=cassette.wrap_tools(tools_from([roll]), lane=lane),
            )
            return [step.tool_result.data for step in result["steps"]]

        with ThreadPoolExecutor(agents) as pool:
            return list(pool.map(work, range(agents)))

    class Roller:
        def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
            return call("done", summary="rolled") if "points" in prompt else call("roll")

    with use_cassette(path, record_mode="once", tools="recorded") as cassette:
        recorded = run(cassette, Roller())
    assert len({each[0]["points"] for each in recorded}) == agents
    for _ in range(REPLAYS):
        with use_cassette(path, tools="recorded") as cassette:
            assert run(cassette, None) == recorded
            assert cassette.unplayed == 0


def test_cassettes_that_record_at_once_keep_to_their_own_file(tmp_path):
    def record(number):
        path = tmp_path / f"{number}.yaml"
        with use_cassette(path, record_mode="once", tools="recorded") as cassette:

            @tool
            def ask(question: str, ctx: ToolContext) -> dict:
                """Ask the model."""
                late()
                return {"answer": ctx.llm.generate(question)}

            llm = Asker(call("ask", question=f"q{number}"), call("done", summary=f"s{number}"))
            steps = composable_loop(
                llm=cassette.wrap_llm(llm),
                tools=cassette.wrap_tools(tools_from([ask], include_done=True)),
                config=cassette.wrap_config(LoopConfig(max_steps=3)),
                task=f"task {number}",
            )
            return len(list(steps)), len(cassette)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(record, range(8))) == [(2, 5)] * 8
    for number in range(8):
        text = (tmp_path / f"{number}.yaml").read_text()
        with use_cassette(tmp_path / f"{number}.yaml") as cassette:
            assert len(cassette) == 5
            assert [run.task for run in cassette.runs] == [{"description": f"task {number}"}]
        for other in range(8):
            assert (f"q{other}" in text) == (other == number)
            assert (f"s{other}" in text) == (other == number)
