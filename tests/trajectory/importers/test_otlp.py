"""Traces of agents: every convention, every place where content stands, and what is told."""

from __future__ import annotations

import base64
import json

import pytest

from looplet.core.messages import CallRequest, ChatMessage
from looplet.core.records import ErrorKind

TRACE = "0af7651916cd43dd8448eb211c80319c"
ASKED = [{"role": "user", "parts": [{"type": "text", "content": "What does a pear cost?"}]}]
CALLED = {"type": "tool_call", "id": "c1", "name": "price", "arguments": {"fruit": "pear"}}
REPLIED = [{"role": "assistant", "parts": [CALLED], "finish_reason": "tool_call"}]
RESULT = {"type": "tool_call_response", "id": "c1", "response": "0.55"}
ANSWERED = [
    {
        "role": "assistant",
        "parts": [{"type": "text", "content": "It costs 0.55."}],
        "finish_reason": "stop",
    }
]
HISTORY = [*ASKED, REPLIED[0], {"role": "tool", "parts": [RESULT]}]


def value(of):
    """A value as OTLP JSON has it; ``NaN``-free, and whole numbers as texts."""
    if isinstance(of, bool):
        return {"boolValue": of}
    if isinstance(of, int):
        return {"intValue": str(of)}
    if isinstance(of, float):
        return {"doubleValue": of}
    if isinstance(of, list):
        return {"arrayValue": {"values": [value(each) for each in of]}}
    if isinstance(of, dict):
        return {"kvlistValue": {"values": attributes(of)}}
    return {"stringValue": of}


def attributes(of):
    return [{"key": key, "value": value(each)} for key, each in of.items()]


def span(number, name, *, parent=None, start=None, end=None, trace=TRACE, events=(), **more):
    """A span; times are seconds after the epoch's second million."""
    start = number if start is None else start
    end = start + 0.5 if end is None else end
    told = {
        "traceId": trace,
        "spanId": f"{number:016x}",
        "name": name,
        "kind": 1,
        "startTimeUnixNano": str(int((1_000_000 + start) * 1e9)),
        "endTimeUnixNano": str(int((1_000_000 + end) * 1e9)),
        "attributes": attributes(more.pop("told", {})),
        "events": [
            {"name": each, "timeUnixNano": "1", "attributes": attributes(body)}
            for each, body in events
        ],
        **more,
    }
    return told if parent is None else {**told, "parentSpanId": f"{parent:016x}"}


def request(*spans, scope="tests", resource=None):
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": attributes(resource or {})},
                "scopeSpans": [{"scope": {"name": scope}, "spans": list(spans)}],
            }
        ]
    }


def agent(number=1, **more):
    told = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk"}
    return span(number, "invoke_agent clerk", end=99, told=told | more.pop("told", {}), **more)


def chat(number, *, parent=1, **more):
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 2,
    }
    return span(number, "chat m", parent=parent, told=told | more.pop("told", {}), **more)


def tool(number, *, parent=1, **more):
    told = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "price"}
    return span(
        number, "execute_tool price", parent=parent, told=told | more.pop("told", {}), **more
    )


def conversation(as_value):
    """A run of two calls and a tool; ``as_value`` writes what was said."""
    return [
        agent(),
        chat(
            2,
            told={
                "gen_ai.system_instructions": as_value([{"type": "text", "content": "Be brief."}]),
                "gen_ai.input.messages": as_value(ASKED),
                "gen_ai.output.messages": as_value(REPLIED),
                "gen_ai.response.finish_reasons": ["tool_calls"],
            },
        ),
        tool(
            3,
            told={
                "gen_ai.tool.call.id": "c1",
                "gen_ai.tool.call.arguments": as_value({"fruit": "pear"}),
                "gen_ai.tool.call.result": as_value({"euro": 0.55}),
            },
        ),
        chat(
            4,
            told={
                "gen_ai.input.messages": as_value(HISTORY),
                "gen_ai.output.messages": as_value(ANSWERED),
            },
        ),
    ]


