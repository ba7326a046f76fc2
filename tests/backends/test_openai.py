"""The OpenAI backends against a real server on loopback, through the official SDK."""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import openai
import pytest

from looplet.backends import (
    AsyncOpenAIBackend,
    AsyncOpenAIStreamingBackend,
    OpenAIBackend,
    OpenAIStreamingBackend,
)
from looplet.core.backend import is_async, takes
from looplet.core.failures import is_overflow
from looplet.core.messages import CallRequest, ChatMessage
from looplet.errors import (
    BackendError,
    BackendRefused,
    BackendTimeout,
    BackendUnreachable,
    LoopletError,
    MissingExtra,
)
from tests.servers import Answer, completion

TOOL = {
    "name": "price",
    "description": "Price of a fruit.",
    "input_schema": {"type": "object", "properties": {"fruit": {"type": "string"}}},
}


class Sync:
    """One call after the other, in this thread."""

    also_sent: ClassVar = {}
    backend, client = OpenAIBackend, openai.OpenAI

    def __init__(self, url, **keywords):
        timeout = keywords.pop("timeout", None)
        if timeout is not None:
            client = self.client(base_url=url, api_key="k", timeout=timeout)
            keywords["client"] = client
        else:
            keywords |= {"base_url": url, "api_key": keywords.get("api_key", "k")}
        self.llm = self.backend(**{"model": "m", **keywords})

    def ask(self, prompt="hi", *, method="generate", **keywords):
        return getattr(self.llm, method)(prompt, **keywords)

    def told(self, prompt="hi", **keywords):
        """The reply, and what the same caller reads afterwards."""
        return self.ask(prompt, **keywords), self.llm.last_usage, self.llm.last_stop_reason

    def close(self):
        self.llm.close()


class Async(Sync):
    """The same calls, each awaited, on one event loop."""

    backend, client = AsyncOpenAIBackend, openai.AsyncOpenAI

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

    backend = OpenAIStreamingBackend
    also_sent: ClassVar = {"stream": True, "stream_options": {"include_usage": True}}


class AsyncStreaming(Async):
    """Both."""

    backend = AsyncOpenAIStreamingBackend
    also_sent = Streaming.also_sent


KINDS = {
    "sync": Sync,
    "async": Async,
    "streaming": Streaming,
    "async-streaming": AsyncStreaming,
}


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def kind(request):
    return request.param


@pytest.fixture
def connect(kind, server):
    made = []

    def make(url=None, **keywords):
        made.append(kind(url or server.url, **keywords))
        return made[-1]

    yield make
    for each in made:
        each.close()


def error_body(message, **fields):
    return {"error": {"message": message, "type": "invalid_request_error", **fields}}


# --- what is sent


def test_a_prompt_is_sent_as_one_user_message_after_the_system_prompt(connect, server):
    llm = connect()
    assert llm.ask("How much?", system_prompt="Be brief.", temperature=0.5) == "ok"
    assert server.bodies == [
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "How much?"},
            ],
            "temperature": 0.5,
            "max_tokens": 2000,
            **llm.also_sent,
        }
    ]
    assert server.headers[0]["Authorization"] == "Bearer k"


def test_messages_are_sent_instead_of_the_prompt(connect, server):
    call = CallRequest(id="c1", name="price", input={"fruit": "pear"})
    messages = [
        ChatMessage(role="user", content="How much is a pear?"),
        ChatMessage(role="assistant", calls=(call,)),
        ChatMessage(role="tool", content="0.55", call_id="c1"),
    ]
    connect().ask("never sent", messages=messages, system_prompt="s")
    system, user, assistant, tool = server.bodies[0]["messages"]
    assert (system["role"], user["content"]) == ("system", "How much is a pear?")
    assert assistant["tool_calls"][0]["function"]["arguments"] == '{"fruit": "pear"}'
    assert tool == {"role": "tool", "tool_call_id": "c1", "content": "0.55"}


