"""Guarantees 20 and 21: tokens are the provider's or a marked estimate; wrappers forward all."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from looplet import (
    BackendRouter,
    CachePolicy,
    CancelToken,
    CostTracker,
    FallbackRouter,
    LoopConfig,
    ModelProfile,
    ResilientBackend,
    RoutingLLMBackend,
    SimpleRouter,
    TrajectoryRecorder,
    tools_from,
)
from looplet.core.backend import is_async, takes
from looplet.core.scoped import bridged, scoped
from looplet.core.wrapping import AsyncWrapper, SyncWrapper
from looplet.replay import use_cassette
from tests.guarantees.parts import APPLE, DONE, call, hook, shop

WRAPPERS = {
    "plain": lambda llm: (AsyncWrapper if is_async(llm) else SyncWrapper)(llm),
    "scoped": lambda llm: scoped(llm, "tool:x"),
    "BackendRouter": BackendRouter,
    "selected": lambda llm: BackendRouter(llm).select(),
    "SimpleRouter": lambda llm: SimpleRouter(
        [ModelProfile("only", llm)], default_profile="only"
    ).select(),
    "FallbackRouter": lambda llm: FallbackRouter(primary=llm, fallback=llm).select(),
    "RoutingLLMBackend": lambda llm: RoutingLLMBackend(BackendRouter(llm)),
    "CostTracker": CostTracker,
    "ResilientBackend": ResilientBackend,
    "RecordingLLMBackend": lambda llm: TrajectoryRecorder().wrap_llm(llm),
    "all of them": lambda llm: CostTracker(
        TrajectoryRecorder().wrap_llm(ResilientBackend(RoutingLLMBackend(BackendRouter(llm))))
    ),
}


class Model:
    """A backend with everything that is optional, and a keyword and an attribute of its own."""

    model, flavour = "m", "sweet"

    def __init__(self, replies: list[Any]) -> None:
        self.replies, self.asked = list(replies), []
        self.last_usage = {"input_tokens": 11, "output_tokens": 3}
        self.last_stop_reason = "end_turn"

    def generate(self, prompt: str, **keywords: Any) -> Any:
        self.asked.append(keywords)
        return self.replies.pop(0)

    def generate_with_tools(self, prompt: str, **keywords: Any) -> Any:
        return self.generate(prompt, **keywords)


class AsyncModel(Model):
    async def generate(self, prompt: str, **keywords: Any) -> Any:
        return super().generate(prompt, **keywords)

    async def generate_with_tools(self, prompt: str, **keywords: Any) -> Any:
        return super().generate(prompt, **keywords)


def model_for(drive: Any, replies: list[Any]) -> Any:
    return (AsyncModel if type(drive).__name__ == "Async" else Model)(replies)


@pytest.fixture(params=WRAPPERS.values(), ids=WRAPPERS.keys())
def wrap(request):
    return request.param


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
def test_every_wrapper_forwards_every_keyword_and_optional_attribute(drive, wrap, native):
    token = CancelToken()
    model = model_for(drive, [APPLE, DONE])
    config = LoopConfig(
        use_native_tools=native,
        cancel_token=token,
        generate_kwargs={"top_p": 0.5, "seed": 3},
        cache_policy=CachePolicy(system_prompt="1h"),
        system_prompt="Be brief.",
        temperature=0.7,
        max_tokens=77,
    )
    hooks = [hook(on_chunk=lambda text, number, attempt: None)]
    wrapped = wrap(model)
    ran = drive(wrapped, tools=shop(), config=config, hooks=hooks)
    assert (ran.error, ran.stop_reason) == (None, "done")
    for keywords in model.asked:
        assert keywords["cancel_token"] is token
        assert keywords["cache_breakpoints"][0].label == "system_prompt"
        assert callable(keywords["on_chunk"])
        expected = {
            "top_p": 0.5, "seed": 3, "temperature": 0.7, "max_tokens": 77,
            "system_prompt": "Be brief.",
        }  # fmt: skip
        assert expected.items() <= keywords.items()
        assert ("tools" in keywords, "messages" in keywords) == (native, native)
    assert [step.usage.input_tokens for step in ran.steps] == [11, 11]
    assert not any(step.usage.estimated for step in ran.steps)
    assert (wrapped.model, wrapped.flavour) == ("m", "sweet")
    assert takes(wrapped, "generate", "anything_at_all")


def test_a_wrapper_has_native_tools_exactly_if_the_wrapped_backend_has(drive, wrap):
    assert hasattr(wrap(drive.native([])), "generate_with_tools")
    assert not hasattr(wrap(drive.text([])), "generate_with_tools")


def test_a_cassette_forwards_every_keyword_and_optional_attribute(tmp_path):
    model = Model([APPLE, DONE])
    with use_cassette(tmp_path / "run.yaml", record_mode="once") as cassette:
        wrapped = cassette.wrap_llm(model)
        wrapped.generate("hi", seed=3, cancel_token=None, max_tokens=7, whatever=1)
        assert wrapped.last_usage == {"input_tokens": 11, "output_tokens": 3}
        assert (wrapped.last_stop_reason, wrapped.flavour) == ("end_turn", "sweet")
    assert model.asked[0].keys() - {"scope"} == {"seed", "cancel_token", "max_tokens", "whatever"}


def test_a_bridged_backend_forwards_every_keyword_and_optional_attribute():
    model = AsyncModel([APPLE])

    async def run() -> Any:
        wrapped = bridged(model, asyncio.get_running_loop())

        def ask() -> Any:
            reply = wrapped.generate("hi", seed=3, whatever=1)
            return reply, wrapped.last_usage, wrapped.flavour, is_async(wrapped)

        return await asyncio.to_thread(ask)

    assert asyncio.run(run()) == (APPLE, model.last_usage, "sweet", False)
    assert model.asked == [{"seed": 3, "whatever": 1}]


def test_tokens_are_the_providers_usage_or_a_marked_estimate_everywhere(drive):
    for usage, estimated in (({"input_tokens": 11, "output_tokens": 3}, False), (None, True)):
        model = model_for(drive, [APPLE, DONE])
        model.last_usage = usage
        recorder, tracker = TrajectoryRecorder(), CostTracker(model)
        router = BackendRouter(tracker)
        ran = drive(recorder.wrap_llm(router), tools=shop(), hooks=[recorder])
        used = [step.usage for step in ran.steps]
        sums = (sum(each.input_tokens for each in used), sum(each.output_tokens for each in used))
        assert [each.estimated for each in used] == [estimated] * 2
        assert router.tokens_estimated is estimated
        assert [each.tokens_estimated for each in recorder.trajectory.llm_calls] == [estimated] * 2
        assert (router.total_input_tokens, router.total_output_tokens) == sums
        assert (tracker.total_input_tokens, tracker.total_output_tokens) == sums
        calls = recorder.trajectory.llm_calls
        assert (sum(c.input_tokens for c in calls), sum(c.output_tokens for c in calls)) == sums
        chars = [len(each.prompt) + len(each.system_prompt) for each in calls]
        counted = [22] if usage else [sum(-(-count // 4) for count in chars)]
        assert counted == [sums[0]]


def test_a_configs_router_picks_the_backend_of_every_purpose(drive):
    asked: list[str] = []
    tools = tools_from([], include_done=True)

    @tools.tool
    def look(ctx: Any) -> dict:
        answer = ctx.llm.generate("what do you see?")
        if inspect.isawaitable(answer):
            answer.close()
        return {}

    class Service:
        def compact(self, *, llm: Any, conversation: Any, reason: str, **about: Any) -> Any:
            from looplet import CompactOutcome

            llm.generate("sum it up")
            return CompactOutcome(reason, 1, 1)

    scripts = {
        "reasoning": [call("look"), "no call", DONE],
        "repair": [DONE],
        "compaction": ["a summary"],
        "tool": ["a wall"],
    }
    backends = {purpose: drive.text(script) for purpose, script in scripts.items()}

    class Router:
        def select(self, purpose: str = "reasoning") -> Any:
            asked.append(purpose)
            return backends[purpose]

    unused = drive.text([])
    compact = hook(should_compact=lambda state, log, talk, number: number == 2)
    config = LoopConfig(router=Router(), compact_service=Service())
    ran = drive(unused, tools=tools, config=config, hooks=[compact])
    assert ran.stop_reason == "done"
    assert asked == ["reasoning", "tool", "compaction", "reasoning", "repair"]
    assert unused.calls == 0


def test_the_estimate_of_a_native_request_is_the_same_wherever_it_is_made(drive):
    def asked(name: str, **args: Any) -> list[dict[str, Any]]:
        return [{"type": "tool_use", "id": name, "name": name, "input": args}]

    odd = asked("price", fruit="äpple", beside=[1, 2.5, None, {"b": True, "a": "x"}])
    llm = drive.native([odd, odd, "no call", asked("done", summary="x")])
    recorder = TrajectoryRecorder()
    ran = drive(
        recorder.wrap_llm(llm),
        tools=shop(),
        hooks=[recorder],
        config=LoopConfig(use_native_tools=True),
    )
    told = [each.input_tokens for each in recorder.trajectory.llm_calls]
    assert len(told) == 4
    assert [step.usage.input_tokens for step in ran.steps] == [*told[:2], told[2] + told[3]]