def check(run, *, data="0.55", messages=(1, 3)):
    """The run of the conversation, by whatever convention it was told."""
    (step,) = run.steps
    assert (step.tool_call.tool, step.tool_call.args) == ("price", {"fruit": "pear"})
    assert (step.tool_result.data, step.tool_result.error) == (data, None)
    assert step.tool_result.warnings == []
    first, second = run.llm_calls
    said = [message for message in first.messages if message.role != "system"]
    assert said == [ChatMessage(role="user", content="What does a pear cost?")]
    assert [len([m for m in call.messages if m.role != "system"]) for call in run.llm_calls] == [
        *messages
    ]
    assert second.response == run.final_output == "It costs 0.55."
    (called,) = [block for block in first.response if block["type"] == "tool_use"]
    assert (called["name"], called["input"]) == ("price", {"fruit": "pear"})
    assert (first.input_tokens, second.output_tokens, first.model) == (10, 2, "m")
    assert step.llm_call_indices == [0]
    assert run.task == {"prompt": "What does a pear cost?"}


@pytest.mark.parametrize("as_value", [json.dumps, lambda each: each], ids=["JSON", "structured"])
def test_content_in_attributes_is_read(as_value, write, read, stored):
    run = read(write(request(*conversation(as_value), resource={"service.name": "shop"}))).run
    check(run, data={"euro": 0.55})
    first = run.llm_calls[0]
    assert first.system_prompt == "Be brief."
    assert (first.finish_reason, first.method) == ("tool_calls", "generate_with_tools")
    assert (first.timestamp, first.duration_ms) == (1_000_002.0, 500.0)
    assert run.llm_calls[1].messages[2] == ChatMessage(role="tool", content="0.55", call_id="c1")
    assert (run.steps[0].timestamp, run.steps[0].duration_ms) == (1_000_003.5, 500.0)
    assert (run.agent, run.model, run.source_format) == ("clerk", "m", "otlp")
    assert run.duration_ms == 98_000.0
    assert run.metadata["trace_id"] == TRACE
    assert run.metadata["resource"] == {"service.name": "shop"}
    stored([run])


def oi(prefix, place, role, **more):
    """A message under OpenInference's flat names."""
    head = f"llm.{prefix}_messages.{place}.message"
    return {f"{head}.role": role} | {f"{head}.{name}": each for name, each in more.items()}


OI_CALL = {
    "tool_calls.0.tool_call.id": "c1",
    "tool_calls.0.tool_call.function.name": "price",
    "tool_calls.0.tool_call.function.arguments": '{"fruit": "pear"}',
}
OI_TOKENS = {
    "llm.model_name": "m",
    "llm.token_count.prompt": 10,
    "llm.token_count.completion": "2",
    "llm.invocation_parameters": '{"temperature": 0.5, "model": "m"}',
}
OI_SENT = oi("input", 0, "user", content="What does a pear cost?")


def kind(number, kind, **told):
    return span(number, kind.lower(), parent=1, told={"openinference.span.kind": kind} | told)


OPENINFERENCE = [
    span(1, "agent", told={"openinference.span.kind": "AGENT"}, end=99),
    kind(
        2, "LLM", **OI_TOKENS, **OI_SENT, **oi("output", 0, "assistant", **OI_CALL),
        **{"llm.tools.0.tool.json_schema": '{"type": "function", "function": {"name": "price"}}'},
    ),
    kind(3, "TOOL", **{"tool.name": "price", "input.value": '{"fruit": "pear"}',
                       "output.value": "0.55"}),
    kind(
        4, "LLM", **OI_TOKENS, **OI_SENT,
        **oi("input", 1, "assistant", **OI_CALL),
        **oi("input", 2, "tool", content="0.55", tool_call_id="c1"),
        **{"llm.output_messages.0.message.role": "assistant",
           "llm.output_messages.0.message.contents.0.message_content.type": "text",
           "llm.output_messages.0.message.contents.0.message_content.text": "It costs 0.55."},
    ),
]  # fmt: skip


