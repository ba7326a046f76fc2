"""What every wrapper around a backend keeps of it, in one table."""

from __future__ import annotations

import asyncio
import copy
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from looplet.backends import (
    AsyncOpenAIStreamingBackend,
    BackendRouter,
    CostTracker,
    FallbackRouter,
    ModelProfile,
    OpenAIStreamingBackend,
    ResilientBackend,
    RoutingLLMBackend,
    SimpleRouter,
)
from looplet.core.backend import is_async, takes
from looplet.core.cancel import CancelToken
from looplet.core.lastcall import CallOutcome, LastCall
from looplet.core.messages import ChatMessage
from looplet.core.scoped import scoped
from looplet.core.wrapping import AsyncWrapper, SyncWrapper
from looplet.trajectory.backends import AsyncRecordingLLMBackend, RecordingLLMBackend
from tests.streams import chat_chunks


def resilient(llm):
    return ResilientBackend(llm, timeout_s=20)


def simple(llm):
    return SimpleRouter([ModelProfile("only", llm)], default_profile="only").select()


def fallback(llm):
    return FallbackRouter(primary=llm, fallback=llm).select()


def plain(llm):
    return AsyncWrapper(llm) if is_async(llm) else SyncWrapper(llm)


def recording(llm):
    return AsyncRecordingLLMBackend(llm) if is_async(llm) else RecordingLLMBackend(llm)


WRAPPERS = {
    "wrapper": plain,
    "scoped": lambda llm: scoped(llm, "tool:search", purpose="reasoning"),
    "router": BackendRouter,
    "selected": lambda llm: BackendRouter(llm).select("repair"),
    "simple": simple,
    "fallback": fallback,
    "routing": lambda llm: RoutingLLMBackend(BackendRouter(llm)),
    "cost": CostTracker,
    "resilient": ResilientBackend,
    "timed": resilient,
    "nested": lambda llm: CostTracker(resilient(RoutingLLMBackend(BackendRouter(llm)))),
}


class Plain:
    """A backend with no more than the protocol asks for."""

    def __init__(self):
        self.asked = []

    def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
        self.asked.append((max_tokens, system_prompt, temperature))
        return "plain"


class Full:
    """A backend with all that is optional, and more."""

    model, flavour = "m", "sweet"

    def __init__(self):
        self.asked = []
        self._last = LastCall()

    def generate(self, prompt, **keywords):
        return self._answer(prompt, keywords, prompt)

    def generate_with_tools(self, prompt, **keywords):
        return self._answer(prompt, keywords, [{"type": "text", "text": prompt}])

    def _answer(self, prompt, keywords, reply):
        self.asked.append(keywords)
        usage = {"input_tokens": len(prompt), "output_tokens": 1}
        self._last.set(CallOutcome(usage=usage, stop_reason=f"said {prompt}"))
        return reply

    @property
    def last_usage(self):
        return self._last.get().usage

    @property
    def last_stop_reason(self):
        return self._last.get().stop_reason


class AsyncPlain(Plain):
    async def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
        self.asked.append((max_tokens, system_prompt, temperature))
        return "plain"


class AsyncFull(Full):
    async def generate(self, prompt, **keywords):
        return super().generate(prompt, **keywords)

    async def generate_with_tools(self, prompt, **keywords):
        return super().generate_with_tools(prompt, **keywords)


@pytest.fixture(params=WRAPPERS.values(), ids=WRAPPERS.keys())
def wrap(request):
    return request.param


@pytest.fixture(params=[(Plain, Full), (AsyncPlain, AsyncFull)], ids=["sync", "async"])
def kinds(request):
    return request.param


def ask(llm, prompt="hi", *, method="generate", run=asyncio.run, **keywords):
    """The reply, and what whoever asked reads afterwards."""

    async def awaited(answer):
        return await answer, llm.last_usage, llm.last_stop_reason

    answer = getattr(llm, method)(prompt, **keywords)
    if inspect.isawaitable(answer):
        return run(awaited(answer))
    return answer, getattr(llm, "last_usage", None), getattr(llm, "last_stop_reason", None)


KEYWORDS = {
    "max_tokens": 7,
    "system_prompt": "s",
    "temperature": 0.9,
    "messages": [ChatMessage(role="user", content="hi")],
    "cancel_token": CancelToken(),
    "cache_breakpoints": [("system", "0" * 64, "ephemeral")],
    "scope": "tool:search",
    "seed": 4,
    "whatever_comes": {"later": True},
}


@pytest.mark.parametrize("method", ["generate", "generate_with_tools"])
def test_every_keyword_is_forwarded(wrap, kinds, method):
    inner = kinds[1]()
    tools = {"tools": [{"name": "f"}]} if method == "generate_with_tools" else {}
    ask(wrap(inner), method=method, **KEYWORDS, **tools)
    assert {**KEYWORDS, **tools}.items() <= inner.asked[0].items()
    assert inner.asked[0].keys() - {"purpose"} == {**KEYWORDS, **tools}.keys()


@pytest.mark.parametrize("method", ["generate", "generate_with_tools"])
def test_a_wrapper_takes_what_the_wrapped_backend_takes(wrap, kinds, method):
    for inner in (kinds[0](), kinds[1]()):
        wrapped = wrap(inner)
        for keyword in (
            "max_tokens",
            "messages",
            "scope",
            "seed",
            "cache_breakpoints",
            "on_chunk",
        ):
            assert takes(wrapped, method, keyword) == takes(inner, method, keyword)