def test_tools_are_sent_as_functions_with_the_tool_choice(connect, server):
    connect(tool_choice="required").ask(method="generate_with_tools", tools=[TOOL])
    body = server.bodies[0]
    assert body["tool_choice"] == "required"
    assert body["tools"][0]["function"]["name"] == "price"
    assert body["tools"][0]["function"]["parameters"] == TOOL["input_schema"]


def test_no_tools_means_no_tool_fields(connect, server):
    connect().ask(method="generate_with_tools", tools=[])
    assert not {"tools", "tool_choice"} & server.bodies[0].keys()


def test_further_sampling_parameters_go_out_as_they_are(connect, server):
    connect().ask(seed=7, top_p=0.9, stop=["\n"], extra_body={"min_p": 0.1})
    body = server.bodies[0]
    assert (body["seed"], body["top_p"], body["stop"], body["min_p"]) == (7, 0.9, ["\n"], 0.1)


def test_a_keyword_that_is_not_known_is_refused_before_anything_is_sent(connect, server):
    with pytest.raises(TypeError, match=r"does not take sed; .*extra_body"):
        connect().ask(sed=7)
    assert server.bodies == []


def test_no_choice_of_tool_is_sent_where_none_is_wanted(connect, server):
    connect(tool_choice=None).ask(method="generate_with_tools", tools=[TOOL])
    assert "tools" in server.bodies[0]
    assert "tool_choice" not in server.bodies[0]


def test_takes_tells_which_keywords_a_call_may_carry(connect):
    llm = connect().llm
    assert takes(llm, "generate", "messages")
    assert takes(llm, "generate_with_tools", "tools")
    assert not takes(llm, "generate", "tools")
    assert not takes(llm, "generate", "scope")
    assert not takes(llm, "no_such_method", "seed")


def test_the_default_for_max_tokens_stands_in_where_a_call_names_none(connect, server):
    llm = connect(default_max_tokens=64)
    llm.ask()
    llm.ask(max_tokens=9)
    assert [body["max_tokens"] for body in server.bodies] == [64, 9]


def test_text_that_utf8_cannot_carry_is_sent_all_the_same(connect, server):
    connect().ask("a\udcffb")
    assert server.bodies[0]["messages"][0]["content"] == "a?b"


# --- what comes back


def test_native_calls_come_back_as_blocks(connect, server, completion):
    calls = [("c1", "price", '{"fruit": "pear"}'), ("c2", "done", "{}")]
    server.says(completion("Let me see.", calls=calls, finish_reason="tool_calls"))
    reply, usage, reason = connect().told(method="generate_with_tools", tools=[TOOL])
    assert reply == [
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "c1", "name": "price", "input": {"fruit": "pear"}},
        {"type": "tool_use", "id": "c2", "name": "done", "input": {}},
    ]
    assert (usage, reason) == ({"input_tokens": 7, "output_tokens": 3}, "tool_use")


def test_arguments_that_are_no_json_object_arrive_raw(connect, server, completion):
    server.says(completion(None, calls=[("c1", "price", '{"fruit": pe'), ("c2", "price", "[1]")]))
    blocks = connect().ask(method="generate_with_tools", tools=[TOOL])
    assert [block["input"] for block in blocks] == [
        {"_raw_arguments": '{"fruit": pe'},
        {"_raw_arguments": "[1]"},
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "content_filter")],
)
def test_the_stop_reason_is_told_in_looplets_words(connect, server, completion, given, told):
    server.says(completion(finish_reason=given))
    assert connect().told()[2] == told


def test_a_reply_without_usage_leaves_none_even_after_one_with_usage(connect, server, completion):
    server.says(completion(), completion(usage=None))
    llm = connect()
    assert llm.told()[1] == {"input_tokens": 7, "output_tokens": 3}
    assert llm.told()[1] is None


def test_cached_tokens_are_told_where_the_server_tells_them(connect, server, completion):
    body = completion()
    body["usage"]["prompt_tokens_details"] = {"cached_tokens": 5}
    server.says(body)
    assert connect().told()[1]["cached_tokens"] == 5