def flat(prefix, place, role, **more):
    head = f"gen_ai.{prefix}.{place}"
    return {f"{head}.role": role} | {f"{head}.{name}": each for name, each in more.items()}


OLD_CALL = {
    "tool_calls.0.id": "c1",
    "tool_calls.0.name": "price",
    "tool_calls.0.arguments": '{"fruit": "pear"}',
}
OLD_TOKENS = {
    "llm.request.type": "chat",
    "gen_ai.request.model": "m",
    "gen_ai.usage.prompt_tokens": 10,
    "gen_ai.usage.completion_tokens": 2,
}
OLD_SENT = flat("prompt", 0, "user", content="What does a pear cost?")
OPENLLMETRY = [
    span(
        1,
        "clerk.workflow",
        told={"traceloop.span.kind": "workflow", "traceloop.entity.name": "clerk"},
        end=99,
    ),
    span(
        2,
        "openai.chat",
        parent=1,
        told=OLD_TOKENS | OLD_SENT | flat("completion", 0, "assistant", **OLD_CALL),
    ),
    span(
        3,
        "price.tool",
        parent=1,
        told={
            "traceloop.span.kind": "tool",
            "traceloop.entity.name": "price",
            "traceloop.entity.input": '{"args": [], "kwargs": {"fruit": "pear"}}',
            "traceloop.entity.output": '"0.55"',
        },
    ),
    span(
        4,
        "openai.chat",
        parent=1,
        told=OLD_TOKENS
        | OLD_SENT
        | flat("prompt", 1, "assistant", **OLD_CALL)
        | flat("prompt", 2, "tool", content="0.55", tool_call_id="c1")
        | flat("completion", 0, "assistant", content="It costs 0.55.", finish_reason="stop"),
    ),
]

CALLS = [{"id": "c1", "type": "function", "function": {"name": "price", "arguments": CALLED}}]
CALLS[0]["function"]["arguments"] = '{"fruit": "pear"}'


def body(**fields):
    return {"gen_ai.system": "openai", "gen_ai.event.content": json.dumps(fields)}


IN_EVENTS = [
    agent(),
    chat(
        2,
        events=[
            ("gen_ai.user.message", body(role="user", content="What does a pear cost?")),
            ("gen_ai.choice", body(index=0, finish_reason="tool_calls",
                                   message={"role": "assistant", "tool_calls": CALLS})),
        ],
    ),
    chat(
        4,
        events=[
            ("gen_ai.user.message", {"content": "What does a pear cost?"}),
            ("gen_ai.assistant.message", {"tool_calls": json.dumps(CALLS)}),
            ("gen_ai.tool.message", {"content": "0.55", "id": "c1"}),
            ("gen_ai.choice", {"finish_reason": "stop",
                               "message": json.dumps({"content": "It costs 0.55."})}),
        ],
    ),
]  # fmt: skip
BEDROCK_CALL = [{"toolUse": {"toolUseId": "c1", "name": "price", "input": {"fruit": "pear"}}}]
BEDROCK_RESULT = [
    {"toolResult": {"toolUseId": "c1", "status": "success", "content": [{"text": "0.55"}]}}
]
IN_BLOCKS = [
    agent(),
    chat(
        2,
        events=[
            ("gen_ai.user.message", {"content": '[{"text": "What does a pear cost?"}]'}),
            ("gen_ai.choice", {"finish_reason": "tool_use", "message": json.dumps(BEDROCK_CALL)}),
        ],
    ),
    tool(
        3,
        told={"gen_ai.tool.call.id": "c1"},
        events=[
            ("gen_ai.tool.message", {"role": "tool", "content": '{"fruit": "pear"}', "id": "c1"}),
            ("gen_ai.choice", {"message": '[{"text": "0.55"}]', "id": "c1"}),
        ],
    ),
    chat(
        4,
        events=[
            ("gen_ai.user.message", {"content": '[{"text": "What does a pear cost?"}]'}),
            ("gen_ai.assistant.message", {"content": json.dumps(BEDROCK_CALL)}),
            ("gen_ai.tool.message", {"content": json.dumps(BEDROCK_RESULT)}),
            ("gen_ai.choice", {"message": '[{"text": "It costs 0.55."}]'}),
        ],
    ),
]
DETAILS = "gen_ai.client.inference.operation.details"
IN_ONE_EVENT = [
    agent(),
    chat(
        2,
        events=[
            (DETAILS, {"gen_ai.input.messages": json.dumps(ASKED)}),
            (DETAILS, {"gen_ai.output.messages": json.dumps(REPLIED)}),
        ],
    ),
    tool(
        3,
        told={"gen_ai.tool.call.id": "c1"},
        events=[
            (DETAILS, {"gen_ai.input.messages": json.dumps([{"role": "tool", "parts": [CALLED]}])}),
            (DETAILS, {"gen_ai.output.messages": json.dumps([HISTORY[2]])}),
        ],
    ),
    chat(
        4,
        events=[
            (
                DETAILS,
                {
                    "gen_ai.input.messages": json.dumps(HISTORY),
                    "gen_ai.output.messages": json.dumps(ANSWERED),
                },
            )
        ],
    ),
]