@pytest.fixture
def run():
    """Runs what is awaited, on one event loop."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(params=[OpenAIStreamingBackend, AsyncOpenAIStreamingBackend], ids=["sync", "async"])
def streaming(request, server, run):
    """A backend that streams, from a real server."""
    llm = request.param(base_url=server.url, api_key="k", model="m")
    yield llm
    if is_async(llm):
        run(llm.close())
    else:
        llm.close()


OF_OTHER_ROOMS = {"recording": recording, "scoped": lambda llm: scoped(llm, "tool:search")}
EVERY = WRAPPERS | OF_OTHER_ROOMS


@pytest.mark.parametrize("wrap", EVERY.values(), ids=EVERY.keys())
@pytest.mark.parametrize("method", ["generate", "generate_with_tools"])
def test_pieces_of_a_streamed_reply_are_told_through_every_wrapper(
    wrap, streaming, server, completion, method, run
):
    server.says(completion("A pear is 0.55."))
    told, llm = [], wrap(streaming)
    assert takes(llm, method, "on_chunk")
    tools = {"tools": []} if method == "generate_with_tools" else {}
    reply, usage, reason = ask(llm, method=method, run=run, on_chunk=told.append, **tools)
    assert "".join(told) == (reply if method == "generate" else reply[0]["text"])
    assert len(told) == 5
    assert (usage, reason) == ({"input_tokens": 7, "output_tokens": 3}, "end_turn")


@pytest.mark.parametrize("wrap", EVERY.values(), ids=EVERY.keys())
def test_no_call_passes_a_wrapper_by_through_stream(wrap, streaming):
    # Its pieces would be counted by nobody, kept by nobody, and asked of a model in a replay.
    llm = wrap(streaming)
    assert not hasattr(llm, "stream")
    with pytest.raises(AttributeError, match="on_chunk"):
        _ = llm.stream


def test_a_wrapper_that_asks_again_tells_the_pieces_of_each_attempt(
    streaming, server, completion, Answer, run
):
    events = chat_chunks(completion("A pear is 0.55."))
    server.says(Answer(events=events[:3]), completion("A pear is 0.55."))
    told = []
    llm = ResilientBackend(streaming, sleep=lambda _: None)
    assert ask(llm, run=run, on_chunk=told.append)[0] == "A pear is 0.55."
    assert "".join(told) == "A pear" + "A pear is 0.55."


def test_pieces_of_an_attempt_that_was_given_up_never_come_between_those_of_the_next(
    streaming, server, completion, Answer, run
):
    given_up, events = threading.Event(), chat_chunks(completion("A pear is 0.55."))
    slow = [*events[:2], given_up, *[chat_chunks(completion("late" * 9000))[1]] * 9000]
    server.says(Answer(events=slow), completion("A pear is 0.55."))
    told = []
    llm = ResilientBackend(streaming, timeout_s=1.5, sleep=lambda _: given_up.set())
    assert ask(llm, run=run, on_chunk=told.append)[0] == "A pear is 0.55."
    assert server.hung_up.wait(20)
    assert "".join(told) == "A p" + "A pear is 0.55."


def test_a_backend_of_the_plain_protocol_gets_no_keyword_that_it_does_not_take(wrap, kinds):
    inner = kinds[0]()
    known = {name: KEYWORDS[name] for name in ("max_tokens", "system_prompt", "temperature")}
    extra = {"purpose": "repair"} if takes(wrap(inner), "generate", "purpose") else {}
    wrapped = wrap(inner)
    answer = wrapped.generate("hi", **known, **extra)
    assert (asyncio.run(answer) if inspect.isawaitable(answer) else answer) == "plain"
    assert inner.asked == [(7, "s", 0.9)]


def test_a_wrapper_has_native_tools_exactly_if_the_wrapped_backend_has(wrap, kinds):
    assert not hasattr(wrap(kinds[0]()), "generate_with_tools")
    assert hasattr(wrap(kinds[1]()), "generate_with_tools")


def test_a_wrapper_is_async_exactly_if_the_wrapped_backend_is(wrap, kinds):
    assert is_async(wrap(kinds[1]())) == is_async(kinds[1]())


def test_usage_stop_reason_and_every_other_attribute_are_forwarded(wrap, kinds):
    llm = wrap(kinds[1]())
    told = ask(llm, "four")
    assert told == ("four", {"input_tokens": 4, "output_tokens": 1}, "said four")
    assert (llm.model, llm.flavour) == ("m", "sweet")
    with pytest.raises(AttributeError):
        _ = llm.no_such_thing


def test_a_wrapper_of_a_backend_that_tells_no_usage_tells_none(wrap, kinds):
    llm = wrap(kinds[0]())
    assert getattr(llm, "last_usage", None) is None
    assert getattr(llm, "last_stop_reason", None) is None


def test_threads_that_share_a_wrapper_never_see_each_others_usage(wrap):
    llm, barrier = wrap(Full()), threading.Barrier(4)

    def work(length):
        llm.generate("x" * length)
        barrier.wait(20)
        return llm.last_usage["input_tokens"] == length

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, (1, 2, 3, 4)))


def test_a_wrapper_can_be_copied_and_still_wraps(wrap, kinds):
    inner = kinds[1]()
    assert ask(copy.copy(wrap(inner)), "again")[0] == "again"
    assert len(inner.asked) == 1
