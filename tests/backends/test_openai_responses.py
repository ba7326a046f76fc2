"""The Responses API: its messages and replies, and the OpenAI backends that speak it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import LoopConfig, tool, tools_from
from looplet.backends import AsyncOpenAIBackend, OpenAIBackend
from looplet.backends.openai_responses import (
    input_items,
    outcome_of,
    refusal_of,
    refused_parameter,
    reply_blocks,
    response_body,
)
from looplet.core.backend import is_async, takes
from looplet.core.failures import is_overflow, is_permanent
from looplet.core.messages import CallRequest, ChatMessage, ModelRequest
from looplet.errors import BackendError, BackendRefused
from tests.servers import Answer, response, said

TOOL = {
    "name": "price",
    "description": "Price of a fruit.",
    "input_schema": {"type": "object", "properties": {"fruit": {"type": "string"}}},
}
USE = {"type": "tool_use", "id": "call_1", "name": "price", "input": {"fruit": "pear"}}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "price",
    "arguments": '{"fruit": "pear"}',
}
SENT = {name: CALL[name] for name in ("type", "call_id", "name", "arguments")}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "Z0FB"}


def request(*messages, **fields):
    return ModelRequest(method="generate", prompt="", messages=messages, **fields)


def reply(*blocks, text="", calls=(USE,)):
    asked = tuple(CallRequest(id=each["id"], name="price", input=each["input"]) for each in calls)
    return ChatMessage(role="assistant", content=text, calls=asked, blocks=blocks)


def spoken(text):
    return {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text}],
    }


# --- what is sent


def test_calls_and_results_are_items_of_their_own():
    answer = ChatMessage(role="tool", content="0.55", call_id="call_1")
    user = ChatMessage(role="user", content="go")
    assert input_items(request(user, reply(text="I look."), answer)) == [
        {"role": "user", "content": "go"},
        spoken("I look."),
        SENT,
        {"type": "function_call_output", "call_id": "call_1", "output": "0.55"},
    ]


@given(st.lists(st.sampled_from([1, 2, 3]), max_size=4), st.text())
def test_every_call_is_followed_by_its_answer_once(turns, text):
    messages, expected = [], []
    for turn, count in enumerate(turns):
        uses = [{**USE, "id": f"{turn}.{place}"} for place in range(count)]
        messages.append(reply(*([THOUGHT, *uses] if turn % 2 else ()), text=text, calls=uses))
        messages += [ChatMessage(role="tool", content="r", call_id=use["id"]) for use in uses]
        expected += [use["id"] for use in uses] * 2
    items = input_items(request(*messages)) if messages else []
    assert [item["call_id"] for item in items if "call_id" in item] == expected


def test_the_systems_messages_at_the_head_are_the_instructions():
    system = ChatMessage(role="system", content="Two.")
    user = ChatMessage(role="user", content="hi")
    body = response_body(
        request(system, user, system, system_prompt="One."), model="m", max_tokens=9
    )
    assert body["instructions"] == "One.\n\nTwo."
    assert body["input"] == [
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "Two."},
    ]


def test_what_was_thought_goes_back_at_its_place_and_as_it_came():
    phased = {"type": "text", "text": "I look.", "phase": "commentary"}
    empty = {"type": "text", "text": ""}
    sent = input_items(request(reply(THOUGHT, phased, empty, USE, text="I look.")))
    assert sent == [THOUGHT, {**spoken("I look."), "phase": "commentary"}, SENT]


def test_a_call_beside_a_thought_has_the_id_that_its_result_answers():
    given_blocks = (THOUGHT, {**USE, "name": ""}, {**USE, "id": ""})
    assert input_items(request(reply(*given_blocks))) == [THOUGHT, SENT]
    assert input_items(request(reply(THOUGHT))) == [THOUGHT, SENT]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": None},
        {"type": "thinking", "thinking": "so", "signature": "s"},
        {"type": "unknown", "value": 7},
    ],
)
def test_a_thought_that_is_kept_nowhere_or_is_anothers_is_left_out(block):
    assert input_items(request(reply(block, USE, text="hm"))) == [spoken("hm"), SENT]


def test_a_thought_in_the_open_goes_back():
    opened = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "so"}]}
    assert input_items(request(reply(opened, THOUGHT, USE)))[:2] == [opened, THOUGHT]


def test_a_result_without_a_call_is_refused():
    with pytest.raises(BackendError, match="needs the call_id"):
        input_items(request(ChatMessage(role="tool", content="x")))


def test_text_and_arguments_that_utf8_cannot_carry_are_sent_all_the_same():
    odd = reply(text="b\udcff", calls=[{**USE, "input": {"a": "\udcff"}}])
    text, call = input_items(request(odd))
    assert text["content"][0]["text"] == "b?"
    assert call["arguments"] == '{"a": "?"}'


# --- what comes back


def test_a_reply_is_read_in_its_order_and_thoughts_stay_as_they_came():
    refusal = {"type": "message", "content": [{"type": "refusal", "refusal": "I will not."}]}
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    looked = said("I look.", phase="commentary")
    blocks = reply_blocks(response(THOUGHT, looked, said(""), CALL, refusal))
    assert blocks == [
        THOUGHT,
        {"type": "text", "text": "I look.", "phase": "commentary"},
        USE,
        {"type": "text", "text": "I will not."},
    ]
    assert reply_blocks(response(search, 7)) == [search, {"type": "unknown", "value": 7}]


def test_a_call_without_an_id_or_with_another_calls_is_given_its_own():
    blocks = reply_blocks({"output": [CALL, CALL, {"type": "function_call"}]})
    assert len({block["id"] for block in blocks}) == 3
    assert blocks[2]["input"] == {}


@pytest.mark.parametrize("answer", [None, "<html>", {"output": None}, SimpleNamespace(output="x")])
def test_what_is_no_response_has_no_blocks(answer):
    assert reply_blocks(answer) is None


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "content", "text", "output", "status", "error", "usage"]),
                inner | st.sampled_from(["message", "function_call", "reasoning", "incomplete"]),
            )
        ),
        max_leaves=12,
    )
)
def test_no_answer_makes_the_reader_fail(answer):
    refusal_of(answer)
    blocks = reply_blocks(answer)
    assert blocks is None or all(isinstance(block, dict) for block in blocks)
    assert outcome_of(answer, blocks or []).stop_reason in {"end_turn", "tool_use"}


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": "7"}, 3])
def test_usage_that_is_no_usage_is_none(usage):
    assert outcome_of({"usage": usage}, []).usage is None


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (
            {
                "message": "Encrypted content is not supported with this model.",
                "param": "include",
                "code": None,
            },
            "include",
        ),
        (
            {"message": "Unsupported parameter: 'temperature' is not supported"},
            "temperature",
        ),
        ({"message": "Bad.", "param": "input"}, None),
        (None, None),
    ],
)
def test_a_refused_parameter_is_read_from_the_error(body, name):
    assert refused_parameter(body) == name


# --- the backends


class Sync:
    backend, client = OpenAIBackend, openai.OpenAI

    def __init__(self, url, **keywords):
        keywords = {"base_url": url, "api_key": "k", "model": "m", **keywords}
        self.llm = self.backend(**keywords, api="responses")

    def told(self, prompt="hi", *, method="generate", **keywords):
        """The reply, and what the same caller reads afterwards."""
        reply = getattr(self.llm, method)(prompt, **keywords)
        return reply, self.llm.last_usage, self.llm.last_stop_reason

    def close(self):
        self.llm.close()


class Async(Sync):
    backend, client = AsyncOpenAIBackend, openai.AsyncOpenAI

    def __init__(self, url, **keywords):
        self._runner = asyncio.Runner()
        super().__init__(url, **keywords)

    def told(self, prompt="hi", *, method="generate", **keywords):
        async def ask():
            reply = await getattr(self.llm, method)(prompt, **keywords)
            return reply, self.llm.last_usage, self.llm.last_stop_reason

        return self._runner.run(ask())

    def close(self):
        self._runner.run(self.llm.close())
        self._runner.close()


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def connect(request, server):
    made = []

    def make(**keywords):
        made.append(request.param(server.url, **keywords))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_prompt_is_sent_beside_its_instructions_and_kept_nowhere(connect, server):
    paths = []
    usual = server.answer
    server.answer = lambda body: (paths.append(body["path"]), usual(body))[1]
    told = connect().told("How much?", system_prompt="Be brief.", temperature=0.5, top_p=0.9)
    assert told == ("ok", {"input_tokens": 7, "output_tokens": 3}, "end_turn")
    assert paths == ["/v1/responses"]
    assert server.bodies == [
        {
            "model": "m",
            "instructions": "Be brief.",
            "input": [{"role": "user", "content": "How much?"}],
            "temperature": 0.5,
            "top_p": 0.9,
            "max_output_tokens": 2000,
            "store": False,
            "include": ["reasoning.encrypted_content"],
        }
    ]


def test_tools_are_sent_flat_and_not_strict_and_calls_come_back_as_blocks(connect, server):
    server.says(response(THOUGHT, CALL, cached=5))
    told = connect().told(method="generate_with_tools", tools=[TOOL])
    usage = {"input_tokens": 7, "output_tokens": 3, "cached_tokens": 5}
    assert told == ([THOUGHT, USE], usage, "tool_use")
    sent = server.bodies[0]
    assert sent["tool_choice"] == "auto"
    assert sent["tools"] == [
        {
            "type": "function",
            "name": "price",
            "description": "Price of a fruit.",
            "parameters": TOOL["input_schema"],
            "strict": False,
        }
    ]


@pytest.mark.parametrize(
    ("given_choice", "sent"),
    [
        (
            {"type": "function", "function": {"name": "price"}},
            {"type": "function", "name": "price"},
        ),
        ({"type": "function", "name": "price"}, {"type": "function", "name": "price"}),
        ("required", "required"),
        (None, None),
    ],
)
def test_a_choice_of_tool_is_sent_in_the_apis_form(connect, server, given_choice, sent):
    connect(tool_choice=given_choice).told(method="generate_with_tools", tools=[TOOL])
    assert server.bodies[0].get("tool_choice") == sent


def test_the_default_for_max_tokens_stands_in_where_a_call_names_none(connect, server):
    backend = connect(default_max_tokens=64)
    backend.told()
    backend.told(max_tokens=9)
    assert [body["max_output_tokens"] for body in server.bodies] == [64, 9]


def test_the_apis_own_options_go_out_and_the_others_are_refused_by_name(connect, server):
    backend = connect()
    options = {"reasoning": {"effort": "low"}, "text": {"verbosity": "low"}, "truncation": "auto"}
    backend.told(**options, extra_body={"metadata": {"a": "b"}})
    assert {name: server.bodies[0][name] for name in options} == options
    assert server.bodies[0]["metadata"] == {"a": "b"}
    with pytest.raises(TypeError, match=r"does not take seed, stop with api='responses'"):
        backend.told(seed=7, stop="x")
    with pytest.raises(TypeError, match=r"does not take bogus; .*extra_body"):
        backend.told(bogus=7)
    assert len(server.bodies) == 1


def test_takes_is_right_for_each_api(server):
    llm = OpenAIBackend(base_url=server.url, api_key="k", api="responses")
    chat = OpenAIBackend(base_url=server.url, api_key="k")
    asked = ["messages", "top_p", "extra_body", "reasoning", "text", "truncation", "seed", "stop"]
    assert [name for name in asked if takes(llm, "generate", name)] == asked[:6]
    assert [name for name in asked if takes(chat, "generate", name)] == asked[:3] + asked[6:]
    with pytest.raises(TypeError, match=r"does not take reasoning with api='chat'"):
        chat.generate("hi", reasoning={"effort": "low"})
    for each in (llm, chat):
        assert takes(each, "generate_with_tools", "tools")
        assert not takes(each, "generate", "tools")
        each.close()


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        ("temperature", "Unsupported parameter: 'temperature' is not supported with this model."),
        ("include", "Encrypted content is not supported with this model."),
    ],
)
def test_a_parameter_that_the_model_refuses_is_left_out_from_then_on(
    connect, server, refused, message
):
    def answer(body):
        error = {"message": message, "type": "invalid_request_error", "param": refused}
        return Answer(400, {"error": error}) if refused in body else Answer(body=response())

    server.answer = answer
    backend = connect()
    if refused == "temperature":
        with pytest.warns(UserWarning, match="takes no temperature"):
            backend.told()
    else:
        backend.told()
    backend.told()
    assert [refused in body for body in server.bodies] == [True, False, False]


def test_a_parameter_that_cannot_be_left_out_is_an_error(connect, server):
    error = {"message": "Unsupported parameter: 'max_output_tokens' is not supported."}
    server.says(Answer(400, {"error": error}))
    with pytest.raises(BackendRefused, match="max_output_tokens") as caught:
        connect().told()
    assert (caught.value.status, len(server.bodies)) == (400, 1)


def test_a_reply_that_the_limit_cut_short_says_so(connect, server):
    short = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    server.says(response("Once upon", **short), response(CALL, **short))
    backend = connect()
    assert backend.told()[::2] == ("Once upon", "max_tokens")
    assert backend.told(method="generate_with_tools", tools=[TOOL])[::2] == ([USE], "max_tokens")


@pytest.mark.parametrize(
    ("fields", "words", "status", "permanent"),
    [
        (
            {"status": "failed", "error": {"code": "server_error", "message": "Oops."}},
            r"status failed: Oops\. \[server_error\]",
            500,
            False,
        ),
        (
            {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "Slow."}},
            "Slow",
            429,
            False,
        ),
        (
            {"status": "failed", "error": {"code": "invalid_prompt", "message": "No."}},
            "No",
            400,
            True,
        ),
        ({"status": "cancelled"}, "status cancelled: it gives no reason", None, False),
        ({"status": "queued", "output": None}, "status queued", None, False),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            "before its end: content_filter",
            None,
            False,
        ),
        ({"status": "incomplete"}, "it gives no reason", None, False),
    ],
)
def test_a_response_that_is_no_reply_is_refused_with_its_reason(
    connect, server, fields, words, status, permanent
):
    server.says({**response(), **fields})
    backend = connect()
    with pytest.raises(BackendRefused, match=words) as caught:
        backend.told()
    assert (caught.value.status, is_permanent(caught.value)) == (status, permanent)
    assert backend.llm.last_usage is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(body=b"<html>hi</html>", content_type="text/html"), "without output; check the"),
        (Answer(body={"error": {"message": "Down.", "code": 503}}), r"with an error: Down\."),
        (Answer(body={"object": "response", "output": None}), "without output"),
        (Answer(404, {"error": {"message": "no such route"}}), "no such route.*OPENAI_BASE_URL"),
    ],
)
def test_a_server_that_has_no_such_api_is_named_with_what_it_said(connect, server, answer, words):
    server.says(answer)
    with pytest.raises(BackendRefused, match=words):
        connect().told()


def test_a_prompt_that_is_too_long_is_known_as_such(connect, server):
    error = {"message": "Too long.", "code": "context_length_exceeded"}
    server.says(Answer(400, {"error": error}))
    with pytest.raises(BackendRefused) as caught:
        connect().told()
    assert is_overflow(caught.value)


def test_an_api_that_nobody_knows_is_refused_by_name():
    with pytest.raises(ValueError, match=r"speaks api='chat' or 'responses', not 'completions'"):
        OpenAIBackend(api_key="k", api="completions")


def test_an_sdk_without_the_api_is_refused_when_the_backend_is_made():
    with pytest.raises(BackendError, match="pip install --upgrade openai"):
        OpenAIBackend(SimpleNamespace(chat=None), api="responses")


def test_from_env_makes_a_backend_of_that_api(monkeypatch, server):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    llm = OpenAIBackend.from_env(model="m", api="responses")
    assert (llm.generate("hi"), llm.api) == ("ok", "responses")
    assert "input" in server.bodies[0]
    llm.close()


# --- in the loop


def test_a_run_goes_from_call_to_result_to_done(server, drive):
    asynchronous = is_async(drive.text([]))
    done = {**CALL, "call_id": "call_2", "name": "done", "arguments": '{"summary": "0.55"}'}
    server.says(response("I look.", CALL), response(done))

    @tool
    def price(fruit: str) -> dict:
        """Price of a fruit."""
        return {"fruit": fruit, "euro": 0.55}

    sdk = openai.AsyncOpenAI if asynchronous else openai.OpenAI
    # No connection outlives the run, whose event loop is gone when it could be closed.
    client = sdk(base_url=server.url, api_key="k", default_headers={"connection": "close"})
    llm = (AsyncOpenAIBackend if asynchronous else OpenAIBackend)(client, api="responses")
    ran = drive(
        llm,
        tools=tools_from([price], include_done=True),
        task={"goal": "price a pear"},
        config=LoopConfig(use_native_tools=True, system_prompt="Be brief."),
    )
    assert (ran.error, ran.tools) == (None, ["price", "done"])
    first, second = (body["input"] for body in server.bodies)
    assert second == [
        *first,
        spoken("I look."),
        SENT,
        {"type": "function_call_output", "call_id": "call_1", "output": second[-1]["output"]},
    ]
    assert "0.55" in second[-1]["output"]
    assert server.bodies[0]["instructions"] == "Be brief."
