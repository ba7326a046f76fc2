"""What a model thought goes back to it unchanged: live, replayed, resumed, compacted, stored."""

from __future__ import annotations

import shutil

import anthropic
import openai
import pytest

from looplet import LoopConfig, tool, tools_from
from looplet.backends import (
    AnthropicBackend,
    AsyncAnthropicBackend,
    AsyncOpenAIBackend,
    OpenAIBackend,
)
from looplet.context import TruncateCompact
from looplet.core.backend import is_async
from looplet.core.messages import CallRequest, ChatMessage
from looplet.errors import BackendRefused
from looplet.replay import Divergence, use_cassette
from looplet.trajectory import TrajectoryRecorder, TrajectoryStore
from tests.thinkers import MessagesThinker, ResponsesThinker

APPLE, PEAR = ("price", {"fruit": "apple"}), ("price", {"fruit": "pear"})
DONE = ("done", {"summary": "0.95"})
THINKING = {"thinking": {"type": "adaptive"}}


class Messages:
    """Anthropic's Messages API."""

    thinker, options = MessagesThinker, THINKING

    @staticmethod
    def backend(server, *, asynchronous):
        sdk = anthropic.AsyncAnthropic if asynchronous else anthropic.Anthropic
        # No connection outlives the run, whose event loop is gone when it could be closed.
        client = sdk(base_url=server.root, api_key="k", default_headers={"connection": "close"})
        return (AsyncAnthropicBackend if asynchronous else AnthropicBackend)(client, model="m")


class Responses:
    """OpenAI's Responses API."""

    thinker, options = ResponsesThinker, {"reasoning": {"effort": "low"}}

    @staticmethod
    def backend(server, *, asynchronous):
        sdk = openai.AsyncOpenAI if asynchronous else openai.OpenAI
        client = sdk(base_url=server.url, api_key="k", default_headers={"connection": "close"})
        kind = AsyncOpenAIBackend if asynchronous else OpenAIBackend
        return kind(client, model="m", api="responses")


@pytest.fixture(params=[Messages, Responses])
def api(request):
    return request.param


@tool
def price(fruit: str) -> dict:
    """Price of one piece of fruit, in euro."""
    return {"fruit": fruit, "euro": {"apple": 0.4, "pear": 0.55}[fruit]}


@pytest.fixture
def run(server, api, drive):
    """Run the agent; ``around`` wraps its backend."""

    def go(*, around=lambda llm: llm, tools=(price,), hooks=(), **config):
        llm = api.backend(server, asynchronous=is_async(drive.text([])))
        settings = {"use_native_tools": True, "max_steps": 8, "generate_kwargs": api.options}
        return drive(
            around(llm),
            tools=tools_from([*tools], include_done=True),
            task={"goal": "price fruit"},
            config=LoopConfig(**{**settings, **config}),
            hooks=[*hooks],
        )

    return go


def test_a_model_that_thinks_is_asked_to_the_end_of_its_run(server, api, run):
    server.answer = api.thinker([APPLE, PEAR], [APPLE], [DONE])
    ran = run()
    assert ran.error is None
    assert ran.tools == ["price", "price", "price", "done"]
    assert len(server.bodies) == 3


def test_the_model_refuses_a_call_whose_thought_is_missing_or_changed(server, api):
    server.answer = api.thinker([APPLE], [DONE])
    llm = api.backend(server, asynchronous=False)
    asked = ChatMessage(role="user", content="go")
    blocks = llm.generate_with_tools("", messages=[asked], tools=[], **api.options)
    call = CallRequest(id=blocks[-1]["id"], name="price", input={"fruit": "apple"})
    answer = ChatMessage(role="tool", content="0.4", call_id=call.id)

    def ask(*given):
        said = "turn 1"
        reply = ChatMessage(role="assistant", content=said, calls=(call,), blocks=given)
        sent = [asked, reply, answer]
        return llm.generate_with_tools("", messages=sent, tools=[], **api.options)

    changed = {**blocks[0], **dict.fromkeys(blocks[0].keys() - {"type"}, "another")}
    for wrong in [(), blocks[1:], (changed, *blocks[1:])]:
        with pytest.raises(BackendRefused, match="cannot be left out or modified"):
            ask(*wrong)
    assert ask(*blocks)[-1]["name"] == "done"


def test_a_tool_that_must_be_called_and_a_thought_are_refused_in_the_apis_own_words(server):
    server.answer = MessagesThinker([DONE])
    llm = Messages.backend(server, asynchronous=False)
    with pytest.raises(BackendRefused, match="Thinking may not be enabled") as caught:
        llm.generate_with_tools("go", tools=[], tool_choice={"type": "any"}, **THINKING)
    assert caught.value.status == 400
    assert llm.generate_with_tools("go", tools=[], **THINKING)[-1]["name"] == "done"


