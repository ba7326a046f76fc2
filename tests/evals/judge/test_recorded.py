"""A judge's calls in a cassette: scored again without a model, and a changed rubric is named."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from looplet import LoopConfig, composable_loop, tool, tools_from
from looplet.evals import EvalContext
from looplet.evals.judge import PairwiseJudge, RubricJudge, Scale
from looplet.replay import Divergence, use_cassette
from looplet.replay.entries import address
from looplet.testing import AsyncScriptedToolBackend, MockLLMBackend, ScriptedToolBackend

HELPFUL = RubricJudge("helpful", rubric="How helpful is the answer?", scale=Scale(1, 5))
KINDER = PairwiseJudge("kinder", rubric="Which is kinder?")


def judge_all(llm, runs):
    return [*(HELPFUL(run, llm) for run in runs), KINDER(*runs, llm)]


@pytest.fixture
def runs(make_ctx):
    return make_ctx("Hello!"), make_ctx("What?")


@pytest.fixture
def replies(say):
    return ["Well.", say(4), say(2), say("first"), say("second")]


def test_the_judges_calls_are_recorded_and_scored_again_without_a_model(tmp_path, runs, replies):
    path = tmp_path / "judged.yaml"
    with use_cassette(path, record_mode="once") as cassette:
        first = judge_all(cassette.wrap_llm(ScriptedToolBackend(replies)), runs)
    assert [result.label for result in first] == ["4", "2", "a"]
    with use_cassette(path, record_mode="none") as cassette:
        again = judge_all(cassette.wrap_llm(None), runs)
        assert (cassette.played, cassette.unplayed) == (5, 0)
    assert again == first
    uris = [line.split()[-1] for line in path.read_text().splitlines() if " uri: " in line]
    assert [address(uri)[0] for uri in uris] == ["judge:helpful"] * 3 + ["judge:kinder"] * 2


def test_async_judges_at_once_replay_alike(tmp_path, runs, say):
    path = tmp_path / "judged.yaml"

    async def judge_both(llm):
        return await asyncio.gather(*(HELPFUL.ajudge(run, llm) for run in runs))

    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(AsyncScriptedToolBackend([say(4), say(2)]))
        first = asyncio.run(judge_both(llm))
    with use_cassette(path) as cassette:
        again = asyncio.run(judge_both(cassette.wrap_llm(None, async_=True)))
    assert again == first
    assert {result.label for result in first} == {"4", "2"}


def test_a_changed_rubric_diverges_and_names_the_judge(tmp_path, runs, replies):
    path = tmp_path / "judged.yaml"
    with use_cassette(path, record_mode="once") as cassette:
        judge_all(cassette.wrap_llm(ScriptedToolBackend(replies)), runs)
    changed = RubricJudge("helpful", rubric="How friendly is the answer?", scale=Scale(1, 5))
    with pytest.raises(Divergence) as caught, use_cassette(path) as cassette:
        changed(runs[0], cassette.wrap_llm(None))
    assert caught.value.lane == "judge:helpful"
    assert "'helpful' → 'friendly'" in caught.value.diff
    assert changed.rubric_hash[:16] in caught.value.diff


def test_a_change_that_no_word_of_the_prompt_tells_is_in_the_key_by_its_hash(
    tmp_path, runs, replies
):
    path = tmp_path / "judged.yaml"
    with use_cassette(path, record_mode="once") as cassette:
        judge_all(cassette.wrap_llm(ScriptedToolBackend(replies)), runs)
    longer = RubricJudge("helpful", rubric=HELPFUL.rubric, scale=HELPFUL.scale, max_chars=70_000)
    assert longer.transcript(runs[0]) == HELPFUL.transcript(runs[0])
    with pytest.raises(Divergence) as caught, use_cassette(path) as cassette:
        longer(runs[0], cassette.wrap_llm(None))
    assert caught.value.role == "system"
    assert longer.rubric_hash[:16] in caught.value.diff


def test_the_run_and_its_judge_share_a_cassette(tmp_path, say):
    path = tmp_path / "run.yaml"

    @tool
    def price(fruit: str) -> dict:
        """Price of a fruit."""
        return {"euro": 0.4}

    def run_and_judge(cassette, llm):
        backend = cassette.wrap_llm(llm)
        steps = list(
            composable_loop(
                backend,
                "Price of a pear?",
                cassette.wrap_tools(tools_from([price], include_done=True)),
                config=cassette.wrap_config(LoopConfig(max_steps=3)),
            )
        )
        return HELPFUL(EvalContext(steps, task="Price of a pear?", stop_reason="done"), backend)

    script = ['{"tool": "done", "args": {"summary": "0.40"}}', say(5)]
    with use_cassette(path, record_mode="once", tools="recorded") as cassette:
        first = run_and_judge(cassette, MockLLMBackend(script, cycle=False))
    with use_cassette(path, tools="recorded") as cassette:
        assert run_and_judge(cassette, None) == first
        assert cassette.unplayed == 0
        assert cassette.replayed[0].digest == cassette.runs[0].digest


def test_judges_are_found_without_any_extra_and_pytest_starts_without_them():
    code = (
        "import sys, looplet.evals.plugin; assert 'looplet.evals.judge' not in sys.modules; "
        "import looplet.evals.judge as room; "
        "[getattr(room, name) for name in room.__all__]; "
        "assert callable(room.agreement); "
        "print({'scipy', 'vcr', 'yaml', 'pyarrow', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
