"""Both providers' streaming backends against a real server on loopback, sync and async."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import anthropic
import openai
import pytest

from looplet.backends import (
    AnthropicBackend,
    AnthropicStreamingBackend,
    AsyncAnthropicStreamingBackend,
    AsyncOpenAIStreamingBackend,
    OpenAIBackend,
    OpenAIStreamingBackend,
)
from looplet.core.backend import is_async, takes
from looplet.core.failures import is_permanent
from looplet.errors import BackendRefused, BackendTimeout, BackendUnreachable
from tests.servers import Answer, completion, message
from tests.streams import endless, events_of

TOOL = {"name": "price", "input_schema": {"type": "object", "properties": {}}}
TEXT = "A pear is 0.55."


class OpenAI:
    """How one asks OpenAI's backends, and what its server says."""

    plain, kinds = OpenAIBackend, (OpenAIStreamingBackend, AsyncOpenAIStreamingBackend)
    clients = (openai.OpenAI, openai.AsyncOpenAI)
    path = "/v1"

    @staticmethod
    def reply(text=TEXT, *, broken=False):
        arguments = '{"fruit": pe' if broken else '{"fruit": "pear"}'
        calls = [("c1", "price", arguments), ("c2", "price", "{}")]
        return completion(text, calls=calls, finish_reason="tool_calls")

    said = staticmethod(completion)


class Anthropic:
    """The same for Anthropic's."""

    plain = AnthropicBackend
    kinds = (AnthropicStreamingBackend, AsyncAnthropicStreamingBackend)
    clients = (anthropic.Anthropic, anthropic.AsyncAnthropic)
    path = ""

    @staticmethod
    def reply(text=TEXT, *, broken=False):
        use = {"type": "tool_use", "id": "c1", "name": "price", "input": {"fruit": "pear"}}
        thought = {"type": "thinking", "thinking": "A pear?", "signature": "c2ln"}
        uses = [{**use, "input": '{"fruit": pe'} if broken else use, {**use, "id": "c2"}]
        return message(thought, text, *uses, stop_reason="tool_use", cache_read_input_tokens=2)

    said = staticmethod(message)


class Asked:
    """One backend behind one face, its awaiting done here."""

    def __init__(self, provider, server, *, is_async, timeout=None):
        client = provider.clients[is_async](
            base_url=server.root + provider.path,
            api_key="k",
            **({"timeout": timeout} if timeout else {}),
        )
        self.runner = asyncio.Runner() if is_async else None
        self.llm = provider.kinds[is_async](client, model="m")

    def ask(self, *, tools=None, **keywords):
        """The reply, the pieces told on the way, usage and stop reason."""
        told = []
        keywords = {"on_chunk": told.append, **keywords}
        method = "generate" if tools is None else "generate_with_tools"
        keywords |= {} if tools is None else {"tools": tools}
        llm = self.llm
        if self.runner is None:
            reply = getattr(llm, method)("hi", **keywords)
            return reply, told, llm.last_usage, llm.last_stop_reason

        async def ask():
            reply = await getattr(llm, method)("hi", **keywords)
            return reply, told, llm.last_usage, llm.last_stop_reason

        return self.runner.run(ask())

    def iterate(self, *, leave_after=None, **keywords):
        """The pieces of ``stream``, usage and stop reason; left early if told so."""
        llm, got = self.llm, []
        if self.runner is None:
            pieces = llm.stream("hi", **keywords)
            for piece in pieces:
                got.append(piece)
                if len(got) == leave_after:
                    pieces.close()
            return got, llm.last_usage, llm.last_stop_reason

        async def iterate():
            pieces = llm.stream("hi", **keywords)
            async for piece in pieces:
                got.append(piece)
                if len(got) == leave_after:
                    await pieces.aclose()
            return got, llm.last_usage, llm.last_stop_reason

        return self.runner.run(iterate())

    def close(self):
        if self.runner is None:
            self.llm.close()
        else:
            self.runner.run(self.llm.close())
            self.runner.close()


