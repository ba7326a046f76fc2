"""Cassettes of vcrpy: bodies of four kinds, packed or streamed, and what is around them."""

from __future__ import annotations

import gzip
import json
import zlib
from datetime import UTC, datetime

import pytest
import yaml

from looplet import MockLLMBackend
from looplet.replay import use_cassette
from tests.trajectory.importers.counting import messages_of, shared_files

CHAT = "https://api.example/v1/chat/completions"
RESPONSES = "https://api.example/v1/responses"
PLAIN = "https://api.example/v1/completions"
MESSAGES = "https://api.example/v1/messages?beta=true"
ASK = {"role": "user", "content": "What does a pear cost?"}
TOOLS = [{"type": "function", "function": {"name": "price", "parameters": {}}}]


def exchange(uri, asked, told, *, status=200, headers=None, parsed=False):
    """An interaction as vcrpy writes it; ``parsed`` keeps the bodies as values."""
    request = {"method": "POST", "uri": uri, "headers": {"Authorization": ["Bearer sk-secret"]}}
    response = {"status": {"code": status, "message": "OK"}, "headers": headers or {}}
    if parsed:
        return {
            "request": request | {"parsed_body": asked},
            "response": response | {"parsed_body": told},
        }
    body = told if isinstance(told, str | bytes) else json.dumps(told)
    return {
        "request": request | {"body": json.dumps(asked)},
        "response": response | {"body": {"string": body}},
    }


def tape(*exchanges):
    return yaml.safe_dump({"interactions": list(exchanges), "version": 1})


def completion(content=None, calls=(), **more):
    message = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = list(calls)
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 100,
        "model": "m-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 2,
            "total_tokens": 11,
            "prompt_tokens_details": {"cached_tokens": 4},
        },
        **more,
    }


