"""Whole runs recorded and replayed through both drivers of the loop."""

from __future__ import annotations

import asyncio

import pytest

from looplet import LoopConfig, async_composable_loop, composable_loop, tool, tools_from
from looplet.replay import Divergence, use_cassette
from looplet.testing import AsyncScriptedToolBackend, ScriptedToolBackend


@tool
def price(fruit: str) -> dict:
    """Price of one piece of fruit, in euro."""
    return {"euro": {"apple": 0.4, "pear": 0.55}[fruit]}


def use(call_id, name, **args):
    return {"type": "tool_use", "id": call_id, "name": name, "input": args}


REPLIES = [
    [{"type": "text", "text": "apples first"}, use("a", "price", fruit="apple")],
    'now {"tool": "price", "args": {"fruit": "plum"}}',
    "this is no call",
    [use("d", "done", summary="0.40")],
]


class Seeded(ScriptedToolBackend):
    """Takes ``seed`` beside what every backend takes."""

    def takes(self, method, keyword):
        return keyword == "seed" or (keyword != "top_k" and takes_of(self, method, keyword))


class AsyncSeeded(AsyncScriptedToolBackend):
    takes = Seeded.takes


def takes_of(backend, method, keyword):
    return keyword in {"max_tokens", "system_prompt", "temperature", "tools", "messages"}


def run(asynchronous, llm, *, prompt="Be careful.", **sampling):
    config = LoopConfig(
        max_steps=8, use_native_tools=True, system_prompt=prompt, generate_kwargs=sampling
    )
    keywords = {
        "tools": tools_from([price], include_done=True),
        "config": config,
        "task": {"goal": "price fruit"},
    }
    if not asynchronous:
        steps = list(composable_loop(llm, **keywords))
    else:

        async def collect():
            return [step async for step in async_composable_loop(llm, **keywords)]

        steps = asyncio.run(collect())
    return [(step.number, step.tool_call.to_dict(), step.tool_result.data, step.tool_result.error)
            for step in steps]  # fmt: skip


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def asynchronous(request):
    return request.param


def recorded(path, asynchronous, **sampling):
    llm = (AsyncSeeded if asynchronous else Seeded)(REPLIES)
    with use_cassette(path, record_mode="once") as cassette:
        return run(asynchronous, cassette.wrap_llm(llm), **sampling)


def test_a_run_replayed_without_a_backend_takes_equal_steps(tmp_path, asynchronous):
    path = tmp_path / "run.yaml"
    first = recorded(path, asynchronous, seed=7, top_k=3)
    assert [call["tool"] for _, call, _, _ in first] == ["price", "price", "done"]
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None, async_=asynchronous)
        again = run(asynchronous, llm, seed=7, top_k=3)
        assert cassette.unplayed == 0
    assert again == first


def test_what_one_driver_recorded_the_other_replays(tmp_path, asynchronous):
    path = tmp_path / "run.yaml"
    first = recorded(path, asynchronous, seed=7)
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None, async_=not asynchronous)
        assert run(not asynchronous, llm, seed=7) == first


def test_a_changed_word_of_the_system_prompt_ends_the_replay(tmp_path, asynchronous):
    path = tmp_path / "run.yaml"
    recorded(path, asynchronous)
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None, async_=asynchronous)
        with pytest.raises(Divergence) as caught:
            run(asynchronous, llm, prompt="Be sloppy.")
    assert str(path) in str(caught.value)
    assert "message 0 (system)" in str(caught.value)
    assert "'careful.' → 'sloppy.'" in str(caught.value) or "'careful' → 'sloppy'" in str(
        caught.value
    )


@pytest.mark.parametrize("sampling", [{"seed": 8}, {"seed": 7, "min_p": 0.1}, {}])
def test_a_changed_sampling_parameter_ends_the_replay(tmp_path, asynchronous, sampling):
    path = tmp_path / "run.yaml"
    recorded(path, asynchronous, seed=7)
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None, async_=asynchronous)
        with pytest.raises(Divergence, match="parameter"):
            run(asynchronous, llm, **sampling)


def test_a_changed_tool_result_ends_the_replay_where_it_is_sent(
    tmp_path, asynchronous, monkeypatch
):
    path = tmp_path / "run.yaml"
    recorded(path, asynchronous)
    monkeypatch.setattr(price, "execute", lambda fruit: {"euro": 0.5})
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None, async_=asynchronous)
        with pytest.raises(Divergence, match=r"call 2, step 2, message 3 \(tool\)"):
            run(asynchronous, llm)