@pytest.mark.parametrize(
    "spans",
    [OPENINFERENCE, OPENLLMETRY, IN_EVENTS, IN_BLOCKS, IN_ONE_EVENT],
    ids=["OpenInference", "OpenLLMetry", "events", "blocks", "details"],
)
def test_every_convention_tells_the_same_run(spans, write, read, stored):
    run = read(write(request(*spans))).run
    check(run)
    stored([run])


def test_prompts_and_completions_in_events_are_read(write, read):
    told = {"role": "user", "content": "Hm?"}
    events = [
        ("gen_ai.content.prompt", {"gen_ai.prompt": json.dumps([told])}),
        ("gen_ai.content.completion", {"gen_ai.completion": "Yes."}),
    ]
    run = read(write(request(chat(2, parent=None, events=events)))).run
    (call,) = run.llm_calls
    assert (call.prompt, call.response, run.final_output) == ("Hm?", "Yes.", "Yes.")


def hexless(text):
    return base64.b64encode(bytes.fromhex(text)).decode()


def as_protobuf_writes(spans):
    """The same in protobuf's own JSON: ids in base64, enums by name, numbers as numbers."""
    for each in spans:
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in each:
                each[name] = hexless(each[name])
        each["kind"] = "SPAN_KIND_INTERNAL"
        each["startTimeUnixNano"] = int(each["startTimeUnixNano"])
    return spans


def test_both_forms_of_ids_and_numbers_are_read(write, read):
    plain = read(write(request(*conversation(json.dumps)), "a.json")).run
    other = read(write(request(*as_protobuf_writes(conversation(json.dumps))), "b.json")).run
    assert [step.digest for step in other.steps] == [step.digest for step in plain.steps]
    assert other.metadata == plain.metadata
    assert other.llm_calls == plain.llm_calls


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
@pytest.mark.parametrize("form", ["object", "array", "lines"])
def test_a_trace_may_be_spread_over_requests_in_any_order(form, order, write, read):
    spans = conversation(json.dumps)
    requests = [request(spans[index]) for index in order]
    texts = {
        "object": json.dumps({"resourceSpans": [r["resourceSpans"][0] for r in requests]}),
        "array": json.dumps(requests),
        "lines": "".join(json.dumps(each) + "\n" for each in requests),
    }
    check(read(write(texts[form])).run, data={"euro": 0.55})