def test_a_refusal_and_an_empty_reply_are_text(connect, server, completion):
    server.says(completion(None, refusal="I will not."), completion(None))
    llm = connect()
    assert [llm.ask(), llm.ask()] == ["I will not.", ""]


# --- what goes wrong


def test_a_refused_connection_names_the_address_and_what_to_check(connect, dead_url):
    with pytest.raises(BackendUnreachable, match="server is running") as caught:
        connect(dead_url).ask()
    assert dead_url in str(caught.value)
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value.__cause__, openai.APIConnectionError)


@pytest.mark.parametrize("sent_bytes", [0, 10])
def test_a_dropped_connection_is_unreachable(connect, server, Answer, completion, sent_bytes):
    server.says(Answer(body=completion(), drop=sent_bytes))
    with pytest.raises(BackendUnreachable):
        connect().ask()
    assert len(server.bodies) == 1


def test_a_slow_server_is_a_timeout(connect, server, Answer, completion):
    release = threading.Event()
    server.says(Answer(body=completion(), wait=release))
    with pytest.raises(BackendTimeout, match="did not answer in time") as caught:
        connect(timeout=0.1).ask()
    release.set()
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, BackendError)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 503])
def test_an_error_status_is_asked_once_and_keeps_the_providers_words(
    connect, server, Answer, status
):
    server.says(Answer(status, error_body("Not like this.", code="odd_code")))
    with pytest.raises(BackendRefused, match=r"Not like this\. \[odd_code\]") as caught:
        connect().ask()
    assert caught.value.status == status
    assert str(status) in str(caught.value)
    assert isinstance(caught.value.__cause__, openai.APIStatusError)
    assert len(server.bodies) == 1


def test_a_prompt_that_is_too_long_stays_readable_as_such(connect, server, Answer):
    body = error_body("Maximum context length is 10.", code="context_length_exceeded")
    server.says(Answer(400, body))
    with pytest.raises(BackendRefused, match="context_length_exceeded") as caught:
        connect().ask()
    assert is_overflow(caught.value)


def test_a_wrong_key_is_told_with_the_variable_to_set(connect, server, Answer):
    server.says(Answer(401, error_body("Bad key.")))
    with pytest.raises(BackendRefused, match="OPENAI_API_KEY"):
        connect().ask()


def test_a_wrong_model_or_address_is_told_with_the_variables_to_check(connect, server, Answer):
    server.says(Answer(404, b"not found", content_type="text/plain"))
    with pytest.raises(BackendRefused, match=r"OPENAI_MODEL.*OPENAI_BASE_URL"):
        connect().ask()


def test_the_wait_that_a_server_asks_for_is_told_in_seconds(connect, server, Answer):
    server.says(Answer(429, error_body("Slow down."), headers={"retry-after": "2.5"}))
    with pytest.raises(BackendRefused, match="Too Many Requests") as caught:
        connect().ask()
    assert caught.value.retry_after == 2.5


