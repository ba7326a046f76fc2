"""Model calls that have spans by themselves, and those of a loop that keep their one."""

from __future__ import annotations

import asyncio
import copy
import json

import pytest
from opentelemetry.trace import StatusCode

from looplet import (
    AsyncMockLLMBackend,
    BackendRouter,
    LoopConfig,
    MockLLMBackend,
    ResilientBackend,
    tool,
    tools_from,
)
from looplet.errors import BackendRefused
from looplet.testing import ScriptedToolBackend


def call(name, **args):
    return json.dumps({"tool": name, "args": args})


DONE = call("done", summary="x")


def named(llm, model):
    llm.model = model
    return llm


@tool
def ask(ctx) -> str:
    """Ask the run's own model."""
    return ctx.llm.generate("well?", temperature=0.7, top_p=0.5)


@tool
async def ask_later(ctx) -> str:
    """Ask the run's own async model."""
    return await ctx.llm.generate("well?", temperature=0.7, top_p=0.5)


class AnyKeyword(MockLLMBackend):
    def generate(self, prompt, **keywords):
        return super().generate(prompt)


def asking(drive, llm):
    """The tool that asks, as that backend wants to be asked."""
    spec = ask_later if asyncio.iscoroutinefunction(llm.generate) else ask
    return tools_from([spec], include_done=True), call(spec.name)


def test_a_tools_call_of_the_model_stands_below_the_tool_and_a_question_has_one_span(
    drive, telemetry
):
    otel = telemetry.hook()
    llm = drive.text([])
    tools, wants = asking(drive, llm)
    llm = named(drive.text([wants, "yes", DONE]), "m")
    ran = drive(otel.wrap_llm(llm), tools=tools, hooks=[otel])
    assert ran.stop_reason == "done"
    assert telemetry.tree() == [
        " > invoke_agent",
        "invoke_agent > chat m",
        f"invoke_agent > execute_tool {tools.tool_names[0]}",
        f"execute_tool {tools.tool_names[0]} > chat m",
        "invoke_agent > chat m",
        "invoke_agent > execute_tool done",
    ]
    tools_own = telemetry.of("chat")[1].attributes
    assert tools_own["looplet.purpose"] == "tool"
    assert tools_own["looplet.scope"] == f"tool:{tools.tool_names[0]}"
    assert tools_own["gen_ai.request.temperature"] == 0.7


def test_further_sampling_parameters_of_a_wrapped_call_are_told(telemetry):
    otel = telemetry.hook()
    otel.wrap_llm(AnyKeyword(["yes"])).generate("x", top_p=0.5, seed=3, max_tokens=9)
    (chat,) = telemetry.of("chat")
    told = {name: chat.attributes[f"gen_ai.request.{name}"] for name in ("top_p", "seed")}
    assert told == {"top_p": 0.5, "seed": 3}
    assert chat.attributes["gen_ai.request.max_tokens"] == 9


def test_the_backend_that_a_router_chose_is_told(telemetry, drive):
    otel = telemetry.hook()
    backends = {
        name: otel.wrap_llm(named(drive.text([reply]), name))
        for name, reply in (("big", "no call in it"), ("small", DONE))
    }
    router = BackendRouter(backends, routes={"repair": "small"})
    drive(router, tools=tools_from([], include_done=True), hooks=[otel])
    assert [span.name for span in telemetry.of("chat")] == ["chat big", "chat small"]


def test_a_router_that_nobody_wrapped_leaves_the_model_unknown(telemetry, drive):
    router = BackendRouter({"big": named(drive.text([DONE]), "big")})
    hooks = [telemetry.hook()]
    for options in ({}, {"config": LoopConfig(router=router)}):
        drive(router, tools=tools_from([], include_done=True), hooks=hooks, **options)
    assert {span.name for span in telemetry.of("chat")} == {"chat"}


def test_calls_outside_of_a_run_have_spans_and_failures_their_cause(telemetry):
    otel = telemetry.hook()
    llm = otel.wrap_llm(MockLLMBackend(["yes", BackendRefused("busy", status=429)], cycle=False))
    assert llm.generate("x") == "yes"
    with pytest.raises(BackendRefused):
        llm.generate("x")
    good, bad = telemetry.of("chat")
    assert good.status.status_code is StatusCode.UNSET
    assert (bad.attributes["error.type"], bad.status.description) == ("429", "busy")


def test_a_failure_of_an_async_backend_is_told_and_raised(telemetry):
    llm = telemetry.hook().wrap_llm(AsyncMockLLMBackend([ConnectionError("down")]))
    with pytest.raises(ConnectionError):
        asyncio.run(llm.generate("x"))
    (chat,) = telemetry.of("chat")
    assert chat.attributes["error.type"] == "ConnectionError"


def test_each_attempt_of_a_wrapper_outside_is_a_call(telemetry):
    otel = telemetry.hook()
    llm = MockLLMBackend([ConnectionError("down"), "yes"], cycle=False)
    assert ResilientBackend(otel.wrap_llm(llm), base_delay_s=0).generate("x") == "yes"
    assert len(telemetry.of("chat")) == 2


def test_async_calls_side_by_side_have_spans_of_their_own(telemetry):
    otel = telemetry.hook()
    llm = otel.wrap_llm(AsyncMockLLMBackend(["yes"]))

    async def work(name):
        with telemetry.tracer.start_as_current_span(name):
            return await llm.generate("x")

    async def both():
        return await asyncio.gather(work("a"), work("b"))

    assert asyncio.run(both()) == ["yes", "yes"]
    assert sorted(telemetry.tree()) == [" > a", " > b", "a > chat", "b > chat"]


def test_a_wrapped_backend_has_tools_exactly_if_its_own_has(telemetry):
    otel = telemetry.hook()
    native = otel.wrap_llm(ScriptedToolBackend([[{"type": "text", "text": "hi"}]]))
    assert native.generate_with_tools("x", tools=[]) == [{"type": "text", "text": "hi"}]
    assert not hasattr(otel.wrap_llm(MockLLMBackend()), "generate_with_tools")
    assert copy.copy(native).calls == native.calls