def test_each_agent_at_the_top_is_a_run_and_so_is_what_stands_outside(write, read):
    other = "1" * 32
    spans = [
        span(90, "GET /"),
        agent(1, parent=90),
        chat(2, parent=1),
        agent(11, parent=90, start=11),
        chat(12, parent=11),
        chat(20, parent=90),
        span(1, "GET /health", trace=other),
    ]
    runs = read(write(request(*spans))).runs
    assert [run.agent for run in runs] == ["clerk", "clerk", None]
    assert [len(run.llm_calls) for run in runs] == [1, 1, 1]
    assert runs[0].metadata["parent_span_id"] == f"{90:016x}"
    assert len({run.trajectory_id for run in runs}) == 3
    assert [each["name"] for each in runs[2].metadata["other_spans"]] == ["GET /"]


def test_sub_agents_and_what_tools_ask_have_a_lane(write, read):
    ask = json.dumps(REPLIED)
    spans = [
        agent(1),
        chat(2, told={"gen_ai.output.messages": ask}),
        tool(3, told={"gen_ai.tool.call.id": "c1", "gen_ai.tool.call.result": "done"}, end=8),
        agent(4, parent=3, told={"gen_ai.agent.name": "helper"}, start=4),
        chat(5, parent=4, told={"gen_ai.output.messages": ask}),
        tool(6, parent=4),
        agent(7, parent=1, told={"gen_ai.agent.name": "writer"}, start=9),
        chat(10, parent=7, told={"gen_ai.output.messages": ask}),
        tool(11, parent=7, told={"gen_ai.tool.call.result": "x"}),
    ]
    run = read(write(request(*spans))).run
    assert [call.scope for call in run.llm_calls] == [None, "tool:price/helper", "writer"]
    assert [step.metadata.get("scope") for step in run.steps] == [None, "writer"]
    assert [step.llm_call_indices for step in run.steps] == [[0, 1], [2]]
    kept = [each["name"] for each in run.metadata["other_spans"]]
    assert kept.count("invoke_agent clerk") == 2
    assert kept.count("execute_tool price") == 1


def test_one_agent_in_a_workflow_is_the_run_itself(write, read):
    told = {"gen_ai.operation.name": "invoke_workflow"}
    inner = agent(2, parent=1)
    calls = [chat(3, parent=2), tool(4, parent=2, told={"gen_ai.tool.call.result": "x"})]
    run = read(write(request(span(1, "flow", told=told, end=99), inner, *calls))).run
    assert [call.scope for call in run.llm_calls] == [None]
    assert run.steps[0].metadata == {}
    both = [agent(12, parent=1, told={"gen_ai.agent.name": "b"}), chat(13, parent=12)]
    spans = [span(1, "flow", told=told, end=99), inner, *calls, *both]
    run = read(write(request(*spans), "both.json")).run
    assert [call.scope for call in run.llm_calls] == ["clerk", "b"]


def test_a_clients_own_chat_below_a_question_is_the_same_question(write, read):
    run = read(write(request(agent(), chat(2), chat(3, parent=2)))).run
    assert len(run.llm_calls) == 1
    assert run.input_tokens == 10
    assert [each["name"] for each in run.metadata["other_spans"]] == ["chat m"]


def test_failures_are_errors(write, read, stored):
    failed = {"status": {"code": "STATUS_CODE_ERROR", "message": "no such fruit"}}
    raised = ("exception", {"exception.type": "KeyError", "exception.message": "kiwi"})
    spans = [
        agent(told={"error.type": "timeout"}, status={"code": 2, "message": "too late"}),
        chat(2, told={"error.type": "429"}, status={"code": 2, "message": "slow down"}),
        tool(3, told={"error.type": "validation"}, **failed),
        tool(4, status={"code": "STATUS_CODE_ERROR"}, events=[raised]),
        tool(5, status={"code": 2}),
    ]
    run = read(write(request(*spans))).run
    assert (run.stop_reason, run.error) == ("error", "timeout: too late")
    assert run.llm_calls[0].error == "429: slow down"
    assert run.llm_calls[0].response is None
    errors = [(step.tool_result.error, step.tool_result.error_kind) for step in run.steps]
    assert errors == [
        ("no such fruit", ErrorKind.VALIDATION),
        ("KeyError: kiwi", ErrorKind.EXECUTION),
        ("its span has the status of an error", ErrorKind.EXECUTION),
    ]
    assert run.steps[1].metadata["events"][0]["attributes"]["exception.message"] == "kiwi"
    stored([run])