@pytest.mark.parametrize(
    ("raw", "content_type"),
    [
        (b'{"id": "x", "choi', "application/json"),
        (b"\xff\xfe\x00{", "application/json"),
        (b"<html>hello</html>", "text/html"),
        (b"{}", "application/json"),
        (b'{"choices": []}', "application/json"),
        (b'{"choices": [{"index": 0}]}', "application/json"),
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


def test_an_error_inside_a_good_status_is_refused_with_its_code(connect, server):
    server.says({"error": {"message": "Upstream is down.", "code": 502}})
    with pytest.raises(BackendRefused, match="Upstream is down") as caught:
        connect().ask()
    assert caught.value.status == 502


def test_a_call_that_fails_forgets_the_usage_of_the_one_before(server, Answer, completion):
    server.says(completion(), Answer(500, error_body("oops")))
    llm = OpenAIBackend(base_url=server.url, model="m")
    llm.generate("one")
    with pytest.raises(BackendRefused):
        llm.generate("two")
    assert (llm.last_usage, llm.last_stop_reason) == (None, None)
    llm.close()


# --- how servers differ


def test_a_model_that_refuses_max_tokens_is_asked_by_the_other_name(
    connect, server, Answer, completion
):
    refusal = error_body("No.", code="unsupported_parameter", param="max_tokens")
    server.says(Answer(400, refusal), completion())
    llm = connect()
    assert [llm.ask(max_tokens=5), llm.ask(max_tokens=6)] == ["ok", "ok"]
    limits = [(b.get("max_tokens"), b.get("max_completion_tokens")) for b in server.bodies]
    assert limits == [(5, None), (None, 5), (None, 6)]


def test_a_server_that_refuses_both_names_is_refused_and_not_asked_for_ever(
    connect, server, Answer
):
    def refuse(body):
        name = "max_tokens" if "max_tokens" in body else "max_completion_tokens"
        return Answer(400, error_body(f"Unsupported parameter: '{name}' is not supported."))

    server.answer = refuse
    with pytest.raises(BackendRefused, match="max_completion_tokens"):
        connect().ask()
    assert len(server.bodies) == 2


def test_a_model_without_temperature_is_asked_without_and_a_warning_says_so(
    connect, server, Answer, completion
):
    refusal = error_body("No.", code="unsupported_value", param="temperature")
    server.says(Answer(400, refusal), completion())
    llm = connect()
    with pytest.warns(UserWarning, match="takes no temperature of 0.2"):
        assert llm.ask() == "ok"
    assert llm.ask() == "ok"
    assert ["temperature" in body for body in server.bodies] == [True, False, False]


def refusing(server, name):
    """A server whose model does not take that parameter, and gives up after many requests."""

    def refuse(body):
        refusal = error_body(f"No {name}.", code="unsupported_parameter", param=name)
        if len(server.bodies) > 8:
            return Answer(500, error_body("asked again and again"))
        return Answer(400, refusal) if name in body else Answer(body=completion())

    return refuse


def test_a_temperature_of_extra_body_is_left_out_like_any_other(connect, server):
    server.answer = refusing(server, "temperature")
    with pytest.warns(UserWarning, match=r"takes no temperature"):
        assert connect().ask(extra_body={"temperature": 1}) == "ok"
    assert ["temperature" in body for body in server.bodies] == [True, False]


def test_a_limit_of_extra_body_that_is_refused_is_not_sent_for_ever(connect, server):
    server.answer = refusing(server, "max_tokens")
    with pytest.raises(BackendRefused, match=r"No max_tokens"):
        connect().ask(extra_body={"max_tokens": 1})
    assert len(server.bodies) == 2


def test_openais_own_address_is_asked_by_the_new_name():
    llm = OpenAIBackend(api_key="k")
    body = llm._body(llm._begin("generate", "hi", {"max_tokens": 5}))
    assert "max_tokens" not in body
    assert body["extra_body"] == {"max_completion_tokens": 5}
    llm.close()


# --- whose usage it is


def usage_by_prompt(completion, Answer):
    def answer(body):
        count = int(body["messages"][-1]["content"])
        return Answer(body=completion(str(count), usage=(count, count + 1)))

    return answer


def test_eight_threads_never_see_each_others_usage(server, completion, Answer):
    server.answer = usage_by_prompt(completion, Answer)
    llm = OpenAIBackend(base_url=server.url, model="m")
    barrier = threading.Barrier(8)

    def work(thread):
        seen = []
        for n in range(5):
            count = thread * 100 + n
            reply = llm.generate(str(count))
            barrier.wait(20)
            seen.append((reply, llm.last_usage) == (str(count), usage_of(count)))
        return all(seen)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert llm.last_usage is None
    llm.close()


def test_eight_tasks_never_see_each_others_usage(server, completion, Answer):
    server.answer = usage_by_prompt(completion, Answer)

    async def work(llm, count):
        await llm.generate(str(count))
        await asyncio.sleep(0.01)
        return llm.last_usage == usage_of(count)

    async def all_together():
        llm = AsyncOpenAIBackend(base_url=server.url, model="m")
        right = await asyncio.gather(*(work(llm, count) for count in range(8)))
        await llm.close()
        return right, llm.last_usage

    assert asyncio.run(all_together()) == ([True] * 8, None)


def usage_of(count):
    return {"input_tokens": count, "output_tokens": count + 1}


# --- how one is made


@pytest.mark.parametrize("kind", [OpenAIBackend, AsyncOpenAIBackend])
def test_without_key_and_address_it_says_what_to_set(kind):
    for make in (kind, kind.from_env):
        with pytest.raises(RuntimeError, match=r"OPENAI_API_KEY.*OPENAI_BASE_URL") as caught:
            make()
        assert isinstance(caught.value, LoopletError)


def test_an_address_without_a_key_sends_x(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_MODEL", "small")
    monkeypatch.setenv("OPENAI_API_KEY", "")
    llm = OpenAIBackend.from_env(default_max_tokens=5)
    assert (llm.generate("hi"), llm.model) == ("ok", "small")
    assert server.headers[0]["Authorization"] == "Bearer x"
    assert server.bodies[0]["max_tokens"] == 5
    llm.close()


def test_the_environment_gives_key_and_model_and_an_argument_wins(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("OPENAI_MODEL", "small")
    llm = OpenAIBackend.from_env(model="big", tool_choice="none")
    llm.generate("hi")
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert server.bodies[0]["model"] == "big"
    llm.close()


def test_the_model_is_gpt_4o_where_nothing_says_otherwise(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    llm = OpenAIBackend.from_env()
    assert (llm.model, llm.base_url) == ("gpt-4o", "https://api.openai.com/v1/")
    llm.close()


@pytest.mark.parametrize("kind", [OpenAIBackend, AsyncOpenAIBackend])
def test_a_missing_sdk_names_the_extra_when_a_backend_is_made(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtra, match=r'pip install "looplet\[openai\]"') as caught:
        kind(api_key="k")
    assert kind.__name__ in str(caught.value)
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value.__cause__, ImportError)  # what was missing may be the SDK's own


def test_a_client_of_ones_own_needs_no_sdk(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)

    class Completions:
        def create(self, **body):
            self.body = body
            return {"choices": [{"message": {"content": "by hand"}, "finish_reason": "stop"}]}

    class Client:
        def __init__(self):
            self.chat = self
            self.completions = Completions()

    client = Client()
    llm = OpenAIBackend(client, model="m")
    assert (llm.generate("hi", max_tokens=3), llm.last_usage) == ("by hand", None)
    assert client.completions.body["max_tokens"] == 3


def test_a_clients_own_retries_are_switched_off_and_the_client_is_left_as_it_was(server, Answer):
    server.says(Answer(500, error_body("oops")))
    client = openai.OpenAI(base_url=server.url, api_key="k", max_retries=4)
    llm = OpenAIBackend(client, model="m")
    with pytest.raises(BackendRefused):
        llm.generate("hi")
    assert (len(server.bodies), client.max_retries) == (1, 4)
    llm.close()


def test_the_address_in_an_error_has_no_password(dead_url):
    llm = OpenAIBackend(base_url=dead_url.replace("//", "//me:hunter2@"), model="m")
    with pytest.raises(BackendUnreachable) as caught:
        llm.generate("hi")
    assert "hunter2" not in str(caught.value)
    llm.close()


def test_any_other_failure_of_the_sdk_is_a_backend_error(dead_url):
    class Client:
        base_url = dead_url

        def __init__(self):
            self.chat = self.completions = self

        def create(self, **_body):
            raise openai.OpenAIError("no credentials")

    with pytest.raises(BackendError, match="could not be asked: no credentials"):
        OpenAIBackend(Client(), model="m").generate("hi")


def test_each_kind_is_what_it_says():
    assert is_async(AsyncOpenAIBackend(api_key="k"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not is_async(OpenAIBackend(api_key="k"))