@pytest.fixture(params=[OpenAI, Anthropic], ids=["openai", "anthropic"])
def provider(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def connect(request, provider, server):
    made = []

    def make(**keywords):
        made.append(Asked(provider, server, is_async=request.param, **keywords))
        return made[-1]

    yield make
    for each in made:
        each.close()


OPENAI_ALONE = pytest.mark.parametrize("provider", [OpenAI], indirect=True)
ANTHROPIC_ALONE = pytest.mark.parametrize("provider", [Anthropic], indirect=True)


def streamed(events, **fields):
    return Answer(events=list(events), **fields)


# --- the whole reply


def test_the_reply_is_what_the_plain_backend_returns(connect, provider, server):
    server.says(provider.reply())
    plain = provider.plain(base_url=server.root + provider.path, api_key="k", model="m")
    expected = plain.generate_with_tools("hi", tools=[TOOL])
    blocks, told, usage, reason = connect().ask(tools=[TOOL])
    assert blocks == expected
    assert [block["id"] for block in blocks if block["type"] == "tool_use"] == ["c1", "c2"]
    assert (usage, reason) == (plain.last_usage, plain.last_stop_reason)
    assert "".join(told) == TEXT
    assert len(told) > 1
    plain.close()


def test_arguments_that_are_no_json_object_arrive_raw(connect, provider, server):
    server.says(provider.reply(broken=True))
    blocks = connect().ask(tools=[TOOL])[0]
    assert {"_raw_arguments": '{"fruit": pe'} in [block.get("input") for block in blocks]


def test_without_a_listener_the_reply_is_the_same(connect, provider, server):
    server.says(provider.said(TEXT))
    assert connect().ask(on_chunk=None)[0] == TEXT


@OPENAI_ALONE
def test_a_stream_without_its_closing_mark_is_whole_once_the_model_has_finished(connect, server):
    server.says(streamed(events_of(completion(TEXT))[:-1]))
    assert connect().ask()[0] == TEXT


def test_a_stream_that_tells_no_usage_leaves_none(connect, provider, server):
    server.says(provider.said(TEXT, usage=None))
    reply, _, usage, reason = connect().ask()
    assert (reply, usage, reason) == (TEXT, None, "end_turn")


# --- pieces


def test_the_first_piece_is_told_before_the_next_is_written(connect, provider, server):
    # The server goes on when the first piece was told, and not before.
    told, events = threading.Event(), events_of(provider.said(TEXT))
    half = next(place for place, event in enumerate(events) if TEXT[:3] in json.dumps(event)) + 1
    server.says(streamed([*events[:half], told, *events[half:]]))
    released = []

    def tell(piece):
        released.append(piece)
        told.set()

    assert connect().ask(on_chunk=tell)[0] == TEXT
    assert released[0] == TEXT[:3]


def test_a_streaming_backend_takes_on_chunk_and_a_plain_one_does_not(connect, provider, server):
    asked = connect()
    plain = provider.plain(base_url=server.root, api_key="k")
    for method in ("generate", "generate_with_tools"):
        assert takes(asked.llm, method, "on_chunk")
        assert not takes(plain, method, "on_chunk")
        assert takes(asked.llm, method, "messages")
    assert takes(asked.llm, "stream", "messages")
    assert not takes(asked.llm, "stream", "on_chunk")
    assert isinstance(asked.llm, provider.plain) or is_async(asked.llm)
    plain.close()


@pytest.mark.parametrize("error", [LookupError("broken pipe"), json.JSONDecodeError("no", "", 0)])
def test_what_a_listener_raises_is_raised_as_it_is_and_the_line_is_hung_up(
    connect, provider, server, error
):
    def tell(piece):
        raise error

    server.says(streamed(endless(provider.said)))
    with pytest.raises(type(error)) as caught:
        connect().ask(on_chunk=tell)
    assert caught.value is error
    assert server.hung_up.wait(20)


# --- as an iterator


def test_a_stream_is_an_iterator_of_pieces_and_tells_usage_at_its_end(connect, provider, server):
    server.says(provider.said(TEXT))
    got, usage, reason = connect().iterate(temperature=0.5, max_tokens=9, system_prompt="Brief.")
    assert ("".join(got), len(got)) == (TEXT, 5)
    assert (usage, reason) == ({"input_tokens": 7, "output_tokens": 3}, "end_turn")
    assert (server.bodies[0]["max_tokens"], server.bodies[0]["temperature"]) == (9, 0.5)


def test_closing_a_stream_early_hangs_up_and_tells_no_usage(connect, provider, server):
    server.says(streamed(endless(provider.said)))
    got, usage, reason = connect().iterate(leave_after=2)
    assert len(got) == 2
    assert (usage, reason) == (None, None)
    assert server.hung_up.wait(20)


def test_a_stream_that_breaks_off_raises_after_the_pieces_that_came(connect, provider, server):
    server.says(streamed(events_of(provider.said(TEXT))[:-3]))
    with pytest.raises(BackendUnreachable, match="before it was whole"):
        connect().iterate()


@pytest.mark.parametrize("keyword", ["sed", "on_chunk", "tools"])
def test_a_keyword_that_a_stream_does_not_take_is_refused_before_anything_is_sent(
    connect, server, keyword
):
    with pytest.raises(TypeError, match=rf"stream\(\) does not take {keyword}"):
        connect().llm.stream("hi", **{keyword: 7})
    assert server.bodies == []


# --- what goes wrong on the way


def unfinished(provider):
    """The events of a reply before the one that says that the model has finished."""
    events = events_of(provider.said(TEXT))
    words = ('"finish_reason": "stop"', '"message_stop"')
    last = next(event for event in events if any(each in json.dumps(event) for each in words))
    return events[: events.index(last)]


@pytest.mark.parametrize("left", [1, 3, None])
@pytest.mark.parametrize("drops", [True, False], ids=["dropped", "ended"])
def test_a_stream_that_ends_too_early_is_no_short_reply(connect, provider, server, left, drops):
    kept = unfinished(provider)[:left]
    server.says(streamed(kept, drop=len(kept) if drops else None))
    asked = connect()
    told = []
    with pytest.raises(BackendUnreachable, match=r"broke off|before it was whole") as caught:
        asked.ask(on_chunk=told.append)
    assert TEXT.startswith("".join(told))
    assert not is_permanent(caught.value)
    assert (asked.llm.last_usage, len(server.bodies)) == (None, 1)


def test_an_event_that_is_no_json_is_refused(connect, provider, server):
    name = b"" if provider is OpenAI else b"event: content_block_delta\n"
    events = events_of(provider.said(TEXT))
    server.says(streamed([*events[:3], name + b'data: {"choi\n\n', *events[3:]]))
    with pytest.raises(BackendRefused, match="no JSON") as caught:
        connect().ask()
    assert not is_permanent(caught.value)


@pytest.mark.parametrize("odd", ["5", "null", '"text"', "[1]"])
def test_an_event_that_is_no_object_is_refused(connect, provider, server, odd):
    name = b"" if provider is OpenAI else b"event: content_block_delta\n"
    events = events_of(provider.said(TEXT))
    server.says(streamed([events[0], name + f"data: {odd}\n\n".encode(), *events[1:]]))
    with pytest.raises(BackendRefused, match=r"no place in a reply"):
        connect().ask()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, {OpenAI: None, Anthropic: 529}),
        ({"type": "invalid_request_error", "message": "No."}, {OpenAI: None, Anthropic: 400}),
        ({"code": 502, "message": "Upstream is down."}, {OpenAI: 502, Anthropic: 502}),
        ({"code": "odd", "message": "Odd."}, {OpenAI: None, Anthropic: None}),
        ("It broke.", {OpenAI: None, Anthropic: None}),
    ],
)
def test_an_error_within_a_stream_is_refused_with_its_words_and_status(
    connect, provider, server, error, status
):
    events = events_of(provider.said(TEXT))
    server.says(streamed([*events[:4], {"type": "error", "error": error}]))
    words = error if isinstance(error, str) else error["message"]
    with pytest.raises(BackendRefused, match=words) as caught:
        connect().ask()
    assert caught.value.status == status[provider]
    assert is_permanent(caught.value) == (status[provider] == 400)