def test_without_content_there_are_tokens_times_and_steps(write, read):
    run = read(write(request(agent(), chat(2), tool(3), chat(4)))).run
    assert [call.response for call in run.llm_calls] == [None, None]
    assert [call.messages for call in run.llm_calls] == [(), ()]
    (step,) = run.steps
    assert step.tool_result.warnings == ["the source has no result of this call"]
    assert (step.duration_ms, step.llm_call_indices) == (500.0, [0])
    assert (run.input_tokens, run.task, run.final_output) == (20, None, None)


def test_results_that_no_tools_span_tells_stand_in_the_next_request(write, read):
    without = [each for each in conversation(json.dumps) if "execute_tool" not in each["name"]]
    check(read(write(request(*without))).run)


def test_a_result_that_is_sent_as_a_failure_is_an_error(write, read):
    failed = [{"toolResult": {**BEDROCK_RESULT[0]["toolResult"], "status": "error"}}]
    spans = [
        agent(),
        chat(2, events=[("gen_ai.choice", {"message": json.dumps(BEDROCK_CALL)})]),
        chat(3, events=[("gen_ai.tool.message", {"content": json.dumps(failed)})]),
    ]
    (step,) = read(write(request(*spans))).run.steps
    assert (step.tool_result.data, step.tool_result.error) == (None, "0.55")


def test_a_part_of_no_kind_is_told(write, read):
    sent = [{"role": "user", "parts": [{"type": {"odd": 1}, "content": "x"}]}]
    spans = [agent(), chat(2, told={"gen_ai.input.messages": sent})]
    found = read(write(request(*spans)))
    assert len(found.runs[0].llm_calls) == 1
    assert found.told[0].endswith("content[0].type: is not a text: an object with 1 members")


def test_what_no_field_takes_is_kept(write, read):
    told = {"gen_ai.response.id": "r1", "gen_ai.response.model": "m-2026", "user.tier": "gold"}
    told |= {"gen_ai.request.temperature": 0.5, "gen_ai.request.max_tokens": 100}
    told |= {"gen_ai.request.seed": 7, "gen_ai.usage.cache_read.input_tokens": 4}
    run = read(write(request(agent(told={"gen_ai.conversation.id": "s"}), chat(2, told=told)))).run
    (call,) = run.llm_calls
    assert call.metadata["attributes"] == {
        "gen_ai.response.id": "r1", "gen_ai.response.model": "m-2026", "user.tier": "gold",
    }  # fmt: skip
    assert (call.temperature, call.max_tokens, call.cached_tokens) == (0.5, 100, 4)
    assert call.params == {"temperature": 0.5, "max_tokens": 100, "seed": 7}
    assert run.metadata["conversation_id"] == "s"