def call(name="price", args='{"fruit": "pear"}', call_id="a"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": args}}


def asks(*messages, **more):
    return {"model": "m", "messages": list(messages), "tools": TOOLS, "temperature": 0.5, **more}


LOOK = {"role": "assistant", "content": None, "tool_calls": [call()]}
TOLD = {"role": "tool", "tool_call_id": "a", "content": "0.55"}
TWO = (
    exchange(CHAT, asks(ASK), completion(calls=[call()])),
    exchange(CHAT, asks(ASK, LOOK, TOLD), completion("It costs 0.55.")),
)


def events(*values, end=True):
    lines = [f"data: {json.dumps(value)}\n\n" for value in values]
    return "".join(lines) + ("data: [DONE]\n\n" if end else "")


def chunk(delta, reason=None, **more):
    return {
        "id": "c1",
        "created": 100,
        "model": "m-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        **more,
    }


@pytest.mark.parametrize("text", [tape(*TWO), json.dumps({"interactions": TWO, "version": 1})])
def test_a_cassette_is_a_run(text, write, read, stored):
    run = read(write(text, "test_pear.yaml")).run
    (step,) = run.steps
    assert (step.tool_call.tool, step.tool_call.args) == ("price", {"fruit": "pear"})
    assert (step.tool_call.call_id, step.tool_result.data) == ("a", "0.55")
    first, second = run.llm_calls
    assert (first.input_tokens, first.output_tokens, first.cached_tokens) == (9, 2, 4)
    assert (first.model, first.finish_reason, first.temperature) == ("m-1", "stop", 0.5)
    assert (first.method, first.timestamp, first.duration_ms) == (
        "generate_with_tools",
        100.0,
        None,
    )
    assert first.tools == TOOLS
    assert first.metadata["id"] == "c1"
    assert (second.response, messages_of(run)) == ("It costs 0.55.", 4)
    assert (run.model, run.task_id, run.final_output) == ("m-1", "test_pear", "It costs 0.55.")
    assert run.task == {"prompt": ASK["content"]}
    assert run.started_at == datetime.fromtimestamp(100, UTC)
    stored([run])


def test_keys_and_cookies_are_left_out(write, read, tmp_path):
    headers = {"set-cookie": ["session=sk-secret"], "x-request-id": ["r1"]}
    uri = f"{CHAT}?key=sk-secret"
    run = read(write(tape(exchange(uri, asks(ASK), completion("0.55"), headers=headers)))).run
    assert "sk-secret" not in repr(run)
    assert run.llm_calls[0].metadata["http"]["response_headers"] == {"x-request-id": ["r1"]}


def test_bodies_that_are_kept_parsed(write, read, stored):
    run = read(write(tape(exchange(CHAT, asks(ASK), completion("0.55"), parsed=True)))).run
    assert run.final_output == "0.55"
    stored([run])


@pytest.mark.parametrize(
    ("pack", "encoding"),
    [
        (gzip.compress, "gzip"),
        (gzip.compress, "identity"),
        (zlib.compress, "deflate"),
        (lambda data: zlib.compress(data, wbits=-15), "deflate"),
    ],
)
def test_packed_bodies_are_unpacked(pack, encoding, write, read):
    body = pack(json.dumps(completion("0.55")).encode())
    headers = {"Content-Encoding": [encoding]}
    run = read(write(tape(exchange(CHAT, asks(ASK), body, headers=headers)))).run
    assert run.final_output == "0.55"


def test_damaged_bodies_are_told_and_the_other_exchanges_imported(write, read):
    whole = gzip.compress(json.dumps(completion("0.55")).encode())
    bad = [
        exchange(CHAT, asks(ASK), whole[:-9]),
        exchange(CHAT, asks(ASK), b"\x8b\x01", headers={"content-encoding": ["br"]}),
        exchange(CHAT, asks(ASK), "not a reply"),
        exchange(CHAT, asks(ASK), {"choices": 3}),
    ]
    found = read(write(tape(*bad, exchange(CHAT, asks(ASK), completion("0.55")))))
    assert [len(run.llm_calls) for run in found.runs] == [1]
    assert [problem.place for problem in found.problems] == [
        "$.interactions[0].response.body",
        "$.interactions[1].response.body",
        "$.interactions[2].response.body",
        "$.interactions[3].response.body.choices",
    ]


def test_a_stream_of_chunks_is_joined(write, read, stored):
    call_begins = {"index": 0, "id": "a", "function": {"name": "price", "arguments": ""}}
    pieces = [{"index": 0, "function": {"arguments": text}} for text in ('{"fruit": ', '"pear"}')]
    stream = events(
        chunk({"role": "assistant", "content": "I ", "reasoning": "Hm"}),
        chunk({"content": "look.", "reasoning": "."}),
        chunk({"tool_calls": [call_begins]}),
        *[chunk({"tool_calls": [piece]}) for piece in pieces],
        chunk({}, "tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3}},
    )
    run = read(write(tape(exchange(CHAT, asks(ASK), stream)))).run
    (only,) = run.llm_calls
    assert only.response[0] == {"type": "text", "text": "I look."}
    assert run.steps[0].tool_call.args == {"fruit": "pear"}
    assert (only.input_tokens, only.finish_reason, only.model) == (5, "tool_calls", "m-1")
    assert only.metadata["message"] == {"reasoning": "Hm."}
    stored([run])


def test_a_stream_that_is_over_is_whole_and_one_that_breaks_off_is_a_failed_call(write, read):
    chunks = [chunk({"content": "0."}), chunk({"content": "55"})]
    run = read(write(tape(exchange(CHAT, asks(ASK), events(*chunks))))).run
    assert (run.final_output, run.llm_calls[0].finish_reason) == ("0.55", None)
    run = read(write(tape(exchange(CHAT, asks(ASK), events(*chunks, end=False))))).run
    (only,) = run.llm_calls
    assert (only.response, only.error) == (None, "the stream ends before the reply is whole")
    assert "0." in only.metadata["body"]


def test_responses_are_read_whole_and_streamed(write, read, stored):
    thought = {"type": "reasoning", "id": "r1", "summary": [], "encrypted_content": "x"}
    asked = {"type": "function_call", "call_id": "a", "name": "price", "arguments": "{}"}
    done = {
        "object": "response",
        "created_at": 7,
        "model": "m-1",
        "status": "completed",
        "output": [thought, asked],
        "usage": {
            "input_tokens": 5,
            "output_tokens": 2,
            "input_tokens_details": {"cached_tokens": 1},
        },
    }
    text = [{"type": "output_text", "text": "0.55"}]
    final = done | {"output": [{"type": "message", "role": "assistant", "content": text}]}
    given = {"type": "function_call_output", "call_id": "a", "output": "0.55"}
    told = "event: response.created\n" + events({"type": "response.created"})
    told += events({"type": "response.completed", "response": final}, end=False)
    source = tape(
        exchange(RESPONSES, {"model": "m", "input": "Price?", "instructions": "Sell."}, done),
        exchange(RESPONSES, {"model": "m", "input": [ASK, thought, asked, given]}, told),
    )
    run = read(write(source)).run
    first, second = run.llm_calls
    assert [message.role for message in first.messages] == ["system", "user"]
    assert [message.role for message in second.messages] == ["user", "assistant", "tool"]
    assert second.messages[1].blocks[0] == thought
    assert (first.input_tokens, first.cached_tokens, first.timestamp) == (5, 1, 7.0)
    assert first.response[0] == thought
    assert (run.steps[0].tool_result.data, run.final_output) == ("0.55", "0.55")
    stored([run])


def test_anthropics_messages_are_read_whole_and_streamed(write, read, stored):
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    use = {"type": "tool_use", "id": "a", "name": "price", "input": {"fruit": "pear"}}
    first = {
        "type": "message",
        "role": "assistant",
        "model": "m-1",
        "content": [thought, {"type": "text", "text": "I look."}, use],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 5, "output_tokens": 2, "cache_read_input_tokens": 3},
    }
    failed = {"type": "tool_result", "tool_use_id": "a", "content": "no pear", "is_error": True}
    text = {"type": "text", "text": "Then a fig?"}
    again = {
        "model": "m",
        "system": "Sell.",
        "max_tokens": 99,
        "messages": [
            ASK,
            {"role": "assistant", "content": first["content"]},
            {"role": "user", "content": [failed, text]},
        ],
    }
    start = {"type": "message_start", "message": first | {"content": [], "stop_reason": None}}
    block = {"type": "content_block_start", "index": 0, "content_block": text | {"text": ""}}
    piece = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "0.2"},
    }
    last = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 4},
    }
    stream = events(start, block, piece, last, {"type": "message_stop"}, end=False)
    source = tape(
        exchange(MESSAGES, {"model": "m", "messages": [ASK]}, first, parsed=True),
        exchange(MESSAGES, again, stream),
    )
    run = read(write(source)).run
    one, two = run.llm_calls
    assert (one.input_tokens, one.cached_tokens, one.finish_reason) == (8, 3, "tool_use")
    assert one.response[0] == thought
    assert [message.role for message in two.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "user",
    ]
    assert (two.max_tokens, two.output_tokens, two.finish_reason) == (99, 4, "end_turn")
    (step,) = run.steps
    assert (step.tool_result.error, step.tool_call.reasoning) == ("no pear", "I look.")
    assert run.final_output == "0.2"
    stored([run])


