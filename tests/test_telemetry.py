"""Spans and figures of runs, through both drivers."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest

from looplet import (
    CancelToken,
    LifecycleEvent,
    LoopConfig,
    MockLLMBackend,
    Stop,
    composable_loop,
    tool,
    tools_from,
)
from looplet.core.backend import is_async
from looplet.telemetry import MetricsCollector, MetricsHook, Span, Tracer, TracingHook
from looplet.testing import ScriptedToolBackend


@tool(concurrent_safe=True)
def price(fruit: str) -> dict:
    """Price of one piece of fruit, in euro."""
    if fruit == "ctrl-c":
        raise KeyboardInterrupt
    return {"fruit": fruit, "euro": {"apple": 0.4, "pear": 0.55}[fruit]}


def call(name, **args):
    return json.dumps({"tool": name, "args": args})


APPLE, PLUM, DONE = (
    call("price", fruit="apple"),
    call("price", fruit="plum"),
    call("done", summary="x"),
)


def shop():
    return tools_from([price], include_done=True)


def both(name, *inputs):
    """A native reply that asks for a tool as often as there are inputs."""
    block = {"type": "tool_use", "name": name}
    return [{**block, "id": f"id{place}", "input": given} for place, given in enumerate(inputs)]


AT_ONCE = LoopConfig(use_native_tools=True, concurrent_dispatch=True, max_steps=2)


def hook(**methods):
    return type("Given", (), {name: staticmethod(body) for name, body in methods.items()})()


def fail(*args, **keywords):
    raise LookupError("broken hook")


def cancelled():
    token = CancelToken()
    token.cancel()
    return token


def stop_before_asking(payload):
    return Stop("enough") if payload.event is LifecycleEvent.PRE_LLM_CALL else None


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


class ForeignSpan:
    def __init__(self, name, attributes):
        self.name, self.attributes, self.ends = name, dict(attributes), 0

    def set_attribute(self, name, value):
        self.attributes[name] = value

    def end(self):
        self.ends += 1


class ForeignTracer:
    """The documented duck type: no ``end_span``."""

    def __init__(self):
        self.spans = []

    def start_span(self, name, **keywords):
        self.spans.append(ForeignSpan(name, keywords.get("attributes", {})))
        return self.spans[-1]


def test_a_run_is_a_root_with_a_child_for_each_step(drive, clock):
    tracer = Tracer(runtime=clock.runtime)
    drive(drive.text([APPLE, PLUM, DONE]), tools=shop(), hooks=[TracingHook(tracer)])
    (root,) = tracer.root_spans
    assert (root.name, root.status, root.attributes["stop_reason"]) == ("loop.run", "ok", "done")
    assert [(span.name, span.status) for span in root.children] == [
        ("tool.price", "ok"),
        ("tool.price", "error"),
        ("tool.done", "ok"),
    ]
    assert {span.parent_id for span in root.children} == {root.span_id}
    assert len(root.span_id) == 12
    assert int(root.span_id, 16) >= 0


ENDS = [
    ([APPLE, DONE], {}),
    ([APPLE] * 3, {"leave_after": 1}),
    ([APPLE] * 3, {"max_steps": 2}),
    ([APPLE], {"config": LoopConfig(cancel_token=cancelled())}),
    ([TypeError("no such model")], {}),
    ([call("price", fruit="ctrl-c")], {}),
    ([APPLE], {"hooks": [hook(should_stop=lambda *args: True)]}),
    ([APPLE], {"hooks": [hook(pre_prompt=fail)]}),
    ([APPLE], {"hooks": [hook(on_event=stop_before_asking)]}),
    ([KeyboardInterrupt()], {}),
    ([APPLE], {"hooks": [hook(around_tool=fail)]}),
    ([APPLE], {"hooks": [hook(check_permission=fail)]}),
    ([APPLE], {"hooks": [hook(post_dispatch=fail)]}),
    ([DONE], {"hooks": [hook(on_loop_end=fail)]}),
]


@pytest.mark.parametrize("place", ["hook", "config"])
@pytest.mark.parametrize(("replies", "options"), ENDS)
def test_all_spans_are_ended_once_in_every_end(drive, replies, options, place):
    own, foreign, options = Tracer(), ForeignTracer(), dict(options)
    hooks = [*options.pop("hooks", []), TracingHook(foreign, model_calls=True)]
    if place == "hook":
        hooks.insert(0, TracingHook(own, model_calls=True))
    else:
        options["config"] = replace(options.get("config", LoopConfig()), tracer=own)
    ran = drive(drive.text(replies), tools=shop(), hooks=hooks, **options)
    (root,) = own.root_spans
    assert all(span.end_time is not None for span in (root, *root.children))
    assert len(root.children) >= len(ran.state.steps)
    assert [span.ends for span in foreign.spans] == [1] * len(foreign.spans)
    assert root.attributes["stop_reason"] == ran.stop_reason
    assert own.current_span is None


def test_tools_that_run_at_the_same_time_are_siblings(drive):
    meet = threading.Barrier(2, timeout=30)

    @tool(concurrent_safe=True)
    def wait() -> str:
        meet.wait()
        return "met"

    tracer = Tracer()
    block = {"type": "tool_use", "name": "wait", "input": {}}
    llm = drive.native([[{**block, "id": "a"}, {**block, "id": "b"}], "bye"])
    config = LoopConfig(use_native_tools=True, concurrent_dispatch=True, max_steps=2)
    registry = tools_from([wait], include_done=True)
    drive(llm, tools=registry, hooks=[TracingHook(tracer)], config=config)
    (root,) = tracer.root_spans
    assert [span.attributes["step"] for span in root.children] == [1, 2]
    assert [span.status for span in root.children] == ["ok", "ok"]
    assert all(not span.children for span in root.children)


def test_a_span_that_a_tool_opens_stands_below_the_tools_own(drive):
    tracer = Tracer()

    @tool
    def look() -> str:
        span = tracer.start_span("query")
        tracer.end_span(span)
        return "seen"

    registry = tools_from([look], include_done=True)
    llm = drive.text([call("look"), call("look"), DONE])
    drive(llm, tools=registry, hooks=[TracingHook(tracer)])
    (root,) = tracer.root_spans
    assert [[inner.name for inner in span.children] for span in root.children] == [
        ["query"],
        ["query"],
        [],
    ]


def test_spans_of_tools_that_run_at_the_same_time_stand_below_their_own(drive):
    tracer, meet = Tracer(), threading.Barrier(2, timeout=30)

    @tool(concurrent_safe=True)
    def look(at: str) -> str:
        span = tracer.start_span(f"query {at}")
        meet.wait()
        tracer.end_span(span)
        return "seen"

    llm = drive.native([both("look", {"at": "a"}, {"at": "b"}), "bye"])
    registry = tools_from([look], include_done=True)
    drive(llm, tools=registry, hooks=[TracingHook(tracer)], config=AT_ONCE)
    (root,) = tracer.root_spans
    inner = [[span.name for span in each.children] for each in root.children]
    assert inner == [["query a"], ["query b"]]


def test_what_the_consumer_does_between_steps_is_not_the_time_of_a_tool(clock):
    tracer = Tracer(runtime=clock.runtime)

    @tool(concurrent_safe=True)
    def look() -> None:
        clock.sleep(1)

    llm = ScriptedToolBackend([both("look", {}, {}), "bye"])
    hooks, tools = [TracingHook(tracer)], tools_from([look], include_done=True)
    for _ in composable_loop(llm, tools=tools, hooks=hooks, config=AT_ONCE):
        clock.sleep(60)
    (root,) = tracer.root_spans
    assert all(span.duration_ms <= 2000 for span in root.children)
    assert root.duration_ms > 60_000


def test_the_callers_own_spans_between_steps_stay_the_callers():
    tracer = Tracer()
    llm = MockLLMBackend([APPLE, DONE])
    for _ in composable_loop(llm, tools=shop(), hooks=[TracingHook(tracer)]):
        assert tracer.current_span is None


def test_spans_of_threads_do_not_nest_in_one_another():
    tracer, meet = Tracer(), threading.Barrier(2, timeout=30)

    def work():
        outer = tracer.start_span("outer")
        meet.wait()
        inner = tracer.start_span("inner")
        meet.wait()
        tracer.end_span(inner)
        assert tracer.current_span is outer
        tracer.end_span(outer)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [[child.name for child in root.children] for root in tracer.root_spans] == [
        ["inner"],
        ["inner"],
    ]


def test_a_run_stands_below_the_span_that_was_open(drive):
    tracer = Tracer()
    request = tracer.start_span("request")
    drive(drive.text([DONE]), tools=shop(), hooks=[TracingHook(tracer)])
    tracer.end_span(request)
    assert tracer.root_spans == [request]
    assert [span.name for span in request.children] == ["loop.run"]


def test_the_first_end_of_a_span_counts(clock):
    tracer = Tracer(runtime=clock.runtime)
    span = tracer.start_span("x")
    clock.sleep(2)
    tracer.end_span(span, status="error", attributes={"a": 1})
    clock.sleep(2)
    tracer.end_span(span)
    assert (span.duration_ms, span.status, span.attributes) == (2000.0, "error", {"a": 1})


def test_a_foreign_tracer_hears_what_became_of_each_call(drive):
    tracer = ForeignTracer()
    drive(drive.text([PLUM, DONE]), tools=shop(), hooks=[TracingHook(tracer)])
    assert [span.name for span in tracer.spans] == ["loop.run", "tool.price", "tool.done"]
    assert tracer.spans[1].attributes["status"] == "error"
    assert tracer.spans[0].attributes["stop_reason"] == "done"


def test_a_span_that_cannot_be_ended_does_not_keep_the_others_open(drive):
    class Broken(ForeignSpan):
        def end(self):
            super().end()
            raise OSError(f"no exporter for {self.name}")

    class Tracing(ForeignTracer):
        def start_span(self, name, **keywords):
            self.spans.append(Broken(name, {}))
            return self.spans[-1]

    tracer = Tracing()
    ran = drive(drive.text([APPLE, DONE]), tools=shop(), hooks=[TracingHook(tracer)])
    assert isinstance(ran.error, OSError)
    assert all(span.ends for span in tracer.spans)


def test_a_tracer_that_cannot_start_spans_is_refused():
    with pytest.raises(TypeError, match="start_span"):
        TracingHook(object())


def test_a_tracer_of_the_config_sees_questions_beside_calls(drive):
    tracer = Tracer()
    config = LoopConfig(tracer=tracer)
    drive(drive.text([APPLE, "no call in it", DONE]), tools=shop(), config=config)
    (root,) = tracer.root_spans
    assert [(span.name, span.status, span.attributes["step"]) for span in root.children] == [
        ("llm.reasoning", "ok", 1),
        ("tool.price", "ok", 1),
        ("llm.reasoning", "ok", 2),
        ("llm.repair", "ok", 2),
        ("tool.done", "ok", 2),
    ]
    assert root.children[0].attributes["method"] == "generate"
    assert config == LoopConfig(tracer=tracer, runtime=config.runtime)


def test_a_tracer_of_the_config_works_for_run_after_run(drive):
    tracer = Tracer()
    config = LoopConfig(tracer=tracer)
    for _ in range(2):
        drive(drive.text([DONE]), tools=shop(), config=config)
    names = [[span.name for span in root.children] for root in tracer.root_spans]
    assert names == [["llm.reasoning", "tool.done"]] * 2


def test_a_question_that_fails_for_good_is_an_error_with_its_kind(drive):
    tracer = Tracer()
    llm = drive.text([TypeError("no such model")])
    drive(llm, tools=shop(), config=LoopConfig(tracer=tracer))
    (root,) = tracer.root_spans
    asked = root.children[0]
    assert (asked.name, asked.status) == ("llm.reasoning", "error")
    assert asked.attributes["error.type"] == "TypeError"
    assert root.status == "error"


@pytest.mark.parametrize("place", [0, 1])
def test_a_question_that_a_hook_stops_is_not_told_as_asked(drive, place):
    tracer = Tracer()
    hooks = [hook(on_event=stop_before_asking)]
    hooks.insert(place, TracingHook(tracer, model_calls=True))
    llm = drive.text([APPLE])
    drive(llm, tools=shop(), hooks=hooks)
    (root,) = tracer.root_spans
    asked = [span.attributes.get("asked") for span in root.children]
    assert (llm.calls, asked) == (0, [False] if place == 0 else [])


def test_a_span_that_a_backend_opens_stands_below_its_question(drive):
    tracer = Tracer()
    llm = before_each_call(drive.text([DONE]), lambda: tracer.end_span(tracer.start_span("http")))
    drive(llm, tools=shop(), config=LoopConfig(tracer=tracer))
    (root,) = tracer.root_spans
    assert [span.name for span in root.children[0].children] == ["http"]
    assert tracer.current_span is None


def test_spans_and_tracers_have_the_documented_shape():
    span = Span("x", "0123456789ab", None, 1.0, 3.5, {"a": 1}, [], "ok")
    assert (span.duration_ms, span.parent_id, span.children) == (2500.0, None, [])


def test_a_collector_counts_steps_calls_errors_and_time(drive, clock):
    collector = MetricsCollector()
    wait = hook(pre_prompt=lambda *args: clock.sleep(0.5))
    metrics = MetricsHook(collector, runtime=clock.runtime)
    ran = drive(drive.text([APPLE, PLUM, DONE]), tools=shop(), hooks=[metrics, wait])
    report = collector.report()
    tokens = sum(step.usage.input_tokens for step in ran.steps)
    assert tokens > 0
    assert report.pop("total_output_tokens_est") == sum(s.usage.output_tokens for s in ran.steps)
    assert report == {
        "total_steps": 3,
        "total_llm_calls": 3,
        "total_tool_calls": 3,
        "total_errors": 1,
        "total_input_tokens_est": tokens,
        "tool_call_histogram": {"price": 2, "done": 1},
        "step_classifications": {"ok": 1, "error": 1, "done": 1},
        "total_duration_ms": 1500.0,
    }


def test_steps_are_classified_by_the_given_function_and_runs_add_up(drive):
    collector = MetricsCollector()
    metrics = MetricsHook(collector, classify=lambda step: step.tool_call.tool)
    for _ in range(2):
        drive(drive.text([APPLE, DONE]), tools=shop(), hooks=[metrics], leave_after=1)
    assert collector.step_classifications == {"price": 2}
    assert collector.total_llm_calls == 2


def test_a_failure_of_the_model_is_a_step_and_no_tool_call(drive):
    collector = MetricsCollector()
    drive(drive.text([TypeError("no")]), tools=shop(), hooks=[MetricsHook(collector)])
    assert (collector.total_steps, collector.total_tool_calls, collector.total_errors) == (1, 0, 1)
    assert collector.total_llm_calls == 1