def test_thoughts_and_several_results_in_one_message_are_read(write, read):
    thought = {"type": "reasoning", "content": "Look it up."}
    second = {"type": "tool_call", "id": "c2", "name": "price", "arguments": '{"fruit": "fig"}'}
    said = {"role": "assistant", "parts": [thought, CALLED, second]}
    results = {"role": "user", "parts": [RESULT, {**RESULT, "id": "c2", "response": {"euro": 1}}]}
    spans = [
        agent(),
        chat(2, told={"gen_ai.output.messages": json.dumps([said])}),
        chat(3, told={"gen_ai.input.messages": json.dumps([*ASKED, said, results])}),
    ]
    run = read(write(request(*spans))).run
    assert [step.tool_result.data for step in run.steps] == ["0.55", '{"euro": 1}']
    assert [step.llm_call_indices for step in run.steps] == [[0], [0]]
    assert run.llm_calls[0].response[0] == {"type": "thinking", "thinking": "Look it up."}
    message = run.llm_calls[1].messages[1]
    assert [call.id for call in message.calls] == ["c1", "c2"]
    assert message.calls[1] == CallRequest(id="c2", name="price", input={"fruit": "fig"})


def test_malformed_spans_are_told_with_their_place_and_the_rest_imported(write, read):
    spans = conversation(json.dumps)
    broken = [
        {**span(5, "x"), "traceId": "abc"},
        {**span(6, "x"), "startTimeUnixNano": "soon"},
        {**span(7, "x"), "attributes": [{"key": "a", "value": {"oddValue": 1}}]},
        {**span(8, "x"), "spanId": ""},
        7,
    ]
    found = read(write(request(*spans, *broken)))
    check(found.runs[0], data={"euro": 0.55})
    head = "$.resourceSpans[0].scopeSpans[0].spans"
    assert found.told == [
        f"{head}[4].traceId: is not an id of 16 bytes, in hex or base64: 'abc'",
        f"{head}[5].startTimeUnixNano: is not a whole number of 64 bits: 'soon'",
        f"{head}[6].attributes[0].value.oddValue: is no kind of value that is known",
        f"{head}[7]: has no span id",
        f"{head}[8]: is not an object: 7",
    ]


def test_content_that_was_cut_is_told_and_the_call_imported(write, read):
    spans = [agent(), chat(2, told={"gen_ai.input.messages": json.dumps(ASKED)[:40]})]
    found = read(write(request(*spans)))
    (run,) = found.runs
    assert (len(run.llm_calls), run.input_tokens) == (1, 10)
    assert "begins as JSON, and is none" in found.told[0]
    assert "spans[1].gen_ai.input.messages" in found.told[0]


def test_spans_that_were_sent_twice_count_once_and_others_of_their_id_are_told(write, read):
    spans = conversation(json.dumps)
    check(read(write([request(*spans), request(*spans)])).run, data={"euro": 0.55})
    found = read(write([request(*spans), request(chat(2, told={"odd": 1}))], "other.json"))
    check(found.runs[0], data={"euro": 0.55})
    where = "resourceSpans[0].scopeSpans[0].spans"
    assert found.told == [f"$[1].{where}[0]: another span of that id stands at $[0].{where}[1]"]


def test_spans_around_each_other_end(write, read):
    spans = [agent(1, parent=2), chat(2, parent=1), chat(3, parent=3), agent(4, parent=4)]
    runs = read(write(request(*spans))).runs
    assert sum(len(run.llm_calls) for run in runs) == 2


def test_a_thousand_spans_inside_each_other_are_read(write, read):
    spans = [agent(1)]
    spans += [span(n, "x", parent=n - 1, start=2) for n in range(2, 3000)]
    spans.append(chat(3000, parent=2999))
    assert len(read(write(request(*spans))).run.llm_calls) == 1


def test_a_file_without_an_agents_spans_and_one_of_logs_are_told(write, read):
    assert read(write(request(span(1, "GET /")))).told == [
        ": it has no span of an agent, a model or a tool"
    ]
    logs = [{"resourceLogs": []}, request(chat(1, parent=None))]
    found = read(write("".join(json.dumps(each) + "\n" for each in logs), "b.jsonl"))
    assert found.told == ["line 1: has no 'resourceSpans'"]
    assert len(found.runs) == 1


def test_importing_again_gives_equal_runs(write, read):
    path = write(request(*conversation(json.dumps)))
    assert read(path).runs == read(path).runs
