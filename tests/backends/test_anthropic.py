"""The Anthropic backends against a real server on loopback, through the official SDK."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import ClassVar

import anthropic
import pytest

from looplet import LoopConfig, tool, tools_from
from looplet.backends import (
    AnthropicBackend,
    AnthropicStreamingBackend,
    AsyncAnthropicBackend,
    AsyncAnthropicStreamingBackend,
)
from looplet.core.backend import is_async, takes
from looplet.core.failures import is_overflow, is_permanent
from looplet.core.messages import CallRequest, ChatMessage
from looplet.errors import (
    BackendRefused,
    BackendTimeout,
    BackendUnreachable,
    LoopletError,
    MissingExtra,
)

TOOL = {
    "name": "price",
    "description": "Price of a fruit.",
    "input_schema": {"type": "object", "properties": {"fruit": {"type": "string"}}},
}
USE = {"type": "tool_use", "id": "toolu_1", "name": "price", "input": {"fruit": "pear"}}


class Sync:
    """One call after the other, in this thread."""

    also_sent: ClassVar = {}
    backend, client = AnthropicBackend, anthropic.Anthropic

    def __init__(self, url, *, timeout=None, **keywords):
        if timeout is not None:
            client = self.client(base_url=url, api_key="k", timeout=timeout)
            keywords["client"] = client
        else:
            keywords = {"base_url": url, "api_key": "k", **keywords}
        self.llm = self.backend(**{"model": "m", **keywords})

    def ask(self, prompt="hi", *, method="generate", **keywords):
        return getattr(self.llm, method)(prompt, **keywords)

    def told(self, prompt="hi", *, method="generate", **keywords):
        """The reply, and what the same caller reads afterwards."""
        reply = self.ask(prompt, method=method, **keywords)
        return reply, self.llm.last_usage, self.llm.last_stop_reason

    def close(self):
        self.llm.close()


class Async(Sync):
    """The same calls, each awaited, on one event loop."""

    backend, client = AsyncAnthropicBackend, anthropic.AsyncAnthropic

    def __init__(self, url, **keywords):
        self._runner = asyncio.Runner()
        super().__init__(url, **keywords)

    def ask(self, prompt="hi", *, method="generate", **keywords):
        return self._runner.run(getattr(self.llm, method)(prompt, **keywords))

    def told(self, prompt="hi", *, method="generate", **keywords):
        async def ask():
            reply = await getattr(self.llm, method)(prompt, **keywords)
            return reply, self.llm.last_usage, self.llm.last_stop_reason

        return self._runner.run(ask())

    def close(self):
        self._runner.run(self.llm.close())
        self._runner.close()


class Streaming(Sync):
    """The same calls, each told piece by piece on its way."""

    backend = AnthropicStreamingBackend
    also_sent: ClassVar = {"stream": True}


class AsyncStreaming(Async):
    """Both."""

    backend = AsyncAnthropicStreamingBackend
    also_sent = Streaming.also_sent


KINDS = {
    "sync": Sync,
    "async": Async,
    "streaming": Streaming,
    "async-streaming": AsyncStreaming,
}


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def connect(request, server):
    made = []

    def make(url=None, **keywords):
        made.append(request.param(url or server.root, **keywords))
        return made[-1]

    yield make
    for each in made:
        each.close()


def error_body(text, kind="invalid_request_error"):
    return {"type": "error", "error": {"type": kind, "message": text}, "request_id": "r"}


# --- what is sent


def test_a_prompt_is_sent_as_one_user_message_beside_the_system_prompt(connect, server):
    llm = connect()
    assert llm.ask("How much?", system_prompt="Be brief.", temperature=0.5) == "ok"
    assert server.bodies == [
        {
            "model": "m",
            "system": "Be brief.",
            "messages": [{"role": "user", "content": "How much?"}],
            "temperature": 0.5,
            "max_tokens": 2000,
            **llm.also_sent,
        }
    ]


def test_messages_are_sent_instead_of_the_prompt_as_tool_use_and_tool_result(connect, server):
    messages = [
        ChatMessage(role="user", content="How much is a pear?"),
        ChatMessage(
            role="assistant",
            content="I look.",
            calls=(CallRequest(id="c1", name="price", input={"fruit": "pear"}),),
        ),
        ChatMessage(role="tool", content="0.55", call_id="c1"),
        ChatMessage(role="user", content="Go on."),
    ]
    connect().ask("never sent", messages=messages)
    assert server.bodies[0]["messages"] == [
        {"role": "user", "content": "How much is a pear?"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "c1", "name": "price", "input": {"fruit": "pear"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "0.55"},
                {"type": "text", "text": "Go on."},
            ],
        },
    ]


def test_tools_are_sent_with_their_schemas_unchanged(connect, server):
    connect().ask(method="generate_with_tools", tools=[TOOL])
    assert server.bodies[0]["tools"] == [TOOL]


def test_further_parameters_go_out_as_they_are(connect, server):
    connect().ask(top_p=0.9, top_k=3, stop_sequences=["\n"], extra_body={"speed": "fast"})
    sent = server.bodies[0]
    assert (sent["top_p"], sent["top_k"], sent["stop_sequences"]) == (0.9, 3, ["\n"])
    assert sent["speed"] == "fast"


def test_no_temperature_is_sent_where_the_model_is_to_think(connect, server):
    connect().ask(thinking={"type": "enabled", "budget_tokens": 1024})
    connect().ask(thinking={"type": "disabled"})
    assert ["temperature" in body for body in server.bodies] == [False, True]
    assert server.bodies[0]["thinking"] == {"type": "enabled", "budget_tokens": 1024}


def test_a_keyword_that_is_not_known_is_refused_before_anything_is_sent(connect, server):
    with pytest.raises(TypeError, match=r"does not take seed; .*extra_body"):
        connect().ask(seed=7)
    assert server.bodies == []


def test_takes_tells_which_keywords_a_call_may_carry(connect):
    llm = connect().llm
    assert takes(llm, "generate", "messages")
    assert takes(llm, "generate_with_tools", "tools")
    assert not takes(llm, "generate", "tools")
    assert not takes(llm, "no_such_method", "top_k")


def test_the_default_for_max_tokens_stands_in_where_a_call_names_none(connect, server):
    llm = connect(default_max_tokens=64)
    llm.ask()
    llm.ask(max_tokens=9)
    assert [body["max_tokens"] for body in server.bodies] == [64, 9]


def test_a_long_reply_may_be_asked_for(connect, server):
    assert connect().ask(max_tokens=60_000) == "ok"
    assert server.bodies[0]["max_tokens"] == 60_000


# --- what comes back


def test_native_calls_come_back_as_blocks(connect, server, message):
    server.says(message("Let me see.", USE, stop_reason="tool_use"))
    assert connect().told(method="generate_with_tools", tools=[TOOL]) == (
        [{"type": "text", "text": "Let me see."}, USE],
        {"input_tokens": 7, "output_tokens": 3},
        "tool_use",
    )


def test_thinking_is_kept_in_the_blocks_and_out_of_the_text(connect, server, message):
    thoughts = [
        {"type": "thinking", "thinking": "A pear is a fruit.", "signature": "s1g"},
        {"type": "redacted_thinking", "data": "c2VjcmV0"},
    ]
    server.says(message(*thoughts, "Dear.", USE))
    llm = connect()
    blocks = llm.ask(method="generate_with_tools", tools=[TOOL])
    assert blocks == [*thoughts, {"type": "text", "text": "Dear."}, USE]
    assert llm.ask() == "Dear."


def test_input_tokens_are_all_that_was_sent_and_cached_ones_are_told(connect, server, message):
    cached = {"cache_read_input_tokens": 100, "cache_creation_input_tokens": 20}
    server.says(message(**cached), message(usage=None))
    llm = connect()
    assert llm.told()[1] == {
        "input_tokens": 127,
        "output_tokens": 3,
        "cached_tokens": 100,
        "cache_write_tokens": 20,
    }
    assert llm.told()[1] is None


@pytest.mark.parametrize("reason", ["end_turn", "max_tokens", "stop_sequence", "refusal"])
def test_the_stop_reason_is_told_as_the_provider_told_it(connect, server, message, reason):
    server.says(message(stop_reason=reason))
    assert connect().told()[2] == reason


# --- what goes wrong


def test_a_refused_connection_names_the_address_and_what_to_check(connect, dead_url):
    with pytest.raises(
        BackendUnreachable, match=r"server is running.*ANTHROPIC_BASE_URL"
    ) as caught:
        connect(dead_url).ask()
    assert dead_url in str(caught.value)
    assert isinstance(caught.value.__cause__, anthropic.APIConnectionError)


@pytest.mark.parametrize("sent_bytes", [0, 10])
def test_a_dropped_connection_is_unreachable(connect, server, Answer, message, sent_bytes):
    server.says(Answer(body=message(), drop=sent_bytes))
    with pytest.raises(BackendUnreachable):
        connect().ask()
    assert len(server.bodies) == 1


def test_a_slow_server_is_a_timeout_that_says_how_to_wait_longer(connect, server, Answer, message):
    release = threading.Event()
    server.says(Answer(body=message(), wait=release))
    with pytest.raises(BackendTimeout, match=r"AnthropicBackend\(Anthropic\(timeout=seconds\)\)"):
        connect(timeout=0.1).ask()
    release.set()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429, 500, 529])
def test_an_error_status_is_asked_once_and_keeps_the_providers_words(
    connect, server, Answer, status
):
    server.says(Answer(status, error_body("Not like this.", "odd_error")))
    with pytest.raises(BackendRefused, match=r"Not like this\. \[odd_error\]") as caught:
        connect().ask()
    assert caught.value.status == status
    assert str(status) in str(caught.value)
    assert isinstance(caught.value.__cause__, anthropic.APIStatusError)
    assert len(server.bodies) == 1


def test_a_prompt_that_is_too_long_stays_readable_as_such(connect, server, Answer):
    server.says(Answer(400, error_body("prompt is too long: 210000 tokens > 200000 maximum")))
    with pytest.raises(BackendRefused) as caught:
        connect().ask()
    assert is_overflow(caught.value)


def test_an_overloaded_provider_may_be_asked_again_and_says_when(connect, server, Answer):
    body = error_body("Overloaded", "overloaded_error")
    server.says(Answer(529, body, headers={"retry-after": "2"}))
    with pytest.raises(BackendRefused, match="overloaded_error") as caught:
        connect().ask()
    assert caught.value.retry_after == 2
    assert not is_permanent(caught.value)


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "ANTHROPIC_API_KEY"), (404, r"ANTHROPIC_MODEL.*before /v1")]
)
def test_a_refusal_says_what_to_set(connect, server, Answer, status, advice):
    server.says(Answer(status, error_body("No.")))
    with pytest.raises(BackendRefused, match=advice):
        connect().ask()


@pytest.mark.parametrize(
    ("raw", "content_type"),
    [
        (b'{"id": "x", "cont', "application/json"),
        (b"\xff\xfe\x00{", "application/json"),
        (b"<html>hello</html>", "text/html"),
        (b"{}", "application/json"),
        (b'{"content": null}', "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
    ],
)
def test_an_answer_that_is_no_reply_is_refused(connect, server, Answer, raw, content_type):
    server.says(Answer(body=raw, content_type=content_type))
    llm = connect()
    with pytest.raises(BackendRefused, match="answered"):
        llm.ask()
    assert llm.llm.last_usage is None


def test_an_error_inside_a_good_status_is_refused_with_its_words(connect, server):
    server.says(error_body("Upstream is down.", "api_error"))
    with pytest.raises(BackendRefused, match=r"Upstream is down\. \[api_error\]"):
        connect().ask()


def test_a_model_without_temperature_is_asked_without_and_a_warning_says_so(
    connect, server, Answer, message
):
    server.says(Answer(400, error_body("`temperature` is deprecated for this model.")), message())
    llm = connect()
    with pytest.warns(UserWarning, match=r"takes no temperature of 0\.2"):
        assert llm.ask() == "ok"
    assert llm.ask() == "ok"
    assert ["temperature" in body for body in server.bodies] == [True, False, False]


def test_a_temperature_out_of_range_is_refused_and_not_left_out(connect, server, Answer):
    server.says(Answer(400, error_body("temperature: range: 0..1")))
    with pytest.raises(BackendRefused, match="range"):
        connect().ask(temperature=3)
    assert len(server.bodies) == 1


# --- whose usage it is


def test_tasks_never_see_each_others_usage(server, message, Answer):
    def answer(body):
        count = int(body["messages"][0]["content"])
        return Answer(body=message(usage=(count, 1)))

    server.answer = answer

    async def work(llm, count):
        await llm.generate(str(count))
        await asyncio.sleep(0.01)
        return llm.last_usage["input_tokens"] == count

    async def all_together():
        llm = AsyncAnthropicBackend(base_url=server.root, model="m")
        right = await asyncio.gather(*(work(llm, count) for count in range(8)))
        await llm.close()
        return right

    assert asyncio.run(all_together()) == [True] * 8


# --- how one is made


@pytest.mark.parametrize("kind", [AnthropicBackend, AsyncAnthropicBackend])
def test_without_key_and_address_it_says_what_to_set(kind):
    for make in (kind, kind.from_env):
        with pytest.raises(RuntimeError, match=r"ANTHROPIC_API_KEY.*ANTHROPIC_BASE_URL") as caught:
            make()
        assert isinstance(caught.value, LoopletError)


def test_the_environment_gives_address_key_and_model_and_an_argument_wins(server, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.root)
    monkeypatch.setenv("ANTHROPIC_MODEL", "small")
    keyless = AnthropicBackend.from_env(default_max_tokens=5)
    keyless.generate("hi")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    named = AnthropicBackend.from_env(model="big")
    named.generate("hi")
    assert [body["model"] for body in server.bodies] == ["small", "big"]
    assert server.bodies[0]["max_tokens"] == 5
    keys = [sent["x-api-key"] or sent["authorization"] for sent in server.headers]
    assert keys[0].endswith("x")
    assert keys[1].endswith("secret")
    keyless.close()
    named.close()


def test_a_token_in_the_environment_serves_as_well_as_a_key(server, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "t0ken")
    llm = AnthropicBackend(base_url=server.root, model="m")
    llm.generate("hi")
    assert server.headers[0]["authorization"] == "Bearer t0ken"
    llm.close()


@pytest.mark.parametrize("kind", [AnthropicBackend, AsyncAnthropicBackend])
def test_a_missing_sdk_names_the_extra_when_a_backend_is_made(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "anthropic", None)
    with pytest.raises(MissingExtra, match=r'pip install "looplet\[anthropic\]"') as caught:
        kind(api_key="k")
    assert kind.__name__ in str(caught.value)


def test_a_client_of_ones_own_needs_no_sdk_and_may_answer_in_dicts(monkeypatch):
    monkeypatch.setitem(sys.modules, "anthropic", None)

    class Client:
        def __init__(self):
            self.messages = self

        def create(self, **body):
            self.body = body
            return {"content": [{"type": "text", "text": "by hand"}], "stop_reason": "end_turn"}

    client = Client()
    llm = AnthropicBackend(client, model="m")
    assert (llm.generate("hi", max_tokens=3), llm.last_usage) == ("by hand", None)
    assert client.body["max_tokens"] == 3


def test_a_clients_own_retries_are_switched_off_and_the_client_is_left_as_it_was(server, Answer):
    server.says(Answer(500, error_body("oops")))
    client = anthropic.Anthropic(base_url=server.root, api_key="k", max_retries=4)
    llm = AnthropicBackend(client, model="m")
    with pytest.raises(BackendRefused):
        llm.generate("hi")
    assert (len(server.bodies), client.max_retries) == (1, 4)
    llm.close()


def test_each_kind_is_what_it_says():
    assert is_async(AsyncAnthropicBackend(api_key="k"))
    assert not is_async(AnthropicBackend(api_key="k"))


# --- in the loop


def test_a_run_speaks_native_messages_from_call_to_result_to_done(server, message, drive):
    kind = AsyncAnthropicBackend if is_async(drive.text([])) else AnthropicBackend
    done = {**USE, "id": "toolu_2", "name": "done", "input": {"summary": "0.55"}}
    server.says(
        message("I look.", USE, stop_reason="tool_use", cache_read_input_tokens=5),
        message(done, stop_reason="tool_use"),
    )

    @tool
    def price(fruit: str) -> dict:
        """Price of a fruit."""
        return {"fruit": fruit, "euro": 0.55}

    sdk = anthropic.AsyncAnthropic if is_async(kind) else anthropic.Anthropic
    # No connection outlives the run, whose event loop is gone when it could be closed.
    client = sdk(base_url=server.root, api_key="k", default_headers={"connection": "close"})
    llm = kind(client, model="m")
    config = LoopConfig(use_native_tools=True, system_prompt="Be brief.")
    ran = drive(
        llm,
        tools=tools_from([price], include_done=True),
        task={"goal": "price a pear"},
        config=config,
    )
    assert ran.error is None
    assert [step.tool_call.tool for step in ran.steps] == ["price", "done"]
    first, second = (body["messages"] for body in server.bodies)
    assert second[: len(first)] == first
    assert [each["role"] for each in second] == ["user", "assistant", "user"]
    assert blocks_of(second[1], "tool_use") == [USE]
    assert blocks_of(second[2], "tool_result")[0]["tool_use_id"] == "toolu_1"
    assert server.bodies[0]["system"] == "Be brief."


def blocks_of(sent, kind):
    return [block for block in sent["content"] if block["type"] == kind]