@ANTHROPIC_ALONE
def test_an_error_event_that_is_no_json_is_refused_with_its_words(connect, provider, server):
    server.says(streamed([b"event: error\ndata: It broke.\n\n"]))
    with pytest.raises(BackendRefused, match="It broke"):
        connect().ask()


@ANTHROPIC_ALONE
def test_an_error_under_another_name_is_an_error_all_the_same(connect, provider, server):
    server.says(streamed([b'event: trouble\ndata: {"error": {"message": "It broke."}}\n\n']))
    with pytest.raises(BackendRefused, match="It broke"):
        connect().ask()


def test_silence_in_the_middle_of_a_reply_is_a_timeout(connect, provider, server):
    release = threading.Event()
    server.says(streamed([*events_of(provider.said(TEXT))[:4], release]))
    with pytest.raises(BackendTimeout, match="fell silent") as caught:
        connect(timeout=0.3).ask()
    release.set()
    assert not is_permanent(caught.value)


def test_a_server_that_does_not_stream_is_told_as_such(connect, provider, server):
    body = json.dumps(provider.said(TEXT)).encode()
    server.says(Answer(body=body))
    with pytest.raises(BackendRefused, match=rf"single event.* by \w*{provider.plain.__name__}"):
        connect().ask()


# --- what servers refuse