def test_plain_completions_are_read_whole_and_streamed(write, read):
    whole = {"choices": [{"text": " 0.55", "finish_reason": "stop"}], "model": "m-1"}
    stream = events({"choices": [{"text": "0."}]}, {"choices": [{"text": "5"}]}, whole)
    asked = {"model": "m", "prompt": "A pear costs"}
    run = read(write(tape(exchange(PLAIN, asked, whole), exchange(PLAIN, asked, stream)))).run
    assert [call.response for call in run.llm_calls] == [" 0.55", "0.5 0.55"]
    assert run.llm_calls[0].prompt == "A pear costs"


def test_an_error_of_the_provider_is_a_failed_call(write, read):
    refusal = {"error": {"message": "slow down", "type": "rate_limit"}}
    source = tape(exchange(CHAT, asks(ASK), refusal, status=429), *TWO)
    run = read(write(source)).run
    assert [call.error for call in run.llm_calls] == ["HTTP 429: slow down", None, None]
    assert run.llm_calls[0].response is None


def test_results_with_another_id_go_to_the_open_call_of_that_tool(write, read):
    other = [
        {"role": "assistant", "content": None, "tool_calls": [call(call_id="z")]},
        TOLD | {"tool_call_id": "z"},
    ]
    source = tape(TWO[0], exchange(CHAT, asks(ASK, *other), completion("0.55")))
    assert [step.tool_result.data for step in read(write(source)).run.steps] == ["0.55"]


def test_results_of_calls_before_the_cassette_are_no_steps(write, read):
    run = read(write(tape(TWO[1]))).run
    assert (run.steps, messages_of(run)) == ([], 4)


def test_a_result_is_taken_once_though_each_request_repeats_it(write, read):
    again = [LOOK | {"tool_calls": [call(args='{"n": 2}')]}, TOLD | {"content": "two"}]
    source = tape(
        TWO[0],
        exchange(CHAT, asks(ASK, LOOK, TOLD), completion(calls=[call(args='{"n": 2}')])),
        exchange(CHAT, asks(ASK, LOOK, TOLD, *again), completion("done")),
    )
    run = read(write(source)).run
    assert [step.tool_result.data for step in run.steps] == ["0.55", "two"]