def test_a_recorded_run_replays_without_the_model_and_sends_back_the_same(
    server, api, run, tmp_path
):
    path = tmp_path / "run.yaml"
    server.answer = api.thinker([APPLE, PEAR], [PEAR], [DONE])
    with use_cassette(path, record_mode="once") as cassette:
        first = run(around=cassette.wrap_llm)
    asked = len(server.bodies)
    with use_cassette(path) as cassette:
        again = run(around=cassette.wrap_llm)
        assert cassette.unplayed == 0
    assert again.stop_reason == first.stop_reason == "done"
    assert [step.tool_call.to_dict() for step in again.steps] == [
        step.tool_call.to_dict() for step in first.steps
    ]
    assert len(server.bodies) == asked


def test_a_replay_is_refused_if_a_thought_was_changed_on_the_way(server, api, run, tmp_path):
    path = tmp_path / "run.yaml"
    server.answer = api.thinker([APPLE], [DONE])
    with use_cassette(path, record_mode="once") as cassette:
        run(around=cassette.wrap_llm)

    class Forgetful:
        """A backend that changes what came back."""

        def __init__(self, inner):
            self.generate, self.takes, self._inner = inner.generate, inner.takes, inner
            if is_async(inner):
                self.generate_with_tools = self._later

        def generate_with_tools(self, prompt, **keywords):
            return _forget(self._inner.generate_with_tools(prompt, **keywords))

        async def _later(self, prompt, **keywords):
            return _forget(await self._inner.generate_with_tools(prompt, **keywords))

    with use_cassette(path) as cassette:
        ran = run(around=lambda llm: Forgetful(cassette.wrap_llm(llm)))
        cassette.clear_divergence()  # it is in what the run raised
    assert isinstance(ran.error, Divergence)


def _forget(blocks):
    return [
        {**block, "forgotten": True} if block["type"] in {"thinking", "reasoning"} else block
        for block in blocks
    ]


def test_a_run_that_was_killed_goes_on_with_what_was_thought(server, api, run, tmp_path):
    server.answer = api.thinker([APPLE], [PEAR, APPLE], [DONE], [DONE])
    live, killed = tmp_path / "live", tmp_path / "killed"

    class Photographer:
        """Keeps the directory as a kill would leave it, in the middle of the second turn."""

        def pre_dispatch(self, state, session_log, call, step_num):
            if step_num == 3:
                shutil.copytree(live, killed)

    assert run(checkpoint_dir=live, hooks=[Photographer()]).error is None
    ran = run(checkpoint_dir=killed)
    assert (ran.error, ran.stop_reason) == (None, "done")
    assert ran.tools == ["price", "done"]
    before, after = (body for body in server.bodies[-2:])
    assert before == after


def test_a_trajectory_keeps_what_was_thought_and_comes_back_equal(server, api, run, tmp_path):
    server.answer = api.thinker([APPLE], [PEAR], [DONE])
    recorder = TrajectoryRecorder()
    run(around=recorder.wrap_llm, hooks=[recorder])
    store = TrajectoryStore(tmp_path / "store")
    store.append(recorder.trajectory)
    (found,) = store
    assert found == recorder.trajectory
    for call, later in zip(found.llm_calls, found.llm_calls[1:], strict=False):
        (told,) = [each for each in later.messages[len(call.messages) :] if each.calls]
        assert list(told.blocks) == call.response


def test_each_thought_is_stored_once(server, api, run, tmp_path):
    server.answer = api.thinker([APPLE], [PEAR], [DONE])
    recorder = TrajectoryRecorder()
    run(around=recorder.wrap_llm, hooks=[recorder])
    from looplet.trajectory.placing import to_columns

    messages, _ = to_columns(recorder.trajectory.llm_calls)
    assert len(messages["role"]) == 1 + 2 + 2 + 1


def test_a_compacted_conversation_keeps_whole_turns_with_what_was_thought(server, api, run):
    server.answer = api.thinker([APPLE], [PEAR], [APPLE, PEAR], [DONE])

    class Full:
        def should_compact(self, state, session_log, conversation, step_num):
            return step_num == 5

    ran = run(compact_service=TruncateCompact(keep_recent=2), hooks=[Full()])
    assert (ran.error, ran.stop_reason) == (None, "done")
    before, after = (str(body) for body in server.bodies[-2:])
    assert "thought 1" in before
    assert "thought 1" not in after
    assert "thought 3" in after
