"""A run as an OpenTelemetry trace, through both drivers and the official SDK."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from looplet import (
    CancelToken,
    Deny,
    LifecycleEvent,
    LoopConfig,
    MockLLMBackend,
    OpenAIBackend,
    Stop,
    composable_loop,
    run_sub_loop,
    tool,
    tools_from,
)
from looplet.core.backend import is_async
from looplet.otel import OpenTelemetryHook
from looplet.otel.conventions import CAPTURE_VARIABLE
from looplet.telemetry import TracingHook
from tests.drivers import DRIVERS, Clock, Sync
from tests.otel.conftest import Telemetry
from tests.servers import completion


@tool(concurrent_safe=True)
def price(fruit: str) -> dict:
    """Price of one piece of fruit, in euro."""
    if fruit == "ctrl-c":
        raise KeyboardInterrupt
    return {"fruit": fruit, "euro": {"apple": 0.4, "pear": 0.55}[fruit]}


def call(name, **args):
    return json.dumps({"tool": name, "args": args})


APPLE, PLUM = call("price", fruit="apple"), call("price", fruit="plum")
DONE = call("done", summary="0.40 euro")


def shop(*more):
    return tools_from([price, *more], include_done=True)


def hook(**methods):
    return type("Given", (), {name: staticmethod(body) for name, body in methods.items()})()


def fail(*args, **keywords):
    raise LookupError("broken hook")


def stop_before_asking(payload):
    return Stop("enough") if payload.event is LifecycleEvent.PRE_LLM_CALL else None


def cancelled():
    token = CancelToken()
    token.cancel()
    return token


def both(name, *inputs):
    block = {"type": "tool_use", "name": name}
    return [{**block, "id": f"id{place}", "input": given} for place, given in enumerate(inputs)]


AT_ONCE = LoopConfig(use_native_tools=True, concurrent_dispatch=True, max_steps=2)


def before_each_call(llm, work):
    """The same scripted backend, sync or async, which does some work before it answers."""
    inner = llm.generate

    async def later(prompt, **keywords):
        work()
        return await inner(prompt, **keywords)

    def now(prompt, **keywords):
        work()
        return inner(prompt, **keywords)

    llm.generate = later if is_async(llm) else now
    return llm


def test_a_run_is_a_trace_by_the_conventions(drive, telemetry):
    llm = drive.text([APPLE, PLUM, DONE])
    otel = telemetry.hook(agent_name="clerk", conversation_id="c1", provider_name="openai")
    llm.model = "qwen3"
    drive(llm, tools=shop(), hooks=[otel])
    agent = "invoke_agent clerk"
    assert telemetry.tree() == [
        f" > {agent}",
        f"{agent} > chat qwen3", f"{agent} > execute_tool price",
        f"{agent} > chat qwen3", f"{agent} > execute_tool price",
        f"{agent} > chat qwen3", f"{agent} > execute_tool done",
    ]  # fmt: skip
    root, chat, bought, _, failed, *_ = telemetry.spans
    common = {"gen_ai.agent.name": "clerk", "gen_ai.conversation.id": "c1"}
    assert dict(root.attributes) == common | {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "qwen3",
        "looplet.stop_reason": "done",
        "looplet.step.count": 3,
    }
    assert dict(chat.attributes) == common | {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "qwen3",
        "gen_ai.request.max_tokens": 2000,
        "gen_ai.request.temperature": 0.2,
        "looplet.purpose": "reasoning",
        "looplet.step.number": 1,
    }
    call_id = bought.attributes["gen_ai.tool.call.id"]
    assert len(call_id) == 12
    assert dict(bought.attributes) == common | {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "price",
        "gen_ai.tool.call.id": call_id,
        "gen_ai.tool.type": "function",
        "looplet.step.number": 1,
    }
    assert (root.kind, chat.kind, bought.kind) == (
        SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.INTERNAL,
    )  # fmt: skip
    assert failed.attributes["error.type"] == "validation"
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, None)
    assert {span.status.status_code for span in (root, chat, bought)} == {StatusCode.UNSET}
    assert {span.instrumentation_scope.schema_url for span in telemetry.spans} == {
        "https://opentelemetry.io/schemas/1.41.1"
    }


ENDS = [
    ([APPLE, DONE], {}, None),
    ([APPLE] * 3, {"leave_after": 1}, None),
    ([APPLE] * 3, {"max_steps": 2}, None),
    ([APPLE], {"config": LoopConfig(cancel_token=cancelled())}, None),
    ([TypeError("no such model")], {}, "llm_error"),
    ([KeyboardInterrupt()], {}, "KeyboardInterrupt"),
    ([call("price", fruit="ctrl-c")], {}, "KeyboardInterrupt"),
    ([APPLE], {"hooks": [hook(should_stop=lambda *args: True)]}, None),
    ([APPLE], {"hooks": [hook(on_event=stop_before_asking)]}, None),
    ([APPLE], {"hooks": [hook(pre_prompt=fail)]}, "LookupError"),
    ([APPLE], {"hooks": [hook(pre_dispatch=fail)]}, "LookupError"),
    ([APPLE], {"hooks": [hook(check_permission=fail)]}, "LookupError"),
    ([APPLE], {"hooks": [hook(around_tool=fail)]}, "LookupError"),
    ([APPLE], {"hooks": [hook(post_dispatch=fail)]}, "LookupError"),
    ([DONE], {"hooks": [hook(check_done=fail)]}, "LookupError"),
    ([DONE], {"hooks": [hook(on_loop_end=fail)]}, None),
]


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize(("replies", "options", "error"), ENDS)
def test_all_spans_are_ended_in_every_end(drive, telemetry, caplog, replies, options, error, place):
    options = dict(options)
    hooks = [*options.pop("hooks", [])]
    hooks.insert(0 if place == "first" else len(hooks), telemetry.hook())
    with telemetry.tracer.start_as_current_span("caller") as caller:
        ran = drive(drive.text(replies), tools=shop(), hooks=hooks, **options)
        assert trace.get_current_span() is caller
    assert sorted(span.name for span in telemetry.spans) == sorted(telemetry.started)
    (agent,) = telemetry.of("invoke_agent")
    assert agent.parent.span_id == caller.context.span_id
    assert agent.attributes["looplet.stop_reason"] == ran.stop_reason
    assert agent.attributes.get("error.type") == error
    failed = agent.status.status_code is StatusCode.ERROR
    assert failed == (error is not None)
    assert not [each for each in caplog.records if each.name.startswith("opentelemetry")]


@pytest.mark.parametrize(("place", "spans"), [(0, 1), (1, 0)])
def test_a_run_that_a_hook_breaks_before_it_began_has_a_span_only_if_the_hook_came_first(
    drive, telemetry, place, spans
):
    hooks = [hook(pre_loop=fail)]
    hooks.insert(place, telemetry.hook())
    drive(drive.text([APPLE]), tools=shop(), hooks=hooks)
    assert len(telemetry.spans) == len(telemetry.started) == spans


def test_a_denied_call_is_an_error_and_a_rejected_done_is_none(drive, telemetry):
    refuse = iter(["not yet"])
    deny = hook(pre_dispatch=lambda *args: Deny("no"), check_done=lambda *args: next(refuse, None))
    drive(drive.text([APPLE, DONE, DONE]), tools=shop(), hooks=[telemetry.hook(), deny])
    kinds = [span.attributes.get("error.type") for span in telemetry.of("execute_tool")]
    assert kinds == ["permission_denied", None, None]


def test_a_tools_own_spans_stand_below_its_call_and_none_is_left_to_the_caller(telemetry):
    @tool
    def look() -> str:
        with telemetry.tracer.start_as_current_span("query"):
            return "seen"

    llm = MockLLMBackend([call("look"), call("look"), DONE])
    for _ in composable_loop(llm, tools=shop(look), hooks=[telemetry.hook()]):
        assert trace.get_current_span() is trace.INVALID_SPAN
    assert telemetry.tree().count("execute_tool look > query") == 2
    assert len({span.context.trace_id for span in telemetry.spans}) == 1


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_spans_of_tools_that_run_at_the_same_time_stand_below_their_own(drive, telemetry, kind):
    meet = threading.Barrier(2, timeout=30)

    def seen(at: str) -> str:
        with telemetry.tracer.start_as_current_span(f"query {at}"):
            if kind == "plain":
                meet.wait()
            return at

    async def seen_later(at: str) -> str:
        return seen(at)

    look = tool(name="look", concurrent_safe=True)(seen if kind == "plain" else seen_later)
    llm = drive.native([both("look", {"at": "a"}, {"at": "b"}), "bye"])
    drive(llm, tools=shop(look), hooks=[telemetry.hook()], config=AT_ONCE)
    calls = {span.context.span_id: span for span in telemetry.of("execute_tool")}
    inner = {
        span.name: calls[span.parent.span_id].attributes["gen_ai.tool.call.id"]
        for span in telemetry.of("query")
    }
    assert inner == {"query a": "id0", "query b": "id1"}


def test_a_consumers_pause_between_two_steps_is_no_tools_time(telemetry):
    llm = Sync().native([both("price", {"fruit": "pear"}, {"fruit": "apple"}), "bye"])
    for _ in composable_loop(llm, tools=shop(), hooks=[telemetry.hook()], config=AT_ONCE):
        telemetry.tracer.start_span("pause").end()
    pause = telemetry.of("pause")[0]
    assert all(span.end_time <= pause.start_time for span in telemetry.of("execute_tool"))


def test_a_sub_agent_stands_below_the_call_that_started_it(drive, telemetry):
    @tool
    def ask_clerk(question: str) -> str:
        """Ask the clerk."""
        llm = MockLLMBackend([APPLE, DONE], cycle=False)
        hooks = [telemetry.hook(agent_name="clerk")]
        return run_sub_loop(llm, question, tools_from([price]), hooks=hooks)["summary"]

    llm = drive.text([call("ask_clerk", question="apple?"), DONE])
    drive(llm, tools=shop(ask_clerk), hooks=[telemetry.hook(agent_name="buyer")])
    assert telemetry.tree() == [
        " > invoke_agent buyer",
        "invoke_agent buyer > chat",
        "invoke_agent buyer > execute_tool ask_clerk",
        "execute_tool ask_clerk > invoke_agent clerk",
        "invoke_agent clerk > chat",
        "invoke_agent clerk > execute_tool price",
        "invoke_agent clerk > chat",
        "invoke_agent clerk > execute_tool done",
        "invoke_agent buyer > chat",
        "invoke_agent buyer > execute_tool done",
    ]


def test_events_of_a_sub_agent_are_not_the_parents_own_questions(drive, telemetry):
    otel = telemetry.hook()

    @tool
    def ask_clerk(question: str) -> str:
        """Ask the clerk."""
        llm = MockLLMBackend([DONE], cycle=False)
        return run_sub_loop(llm, question, tools_from([]), parent_hooks=[otel])["summary"]

    drive(drive.text([call("ask_clerk", question="x"), DONE]), tools=shop(ask_clerk), hooks=[otel])
    assert len(telemetry.of("chat")) == 2
    assert sorted(span.name for span in telemetry.spans) == sorted(telemetry.started)


def test_what_the_backends_client_traces_stands_below_its_question(drive, telemetry):
    def http():
        telemetry.tracer.start_span("POST").end()

    llm = before_each_call(drive.text([DONE]), http)
    drive(llm, tools=shop(), hooks=[telemetry.hook()])
    assert telemetry.tree().count("chat > POST") == 1


def test_nothing_that_was_said_is_recorded_unless_it_was_asked_for(drive, telemetry, monkeypatch):
    monkeypatch.delenv(CAPTURE_VARIABLE, raising=False)
    config = LoopConfig(system_prompt="zebra instructions")
    replies = [call("price", fruit="zebra apple"), call("done", summary="zebra end")]
    drive(
        drive.text(replies),
        task="Buy a zebra",
        tools=shop(),
        hooks=[telemetry.hook()],
        config=config,
    )
    assert "zebra" not in " ".join(span.to_json() for span in telemetry.spans)


@pytest.mark.parametrize(
    ("word", "recorded"),
    [("true", True), ("SPAN_ONLY", True), ("span_and_event", True), ("EVENT_ONLY", False),
     ("NO_CONTENT", False), ("false", False), ("", False)],
)  # fmt: skip
def test_the_environment_may_allow_what_was_said(telemetry, monkeypatch, word, recorded):
    monkeypatch.setenv(CAPTURE_VARIABLE, word)
    for otel in (telemetry.hook(), telemetry.hook(capture_content=False)):
        list(composable_loop(MockLLMBackend([DONE]), tools=shop(), hooks=[otel]))
    told = ["gen_ai.input.messages" in span.attributes for span in telemetry.of("chat")]
    assert told == [recorded, False]


def test_what_was_said_is_recorded_in_the_conventions_shape(drive, telemetry):
    block = {"type": "tool_use", "id": "a1", "name": "price", "input": {"fruit": "pear"}}
    done = {"type": "tool_use", "id": "a2", "name": "done", "input": {"summary": "0.55"}}
    llm = drive.native([[{"type": "text", "text": "I look."}, block], [done]])
    config = LoopConfig(use_native_tools=True, system_prompt="Be brief.")
    otel = telemetry.hook(capture_content=True)
    drive(llm, task="Price a pear", tools=shop(), hooks=[otel], config=config)
    (agent,), chats, calls = (telemetry.of(name) for name in ("invoke", "chat", "execute"))

    def said(span: Any, name: str) -> Any:
        return json.loads(span.attributes[f"gen_ai.{name}"])

    def text(role: str, words: str, **more: Any) -> list[dict[str, Any]]:
        return [{"role": role, "parts": [{"type": "text", "content": words}], **more}]

    assert said(agent, "input.messages") == text("user", "Price a pear")
    assert said(agent, "output.messages") == text("assistant", "0.55", finish_reason="stop")
    assert said(chats[0], "system_instructions") == [{"type": "text", "content": "Be brief."}]
    assert [each["name"] for each in said(chats[0], "tool.definitions")] == ["price", "done"]
    (answer,) = said(chats[0], "output.messages")
    asked = {"type": "tool_call", "id": "a1", "name": "price", "arguments": {"fruit": "pear"}}
    assert answer["parts"] == [{"type": "text", "content": "I look."}, asked]
    user, assistant, result, *_ = said(chats[1], "input.messages")
    assert (user["role"], assistant["role"], result["role"]) == ("user", "assistant", "tool")
    assert asked in assistant["parts"]
    assert (result["parts"][0]["type"], result["parts"][0]["id"]) == ("tool_call_response", "a1")
    assert said(calls[0], "tool.call.arguments") == {"fruit": "pear"}
    assert said(calls[0], "tool.call.result") == {"fruit": "pear", "euro": 0.55}


def test_a_tools_error_text_is_content_and_its_kind_is_not(drive, telemetry):
    for capture in (False, True):
        otel = telemetry.hook(capture_content=capture)
        drive(drive.text([PLUM, DONE]), tools=shop(), hooks=[otel])
    told = [span.status.description for span in telemetry.of("execute_tool price")]
    assert told == [None, "KeyError: 'plum'"]


def test_questions_and_tokens_are_figures(telemetry, server):
    body = completion(DONE, usage=(70, 9))
    body["usage"]["prompt_tokens_details"] = {"cached_tokens": 64}
    server.says(body)
    llm = OpenAIBackend(base_url=server.url, api_key="x", model="qwen3")
    list(composable_loop(llm, tools=shop(), hooks=[telemetry.hook()]))
    (chat,) = telemetry.of("chat")
    assert {name: chat.attributes[f"gen_ai.{name}"] for name in (
        "provider.name", "usage.input_tokens", "usage.output_tokens",
        "usage.cache_read.input_tokens", "response.finish_reasons",
    )} == {
        "provider.name": "openai", "usage.input_tokens": 70, "usage.output_tokens": 9,
        "usage.cache_read.input_tokens": 64, "response.finish_reasons": ("stop",),
    }  # fmt: skip
    figures = telemetry.figures()
    who = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
           "gen_ai.request.model": "qwen3"}  # fmt: skip
    (duration,) = figures["gen_ai.client.operation.duration"]
    assert (duration["count"], duration["attributes"]) == (1, who)
    assert duration["explicit_bounds"][:2] == [0.01, 0.02]
    tokens = figures["gen_ai.client.token.usage"]
    assert {each["attributes"]["gen_ai.token.type"]: each["sum"] for each in tokens} == {
        "input": 70, "output": 9,
    }  # fmt: skip


def test_estimated_tokens_are_not_told(drive, telemetry):
    drive(drive.text([DONE]), tools=shop(), hooks=[telemetry.hook()])
    (chat,) = telemetry.of("chat")
    assert not [name for name in chat.attributes if "usage" in name]
    assert "gen_ai.client.token.usage" not in telemetry.figures()


def test_a_question_that_fails_for_good_is_one_span_with_its_cause(drive, telemetry, clock):
    llm = drive.text([ConnectionError("down")] * 3)
    config = LoopConfig(runtime=clock.runtime)
    drive(llm, tools=shop(), hooks=[telemetry.hook()], config=config)
    (chat,) = telemetry.of("chat")
    assert chat.attributes["error.type"] == "ConnectionError"
    assert (chat.status.status_code, chat.status.description) == (StatusCode.ERROR, "down")
    (duration,) = telemetry.figures()["gen_ai.client.operation.duration"]
    assert duration["attributes"]["error.type"] == "ConnectionError"


@pytest.mark.parametrize("place", [0, 1])
def test_a_question_that_a_hook_stops_is_not_told_as_asked(drive, telemetry, place):
    hooks = [hook(on_event=stop_before_asking)]
    hooks.insert(place, telemetry.hook())
    drive(drive.text([APPLE]), tools=shop(), hooks=hooks)
    asked = [span.attributes.get("looplet.asked") for span in telemetry.of("chat")]
    assert asked == ([False] if place == 0 else [])
    assert "gen_ai.client.operation.duration" not in telemetry.figures()


def test_a_hook_serves_one_run_after_another(drive, telemetry):
    otel = telemetry.hook()
    for _ in range(2):
        drive(drive.text([APPLE, DONE]), tools=shop(), hooks=[otel])
    assert len(telemetry.of("invoke_agent")) == 2
    assert len({span.context.trace_id for span in telemetry.spans}) == 2


def test_a_hook_uses_the_tracer_that_it_is_given(drive, telemetry):
    drive(drive.text([DONE]), tools=shop(), hooks=[OpenTelemetryHook(telemetry.tracer)])
    assert {span.instrumentation_scope.name for span in telemetry.spans} == {"tests"}


@pytest.mark.parametrize("place", ["hook", "config"])
def test_a_tracer_of_opentelemetry_may_be_passed_straight(drive, telemetry, place):
    options: dict[str, Any] = {"hooks": [TracingHook(telemetry.tracer, model_calls=True)]}
    if place == "config":
        options = {"config": LoopConfig(tracer=telemetry.tracer)}
    drive(drive.text([PLUM, DONE]), tools=shop(), **options)
    names = ["loop.run", "llm.reasoning", "tool.price", "llm.reasoning", "tool.done"]
    assert [span.name for span in telemetry.spans] == telemetry.started == names
    failed = telemetry.of("tool.price")[0].attributes
    assert (failed["status"], failed["error.type"]) == ("error", "validation")


REPLIES = [APPLE, PLUM, DONE, "no call in it", call("ask"), call("nowhere")]
FAILURES = [ConnectionError("down"), TypeError("wrong"), KeyboardInterrupt()]
WRONG = [None, "pre_prompt", "pre_dispatch", "check_permission", "post_dispatch", "should_stop",
         "check_done", "around_tool"]  # fmt: skip


@pytest.mark.parametrize("driver", DRIVERS)
@given(
    script=st.lists(st.sampled_from([*REPLIES, *FAILURES]), max_size=6),
    wrong=st.sampled_from(WRONG),
    leave_after=st.none() | st.integers(1, 3),
    wrapped=st.booleans(),
)
def test_whatever_happens_every_span_is_ended_in_one_trace_with_a_chat_for_each_question(
    driver, script, wrong, leave_after, wrapped
):
    telemetry, drive, asked = Telemetry(), DRIVERS[driver], []
    llm = drive.text([*script, DONE])
    otel = telemetry.hook()
    inner = MockLLMBackend(["yes"])

    @tool
    def ask() -> str:
        """Ask a model of the tool's own."""
        asked.append(1)
        return (otel.wrap_llm(inner) if wrapped else inner).generate("well?")

    heard = hook(on_event=lambda payload: questions.append(payload.event))
    questions: list[Any] = []
    hooks = [otel, heard, *([hook(**{wrong: fail})] if wrong else [])]
    drive(
        otel.wrap_llm(llm) if wrapped else llm,
        tools=shop(ask),
        hooks=hooks,
        leave_after=leave_after,
        config=LoopConfig(max_steps=5, runtime=Clock().runtime),
    )
    spans = telemetry.spans
    assert sorted(span.name for span in spans) == sorted(telemetry.started)
    assert len({span.context.trace_id for span in spans}) == 1
    known = {span.context.span_id for span in spans}
    roots = [span for span in spans if span.parent is None]
    assert [span.name for span in roots] == ["invoke_agent"]
    assert all(span.parent.span_id in known for span in spans if span.parent)
    own = questions.count(LifecycleEvent.PRE_LLM_CALL)
    assert len(telemetry.of("chat")) == own + (len(asked) if wrapped else 0)
    assert trace.get_current_span() is trace.INVALID_SPAN