@OPENAI_ALONE
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "Unrecognized request argument supplied: stream_options"}}),
        (400, {"error": {"code": "unknown_parameter", "param": "stream_options", "message": "?"}}),
        (422, {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs"}]}),
    ],
)
def test_a_server_that_refuses_stream_options_is_asked_without(connect, server, status, body):
    server.says(Answer(status, body), completion(TEXT, usage=None))
    asked = connect()
    assert [asked.ask()[0], asked.ask()[2]] == [TEXT, None]
    assert ["stream_options" in body for body in server.bodies] == [True, False, False]


def test_a_streaming_model_without_temperature_is_asked_without(connect, provider, server):
    words = {
        OpenAI: "Unsupported value: 'temperature' is not supported",
        Anthropic: "`temperature` is deprecated for this model.",
    }
    server.says(Answer(400, {"error": {"message": words[provider]}}), provider.said(TEXT))
    with pytest.warns(UserWarning, match="takes no temperature") as warned:
        assert connect().ask()[0] == TEXT
    assert ["temperature" in body for body in server.bodies] == [True, False]
    assert warned[0].filename == __file__


# --- whose reply it is


def test_threads_that_share_a_backend_never_mix_their_pieces(provider, server):
    def answer(body):
        return Answer(body=provider.said(body["messages"][-1]["content"] * 9))

    server.answer = answer
    llm = provider.kinds[0](base_url=server.root + provider.path, api_key="k", model="m")

    def work(name):
        told = []
        return llm.generate(name, on_chunk=told.append) == "".join(told) == name * 9

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, ["a", "bc", "def", "ghij"]))
    llm.close()


def test_tasks_that_share_a_backend_never_mix_their_pieces(provider, server):
    def answer(body):
        return Answer(body=provider.said(body["messages"][-1]["content"] * 9))

    server.answer = answer

    async def work(llm, name):
        told = [piece async for piece in llm.stream(name)]
        return "".join(told) == name * 9

    async def all_together():
        url = server.root + provider.path
        llm = provider.kinds[1](base_url=url, api_key="k", model="m")
        right = await asyncio.gather(*(work(llm, name) for name in ("a", "bc", "def", "ghij")))
        await llm.close()
        return right

    assert asyncio.run(all_together()) == [True] * 4


def test_a_task_that_is_cancelled_hangs_up(provider, server):
    server.says(streamed(endless(provider.said)))

    async def cancelled():
        url = server.root + provider.path
        llm = provider.kinds[1](base_url=url, api_key="k", model="m")
        began = asyncio.Event()
        task = asyncio.create_task(llm.generate("hi", on_chunk=lambda _: began.set()))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await llm.close()

    asyncio.run(cancelled())
    assert server.hung_up.wait(20)