def test_other_traffic_is_kept_beside(write, read):
    other = exchange(
        "https://api.example/v1/embeddings", {"input": "x", "model": "e"}, {"data": []}
    )
    run = read(write(tape(other, *TWO))).run
    (kept,) = run.metadata["other_interactions"]
    assert (kept["uri"], kept["response"]) == ("https://api.example/v1/embeddings", {"data": []})
    found = read(write(tape(other)))
    assert "no traffic with a language model" in found.told[0]


def test_looplets_own_cassettes_are_named_as_such(write, read, tmp_path):
    path = tmp_path / "own.yaml"
    with use_cassette(path, record_mode="once") as opened:
        opened.wrap_llm(MockLLMBackend(["Hello!"])).generate("Say hello.")
    found = read(path)
    assert found.runs == []
    assert "looplet.replay.read_trajectory" in found.told[0]


@pytest.mark.parametrize(
    "text",
    [
        "interactions:\n- request: {uri: 2024-99-99}\n",
        "interactions: !!python/object:x.Y {}\n",
        "interactions: [\n",
        "interactions: &a [*a]\n",
        "interactions:\n" + "- " * 900,
        "interactions: {}\n",
        "interactions: [4]\n",
        "interactions:\n- request: {}\n",
        "interactions: !!timestamp x\n",
    ],
)
def test_what_is_no_cassette_is_told(text, write, read):
    found = read(write(text, "odd.yaml"))
    assert found.runs == []
    assert len(found.problems) > 0


def test_a_cassette_that_repeats_itself_without_end_is_refused(write, read):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    found = read(write("\n".join([*lines, "interactions: *a11\n"]), "bomb.yaml"))
    assert found.told == [": it repeats itself by name without end"]


@pytest.mark.parametrize("name", shared_files("vcr-simonw-llm/**/*.yaml"))
def test_real_cassettes_have_all_that_they_say(name, shared, read, stored):
    (run,) = stored([read(shared(name)).run])
    exchanges = yaml.safe_load(shared(name).read_text())["interactions"]
    asked = [json.loads(each["request"]["body"]) for each in exchanges]
    replies = [unstreamed(each["response"]["body"]["string"]) for each in exchanges]
    assert len(run.llm_calls) == len(exchanges)
    assert not any(call.error for call in run.llm_calls)
    assert [len(call.messages) for call in run.llm_calls] == list(map(count_sent, asked))
    assert [step.tool_call.tool for step in run.steps] == [
        tool for reply in replies for tool in reply
    ]
    results = [
        each for each in asked[-1].get("messages", asked[-1].get("input")) if is_result(each)
    ]
    answered = [step for step in run.steps if not step.tool_result.warnings]
    assert len(answered) == len(results)


def is_result(item):
    return item.get("role") == "tool" or item.get("type") == "function_call_output"


def count_sent(body):
    """Messages of a request; of responses' items, those in a row that a model made are one."""
    if "messages" in body:
        return len(body["messages"])
    kinds = ["model" if is_models(item) else "other" for item in body["input"]]
    runs = [kind for place, kind in enumerate(kinds) if kinds[place - 1 : place] != ["model"]]
    return kinds.count("other") + runs.count("model")


def is_models(item):
    return item.get("role") == "assistant" or item.get("type") in {"reasoning", "function_call"}


def unstreamed(body):
    """Names of the tools that a reply asks for, by what its events say first of each."""
    if isinstance(body, bytes):
        body = gzip.decompress(body).decode()
    if body.startswith("{"):
        whole = json.loads(body)
        calls = [each for each in whole.get("output", ()) if each["type"] == "function_call"]
        for choice in whole.get("choices", ()):
            calls += [each["function"] for each in choice["message"].get("tool_calls") or ()]
        return [each["name"] for each in calls]
    values = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
    done = [value["item"] for value in values if value.get("type") == "response.output_item.done"]
    if done:
        return [item["name"] for item in done if item["type"] == "function_call"]
    names = {}
    for value in values:
        for choice in value.get("choices", ()):
            for piece in choice["delta"].get("tool_calls") or ():
                if piece["function"].get("name"):
                    names.setdefault(piece["index"], piece["function"]["name"])
    return list(names.values())
